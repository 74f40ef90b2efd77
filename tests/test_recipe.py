"""Recipes: round trips through YAML with a comment on every setting, equality, and errors that name the allowed."""

import hashlib
import json

import pytest
import yaml
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from workbench import passes, recipe
from workbench.errors import InputError
from workbench.runtimes.registry import RUNTIMES, settings_class

NAMES = [p[0] for p in passes.PASSES]


def value_of(name: str, default, bounds):
    """Any admitted value of a setting."""
    if bounds.choices is not None:
        return st.sampled_from(bounds.choices)
    if isinstance(default, bool):
        return st.booleans()
    if isinstance(default, int):
        return st.integers(int(bounds.low or 0), int(bounds.high if bounds.high is not None else 10**6))
    if isinstance(default, float):
        low, high = (bounds.low if bounds.low is not None else 0.0), (bounds.high if bounds.high is not None else 1e6)
        return st.floats(low, high, allow_nan=False)
    text = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=12)
    return st.lists(text, max_size=3).map(tuple) if isinstance(default, tuple) else text


def settings_of(cls):
    bounds, defaults = cls.bounds(), cls.defaults()
    return st.fixed_dictionaries({n: value_of(n, defaults[n], bounds[n]) for n in bounds})


@st.composite
def recipes(draw):
    steps = [(name, draw(settings_of(passes.get(name).Settings)))
             for name in draw(st.lists(st.sampled_from(NAMES), max_size=4))]
    runtime = draw(st.sampled_from(["", *(r.name for r in RUNTIMES)]))
    values = draw(settings_of(settings_class(runtime))) if runtime else None
    return recipe.make(*steps, runtime=runtime, runtime_settings=values, threads=draw(st.integers(0, 64)),
                       batch=draw(st.integers(1, 128)), device=draw(st.sampled_from(["cpu", "gpu"])))


@hypothesis_settings(max_examples=60, deadline=None)
@given(recipes())
def test_yaml_and_plain_form_read_back_equal(made):
    for back in (recipe.from_yaml(made.to_yaml()), recipe.from_dict(made.to_dict())):
        assert back == made and hash(back) == hash(made) and back.key == made.key


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_has_a_comment_from_its_help(name):
    text = recipe.make(name).to_yaml()
    for setting, bounds in passes.get(name).Settings.bounds().items():
        line = next(x for x in text.splitlines() if x.strip().startswith(f"{setting}:"))
        assert line.split("  # ", 1)[1].startswith(" ".join(bounds.help.split())[:40])
        if bounds.choices:
            assert all(str(c) in line for c in bounds.choices)


@pytest.mark.parametrize("runtime", [r.name for r in RUNTIMES])
def test_runtime_settings_are_commented_too(runtime):
    text = recipe.make(runtime=runtime).to_yaml()
    for setting, bounds in settings_class(runtime).bounds().items():
        line = next(x for x in text.splitlines() if x.strip().startswith(f"{setting}:"))
        assert len(line.split("  # ", 1)[1]) > 10 and bounds.help


def test_the_yaml_is_what_the_docstring_shows():
    made = recipe.make("onnx-convert", ("onnx-int8-static", {"per_channel": True}), runtime="onnxruntime",
                       runtime_settings={"graph_level": "all"}, threads=2)
    plain = yaml.safe_load(made.to_yaml())
    assert plain["version"] == 1 and [p["name"] for p in plain["passes"]] == ["onnx-convert", "onnx-int8-static"]
    assert plain["runtime"]["graph_level"] == "all" and plain["passes"][1]["per_channel"] is True
    short = "version: 1\npasses: [onnx-convert, {name: onnx-int8-static}]\nruntime: onnxruntime\nthreads: 2\n"
    assert recipe.from_yaml(short) == made


def test_the_plain_words_on_and_off_are_not_lost_to_yaml():
    made = recipe.from_yaml("passes: [{name: onnx-int8-static, reduce_range: off}]")
    assert made.steps[0].settings.reduce_range == "off"
    assert recipe.from_yaml(made.to_yaml()) == made


def test_the_key_is_the_hash_of_the_plain_form():
    """Keys lie in studies: they are put together from remembered parts, and must stay what they were."""
    for made in (recipe.make(runtime="onnxruntime", threads=2), recipe.Recipe(), recipe.make(
            ("onnx-int8-static", {"method": "entropy"}), "onnx-simplify", runtime="openvino", batch=4, device="gpu")):
        text = json.dumps(made.to_dict(), sort_keys=True)
        assert made.key == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_different_settings_have_different_keys():
    keys = {recipe.make(*steps, threads=threads).key for threads in (1, 2) for steps in (
        (), ("onnx-convert",), ("onnx-int8-static",), (("onnx-int8-static", {"per_channel": False}),))}
    assert len(keys) == 8


@pytest.mark.parametrize("text,words", [
    ("version: 2", ("version 2", "version 1")),
    ("passes: [onnx-nonsense]", ("onnx-nonsense", "onnx-int8-static")),
    ("passes: [{name: onnx-convert, opest: 17}]", ("opest", "opset")),
    ("passes: [{name: onnx-convert, opset: 99}]", ("opset", "99", "13 to 18")),
    ("passes: [{name: onnx-convert, opset: seventeen}]", ("opset", "whole number")),
    ("passes: [{name: onnx-int8-static, method: magic}]", ("magic", "minmax, entropy, percentile")),
    ("passes: [{name: onnx-int8-static, exclude_nodes: [1, 2]}]", ("exclude_nodes", "list of names")),
    ("passes: [{name: onnx-int8-static, exclude_nodes: conv_1}]", ("exclude_nodes", "list of names")),
    ("passes: [{opset: 17}]", ("needs a 'name'",)),
    ("passes: {name: onnx-convert}", ("must be a list",)),
    ("runtime: jax", ("jax", "onnxruntime")),
    ("runtime: {graph_level: all}", ("no 'name'",)),
    ("threads: -1", ("threads", "0 to")),
    ("threads: true", ("threads", "True")),
    ("batch: 0", ("batch", "1 to")),
    ("batch: 1.5", ("batch", "1 to")),
    ("device: tpu", ("tpu", "cpu, gpu")),
    ("colour: red", ("colour", "allowed: version")),
    ("[]", ("mapping",)),
    ("just text", ("mapping",)),
    ("", ("mapping",)),
    ("a: [", ("not valid YAML",)),
])
def test_a_mistake_is_one_line_that_names_what_is_allowed(text, words):
    with pytest.raises(InputError) as caught:
        recipe.from_yaml(text)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 700 and all(w in message for w in words), message


def test_a_file_is_read_and_a_bad_path_is_one_line(tmp_path):
    made = recipe.make("onnx-float16")
    (tmp_path / "r.yaml").write_text(made.to_yaml(), "utf-8")
    assert recipe.load(tmp_path / "r.yaml") == made
    (tmp_path / "big.yaml").write_bytes(b" " * 1_000_001)
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    for name in ("absent.yaml", "big.yaml", "bytes.yaml", "."):
        with pytest.raises(InputError):
            recipe.load(tmp_path / name)
