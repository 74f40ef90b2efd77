"""Operations and bytes of nodes against formulas worked out by hand and against published numbers."""

import json

import numpy as np
import pytest

from tests import graph_models as models
from workbench.errors import InputError
from workbench.graph import model_explorer
from workbench.graph.cost import with_cost
from workbench.graph.graph import Node, Tensor
from workbench.graph.readers import executed, read
from workbench.model import load


def node(op, shapes, out, *, constants=(), dtypes=None, format="onnx", **attributes):
    """A node with costs; shapes by input position."""
    names = [f"i{k}" for k in range(len(shapes))]
    dtypes = dtypes or ["float32"] * len(shapes)
    tensors = {n: Tensor(n, dtypes[k], shapes[k], k in constants) for k, n in enumerate(names)}
    tensors["o"] = Tensor("o", "float32", out)
    return with_cost(Node("n", op, tuple(names), ("o",), attributes=attributes), tensors, format)


def light(models_found, name):
    return read(next(p for p in models_found if p.stem == name))


def test_first_convolution_of_resnet_by_hand(light_models):
    conv = next(n for n in light(light_models, "light_resnet50").nodes if n.name == "n0")
    assert conv.flops == 2 * 64 * 112 * 112 * 3 * 7 * 7
    assert conv.bytes == 4 * (3 * 224 * 224 + 64 * 3 * 7 * 7 + 64 * 112 * 112)


def test_convolution_of_vgg_by_hand(light_models):
    convolutions = [n for n in light(light_models, "light_vgg19").nodes if n.op == "Conv"]
    out = 64 * 224 * 224
    assert convolutions[0].flops == 2 * out * 27 + out  # with its bias
    assert convolutions[1].flops == 2 * out * 64 * 9 + out


@pytest.mark.parametrize("name,multiply_adds", [("light_resnet50", 4.09e9), ("light_vgg19", 19.6e9)])
def test_totals_agree_with_published_ones(light_models, name, multiply_adds):
    """Multiply-adds: VGG-19 by He et al. 2015; ResNet-50 v1.5 (stride in the 3x3) by torchvision's table."""
    heavy = sum(n.flops for n in light(light_models, name).nodes if n.op in ("Conv", "Gemm"))
    assert heavy / 2 == pytest.approx(multiply_adds, rel=0.03)


@pytest.mark.parametrize("made,wanted", [
    (lambda: node("MatMul", [(5, 2, 8), (8, 3)], (5, 2, 3), constants=(1,)), 2 * 5 * 2 * 3 * 8),
    (lambda: node("Gemm", [(8, 2), (8, 3), (3,)], (2, 3), constants=(1, 2), transA=1), 2 * 2 * 3 * 8 + 6),
    (lambda: node("ConvTranspose", [(1, 4, 5, 5), (4, 6, 3, 3)], (1, 6, 7, 7)), 2 * 4 * 25 * 6 * 9),
    (lambda: node("LSTM", [(10, 2, 8), (1, 64, 8), (1, 64, 16)], (10, 1, 2, 16), hidden_size=16),
     10 * 2 * (2 * 4 * 16 * (8 + 16) + 10 * 4 * 16)),
    (lambda: node("Einsum", [(4, 5), (5, 6)], (4, 6), equation="ij,jk->ik"), 2 * 4 * 5 * 6),
    (lambda: node("Softmax", [(2, 10)], (2, 10)), 5 * 20),
    (lambda: node("MaxPool", [(1, 8, 6, 6)], (1, 8, 3, 3), kernel_shape=[2, 2]), 8 * 9 * 4),
    (lambda: node("GlobalAveragePool", [(1, 8, 6, 6)], (1, 8, 1, 1)), 8 * 36),
    (lambda: node("Add", [(2, 8), (8,)], (2, 8)), 16),
    (lambda: node("Relu", [(2, 8)], (2, 8)), 16),
    (lambda: node("Reshape", [(2, 8), (2,)], (4, 4)), 0),
    (lambda: node("com.microsoft.FusedConv", [(1, 3, 8, 8), (4, 3, 3, 3), (4,), (1, 4, 6, 6)], (1, 4, 6, 6),
                  activation="Relu"), 2 * 144 * 27 + 144 * 3),
    (lambda: node("CONV_2D", [(1, 8, 8, 3), (4, 3, 3, 3), (4,)], (1, 6, 6, 4), format="tflite", activation="RELU"),
     2 * 144 * 27 + 144 * 2),
    (lambda: node("DEPTHWISE_CONV_2D", [(1, 8, 8, 4), (1, 3, 3, 4), (4,)], (1, 6, 6, 4), format="tflite"),
     2 * 144 * 9 + 144),
    (lambda: node("FULLY_CONNECTED", [(2, 8), (3, 8), (3,)], (2, 3), format="tflite"), 2 * 6 * 8 + 6),
    (lambda: node("Conv2D", [(1, 8, 8, 3), (3, 3, 3, 4)], (1, 6, 6, 4), format="tensorflow"), 2 * 144 * 27),
    (lambda: node("aten.linear", [(2, 8), (3, 8), (3,)], (2, 3), format="torch_export"), 2 * 6 * 8 + 6),
    (lambda: node("Dense", [(2, 8), (8, 3), (3,)], (2, 3), constants=(1, 2), format="keras", activation="relu"),
     2 * 8 * 3 * 2 + 6 + 6),
])
def test_formulas_by_hand(made, wanted):
    assert made().flops == wanted


