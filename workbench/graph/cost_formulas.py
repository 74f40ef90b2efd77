"""Operations of one run, by operator.

Convolutions and products: Molchanov et al., 'Pruning Convolutional Neural Networks for Resource Efficient Inference',
ICLR 2017, appendix A.1, with a multiply-add as two operations. Recurrent cells: their gate equations as in the ONNX
operator documentation. Softmax and normalizations: operations per element of the textbook formulas. Moving data is
free.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from . import cost_keras
from .dtypes import elements
from .graph import Node, Tensor
from .ops import MOVES, NCHWC, family, plain

Tensors = list[Tensor | None]
_SOFTMAX = 5  # max, subtract, exponential, sum, divide
_NORM = 8  # mean, subtract, square, mean, add epsilon and root, divide, scale, shift
_GATES = {"LSTM": 4, "DynamicQuantizeLSTM": 4, "GRU": 3, "RNN": 1}
_FREE = MOVES | frozenset("If Loop Scan Const Placeholder NoOp ReadVariableOp VarHandleOp Parameter Result Input "
                          "Output ReorderInput ReorderOutput InputLayer Dropout Upsample NonZero Where "
                          "RESIZE_NEAREST_NEIGHBOR TopK NonMaxSuppression ScatterND aten.dropout aten.clone "
                          "aten.arange".split())


def flops(node: Node, inputs: Tensors, outputs: Tensors, format: str) -> int:
    """Operations of one run, 0 when a size is not known or the operator only moves data."""
    if format in ("keras", "keras2"):
        return cost_keras.flops(node, inputs, outputs)
    op = plain(node.op)
    formula = _FORMULAS.get(op)
    if formula is None and op in _FREE:
        return 0
    formula = formula or _BY_FAMILY.get(family(node.op), _per_element)
    try:
        return formula(node, inputs, outputs) + _absorbed(node, inputs, outputs)
    except (IndexError, TypeError, KeyError, ValueError):  # shapes that do not have the axes a formula needs
        return 0


def _absorbed(node: Node, inputs: Tensors, outputs: Tensors) -> int:
    """Activation and sum that were fused into an operator."""
    op = plain(node.op)
    activation = node.attributes.get("activation") or node.attributes.get("fused_activation_function")
    extra = elements(_shape(outputs, 0)) if activation not in (None, "", "NONE", 0) else 0
    is_sum = op in ("FusedConv", "NhwcFusedConv") or node.op == NCHWC + "Conv"
    return extra + (elements(_shape(outputs, 0)) if is_sum and len(inputs) > 3 and inputs[3] is not None else 0)


def _shape(tensors: Tensors, position: int) -> tuple:
    tensor = tensors[position] if position < len(tensors) else None
    if tensor is None or tensor.shape is None or not all(isinstance(d, int) for d in tensor.shape):
        raise ValueError("open")
    return tensor.shape


def _has(tensors: Tensors, position: int) -> bool:
    return position < len(tensors) and tensors[position] is not None


def _convolution(weight: int, bias: int) -> Callable[[Node, Tensors, Tensors], int]:
    """Weights [out, in / groups, kernel...] as in ONNX and PyTorch, or [out, kernel..., in] as in TFLite."""

    def formula(node: Node, inputs: Tensors, outputs: Tensors) -> int:
        out = math.prod(_shape(outputs, 0))
        return 2 * out * math.prod(_shape(inputs, weight)[1:]) + (out if _has(inputs, bias) else 0)

    return formula


def _convolution_last(node: Node, inputs: Tensors, outputs: Tensors) -> int:
    """Weights [kernel..., in / groups, out] as in TensorFlow."""
    out = math.prod(_shape(outputs, 0))
    return 2 * out * math.prod(_shape(inputs, 1)[:-1]) + (out if plain(node.op).startswith("_Fused") else 0)


def _depthwise(node: Node, inputs: Tensors, outputs: Tensors) -> int:
    """Weights [1, kernel..., channels] as in TFLite, [kernel..., channels, multiplier] as in TensorFlow."""
    weight = _shape(inputs, 1)
    kernel = weight[1:3] if plain(node.op) == "DEPTHWISE_CONV_2D" else weight[:2]
    out = math.prod(_shape(outputs, 0))
    return 2 * out * math.prod(kernel) + (out if _has(inputs, 2) else 0)


def _group_convolution(node: Node, inputs: Tensors, outputs: Tensors) -> int:
    """Weights [groups, out / groups, in / groups, kernel...] as in OpenVINO."""
    return 2 * math.prod(_shape(outputs, 0)) * math.prod(_shape(inputs, 1)[2:])


def _transposed(data: int, weight: int) -> Callable[[Node, Tensors, Tensors], int]:
    def formula(node: Node, inputs: Tensors, outputs: Tensors) -> int:
        shape = _shape(inputs, weight)
        per_input = math.prod(shape[1:]) if plain(node.op) != "TRANSPOSE_CONV" else math.prod(shape[:3])
        return 2 * math.prod(_shape(inputs, data)) * per_input

    return formula


def _product(second: int) -> Callable[[Node, Tensors, Tensors], int]:
    """Matrix product; the inner size is that of the first operand's last axis, the second but last when transposed."""

    def formula(node: Node, inputs: Tensors, outputs: Tensors) -> int:
        first = _shape(inputs, 0)
        turned = any(node.attributes.get(k) for k in ("transA", "transpose_a", "adj_x", "adjX"))
        inner = first[-2] if turned and len(first) > 1 else first[-1]
        out = math.prod(_shape(outputs, 0))
        bias = len(inputs) > second + 1 and inputs[second + 1] is not None and plain(node.op) in (
            "Gemm", "FusedGemm", "FULLY_CONNECTED", "_FusedMatMul", "aten.linear")
        return 2 * out * inner + (out if bias else 0)

    return formula


