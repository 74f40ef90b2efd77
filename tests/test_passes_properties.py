"""What holds for every pass on Keras: names and shapes stay, the file is not touched, a second time does no harm."""

import hashlib
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from workbench import chain, datasets, passes, variant
from workbench import model as models
from workbench import recipe as recipes

from . import keras_parts as parts

BRIEF = {"epochs": 1, "batch_size": 16, "max_samples": 48}
BEFORE = {"keras-pqat": ("keras-prune-magnitude",), "keras-cqat": ("keras-cluster",),
          "keras-pcqat": ("keras-prune-magnitude", "keras-cluster")}
KERAS_PASSES = tuple(n for n, _, _ in passes.PASSES if n.startswith(("keras-", "tf-")))
KEEPING = ("keras-pqat", "keras-cqat", "keras-pcqat")  # built in the tests of training, which check the same
# What a second time gives instead of the first result; all others are refused before anything runs.
TWICE = ("keras-prune-structured", "keras-distill", "tf-freeze")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A small convolutional network with labelled samples, and a cache that the tests share."""
    folder = tmp_path_factory.mktemp("tiny")
    network = parts.stirred(parts.plain_net())
    network.save(folder / "plain.keras")
    model = models.load(folder / "plain.keras")
    rng = np.random.default_rng(0)
    images = rng.random((240, 12, 12, 1), np.float32)
    np.savez(folder / "data.npz", image=images, labels=np.arange(240) % 4)
    return model, datasets.load(folder / "data.npz", model), variant.Cache(folder / "cache")


def steps(*names):
    return [(n, BRIEF if passes.get(n).needs_training else {}) for name in names for n in (*BEFORE.get(name, ()), name)]


def build(tiny, *asked, runtime="tensorflow"):
    return variant.build(tiny[0], recipes.make(*asked, runtime=runtime), tiny[1], cache=tiny[2])


def boundary(model):
    return [(s.name, s.dtype, tuple(d if isinstance(d, int) else None for d in s.shape))
            for s in (*model.inputs, *model.outputs)]


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in KERAS_PASSES if n not in KEEPING])
def test_names_shapes_and_the_input_file_are_kept(name, tiny):
    source = tiny[0]
    before = hashlib.sha256(source.path.read_bytes()).hexdigest()
    built = build(tiny, *steps(name))
    assert hashlib.sha256(source.path.read_bytes()).hexdigest() == before
    assert boundary(built.model) == boundary(source)
    assert built.stages[-1]["name"] == name and built.stages[-1]["notes"]
    assert built.model.path != source.path


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in KERAS_PASSES if n not in TWICE])
def test_a_second_time_is_refused_with_a_reason(name, tiny):
    reason = chain.problem(tiny[0], recipes.make(*steps(name), *steps(name)[-1:], runtime="tensorflow"))
    assert reason and re.search("cannot follow|cannot become|needs", reason) and "\n" not in reason


@pytest.mark.slow
@pytest.mark.parametrize("name", TWICE)
def test_a_second_time_does_no_harm(name, tiny):
    once, twice = build(tiny, *steps(name)), build(tiny, *steps(name), *steps(name))
    assert boundary(twice.model) == boundary(once.model)
    assert twice.model.parameters <= once.model.parameters
    if name == "tf-freeze":
        assert twice.model.nodes == once.model.nodes


@pytest.mark.slow
@pytest.mark.parametrize("asked", [
    ["keras-prune-magnitude", "keras-qat", "tflite-convert"],
    ["keras-distill", "onnx-convert", "onnx-simplify", "onnx-int8-mixed"],
], ids=" > ".join)
def test_sequences_run_to_the_end(asked, tiny):
    built = build(tiny, *steps(*asked), runtime="")
    names = [s["name"] for s in built.stages]
    assert [n for n in names if n in asked] == asked and boundary(built.model)[0][0] == "image"


@pytest.mark.slow
def test_attention_stays_as_it_is_where_the_technique_does_not_reach_it(tmp_path):
    parts.stirred(parts.attending_net()).save(tmp_path / "attending.keras")
    model = models.load(tmp_path / "attending.keras")
    tokens = np.random.default_rng(0).integers(0, 50, (160, 10)).astype("int32")
    np.savez(tmp_path / "data.npz", tokens=tokens, labels=np.arange(160) % 3)
    whole = model, datasets.load(tmp_path / "data.npz", model), variant.Cache(tmp_path / "cache")
    for name in ("keras-cluster", "keras-pqat"):
        built = build(whole, *steps(name))
        assert boundary(built.model) == boundary(model)
        assert any("left as they were" in n and "attention" in n for n in built.stages[-1]["notes"])


@pytest.mark.slow
def test_a_conversion_is_the_same_bytes_in_every_process(tmp_path):
    """The converter merges equal constants, here the epsilons of norms, and kept the name that came first in a set."""
    parts.attending_net().save(tmp_path / "attending.keras")
    (tmp_path / "recipe.yaml").write_text("version: 1\npasses: [onnx-convert]\nruntime: onnxruntime\n")
    made = []
    for seed in ("1", "2", "3"):
        out = tmp_path / f"{seed}.onnx"
        command = [sys.executable, "-m", "workbench", "apply", str(tmp_path / "attending.keras"),
                   "--recipe", str(tmp_path / "recipe.yaml"), "-o", str(out)]
        environment = {**os.environ, "PYTHONHASHSEED": seed, "WORKBENCH_CACHE": str(tmp_path / f"cache-{seed}")}
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        assert ran.returncode == 0, ran.stderr[-500:]
        made.append(out.read_bytes())
    assert made[0] == made[1] == made[2]
