"""Graphs as every format and runtime holds them, in one neutral form."""

import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests import graph_models as models
from workbench import bundled
from workbench.errors import InputError
from workbench.graph import plain
from workbench.graph.readers import executed, read
from workbench.graph.readers.constants import digest
from workbench.model import load


def by_name(graph):
    return {n.name: n for n in graph.nodes}


def check(graph):
    """Unique names, known tensors, producers before consumers."""
    assert len({n.name for n in graph.nodes}) == len(graph.nodes)
    made = set()
    makers = {t for n in graph.nodes for t in n.outputs if t}
    for n in graph.nodes:
        assert all(t in graph.tensors for t in (*n.inputs, *n.outputs) if t)
        assert all(t in made for t in n.inputs if t in makers), n.name
        made.update(t for t in n.outputs if t)
    assert set(graph.inputs) <= set(graph.tensors) and set(graph.outputs) <= set(graph.tensors)
    assert plain.from_dict(json.loads(json.dumps(plain.to_dict(graph)))) == graph


def test_onnx_nodes_scopes_and_shapes(tmp_path):
    graph = read(models.write(models.transformer_parts(), tmp_path / "m.onnx"))
    check(graph)
    node = by_name(graph)["gelu/erf"]
    assert (node.op, node.scope) == ("Erf", ("gelu",))
    assert graph.tensors[node.outputs[0]].shape == (1, 8, 64) and graph.tensors["w_up"].is_constant


def test_onnx_subgraphs_carry_their_owner(tmp_path):
    graph = read(models.write(models.branches(), tmp_path / "m.onnx"))
    check(graph)
    nodes = by_name(graph)
    assert nodes["clip"].scope == ("choice", "then_branch") and nodes["lift"].scope == ("choice", "else_branch")
    assert nodes["step"].scope == ("loop", "body")
    assert set(nodes["choice"].inputs) >= {"clip_out", "lift_out"} and "shared" in nodes["lift"].inputs


def test_onnx_scan_and_repeated_inner_names(tmp_path):
    info = helper.make_tensor_value_info
    inner = [helper.make_node("Add", ["s", "e"], ["t"], name="twin"),
             helper.make_node("Identity", ["t"], ["o"], name="out")]
    ends = [[info(n, 1, [3]) for n in names] for names in (("s", "e"), ("t", "o"))]
    body = helper.make_graph(inner, "body", *ends)
    nodes = [helper.make_node("Scan", ["s0", "x"], results, name=name, num_scan_inputs=1, body=body)
             for name, results in (("first", ["last", "all"]), ("second", ["y", "z"]))]
    outer = helper.make_graph(nodes, "g", [info("s0", 1, [3]), info("x", 1, [5, 3])],
                              [info("y", 1, [3]), info("z", 1, [5, 3])])
    model = helper.make_model(outer, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    graph = read(models.write(model, tmp_path / "m.onnx"))
    check(graph)
    assert [n.op for n in graph.nodes] == ["Add", "Identity", "Scan"] * 2
    assert graph.nodes[0].scope == ("first", "body") and graph.nodes[3].scope == ("second", "body")


def test_onnx_local_functions_stay_nodes(tmp_path):
    function = helper.make_function("own", "Double", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])],
                                    [helper.make_opsetid("", 17)])
    info = helper.make_tensor_value_info
    graph = helper.make_graph([helper.make_node("Double", ["x"], ["y"], name="call", domain="own")], "g",
                              [info("x", 1, [2])], [info("y", 1, [2])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("own", 1)],
                              functions=[function], ir_version=9)
    found = read(models.write(model, tmp_path / "m.onnx"))
    assert [n.op for n in found.nodes] == ["own.Double"] and found.tensors["y"].shape == (2,)


def test_missing_names_are_those_of_the_results(tmp_path):
    model = models.conv_bn_relu()
    for node in model.graph.node:
        node.name = ""
    graph = read(models.write(model, tmp_path / "m.onnx"))
    check(graph)
    assert [n.name for n in graph.nodes][:2] == ["conv_out", "norm_out"]