def _fully_connected(node: Node, inputs: Tensors, outputs: Tensors) -> int:
    out = math.prod(_shape(outputs, 0))
    return 2 * out * _shape(inputs, 1)[-1] + (out if _has(inputs, 2) else 0)


def _addmm(node: Node, inputs: Tensors, outputs: Tensors) -> int:
    out = math.prod(_shape(outputs, 0))
    return 2 * out * _shape(inputs, 1)[-1] + out


def _einsum(node: Node, inputs: Tensors, outputs: Tensors) -> int:
    """Two operations for each combination of all indices; one where a single operand is summed."""
    left = str(node.attributes["equation"]).replace(" ", "").split("->")[0].split(",")
    sizes: dict[str, int] = {}
    for labels, position in zip(left, range(len(inputs)), strict=False):
        shape = _shape(inputs, position)
        sizes.update(zip(reversed(labels.replace("...", "")), reversed(shape), strict=False))
        if "..." in labels:
            sizes["..."] = math.prod(shape[:len(shape) - len(labels) + 3])
    return (2 if len(left) > 1 else 1) * math.prod(sizes.values())


def _recurrence(node: Node, inputs: Tensors, outputs: Tensors) -> int:
    """Gate products of input and state, and about ten operations a gate and unit for the rest of the cell."""
    steps, batch, size = _shape(inputs, 0)
    gates = _GATES[plain(node.op)]
    hidden = int(node.attributes["hidden_size"])
    ways = 2 if node.attributes.get("direction") == "bidirectional" else 1
    return steps * batch * ways * (2 * gates * hidden * (size + hidden) + 10 * gates * hidden)


def _attention(node: Node, inputs: Tensors, outputs: Tensors) -> int:
    """Projection to queries, keys and values (where it is inside), scores, softmax, weighted sum."""
    if node.op == "Attention":  # the standard operator: queries, keys and values come in
        return _scaled_dot_product(node, inputs, outputs)
    batch, queries, width = _shape(inputs, 0)
    heads = int(node.attributes.get("num_heads", 1))
    inside = plain(node.op) in ("Attention", "QAttention")
    keys = queries if inside or not _has(inputs, 1) else _shape(inputs, 1)[1]
    hidden = _shape(inputs, 1)[1] // 3 if inside else width
    projection = 2 * batch * queries * math.prod(_shape(inputs, 1)) if inside else 0
    return projection + 4 * batch * queries * keys * hidden + _SOFTMAX * batch * heads * queries * keys


def _scaled_dot_product(node: Node, inputs: Tensors, outputs: Tensors) -> int:
    *lead, queries, width = _shape(inputs, 0)
    keys = _shape(inputs, 1)[-2]
    return math.prod(lead) * queries * keys * (4 * width + _SOFTMAX)


def _pool(node: Node, inputs: Tensors, outputs: Tensors) -> int:
    kernel = node.attributes.get("kernel_shape") or node.attributes.get("ksize") or [
        node.attributes.get("filter_height", 1), node.attributes.get("filter_width", 1)]
    return math.prod(_shape(outputs, 0)) * math.prod(int(k) for k in kernel)


def _per_input(node: Node, inputs: Tensors, outputs: Tensors) -> int:
    return math.prod(_shape(inputs, 0))


def _per_element(node: Node, inputs: Tensors, outputs: Tensors) -> int:
    """One operation for each element of the result and each operand beyond the first."""
    operands = sum(1 for t in inputs if t is not None and not _is_scale(node, t))
    return math.prod(_shape(outputs, 0)) * max(1, operands - 1)


