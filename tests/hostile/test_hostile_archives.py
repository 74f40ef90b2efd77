"""Malicious archives (Keras, PyTorch, SavedModel) and a worker in trouble: one clear line, nothing is run."""

import io
import json
import os
import pickle
import random
import subprocess
import sys
import zipfile
from importlib.util import find_spec

import numpy as np
import onnx
import pytest

from workbench.errors import InputError, MissingError, WorkbenchError, WorkerError
from workbench.formats import isolated, pickles, torch_safety
from workbench.model import load


def refused(path, *words, kind=InputError, **options):
    """Loading gives one line with these words."""
    with pytest.raises(kind) as caught:
        load(path, **options)
    text = str(caught.value)
    assert "\n" not in text and len(text) < 900
    for word in words:
        assert word in text, text
    return text


# ---- archives and Keras


def keras_zip(path, config, version="3.15.1", weights=b"", **more):
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("metadata.json", json.dumps({"keras_version": version}))
        z.writestr("config.json", config if isinstance(config, str) else json.dumps(config))
        if weights:
            z.writestr("model.weights.h5", weights)
        for name, content in more.items():
            z.writestr(name, content)
    return path


LAMBDA = {"class_name": "Sequential", "config": {"layers": [
    {"class_name": "Lambda", "config": {"function": {"class_name": "__lambda__", "config": {"code": "4wEAAAA="}}}}]}}
CUSTOM = {"class_name": "Functional", "module": "keras", "config": {"layers": [
    {"module": "os", "class_name": "system", "config": {"name": "touch /tmp/x"}}]}}


def h5_file(path, config=None, version="2.21.0"):
    import h5py

    with h5py.File(path, "w") as file:
        file.create_group("model_weights").create_dataset("w", data=np.ones(3))
        if config is not None:
            file.attrs["model_config"], file.attrs["keras_version"] = json.dumps(config), version
    return path


def test_keras_code_is_refused(tmp_path):
    refused(keras_zip(tmp_path / "m.keras", LAMBDA), "Lambda layer", "Python code")
    refused(h5_file(tmp_path / "m.h5", LAMBDA), "Lambda layer", "Python code")
    refused(keras_zip(tmp_path / "c.keras", CUSTOM), "'system' from 'os'")


def test_old_style_lambda_is_refused(tmp_path):
    layer = {"class_name": "Renamed", "config": {"function_type": "lambda", "function": ["4wEAAAA=", None, None]}}
    refused(h5_file(tmp_path / "m.h5", {"class_name": "Sequential", "config": {"layers": [layer, layer["config"]]}}),
            "Python code")


