"""Dynamically quantized files back in float: the same answers, no integer operator left, refusals in one line."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests import pass_parts as parts
from tests.rendered_text import text_feeds
from workbench import chain, datasets, passes, recipe, variant
from workbench import model as models
from workbench.errors import NotApplicable
from workbench.passes import _onnx_io


def network(path: Path) -> Path:
    """Conv with a bias, then an LSTM over the columns, then a MatMul with a bias."""
    rng = np.random.default_rng(0)
    shapes = {"kernel": (8, 3, 3, 3), "bias": (8,), "w": (1, 64, 96), "r": (1, 64, 16), "b": (1, 128),
              "head": (16, 10), "offset": (10,), "columns": None}
    weights = [numpy_helper.from_array(rng.normal(0, 0.3, s).astype("f4"), n) for n, s in shapes.items() if s]
    weights.append(numpy_helper.from_array(np.array([12, 1, 96], np.int64), "columns"))
    nodes = [helper.make_node("Conv", ["image", "kernel", "bias"], ["c"], pads=[1, 1, 1, 1]),
             helper.make_node("Relu", ["c"], ["a"]),
             helper.make_node("Transpose", ["a"], ["t"], perm=[3, 0, 1, 2]),
             helper.make_node("Reshape", ["t", "columns"], ["s"]),
             helper.make_node("LSTM", ["s", "w", "r", "b"], ["", "h"], hidden_size=16),
             helper.make_node("MatMul", ["h", "head"], ["m"]), helper.make_node("Add", ["m", "offset"], ["scores"])]
    graph = helper.make_graph(nodes, "net", [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 12, 12])],
                              [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 1, 10])], weights)
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)]), path)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    from onnxruntime.quantization import QuantType, quantize_dynamic

    folder = tmp_path_factory.mktemp("dequantize")
    source = network(folder / "float.onnx")
    quantize_dynamic(source, folder / "int8.onnx", op_types_to_quantize=["Conv", "MatMul", "LSTM"],
                     weight_type=QuantType.QUInt8, per_channel=False)
    return source, folder / "int8.onnx"


def test_integer_operators_become_float_ones_with_the_same_answers(files, tmp_path):
    source, quantized = files
    ops = _onnx_io.op_counts(quantized)
    assert {"ConvInteger", "MatMulInteger", "DynamicQuantizeLSTM"} <= set(ops)
    made = parts.apply("onnx-dequantize", quantized, tmp_path)[1]
    after = _onnx_io.op_counts(made.path)
    assert not _onnx_io.QUANTIZED_OPS & set(after) and "DynamicQuantizeLSTM" not in after
    most = sum(_onnx_io.op_counts(source).values()) + 2  # the bias of Conv is a Reshape and an Add, which runtimes fold
    assert {"Conv", "MatMul", "LSTM"} <= set(after) and sum(after.values()) <= most
    rng = np.random.default_rng(1)
    far = {"int8": 0.0, "made": 0.0}
    for _ in range(8):
        feed = {"image": rng.normal(size=(1, 3, 12, 12)).astype("f4")}
        truth, int8, ours = (_onnx_io.run(onnx.load(p), feed)[0] for p in (source, quantized, made.path))
        far["int8"] += float(np.square(int8 - truth).sum())
        far["made"] += float(np.square(ours - truth).sum())
        assert np.corrcoef(ours.ravel(), int8.ravel())[0, 1] > 0.99
    assert far["made"] < 1.1 * far["int8"]  # the rounded weights, which stay, are most of the error


def test_a_float_file_has_nothing_to_turn_back(files, tmp_path):
    found = passes.get("onnx-dequantize")
    assert "no dynamically quantized operator" in found.why_not(models.load(files[0]), found.Settings())
    with pytest.raises(NotApplicable, match="no dynamically quantized operator"):
        parts.apply("onnx-dequantize", files[0], tmp_path)


def test_what_is_float_again_may_be_quantized_with_calibration(files, tmp_path):
    model = models.load(files[1])
    assert "quantized already" in chain.problem(model, recipe.make("onnx-int8-static", runtime="onnxruntime"))
    steps = recipe.make("onnx-dequantize", "onnx-int8-static", runtime="onnxruntime")
    assert chain.problem(model, steps) is None
    images = np.random.default_rng(0).normal(size=(16, 3, 12, 12)).astype("f4")
    np.savez(tmp_path / "images.npz", image=images)
    made = variant.build(model, steps, datasets.load(tmp_path / "images.npz", model)).model
    after = _onnx_io.op_counts(made.path)
    assert "ConvInteger" not in after and after["QuantizeLinear"] + after.get("QLinearConv", 0) >= 2


@pytest.mark.slow
def test_a_published_model_with_biases_divided_by_scales(tmp_path):
    path = Path(find_spec("ddddocr").origin).parent / "common_old.onnx"
    made = parts.apply("onnx-dequantize", path, tmp_path, length=200)[1]
    after = _onnx_io.op_counts(made.path)
    assert not _onnx_io.QUANTIZED_OPS & set(after) and sum(after.values()) < 100
    feed = text_feeds(models.load(path), 1)[0]
    old, new = (_onnx_io.run(onnx.load(p), feed)[0].ravel() for p in (path, made.path))
    assert old @ new / np.linalg.norm(old) / np.linalg.norm(new) > 0.999