def _is_scale(node: Node, tensor: Tensor) -> bool:
    return plain(node.op).startswith("QLinear") and elements(tensor.shape) <= 1


def _times(factor: int) -> Callable[[Node, Tensors, Tensors], int]:
    def formula(node: Node, inputs: Tensors, outputs: Tensors) -> int:
        return factor * math.prod(_shape(outputs, 0))

    return formula


def _resize(node: Node, inputs: Tensors, outputs: Tensors) -> int:
    return 0 if str(node.attributes.get("mode", "nearest")) == "nearest" else 7 * math.prod(_shape(outputs, 0))


_FORMULAS: dict[str, Callable[[Node, Tensors, Tensors], int]] = {
    "Conv": _convolution(1, 2), "FusedConv": _convolution(1, 2), "NhwcFusedConv": _convolution(1, 2),
    "QLinearConv": _convolution(3, 8), "ConvInteger": _convolution(1, 99), "CONV_2D": _convolution(1, 2),
    "CONV_3D": _convolution_last, "Conv2D": _convolution_last, "Conv3D": _convolution_last, "Conv1D": _convolution_last,
    "_FusedConv2D": _convolution_last, "DEPTHWISE_CONV_2D": _depthwise, "DepthwiseConv2dNative": _depthwise,
    "_FusedDepthwiseConv2dNative": _depthwise,
    "aten.conv1d": _convolution(1, 2), "aten.conv2d": _convolution(1, 2), "aten.conv3d": _convolution(1, 2),
    "aten.convolution": _convolution(1, 2), "aten._convolution": _convolution(1, 2),
    "Convolution": _convolution(1, 2), "GroupConvolution": _group_convolution, "FullyConnected": _fully_connected,
    "ConvTranspose": _transposed(0, 1), "TRANSPOSE_CONV": _transposed(2, 1), "aten.conv_transpose2d": _transposed(0, 1),
    "MatMul": _product(1), "Gemm": _product(1), "FusedGemm": _product(1), "FusedMatMul": _product(1),
    "TransposeMatMul": _product(1), "MatMulInteger": _product(1), "MatMulIntegerToFloat": _product(1),
    "DynamicQuantizeMatMul": _product(1), "MatMulNBits": _product(1), "QLinearMatMul": _product(3),
    "QGemm": _product(3), "BatchMatMul": _product(1), "BatchMatMulV2": _product(1), "_FusedMatMul": _product(1),
    "BATCH_MATMUL": _product(1),
    "FULLY_CONNECTED": _fully_connected, "aten.linear": _fully_connected, "aten.addmm": _addmm,
    "aten.mm": _product(1), "aten.bmm": _product(1), "aten.matmul": _product(1),
    "aten.scaled_dot_product_attention": _scaled_dot_product,
    "Einsum": _einsum, "XlaEinsum": _einsum, "Attention": _attention, "QAttention": _attention,
    "MultiHeadAttention": _attention,
    "LSTM": _recurrence, "GRU": _recurrence, "RNN": _recurrence, "DynamicQuantizeLSTM": _recurrence,
    "MaxPool": _pool, "AveragePool": _pool, "LpPool": _pool, "NhwcMaxPool": _pool, "QLinearAveragePool": _pool,
    "MAX_POOL_2D": _pool, "AVERAGE_POOL_2D": _pool, "AvgPool": _pool,
    "GlobalAveragePool": _per_input, "GlobalMaxPool": _per_input, "QLinearGlobalAveragePool": _per_input,
    "BatchNormalization": _times(2), "FusedBatchNormV3": _times(2), "aten.batch_norm": _times(2),
    "aten._native_batch_norm_legit_no_training": _times(2),
    "SkipLayerNormalization": _times(_NORM + 1), "EmbedLayerNormalization": _times(_NORM + 1),
    "QuantizeLinear": _times(2), "DequantizeLinear": _times(2), "QUANTIZE": _times(2), "DEQUANTIZE": _times(2),
    "DynamicQuantizeLinear": _times(4), "Resize": _resize, "RESIZE_BILINEAR": _times(7),
}
_FORMULAS |= {op: _per_input for op in (
    "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL2", "ReduceSumSquare", "ArgMax",
    "ArgMin", "MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "ARG_MAX", "Mean", "CumSum", "aten.mean", "aten.sum",
    "QLinearReduceMean", "Reduce", "aten.adaptive_avg_pool2d")}
_BY_FAMILY: dict[str, Callable[[Node, Tensors, Tensors], int]] = {
    "softmax": _times(_SOFTMAX), "normalization": _times(_NORM), "pooling": _per_input, "lookup": _times(0),
    "concatenation": _times(0), "resize": _times(0),
}
