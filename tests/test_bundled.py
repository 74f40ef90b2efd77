"""The shipped models are there, small, safe to open and as accurate as data/README.md says."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from workbench import bundled, datasets
from workbench.datasets import shipped
from workbench.errors import InputError, MissingError

ROOT = Path(__file__).resolve().parents[1]
# Held-out accuracy that a fresh evaluation must reach; below what training printed, above what a broken file gives.
FLOORS = {"cnn": 0.89, "separable": 0.88, "mlp": 0.87, "language": 0.88}
_EVALUATE = """
import json, sys
import keras
import numpy as np
found = {}
for name, path, data in json.loads(sys.argv[1]):
    held = np.load(data)
    model = keras.saving.load_model(path, safe_mode=True)
    said = model.predict(held["x"], batch_size=256, verbose=0)
    found[name] = {"accuracy": float((said.argmax(1) == held["y"]).mean()), "sum": float(said.sum(1).mean()),
                   "inputs": [i.name for i in model.inputs], "outputs": list(model.output_names),
                   "layers": sorted({type(layer).__name__ for layer in model.layers})}
print(json.dumps(found))
"""


def test_every_model_has_its_file_and_a_known_data_set():
    assert [m.name for m in bundled.MODELS] == ["cnn", "separable", "mlp", "language"]
    for row in bundled.MODELS:
        assert bundled.path(row.name) == row.path and row.path.is_file()
        assert bundled.dataset_name(row.name) in datasets.NAMES


def test_the_data_folder_stays_small():
    size = sum(f.stat().st_size for f in shipped.data_folder().rglob("*") if f.is_file())
    assert size < 15_000_000


def test_everything_shipped_is_described_and_has_its_script():
    folder = shipped.data_folder()
    text = (folder / "README.md").read_text()
    for file in folder.iterdir():
        if file.is_file() and file.name != "README.md":
            assert f"`{file.name}`" in text, file.name
    for script in re.findall(r"`(make/\w+\.py)`", text):
        assert (folder / script).is_file(), script


@pytest.mark.parametrize("name", [m.name for m in bundled.MODELS])
def test_the_files_hold_standard_layers_and_no_code(name):
    with zipfile.ZipFile(bundled.path(name)) as archive:
        config = json.loads(archive.read("config.json"))
    text = json.dumps(config)
    assert '"Lambda"' not in text
    packages = set(re.findall(r'"registered_name": "([^"]+)"', text))
    assert not {p for p in packages if ">" in p and not p.startswith("keras")}


def test_the_separable_model_keeps_its_batch_norms():
    with zipfile.ZipFile(bundled.path("separable")) as archive:
        classes = [layer["class_name"] for layer in json.loads(archive.read("config.json"))["config"]["layers"]]
    assert classes.count("BatchNormalization") >= 8 and classes.count("Add") >= 3
    assert classes.count("DepthwiseConv2D") >= 4


def test_models_load_with_the_names_that_people_read():
    model = bundled.model("mlp")
    assert [s.name for s in model.inputs] == ["features"] and model.inputs[0].shape == (None, 10)
    assert model.name == "mlp" and model.parameters == 2850


@pytest.mark.slow
def test_the_models_are_as_accurate_as_they_are_said_to_be(tmp_path):
    """All four on their own held-out samples, in the one process that loads TensorFlow."""
    jobs = []
    for row in bundled.MODELS:
        held = datasets.load(row.dataset, bundled.model(row.name)).evaluation
        (array,) = held.rows.values()
        np.savez(tmp_path / f"{row.name}.npz", x=array, y=held.labels)
        jobs.append((row.name, str(bundled.path(row.name)), str(tmp_path / f"{row.name}.npz")))
    done = subprocess.run([sys.executable, "-c", _EVALUATE, json.dumps(jobs)], capture_output=True, text=True,
                          env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}, timeout=500, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    for name, floor in FLOORS.items():
        assert found[name]["accuracy"] >= floor, (name, found[name])
        assert found[name]["sum"] == pytest.approx(1, abs=1e-3)
        assert found[name]["outputs"] == ["probabilities"]
    assert found["language"]["inputs"] == ["bytes"] and "MultiHeadAttention" in found["language"]["layers"]


def test_an_unknown_model_lists_those_there_are():
    with pytest.raises(InputError, match="'resnet' is no bundled model; there are: cnn, separable, mlp, language"):
        bundled.model("resnet")


def test_a_missing_data_folder_says_how_to_name_it(tmp_path, monkeypatch):
    monkeypatch.setenv(shipped.DATA_VARIABLE, str(tmp_path))
    with pytest.raises(MissingError, match="set WORKBENCH_DATA to its 'data' folder"):
        bundled.model("cnn")


def test_the_data_folder_can_be_elsewhere(tmp_path, monkeypatch):
    for name in ("fashion_mnist_subset.npz", "mlp.keras"):
        (tmp_path / name).write_bytes((ROOT / "data" / name).read_bytes())
    monkeypatch.setenv(shipped.DATA_VARIABLE, str(tmp_path))
    assert bundled.path("mlp") == tmp_path / "mlp.keras"
    with pytest.raises(MissingError, match="cnn.keras is missing"):
        bundled.path("cnn")