def test_open_sizes_take_those_of_the_data(tmp_path):
    model = models.shapes()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    del model.graph.value_info[:]
    path = models.write(model, tmp_path / "m.onnx")
    graph = read(path, shapes={"x": (5, 3, 4)})
    nodes = by_name(graph)
    assert graph.tensors[nodes["reshape"].outputs[0]].shape == (5, 12)
    assert nodes["dense"].flops == 2 * 5 * 4 * 12
    assert read(path).tensors["x"].shape == (1, 3, 4)  # the batch defaults to one


def test_contradicting_shapes_are_no_failure(tmp_path):
    model = models.conv_bn_relu()
    model.graph.value_info.append(helper.make_tensor_value_info("relu_out", TensorProto.FLOAT, [7, 7]))
    check(read(models.write(model, tmp_path / "m.onnx")))


def test_weights_are_known_by_content(tmp_path):
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    raw = numpy_helper.from_array(array, "w")
    typed = helper.make_tensor("w", TensorProto.FLOAT, array.shape, array.ravel().tolist())
    other = numpy_helper.from_array(array + 1, "w")
    found = []
    for i, weight in enumerate((raw, typed, other)):
        b = models.Builder()
        b.weights.append(weight)
        b.add("MatMul", ["x", "w"], "product", out="y")
        graph = read(models.write(b.model({"x": (2, 3)}, ["y"]), tmp_path / f"{i}.onnx"))
        found.append(graph.tensors["w"].digest)
    assert found[0] == found[1] != found[2]
    assert digest(np.zeros(1 << 20, np.float32).tobytes(), "float32", (1 << 20,)).startswith("~")


@pytest.mark.parametrize("stem,shapes", [
    ("common", {"input1": (1, 1, 64, 160)}), ("common_old", {"input1": (1, 1, 64, 160)}),
    ("common_det", {"images": (1, 3, 416, 416)})])
def test_real_models_have_all_shapes(stem, shapes, ocr_models):
    model = load(next(p for p in ocr_models if p.stem == stem))
    graph = read(model, shapes=shapes)
    check(graph)
    assert len(graph.nodes) == model.nodes
    results = [graph.tensors[t] for n in graph.nodes for t in n.outputs if t]
    assert all(t.shape is not None and all(isinstance(d, int) for d in t.shape) and t.dtype for t in results)


def test_topologies_are_read_whole(light_models):
    for path in light_models:
        model = load(path)
        assert len(read(model).nodes) == model.nodes, path.name


@pytest.mark.parametrize("name", ["cnn", "mlp", "separable", "language"])
def test_keras_layers_without_tensorflow(name):
    model = bundled.model(name)
    graph = read(model)
    check(graph)
    assert graph.format == "keras" and len(graph.nodes) == model.nodes
    assert sum(n.parameters for n in graph.nodes) == model.parameters
    assert all(graph.tensors[t].shape and graph.tensors[t].shape[0] == 1 for n in graph.nodes for t in n.outputs)
    assert graph.inputs == tuple(s.name for s in model.inputs) and graph.outputs == tuple(s.name for s in model.outputs)


def test_the_executed_graph_of_onnx_runtime(tmp_path):
    path = models.write(models.conv_bn_relu(), tmp_path / "m.onnx")
    plain_graph = executed(path, "onnxruntime", level="disabled")
    fused = executed(path, "onnxruntime", level="extended")
    check(fused)
    assert [n.op for n in plain_graph.nodes] == [n.op for n in read(path).nodes]
    assert [n.op for n in fused.nodes][0] == "com.microsoft.FusedConv" and fused.producer.startswith("ONNX Runtime 1.")
    assert fused.tensors["relu_out"].shape == (1, 16, 16, 16)
    left_out = executed(path, "onnxruntime", level="extended", disabled=("ConvActivationFusion",))
    assert "com.microsoft.FusedConv" not in {n.op for n in left_out.nodes}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.onnx"]


