"""Bad and malicious model files: each gives one clear line, and nothing that they contain is run."""

import os
import random
import struct
import zipfile

import numpy as np
import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper

from workbench.errors import InputError
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


@pytest.mark.parametrize(("name", "words"), [("frozen_graph.pb", "SavedModel"), ("m.pdmodel", "paddle2onnx"),
                                            ("m.mlmodel", "Core ML"), ("m.caffemodel", "Caffe")])
@pytest.mark.parametrize("content", [b"\n\x1c\n\x04data\x12\x0bPlaceholder" + bytes(40), b"\x08\x04\x12\x02\n\0"])
def test_formats_that_bear_no_mark_are_known_by_their_suffix(tmp_path, name, words, content):
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