def test_open_sizes_are_not_guessed():
    assert node("MatMul", [("batch", 8), (8, 3)], ("batch", 3)).flops == 0
    assert node("Relu", [None], None).flops == 0


def test_views_move_nothing_and_lookups_read_what_they_give():
    assert node("Flatten", [(2, 3, 4)], (2, 12)).bytes == 0
    assert node("Gather", [(1000, 16), (5,)], (5, 16), dtypes=["float32", "int64"]).bytes == 2 * 5 * 16 * 4
    assert node("Relu", [(2, 8)], (2, 8)).bytes == 2 * 2 * 8 * 4


def test_quantized_weights_move_fewer_bytes():
    shapes = [(1, 64), (64, 64)]
    full = node("MatMul", shapes, (1, 64), constants=(1,))
    small = node("MatMulInteger", shapes, (1, 64), constants=(1,), dtypes=["uint8", "int8"])
    assert small.flops == full.flops and small.bytes < full.bytes / 3 and small.parameters == full.parameters == 4096


def test_weights_are_counted_as_the_model_counts_them(ocr_models):
    for path in ocr_models[:2]:
        model = load(path)
        graph = read(model)
        read_once = {t.name: t for n in graph.nodes for t in map(graph.tensors.get, n.inputs) if t and t.is_constant}
        counted = sum(int(np.prod(t.shape)) for t in read_once.values() if t.dtype not in ("int64", "int32", "bool"))
        assert counted == pytest.approx(model.parameters, rel=0.01)


def test_fusing_does_not_lose_the_work(tmp_path):
    model = load(models.write(models.conv_bn_relu(), tmp_path / "m.onnx"))
    before, after = read(model), executed(model, "onnxruntime", level="extended")
    heavy = [sum(n.flops for n in g.nodes if "Conv" in n.op or n.op == "Gemm") for g in (before, after)]
    assert heavy[0] < heavy[1] <= sum(n.flops for n in before.nodes)  # the fused Relu counts with its convolution


def test_formats_of_one_model_cost_the_same():
    """The bundled Keras file by its layers, against its convolution by hand."""
    from workbench import bundled

    nodes = {n.name: n for n in read(bundled.model("cnn")).nodes}
    out = 26 * 26 * 32
    assert nodes["conv_1"].flops == 2 * out * 9 + out + out  # bias and Relu are inside
    assert sum(n.parameters for n in nodes.values()) == bundled.model("cnn").parameters


def test_model_explorer_data(tmp_path):
    graph = read(models.write(models.conv_bn_relu(), tmp_path / "m.onnx"))
    path = model_explorer.save(graph, tmp_path / "flops.json")
    data = json.loads(path.read_text())
    flops = {n.outputs[0]: n.flops for n in graph.nodes if n.flops}
    assert {k: v["value"] for k, v in data["results"].items()} == flops and len(data["gradient"]) == 2
    times = model_explorer.node_data(graph, "time_s", times={"conv": 0.001})
    assert times["results"] == {"conv_out": {"value": 0.001}}
    with pytest.raises(InputError, match="unknown metric"):
        model_explorer.node_data(graph, "latency")
    with pytest.raises(InputError, match="profile"):
        model_explorer.node_data(graph, "time_s")
