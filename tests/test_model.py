"""Reading models of every format: specs, counts, hashes, open sizes. Files are made here or come with packages."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper

from workbench import model as models
from workbench.errors import InputError
from workbench.model import Model, ModelFormat, TensorSpec, load, resolve_inputs

SITE = Path(onnx.__file__).parents[1]
OCR = sorted((SITE / "ddddocr").glob("*.onnx"))
LIGHT = sorted((SITE / "onnx/backend/test/data/light").glob("*.onnx"))


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    """A cache folder of this module's own."""
    folder = tmp_path_factory.mktemp("cache")
    before = os.environ.get("WORKBENCH_CACHE")
    os.environ["WORKBENCH_CACHE"] = str(folder)
    yield folder
    os.environ.pop("WORKBENCH_CACHE") if before is None else os.environ.update(WORKBENCH_CACHE=before)


def value(name, shape, kind=T.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def save_onnx(path, nodes, inputs, outputs, initializers=(), opsets=(("", 17),), **options):
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(initializers))
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid(*o) for o in opsets], ir_version=8)
    onnx.save(proto, path, **options)
    return path


def linear(path, shape=("batch", 4), **options):
    """y = x @ w, 12 weights."""
    w = onnx.numpy_helper.from_array(np.arange(12, dtype=np.float32).reshape(4, 3), "w")
    return save_onnx(path, [helper.make_node("MatMul", ["x", "w"], ["y"])],
                     [value("x", shape), value("w", [4, 3])], [value("y", [shape[0], 3])], [w], **options)


# ---- ONNX


def test_onnx_specs_counts_and_hash(tmp_path):
    path = linear(tmp_path / "m.onnx")
    m = load(path)
    assert (m.format, m.name, m.path) == (ModelFormat.ONNX, "m", path)
    assert m.inputs == (TensorSpec("x", "float32", ("batch", 4)),), "initializers listed as inputs are no inputs"
    assert m.outputs == (TensorSpec("y", "float32", ("batch", 3)),)
    assert (m.parameters, m.nodes, m.size_bytes) == (12, 1, path.stat().st_size)
    assert m.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert m.bytes_per_parameter == m.size_bytes / 12


def test_json_form_has_the_promised_keys(tmp_path):
    d = json.loads(json.dumps(load(linear(tmp_path / "m.onnx"), name="net").to_dict()))
    assert set(d) == {"name", "format", "inputs", "outputs", "nodes", "parameters", "size_bytes", "sha256", "notes"}
    assert d["inputs"] == [{"name": "x", "dtype": "float32", "shape": ["batch", 4]}]
    assert (d["name"], d["format"]) == ("net", "onnx")


def test_detection_goes_by_content_not_by_ending(tmp_path):
    assert load(linear(tmp_path / "m.bin")).format is ModelFormat.ONNX
    shutil.copy(tmp_path / "m.bin", tmp_path / "m.tflite")
    assert load(tmp_path / "m.tflite").format is ModelFormat.ONNX


@pytest.mark.parametrize(("dim", "expected"), [("?", None), ("", None), (None, None), (0, None), (-1, None),
                                               ("seq", "seq"), (5, 5)])
def test_onnx_open_dims(tmp_path, dim, expected):
    proto = onnx.load(linear(tmp_path / "m.onnx"))
    target = proto.graph.input[0].type.tensor_type.shape.dim[0]
    target.Clear()
    if isinstance(dim, str):
        target.dim_param = dim
    elif dim is not None:
        target.dim_value = dim
    onnx.save(proto, tmp_path / "m.onnx")
    assert load(tmp_path / "m.onnx").inputs[0].shape == (expected, 4)


