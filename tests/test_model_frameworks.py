"""Reading models that take a framework: Keras 2 and 3, SavedModel, TFLite, TorchScript, torch.export, live objects."""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from workbench.errors import InputError
from workbench.model import ModelFormat, TensorSpec, load

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    """A cache folder of this module's own."""
    folder = tmp_path_factory.mktemp("cache")
    before = os.environ.get("WORKBENCH_CACHE")
    os.environ["WORKBENCH_CACHE"] = str(folder)
    yield folder
    os.environ.pop("WORKBENCH_CACHE") if before is None else os.environ.update(WORKBENCH_CACHE=before)


# ---- TFLite, Keras, SavedModel: made by the real converters, in processes of their own

KERAS = """
import os, sys
legacy, out = sys.argv[1] == "2", sys.argv[2]
os.environ["TF_USE_LEGACY_KERAS"] = "1" if legacy else "0"
if legacy: import tf_keras as keras
else: import keras
i = keras.Input((8, 8, 1), name="image")
s = keras.Input((3,), name="side")
x = keras.layers.Flatten()(keras.layers.Conv2D(4, 3)(i))
o = keras.layers.Dense(3, activation="softmax", name="out")(keras.layers.Concatenate()([x, s]))
m = keras.Model([i, s], [o, keras.layers.Activation("relu", name="second")(x)])
m.save(f"{out}/k{sys.argv[1]}.keras"); m.save(f"{out}/k{sys.argv[1]}.h5")
print(m.count_params())
if not legacy:
    import tensorflow as tf
    m.export(f"{out}/sm")
    converter = tf.lite.TFLiteConverter.from_saved_model(f"{out}/sm")
    open(f"{out}/m.tflite", "wb").write(converter.convert())
    w = tf.constant([[1.0, 2], [3, 4]])
    f = tf.function(lambda a, b: (tf.matmul(a, w) + b, a))
    concrete = f.get_concrete_function(tf.TensorSpec([None, 2], name="a"), tf.TensorSpec([], name="b"))
    open(f"{out}/bare.tflite", "wb").write(tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert())
    sys.path.insert(0, os.environ["REPO"])
    from workbench.model import load
    print("live", load(m).to_dict(), load(m).sha256 == load(m).sha256)
    own = keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda t: t * 2), keras.layers.Dense(2)])
    print("own", load(own).to_dict())
"""
PARAMETERS = 4 * 9 + 4 + 3 * (144 + 3) + 3


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Models of both Keras generations and what converters make of them."""
    folder = tmp_path_factory.mktemp("keras")
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "REPO": str(Path(__file__).parents[1])}
    runs = [subprocess.Popen([sys.executable, "-c", KERAS, v, folder], env=env, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True) for v in "23"]
    texts = []
    for run in runs:
        out, err = run.communicate(timeout=300)
        assert run.returncode == 0, err[-2000:]
        texts.append(out)
    (folder / "log").write_text("".join(texts))
    return folder


IMAGE, SIDE = TensorSpec("image", "float32", (None, 8, 8, 1)), TensorSpec("side", "float32", (None, 3))


@pytest.mark.parametrize(("file", "format"), [("k3.keras", ModelFormat.KERAS), ("k2.h5", ModelFormat.KERAS2)])
def test_keras_files(made, file, format):
    m = load(made / file)
    assert (m.format, m.parameters, m.nodes) == (format, PARAMETERS, 5)
    assert m.inputs == (IMAGE, SIDE)
    assert m.outputs == (TensorSpec("out", "float32", (None, 3)), TensorSpec("second", "float32", (None, 144)))


def test_each_keras_is_told_by_the_file(made):
    from workbench.formats import keras_config

    found = {n: keras_config.read(made / n).legacy for n in ("k2.keras", "k2.h5", "k3.keras", "k3.h5")}
    assert found == {"k2.keras": True, "k2.h5": True, "k3.keras": False, "k3.h5": False}


def test_saved_model(made):
    m = load(made / "sm")
    assert m.format is ModelFormat.SAVED_MODEL
    assert set(m.inputs) == {IMAGE, SIDE}
    assert [s.name for s in m.outputs] == ["output_0", "output_1"]
    assert m.parameters == PARAMETERS
    assert m.nodes > 4
    assert m.size_bytes == sum(f.stat().st_size for f in (made / "sm").rglob("*") if f.is_file())
    assert load(made / "sm/saved_model.pb").sha256 == m.sha256, "the file inside stands for its folder"


def test_inspection_is_remembered_by_content(made, tmp_path, monkeypatch):
    first = load(made / "k3.keras")
    shutil.copy(made / "k3.keras", tmp_path / "copy.keras")
    monkeypatch.setattr(sys, "executable", "/bin/false")  # no worker can start any more
    again = load(tmp_path / "copy.keras")
    assert (again.inputs, again.parameters, again.name) == (first.inputs, first.parameters, "copy")


def test_shipped_inspections_spare_the_first_look(made, tmp_path, monkeypatch, cache):
    from workbench.formats import store

    first = load(made / "k3.keras")
    shutil.copytree(cache / "inspect", tmp_path / "inspected")
    monkeypatch.setattr(store, "SHIPPED", tmp_path / "inspected")
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "new"))
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert load(made / "k3.keras").inputs == first.inputs


def test_tflite_names_come_from_the_signature(made):
    from ai_edge_litert.interpreter import Interpreter

    m = load(made / "m.tflite")
    runner = Interpreter(str(made / "m.tflite")).get_signature_runner()
    assert {s.name for s in m.inputs} == set(runner.get_input_details()) == {"image", "side"}
    assert [s.name for s in m.outputs] == ["output_0", "output_1"]
    assert set(m.inputs) == {IMAGE, SIDE}
    assert m.outputs[0].shape == (None, 3)
    assert 0 < PARAMETERS - m.parameters <= 7, "biases that are zero may be left out"
    bare = load(made / "bare.tflite")
    assert [(s.name, s.shape) for s in bare.inputs] == [("a", (None, 2)), ("b", ())]
    assert bare.parameters == 4


def test_live_keras_models(made):
    log = (made / "log").read_text()
    live = next(line for line in log.splitlines() if line.startswith("live"))
    assert "'format': 'keras'" in live and str(PARAMETERS) in live and live.endswith("True"), "one model, one hash"
    own = next(line for line in log.splitlines() if line.startswith("own"))
    assert "'format': 'saved_model'" in own and "layers of your own" in own


# ---- PyTorch, in one process of its own

TORCH = """
import json, os, sys
import numpy as np, torch
from workbench.model import load, resolve_inputs
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = torch.nn.GRU(4, 6, batch_first=True); self.drop = torch.nn.Dropout(0.5)
        self.out = torch.nn.Linear(6, 3)
    def forward(self, x, scale):
        y, h = self.rnn(x)
        return {"y": self.drop(self.out(y[:, -1])) * scale, "h": h}
