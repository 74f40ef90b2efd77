"""Bad and malicious model files: each gives one clear line, and nothing that they contain is run."""

import io
import json
import os
import pickle
import random
import struct
import subprocess
import sys
import zipfile
from importlib.util import find_spec

import numpy as np
import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper

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


def weight(dims=(2, 2), **fields):
    return T(name="w", data_type=T.FLOAT, dims=dims, **fields)


def onnx_bytes(*initializers, inputs=("x",)):
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])], "g",
        [helper.make_tensor_value_info(n, T.FLOAT, [2, 2]) for n in inputs],
        [helper.make_tensor_value_info("y", T.FLOAT, [2, 2])], list(initializers))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()


GOOD_ONNX = onnx_bytes(weight(raw_data=bytes(16)))


# ---- paths


def test_missing_path(tmp_path):
    refused(tmp_path / "absent.onnx", "no such file", "absent.onnx")


@pytest.mark.parametrize("path", ["", "  ", "a\0b"])
def test_paths_that_are_none(path):
    refused(path, "path")


def test_very_long_path():
    refused("x" * 5000, "cannot read")


def test_addresses_are_not_fetched():
    refused("https://example.org/m.onnx", "does not download")


def test_empty_file(tmp_path):
    (tmp_path / "m.onnx").touch()
    refused(tmp_path / "m.onnx", "is empty")


def test_folders(tmp_path):
    refused(tmp_path, "no SavedModel")
    (tmp_path / "net.onnx").write_bytes(GOOD_ONNX)
    refused(tmp_path, "net.onnx")


def test_devices_and_pipes(tmp_path):
    os.mkfifo(tmp_path / "m.onnx")
    refused(tmp_path / "m.onnx", "device or pipe")
    refused("/dev/zero", "device or pipe")


def test_link_loop(tmp_path):
    (tmp_path / "a.onnx").symlink_to(tmp_path / "b.onnx")
    (tmp_path / "b.onnx").symlink_to(tmp_path / "a.onnx")
    refused(tmp_path / "a.onnx", "cannot read")


def test_permission_denied(tmp_path):
    """Root may read everything, so a root test run steps down for a moment."""
    (tmp_path / "m.onnx").write_bytes(GOOD_ONNX)
    load(tmp_path / "m.onnx")  # readers are imported before
    (tmp_path / "m.onnx").chmod(0)
    is_root = os.geteuid() == 0
    if is_root:
        os.chmod(tmp_path, 0o755)
        for parent in list(tmp_path.parents)[:2]:
            os.chmod(parent, 0o755)
        os.seteuid(65534)
    try:
        refused(tmp_path / "m.onnx", "no permission")
    finally:
        if is_root:
            os.seteuid(0)


# ---- files that are something else