def test_the_executed_graph_of_openvino_names_its_sources(tmp_path):
    pytest.importorskip("openvino")
    graph = executed(models.write(models.conv_bn_relu(), tmp_path / "m.onnx"), "openvino", precision="f32")
    check(graph)
    convolution = next(n for n in graph.nodes if n.op == "Convolution")
    assert "relu" in convolution.origins and graph.producer.startswith("OpenVINO")


def test_requests_that_cannot_be_met(tmp_path):
    path = models.write(models.swish(), tmp_path / "m.onnx")
    with pytest.raises(InputError, match="no executed graph from 'tensorrt'"):
        executed(path, "tensorrt")
    with pytest.raises(InputError, match="level 'max' is unknown; allowed: disabled"):
        executed(path, "onnxruntime", level="max")
    with pytest.raises(InputError, match="convert the model first"):
        executed(bundled.model("mlp"), "onnxruntime")


def test_damaged_files_give_one_line(tmp_path, ocr_models):
    whole = models.write(models.swish(), tmp_path / "m.onnx").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[:len(whole) // 2])
    (tmp_path / "noise.tflite").write_bytes(b"\x1c\0\0\0TFL3" + bytes(range(200)))
    (tmp_path / "empty.onnx").write_bytes(b"")
    for name in ("cut.onnx", "noise.tflite", "empty.onnx", "missing.onnx"):
        with pytest.raises(InputError) as caught:
            read(tmp_path / name)
        assert "\n" not in str(caught.value) and "Traceback" not in str(caught.value)


@pytest.fixture(scope="module")
def torch_files(tmp_path_factory):
    """A small PyTorch model as .pt2 and TorchScript, made in a process of its own."""
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("torch")
    code = f"""
import torch
net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(288, 4)).eval()
example = (torch.zeros(1, 3, 8, 8),)
torch.export.save(torch.export.export(net, example), r"{folder}/net.pt2")
torch.jit.save(torch.jit.trace(net, example), r"{folder}/net.pt")
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    return folder


def test_torch_export_is_read_without_torch(torch_files):
    graph = read(torch_files / "net.pt2")
    check(graph)
    assert [n.op for n in graph.nodes] == ["aten.conv2d", "aten.relu", "aten.flatten", "aten.linear"]
    assert graph.nodes[0].flops == 2 * 8 * 36 * 27 + 8 * 36 and graph.nodes[3].parameters == 288 * 4 + 4


def test_torchscript_with_shapes_from_a_run(torch_files):
    model = load(torch_files / "net.pt", example_inputs=np.zeros((1, 3, 8, 8), np.float32))
    graph = read(model)
    check(graph)
    assert [n.op for n in graph.nodes] == ["aten._convolution", "aten.relu", "aten.flatten", "aten.linear"]
    assert graph.tensors[graph.nodes[0].outputs[0]].shape == (1, 8, 6, 6)
    assert graph.nodes[3].flops == 2 * 288 * 4 + 4


@pytest.mark.slow
def test_tensorflow_before_and_after_grappler():
    before = executed(bundled.model("separable"), "tensorflow", level="before")
    after = executed(bundled.model("separable"), "tensorflow", level="after")
    for graph in (before, after):
        check(graph)
    assert len(after.nodes) < len(before.nodes)
    assert {n.op for n in after.nodes} & {"Conv2D", "_FusedConv2D"}  # which of them is the CPU's affair
    assert any(n.name.startswith("separable/stem/") for n in before.nodes)


def test_reading_is_free_of_frameworks(tmp_path):
    path = models.write(models.swish(), tmp_path / "m.onnx")
    code = ("import sys; from workbench import bundled; from workbench.graph.readers import read;"
            f"read({str(path)!r}); read(bundled.model('mlp'));"
            "print([m for m in ('onnxruntime', 'tensorflow', 'torch', 'openvino', 'keras') if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert onnx.__version__