def test_onnx_external_data_counts_in_size_and_hash(tmp_path):
    path = linear(tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    m = load(path)
    assert m.parameters == 12
    assert m.size_bytes == path.stat().st_size + (tmp_path / "m.data").stat().st_size
    raw = bytearray((tmp_path / "m.data").read_bytes())
    raw[0] ^= 1
    (tmp_path / "m.data").write_bytes(raw)
    assert load(path).sha256 != m.sha256, "a changed weight is another model"
    raw[0] ^= 1
    (tmp_path / "m.data").write_bytes(raw)
    path.rename(tmp_path / "renamed.onnx")
    assert load(tmp_path / "renamed.onnx").sha256 == m.sha256, "renaming the model file does not make it another"


def test_onnx_external_data_behind_links_of_a_download_cache(tmp_path):
    """Download caches keep 'model.onnx' and its data as links into one store of blobs."""
    blobs, shown = tmp_path / "blobs", tmp_path / "snapshot"
    blobs.mkdir(), shown.mkdir()
    linear(tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    for name in ("m.onnx", "m.data"):
        (tmp_path / name).rename(blobs / f"{name}-blob")
        (shown / name).symlink_to(blobs / f"{name}-blob")
    assert load(shown / "m.onnx").parameters == 12


@pytest.mark.slow
def test_onnx_over_two_gigabytes_is_not_loaded_into_memory(tmp_path):
    """A sparse 2.2 GB weight file: read for its hash only."""
    count = 550 * 2**20
    w = T(name="w", data_type=T.FLOAT, dims=[count], data_location=T.EXTERNAL)
    for key, text in (("location", "big.data"), ("offset", "0"), ("length", str(4 * count))):
        w.external_data.add(key=key, value=text)
    path = save_onnx(tmp_path / "m.onnx", [helper.make_node("Add", ["x", "w"], ["y"])], [value("x", [1])],
                     [value("y", [count])], [w])
    with (tmp_path / "big.data").open("wb") as stream:
        stream.truncate(4 * count)
    # Peak memory from VmHWM: ru_maxrss would start at the size of the process that forked this one.
    code = ("import sys; from workbench.model import load; m = load(sys.argv[1]);"
            "peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'));"
            "print(m.parameters, m.size_bytes, int(peak.split()[1]) * 1024)")
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    parameters, size, peak = map(int, done.stdout.split())
    assert parameters == count
    assert size > 2**31
    assert peak < 500 * 2**20


def test_onnx_subgraphs_constants_and_domains(tmp_path):
    def branch(name):
        constant = helper.make_node("Constant", [], [f"{name}_c"], value=helper.make_tensor(
            f"{name}_t", T.FLOAT, [2], [1, 2]))
        mystery = helper.make_node("Mystery", [f"{name}_c"], [name], domain="org.acme")
        return helper.make_graph([constant, mystery], name, [], [value(name, [2])])

    path = save_onnx(
        tmp_path / "m.onnx", [helper.make_node("If", ["c"], ["y"], then_branch=branch("a"), else_branch=branch("b"))],
        [value("c", [], T.BOOL)], [value("y", [2])], opsets=(("", 17), ("org.acme", 1)))
    m = load(path)
    assert m.inputs == (TensorSpec("c", "bool", ()),)
    assert (m.nodes, m.parameters) == (5, 4), "nodes and weights inside the branches count"
    assert any("org.acme" in n and "Mystery" in n for n in m.notes)


def test_onnx_odd_types(tmp_path):
    ports = [value(n, [2], k) for n, k in (("s", T.STRING), ("b", T.BFLOAT16), ("h", T.FLOAT16), ("d", T.DOUBLE))]
    outs = [value(f"{p.name}o", [2], p.type.tensor_type.elem_type) for p in ports]
    outs.append(helper.make_tensor_sequence_value_info("q", T.FLOAT, None))
    nodes = [helper.make_node("Identity", [p.name], [f"{p.name}o"]) for p in ports]
    nodes.append(helper.make_node("SequenceEmpty", [], ["q"]))
    m = load(save_onnx(tmp_path / "m.onnx", nodes, ports, outs))
    assert [s.dtype for s in m.inputs] == ["str", "bfloat16", "float16", "float64"]
    assert m.outputs[-1].dtype == "sequence"
    assert any("'q' is a sequence" in n for n in m.notes)


@pytest.mark.parametrize("path", OCR + LIGHT, ids=lambda p: p.stem)
def test_published_onnx_files(path):
    m, proto = load(path), onnx.load(path)
    weights = {t.name for t in proto.graph.initializer}
    assert [s.name for s in m.inputs] == [i.name for i in proto.graph.input if i.name not in weights]
    assert m.nodes == len(proto.graph.node), "these have no subgraphs"
    stored = sum(int(np.prod(t.dims)) for t in proto.graph.initializer)
    assert stored <= m.parameters < stored + 100_000
    assert resolve_inputs(m, {m.inputs[0].name: np.zeros([d if isinstance(d, int) else 96 for d in m.inputs[0].shape])})
    generated = sum(n.op_type == "ConstantOfShape" for n in proto.graph.node)
    assert any("ConstantOfShape" in n for n in m.notes) == (generated > 8)


# ---- open sizes


def spec_model(*specs, fix=()):
    return Model(Path("m"), ModelFormat.ONNX, tuple(TensorSpec(*s) for s in specs), (), 0, 0, 0, "", "m", fix)


def test_sizes_from_fix_data_and_defaults():
    m = spec_model(("ids", "int64", ("batch", "seq")), ("mask", "int64", ("batch", "seq")),
                   ("state", "float32", (2, "batch", 64)), ("rate", "int64", ()))
    assert resolve_inputs(m, {"ids": np.zeros((1, 7))}) == {
        "ids": (1, 7), "mask": (1, 7), "state": (2, 1, 64), "rate": ()}
    fixed = spec_model(*(((s.name, s.dtype, s.shape)) for s in m.inputs), fix=(("ids", (4, 16)),))
    assert resolve_inputs(fixed) == {"ids": (4, 16), "mask": (4, 16), "state": (2, 4, 64), "rate": ()}
    assert resolve_inputs(fixed, {"mask": np.zeros((1, 16))})["mask"] == (4, 16), "the fixed batch wins"


@pytest.mark.parametrize("dim", [None, "batch", "N", "batch_size", "unk__12", "s77", "bs", "input_batch"])
def test_a_batch_defaults_to_one(dim):
    assert resolve_inputs(spec_model(("x", "float32", (dim, 3)))) == {"x": (1, 3)}


def test_what_is_open_is_one_question_that_says_how_to_answer():
    m = spec_model(("x", "float32", ("batch", 3, "height", None)))
    with pytest.raises(InputError) as caught:
        resolve_inputs(m)
    assert "axis 2 ('height') of input 'x'" in str(caught.value)
    assert "fix={'x': [1, 3, ?, ?]}" in str(caught.value)
    with pytest.raises(InputError, match="axis 0 .'seq'. of input 'x'"):
        resolve_inputs(spec_model(("x", "float32", ("seq", 3))))


@pytest.mark.parametrize(("sample", "words"), [
    ({"a": np.zeros((2, 5)), "b": np.zeros((2, 6))}, "size 'n_tok' is 5 for 'a' in the data but 6 for 'b'"),
    ({"a": np.zeros(5)}, "wants 2 axes"),
    ({"c": np.zeros((3, 8))}, "size 8 on axis 1, the model fixes it to 9"),
])
def test_data_that_contradicts_is_refused(sample, words):
    m = spec_model(("a", "f", ("batch", "n_tok")), ("b", "f", ("batch", "n_tok")), ("c", "f", ("batch", 9)))
    with pytest.raises(InputError, match=words):
        resolve_inputs(m, sample)


def test_fix_is_recorded_and_checked(tmp_path):
    path = linear(tmp_path / "m.onnx")
    m = load(path, fix={"x": [8, 4]})
    assert m.fix == (("x", (8, 4)),)
    assert resolve_inputs(m) == {"x": (8, 4)}
    assert load(load(path), fix={"x": [2, 4]}).fix == (("x", (2, 4)),)


@pytest.mark.parametrize(("fix", "words"), [
    ({"z": [1, 4]}, "input 'z', which the model does not have; it has: x"),
    ({"x": [1, 4, 4]}, "wants 2 axes"),
    ({"x": [1, 5]}, "the model fixes it to 4"),
    ({"x": [1, "a"]}, "whole numbers"), ({"x": [-1, 4]}, "whole numbers"), ({"x": [1.5, 4]}, "whole numbers"),
    ({"x": None}, "whole numbers"), ([1, 4], "fix must map input names"),
])
def test_wrong_fix_is_explained(tmp_path, fix, words):
    with pytest.raises(InputError, match=words):
        load(linear(tmp_path / "m.onnx"), fix=fix)


def test_fix_against_data():
    m = spec_model(("x", "f", ("batch", "w")), fix=(("x", (1, 8)),))
    with pytest.raises(InputError, match="fix gives 'x' sizes"):
        resolve_inputs(m, {"x": np.zeros((1, 9))})


def test_unknown_rank_is_asked_for_and_fixed(tmp_path):
    bare = helper.make_tensor_value_info("x", T.FLOAT, None)
    path = save_onnx(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])], [bare], [value("y", [1])])
    with pytest.raises(InputError, match="how many axes does input 'x' have"):
        resolve_inputs(load(path))
    fixed = load(path, fix={"x": [2, 3]})
    assert fixed.inputs[0].shape == (None, None)
    assert resolve_inputs(fixed) == {"x": (2, 3)}
    assert resolve_inputs(load(path), {"x": np.zeros((5,))}) == {"x": (5,)}


# ---- the rest


def test_live_onnx_objects(tmp_path):
    proto = onnx.load(linear(tmp_path / "m.onnx"))
    m = load(proto, name="mine")
    assert (m.format, m.parameters, m.name) == (ModelFormat.ONNX, 12, "mine")
    assert m.path.is_relative_to(os.environ["WORKBENCH_CACHE"])
    assert load(proto).path == m.path, "one content is kept once"


@pytest.mark.parametrize("thing", [None, 3, [1], np.ones(3), object(), lambda: 0])
def test_other_objects_are_refused(thing):
    with pytest.raises(InputError, match="is no model: give a path"):
        load(thing)


def test_importing_the_module_loads_no_reader():
    code = ("import sys, workbench.model;"
            "print([m for m in ('onnx', 'h5py', 'torch', 'tensorflow') if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert models.load is load