@pytest.mark.parametrize(("content", "words"), [
    (b"<!DOCTYPE html>\n<html><body>Not found</body></html>", "HTML page"),
    (b"\n\n  <html lang='en'>", "HTML page"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n", "git lfs pull"),
    (b"\x1f\x8b\x08\x00" + bytes(30), "gzip"),
    (b"\x7fELF" + bytes(60), "compiled program"),
    (b"\x93NUMPY\x01\x00" + bytes(60), "NumPy array"),
    (struct.pack("<Q", 40) + b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', "safetensors"),
    (b"GGUF\x03\x00\x00\x00" + bytes(40), "GGUF"),
    (b"\x89PNG\r\n\x1a\n" + bytes(40), "image"),
    (b'<?xml version="1.0"?><net name="m" version="11">', "OpenVINO IR"),
    (b"just some text, long enough to be something", "no model"),
    (b'{"a": 1}', "no model"),
])
def test_files_that_are_something_else(tmp_path, content, words):
    for name in ("m.onnx", "m.keras", "m"):
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name, words)


def test_npz_as_model(tmp_path):
    np.savez(tmp_path / "d.npz", x=np.ones(3))
    refused(tmp_path / "d.npz", "NumPy .npz archive", "give it as data")


def test_zip_with_a_model_inside(tmp_path):
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as z:
        z.writestr("deep/net.onnx", GOOD_ONNX)
    refused(tmp_path / "m.zip", "unpack it", "deep/net.onnx")


@pytest.mark.parametrize("seed", range(40))
def test_random_bytes(tmp_path, seed):
    rng = random.Random(seed)
    heads = (b"", b"\x08\x07", b"PK\x03\x04", b"\x18\0\0\0TFL3", b"\x80\x02", b"\x08\x08:\xff\x01")
    content = heads[seed % len(heads)] + rng.randbytes(rng.randrange(1, 4000))
    (tmp_path / "m.onnx").write_bytes(content)
    refused(tmp_path / "m.onnx", "m.onnx")


# ---- ONNX


def test_truncated_onnx_at_every_length(tmp_path):
    for length in range(1, len(GOOD_ONNX)):
        (tmp_path / "m.onnx").write_bytes(GOOD_ONNX[:length])
        try:
            load(tmp_path / "m.onnx")
        except InputError:
            continue
        assert length > len(GOOD_ONNX) - 8, "only fields after the graph may be lacking"


def test_onnx_with_flipped_bytes_never_crashes(tmp_path):
    rng = random.Random(1)
    for _ in range(300):
        broken = bytearray(GOOD_ONNX)
        for _ in range(rng.randrange(1, 4)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        (tmp_path / "m.onnx").write_bytes(broken)
        try:
            load(tmp_path / "m.onnx")
        except InputError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize(("tensor", "words"), [
    (weight((2**40, 2**40), raw_data=bytes(16)), "promises"),
    (weight((2, 2), raw_data=bytes(8)), "holds 8 bytes"),
    (weight((2, 2)), "holds none"),
    (weight((-2, 2), raw_data=bytes(16)), "negative size"),
])
def test_onnx_weights_that_lie(tmp_path, tensor, words):
    (tmp_path / "m.onnx").write_bytes(onnx_bytes(tensor))
    refused(tmp_path / "m.onnx", words)


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def field(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def test_protobuf_bomb(tmp_path):
    """12 MB of empty nodes would take a gigabyte to parse."""
    (tmp_path / "m.onnx").write_bytes(b"\x08\x08" + field(7, b"\x0a\x00" * 6_000_000))
    refused(tmp_path / "m.onnx", "more parts than any real model")


def test_protobuf_nesting(tmp_path):
    graph = b""
    for _ in range(3000):
        graph = field(1, field(5, field(6, graph)))
    (tmp_path / "m.onnx").write_bytes(b"\x08\x08" + field(7, graph))
    refused(tmp_path / "m.onnx", "not a valid ONNX file")


def external(location, offset=0, length=16, **extra):
    tensor = weight(data_location=T.EXTERNAL, **extra)
    for key, text in (("location", location), ("offset", str(offset)), ("length", str(length))):
        tensor.external_data.add(key=key, value=text)
    return tensor


@pytest.mark.parametrize("location", [
    "/etc/passwd", "../secret.bin", "a/../../secret.bin", "..\\secret.bin", "C:\\secret.bin", "\\\\host\\share", ".."])
def test_external_data_outside_the_folder(tmp_path, location):
    (tmp_path / "secret.bin").write_bytes(bytes(64))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "m.onnx").write_bytes(onnx_bytes(external(location)))
    refused(folder / "m.onnx", "outside its folder")


def test_external_data_link_out_of_the_folder(tmp_path):
    (tmp_path / "secret.bin").write_bytes(bytes(64))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "w.bin").symlink_to(tmp_path / "secret.bin")
    (folder / "m.onnx").write_bytes(onnx_bytes(external("w.bin")))
    refused(folder / "m.onnx", "outside its folder")


def test_external_data_missing_short_or_misplaced(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(onnx_bytes(external("w.bin")))
    refused(path, "'w.bin'", "not beside it", str(tmp_path))
    (tmp_path / "w.bin").write_bytes(bytes(8))
    refused(path, "cut short", "the file has 8")
    (tmp_path / "w.bin").write_bytes(bytes(64))
    assert load(path).parameters == 4
    for tensor, words in ((external("w.bin", offset=60), "cut short"), (external("w.bin", length=4), "needs 16 bytes"),
                          (external("w.bin", offset=-4), "wrong place"), (external("w.bin", length="x"), "wrong place"),
                          (external("", 0), "wrong place"), (external("w.bin", length=0, dims=(2**30, 2**30)), "cut")):
        path.write_bytes(onnx_bytes(tensor))
        refused(path, words)


def test_an_onnx_tensor_is_no_model(tmp_path):
    (tmp_path / "t.pb").write_bytes(onnx.numpy_helper.from_array(np.ones(3, np.float32)).SerializeToString())
    refused(tmp_path / "t.pb")


# ---- TFLite


@pytest.fixture(scope="module")
def tflite():
    """A TFLite file made with the schema itself: y = x + w, with a signature."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as s

    model, graph = s.ModelT(), s.SubGraphT()
    model.version, model.description = 3, "m"
    model.buffers = [s.BufferT(), s.BufferT()]
    model.buffers[1].data = np.zeros(16, np.uint8)
    for i, name in enumerate(("x", "w", "y")):
        tensor = s.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name, [2, 2], s.TensorType.FLOAT32, int(i == 1)
        graph.tensors = [*(graph.tensors or []), tensor]
    operator = s.OperatorT()
    operator.inputs, operator.outputs, operator.opcodeIndex = [0, 1], [2], 0
    code = s.OperatorCodeT()
    graph.inputs, graph.outputs, graph.operators = [0], [2], [operator]
    model.operatorCodes, model.subgraphs = [code], [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_the_tflite_file_itself_is_fine(tmp_path, tflite):
    (tmp_path / "m.tflite").write_bytes(tflite)
    m = load(tmp_path / "m.tflite")
    assert ([s.name for s in m.inputs], m.parameters, m.nodes) == (["x"], 4, 1)


def test_tflite_header_only(tmp_path):
    (tmp_path / "m.tflite").write_bytes(struct.pack("<I", 0x7FFFFFF0) + b"TFL3" + bytes(8))
    refused(tmp_path / "m.tflite", "not a valid TFLite file")


def test_tflite_truncated(tmp_path, tflite):
    for length in range(8, len(tflite) - 1, 7):
        (tmp_path / "m.tflite").write_bytes(tflite[:length])
        try:
            load(tmp_path / "m.tflite")
        except InputError as error:
            assert "TFLite" in str(error)


def test_tflite_with_wild_offsets_and_lengths(tmp_path, tflite):
    """Every aligned word in turn becomes huge, negative or self-referring: an error or an answer, soon."""
    for at in range(0, len(tflite) - 4, 4):
        for word in (0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, 0, 4):
            broken = bytearray(tflite)
            struct.pack_into("<I", broken, at, word)
            (tmp_path / "m.tflite").write_bytes(broken)
            try:
                m = load(tmp_path / "m.tflite")
                assert m.parameters <= 16 * len(tflite)
            except InputError as error:
                assert "\n" not in str(error)


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
    proto = onnx.load_from_string(GOOD_ONNX)
    refused(proto, "set WORKBENCH_CACHE")