class Branch(torch.nn.Module):
    def forward(self, x): return x + 1 if x.sum() > 0 else x - 1
torch.manual_seed(0)
net, args = Net(), (np.ones((1, 5, 4), np.float32), torch.tensor(2.0))
found = {}
def note(key, m): found[key] = m.to_dict() | {"path": str(m.path)}
note("live", load(net, example_inputs=args))
found["training"] = net.training and net.drop.training
note("again", load(net, example_inputs=args))
note("named", load(net, example_inputs=dict(zip(["x", "scale"], args))))
note("branch", load(Branch(), example_inputs=torch.ones(2, 3)))
flat = torch.nn.Sequential(torch.nn.Flatten(0), torch.nn.Linear(12, 2))
note("flat", load(flat, example_inputs=torch.ones(3, 4)))
note("program", load(torch.export.export(net.eval(), (torch.ones(1, 5, 4), torch.tensor(2.0)))))
note("script", load(torch.jit.script(net), example_inputs=args))
torch.jit.script(net).save(sys.argv[1] + "/plain.pt")
found["sizes"] = resolve_inputs(load(found["live"]["path"]))
try: load(net)
except Exception as error: found["no examples"] = f"{type(error).__name__}: {error}"
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def torch_found(tmp_path_factory):
    if find_spec("torch") is None:
        pytest.skip("PyTorch is not installed")
    folder = tmp_path_factory.mktemp("torch")
    script = folder / "make.py"  # torch.jit.script reads source files
    script.write_text(TORCH)
    done = subprocess.run([sys.executable, script, folder], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "def forward" not in done.stderr, "failed attempts do not fill the notebook"
    return json.loads(done.stdout) | {"folder": folder}


GRU = 3 * 6 * (4 + 6 + 2) + 6 * 3 + 3


def test_live_torch_modules_become_pt2_with_a_free_batch(torch_found):
    live = torch_found["live"]
    assert (live["format"], live["parameters"], live["name"]) == ("torch_export", GRU, "Net")
    x, scale = live["inputs"]
    assert (x["name"], x["shape"][1:], scale["shape"]) == ("x", [5, 4], [])
    assert isinstance(x["shape"][0], str)
    assert torch_found["sizes"] == {"x": [1, 5, 4], "scale": []}
    assert torch_found["training"] is True, "the user's module is left as it was"
    assert torch_found["again"]["sha256"] == live["sha256"]
    assert torch_found["named"]["inputs"] == live["inputs"]


def test_modules_that_cannot_be_exported_so(torch_found):
    assert torch_found["branch"]["format"] == "torchscript"
    assert any("branches are fixed" in n for n in torch_found["branch"]["notes"])
    assert torch_found["flat"]["inputs"][0]["shape"] == [3, 4]
    assert any("does not take others" in n for n in torch_found["flat"]["notes"])
    assert torch_found["no examples"].startswith("InputError: torch module Net does not say what it takes")


def test_programs_and_scripts(torch_found):
    assert torch_found["program"]["inputs"][0]["shape"] == [1, 5, 4]
    script = torch_found["script"]
    assert (script["format"], script["parameters"]) == ("torchscript", GRU)
    assert [s["name"] for s in script["outputs"]] == ["y", "h"]


def test_torchscript_asks_for_shapes_once(torch_found):
    path = torch_found["folder"] / "plain.pt"
    with pytest.raises(InputError, match="what shape does input 'x' of plain.pt have"):
        load(path)
    m = load(path, fix={"x": [2, 5, 4], "scale": []})
    assert m.inputs == (TensorSpec("x", "float32", (2, 5, 4)), TensorSpec("scale", "float32", ()))
    with pytest.raises(InputError, match="takes 2 inputs .x, scale., example_inputs has 1"):
        load(path, example_inputs=np.ones((1, 5, 4), np.float32))
    assert load(torch_found["script"]["path"]).inputs == load(
        path, example_inputs=(np.ones((1, 5, 4), np.float32), np.float32(2))).inputs, "kept inside saved live modules"