def test_h5_without_architecture_or_cut_short(tmp_path):
    refused(h5_file(tmp_path / "w.h5"), "no architecture")
    whole = h5_file(tmp_path / "m.h5", LAMBDA).read_bytes()
    (tmp_path / "m.h5").write_bytes(whole[:len(whole) // 2])
    refused(tmp_path / "m.h5", "HDF5")


def test_h5_links_to_other_files(tmp_path):
    import h5py

    path = h5_file(tmp_path / "m.h5", {"class_name": "Sequential", "config": {"layers": []}})
    with h5py.File(path, "a") as file:
        file["model_weights/leak"] = h5py.ExternalLink("/etc/passwd", "/")
    refused(path, "another file", "leak")
    with h5py.File(path, "a") as file:
        del file["model_weights/leak"]
        file.create_dataset("raw", (4,), "u1", external=[("/etc/passwd", 0, 4)])
    refused(path, "another file", "raw")


def test_h5_groups_in_a_circle(tmp_path):
    import h5py

    path = h5_file(tmp_path / "m.h5", LAMBDA)
    with h5py.File(path, "a") as file:
        file["model_weights/loop"] = file["/"]
    refused(path, "Lambda layer")


@pytest.mark.parametrize("config", ["", "{", "[1]", "null", "[" * 200_000, '{"class_name": 1}'])
def test_keras_archives_with_strange_config(tmp_path, config):
    refused(keras_zip(tmp_path / "m.keras", config), "m.keras")


def test_truncated_zip(tmp_path):
    whole = keras_zip(tmp_path / "m.keras", LAMBDA).read_bytes()
    (tmp_path / "m.keras").write_bytes(whole[:-40])
    refused(tmp_path / "m.keras", "damaged or cut short")


def test_zip_bomb(tmp_path):
    with zipfile.ZipFile(tmp_path / "m.keras", "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("metadata.json", "{}")
        with z.open("config.json", "w", force_zip64=True) as stream:
            for _ in range(100):
                stream.write(bytes(2**20))
    refused(tmp_path / "m.keras", "zip bomb")


@pytest.mark.parametrize("name", ["../evil.h5", "/abs.h5", "a/../../evil.h5", "C:/evil.h5"])
def test_zip_names_outside_the_archive(tmp_path, name):
    refused(keras_zip(tmp_path / "m.keras", LAMBDA, **{name: b"x"}), "outside the archive")


def test_zip_with_one_name_twice(tmp_path):
    path = keras_zip(tmp_path / "m.keras", {"class_name": "Sequential", "config": {}})
    with zipfile.ZipFile(path, "a") as z:
        z.writestr("Config.json", json.dumps(LAMBDA))
    refused(path, "two entries of one name")


# ---- PyTorch


class Payload:
    """Runs a command when unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def torch_zip(path, **members):
    with zipfile.ZipFile(path, "w") as z:
        for name, content in members.items():
            z.writestr(f"m/{name}", content)
    return path


def test_pickles_are_refused_and_not_run(tmp_path):
    marker = tmp_path / "ran"
    for protocol in range(2, 6):
        (tmp_path / "m.pt").write_bytes(pickle.dumps(Payload(marker), protocol))
        refused(tmp_path / "m.pt", "checkpoint", "torch.export.save")
    torch_zip(tmp_path / "z.pt", **{"data.pkl": pickle.dumps(Payload(marker), 2), "version": "3"})
    refused(tmp_path / "z.pt", "checkpoint", "unpickling would run code")
    assert not marker.exists()


PROGRAM = {
    "graph_module": {
        "graph": {"inputs": [{"as_tensor": {"name": "x"}}], "outputs": [{"as_tensor": {"name": "y"}}],
                  "nodes": [{"target": "torch.ops.aten.relu.default", "name": "y", "metadata": {},
                             "inputs": [{"name": "self", "arg": {"as_tensor": {"name": "x"}}}]}],
                  "tensor_values": {n: {"dtype": 7, "sizes": [{"as_int": 2}, {"as_expr": {
                      "expr_str": "Symbol('s0', integer=True)"}}]} for n in "xy"}},
        "signature": {"input_specs": [{"user_input": {"arg": {"as_tensor": {"name": "x"}}}}],
                      "output_specs": [{"user_output": {"arg": {"as_tensor": {"name": "y"}}}}]},
        "module_call_graph": [{"fqn": "", "signature": {"forward_arg_names": ["x"]}}]},
    "guards_code": ["L['x'].size()[1] <= 64"], "range_constraints": {}}


def pt2(path, program=PROGRAM, **members):
    text = program if isinstance(program, (str, bytes)) else json.dumps(program)
    return torch_zip(path, **{"models/model.json": text, "archive_format": "pt2", **members})


def edited(old, new):
    text = json.dumps(PROGRAM)
    assert old in text
    return text.replace(old, new)


def test_the_exported_program_itself_is_fine(tmp_path):
    m = load(pt2(tmp_path / "m.pt2"))
    assert (m.format.value, m.inputs[0].shape, m.nodes) == ("torch_export", (2, "s0"), 1)


@pytest.mark.parametrize("code", [
    "__import__('os').system('true')", "eval('1')", "(lambda: 1)()", "[x for x in (1,)]", "x.__class__", "open('f')",
    "L['x'].size()[0] and print(1)", "f'{1}'", "getattr(L, 'y')", "sys.exit()", "L['__import__']", "(" * 5000])
def test_exported_programs_with_code_for_sizes(tmp_path, code):
    text = json.dumps(code)[1:-1]
    refused(pt2(tmp_path / "m.pt2", edited("Symbol('s0', integer=True)", text)), "would run code")
    refused(pt2(tmp_path / "m.pt2", edited("L['x'].size()[1] <= 64", text)), "would run code")


@pytest.mark.parametrize("code", [
    "L['x'].size()[0] + (L['x'].size()[0] // 2) <= 2*L['x'].size()[0]", "Eq(Mod(s0, 8), 0)",
    "Add(Symbol('s77', positive=True), FloorDiv(Symbol('s77'), Integer(2)))"])
def test_real_formulas_pass(code):
    assert torch_safety._is_formula(code)


def test_exported_programs_with_code_for_names(tmp_path):
    program = json.loads(json.dumps(PROGRAM).replace('"x"', '"x=print(1)"'))
    refused(pt2(tmp_path / "m.pt2", program), "a name that would become code")


def test_exported_programs_with_pickles(tmp_path):
    marker = tmp_path / "ran"
    bad = pickle.dumps(Payload(marker), 2)
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as z:
        z.writestr("archive/data.pkl", bad)
    config = json.dumps({"config": {"w": {"path_name": "weight_0", "use_pickle": True}}})
    opaque = json.dumps({"config": {"w": {"path_name": "opaque_obj_0", "use_pickle": True}}})
    for members in ({"data/sample_inputs/model.pt": inner.getvalue()}, {"data/sample_inputs/model.pt": bad},
                    {"data/weights/model_weights_config.json": config, "data/weights/weight_0": inner.getvalue()},
                    {"data/constants/model_constants_config.json": opaque, "data/constants/opaque_obj_0": bad},
                    {"Data/Constants/Model_Constants_Config.JSON": opaque},
                    {"data/aotinductor/model/x.so": b"\x7fELF"}):
        refused(pt2(tmp_path / "m.pt2", **members), "refused")
    assert not marker.exists()


@pytest.mark.parametrize("program", ["{}", "[]", "{", '{"graph_module": 3}', edited('"as_int": 2', '"as_int": "a"'),
                                     edited('"dtype": 7', '"dtype": [7]'), edited('"user_output"', '"none"'),
                                     "[" * 100_000])
def test_damaged_exported_programs(tmp_path, program):
    refused(pt2(tmp_path / "m.pt2", program), "m.pt2")


@pytest.mark.parametrize("protocol", range(6))
def test_pickle_names_are_seen_in_every_protocol(tmp_path, protocol):
    assert pickles.foreign_name(pickle.dumps(Payload(tmp_path / "m"), protocol))
    assert pickles.foreign_name(b"\x80\x02]q\x00.") == ""
    assert pickles.foreign_name(b"garbage")


@pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed")
def test_damaged_torchscript(tmp_path):
    path = torch_zip(tmp_path / "m.pt", **{"constants.pkl": b"\x80\x02).", "code/__torch__.py": "import os\n",
                                           "data.pkl": b"\x80\x02).", "version": "3"})
    refused(path, "m.pt")


# ---- SavedModel and the worker


def test_saved_model_folders_that_are_none(tmp_path):
    (tmp_path / "saved_model.pb").touch()
    refused(tmp_path, "saved_model.pb is empty")
    (tmp_path / "saved_model.pb").unlink()
    (tmp_path / "saved_model.pbtxt").write_text("x")
    refused(tmp_path, "text form")


@pytest.mark.slow
def test_damaged_saved_model(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(random.Random(0).randbytes(500))
    refused(tmp_path, "damaged")


def test_a_worker_that_hangs_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(isolated, "TIMEOUT_S", 0.05)
    refused(h5_file(tmp_path / "slow.h5", LAMBDA, "9.9"), "took longer", kind=WorkerError)


def test_a_worker_that_crashes_is_one_line(tmp_path, monkeypatch):
    crash = tmp_path / "python"
    crash.write_text("#!/bin/sh\necho about to die >&2\nkill -SEGV $$\n")
    crash.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(crash))
    refused(h5_file(tmp_path / "crash.h5", LAMBDA, "9.8"), "made its reader crash", "-11")


def test_a_missing_framework_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(isolated, "find_spec", lambda name: None)
    refused(h5_file(tmp_path / "none.h5", LAMBDA, "9.7"), "pip install tensorflow", kind=MissingError)


def test_modules_in_the_current_folder_are_not_imported(tmp_path):
    """A folder from a stranger may hold a 'json.py' or 'tensorflow.py' beside the model."""
    for name in ("json", "h5py", "tensorflow", "numpy"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    path = h5_file(tmp_path / "m.h5", LAMBDA, "9.6")
    code = f"import os; os.chdir({str(tmp_path)!r})\nfrom workbench.model import load\nload({str(path)!r})"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert "Lambda layer" in done.stderr
    assert not (tmp_path / "ran").exists()


def test_damaged_cache_entries_are_read_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    path = h5_file(tmp_path / "m.h5", LAMBDA, "9.5")
    with pytest.raises(WorkbenchError, match="Lambda"):
        load(path)
    assert not list((tmp_path / "cache").rglob("*.json")), "a refusal is not remembered"


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "file/cache"))
    refused(onnx.ModelProto(), "set WORKBENCH_CACHE")
