"""Stand-ins for operators that ONNX's inference does not know: standard ones with the same output shapes.

Operators: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md and, for the blocked layout,
onnxruntime/core/graph/contrib_ops/nchwc_schema_defs.cc. Only shapes and types matter here, not values.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

_CONV = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
_POOL = ("auto_pad", "dilations", "kernel_shape", "pads", "strides", "ceil_mode")
_GEMM = ("alpha", "beta", "transA", "transB")
_MS = "com.microsoft"
_NCHWC = "com.microsoft.nchwc"
# (domain, operator) -> (standard operator, positions of its inputs, attributes that stay)
_TABLE: dict[tuple[str, str], tuple[str, tuple[int, ...], tuple[str, ...]]] = {
    (_MS, "FusedConv"): ("Conv", (0, 1, 2), _CONV),
    (_NCHWC, "Conv"): ("Conv", (0, 1, 2), _CONV),
    (_NCHWC, "MaxPool"): ("MaxPool", (0,), _POOL),
    (_NCHWC, "AveragePool"): ("AveragePool", (0,), (*_POOL, "count_include_pad")),
    (_NCHWC, "GlobalMaxPool"): ("GlobalMaxPool", (0,), ()),
    (_NCHWC, "GlobalAveragePool"): ("GlobalAveragePool", (0,), ()),
    (_NCHWC, "ReorderInput"): ("Identity", (0,), ()),
    (_MS, "FusedGemm"): ("Gemm", (0, 1, 2), _GEMM),
    (_MS, "QGemm"): ("Gemm", (0, 3), ("transA", "transB")),
    (_MS, "QLinearConv"): ("Conv", (0, 3), _CONV),
    (_MS, "QLinearAdd"): ("Add", (0, 3), ()),
    (_MS, "QLinearMul"): ("Mul", (0, 3), ()),
    (_MS, "QLinearAveragePool"): ("AveragePool", (0,), (*_POOL, "count_include_pad")),
    (_MS, "QLinearGlobalAveragePool"): ("GlobalAveragePool", (0,), ()),
    (_MS, "QLinearReduceMean"): ("ReduceMean", (0,), ("axes", "keepdims")),
    (_MS, "MatMulIntegerToFloat"): ("MatMul", (0, 1), ()),
    (_MS, "DynamicQuantizeMatMul"): ("MatMul", (0, 1), ()),
    (_MS, "QLinearMatMul"): ("MatMul", (0, 3), ()),
    (_MS, "DynamicQuantizeLSTM"): ("LSTM", (0, 1, 2, 3, 4, 5, 6), ("direction", "hidden_size")),
    (_MS, "EmbedLayerNormalization"): ("Gather", (2, 0), ()),
    (_MS, "SkipLayerNormalization"): ("Identity", (0,), ()),
    (_MS, "SkipSimplifiedLayerNormalization"): ("Identity", (0,), ()),
    ("", "SimplifiedLayerNormalization"): ("Identity", (0,), ()),
    (_MS, "BiasGelu"): ("Add", (0, 1), ()),
    (_MS, "BiasAdd"): ("Add", (0, 2), ()),
    (_MS, "BiasSoftmax"): ("Add", (0, 1), ()),
    (_MS, "NhwcMaxPool"): ("MaxPool", (0,), _POOL),
    (_MS, "NhwcFusedConv"): ("Conv", (0, 1, 2), _CONV),
    (_MS, "GroupNorm"): ("Identity", (0,), ()),
    (_MS, "QuantizeLinear"): ("QuantizeLinear", (0, 1, 2), ("axis",)),
    (_MS, "DequantizeLinear"): ("DequantizeLinear", (0, 1, 2), ("axis",)),
}
_UNARY = ("QuickGelu", "Gelu", "FastGelu", "QLinearSigmoid", "QLinearLeakyRelu", "QLinearSoftmax", "Inverse",
          "MultiHeadAttention", "GroupQueryAttention", "RotaryEmbedding", "BiasDropout", "QAttention")
_FLOAT_OUTPUT = ("MatMulIntegerToFloat", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM", "DequantizeLinear")
_INTEGER_OUTPUT = ("QLinearAdd", "QLinearMul", "QGemm", "QLinearMatMul", "QLinearConv", "QLinearAveragePool",
                   "QLinearGlobalAveragePool", "QLinearConcat", "QLinearSigmoid", "QLinearLeakyRelu", "QLinearSoftmax")


@dataclass
class Special:
    """What the stand-ins cannot express: output types by tensor name."""

    dtypes: dict[str, str] = field(default_factory=dict)


def replace(graph: Any, opset: int) -> Special:
    """Puts stand-ins in place of unknown operators of the main graph (in place)."""
    import onnx

    special = Special()
    if not any(_is_foreign(n) for n in graph.node):
        return special
    made: dict[int, list[Any]] = {}
    for index, node in enumerate(graph.node):
        if _is_foreign(node):
            new = _stand_in(onnx, graph, node, index, opset)
            if new:
                made[index] = new
            if node.op_type in _FLOAT_OUTPUT:
                special.dtypes[node.output[0]] = "float32"
            elif node.op_type in _INTEGER_OUTPUT:
                special.dtypes[node.output[0]] = "uint8"
    nodes = [n for i, node in enumerate(graph.node) for n in made.get(i, [node])]
    copies = [onnx.NodeProto.FromString(n.SerializeToString()) for n in nodes]
    del graph.node[:]
    graph.node.extend(copies)
    return special


def _is_foreign(node: Any) -> bool:
    # ONNX Runtime keeps the last one in the standard domain, where the standard does not have it.
    return node.domain.startswith(_MS) or node.op_type == "SimplifiedLayerNormalization"


def _stand_in(onnx: Any, graph: Any, node: Any, index: int, opset: int) -> list[Any]:
    key = (node.domain, node.op_type)
    outputs = list(node.output)
    if node.op_type in _UNARY:
        return [onnx.helper.make_node("Identity", [node.input[0]], outputs[:1])]
    if key == (_MS, "FusedMatMul") or key == (_MS, "TransposeMatMul"):
        return _fused_matmul(onnx, node, index)
    if key == (_NCHWC, "ReorderOutput"):
        return _reorder_output(onnx, graph, node, index)
    if key == (_NCHWC, "Upsample"):
        return _upsample(onnx, graph, node, index, opset)
    if key == (_MS, "QLinearConcat"):
        inner = _node(onnx, "Concat", list(node.input[2::3]), outputs[:1], node, ("axis",))
        return [inner]
    if key == (_MS, "MatMulNBits"):
        return _wide_matmul(onnx, graph, node, index)
    if key not in _TABLE:
        return []
    op, positions, kept = _TABLE[key]
    inputs = [node.input[i] for i in positions if i < len(node.input)]
    keep = len(outputs) if op in ("LSTM",) else 1
    made = _node(onnx, op, inputs, outputs[:keep], node, kept)
    if node.op_type.startswith("Nhwc") or _attribute(node, "channels_last"):
        return _channels_last(onnx, made, index)
    return [made]


def _channels_last(onnx: Any, node: Any, index: int) -> list[Any]:
    """The stand-in computes with channels first, so its data is turned on the way in and out."""
    source, target = node.input[0], node.output[0]
    node.input[0], node.output[0] = f"__first_{index}", f"__turned_{index}"
    return [onnx.helper.make_node("Transpose", [source], [node.input[0]], perm=[0, 3, 1, 2]), node,
            onnx.helper.make_node("Transpose", [node.output[0]], [target], perm=[0, 2, 3, 1])]


def _node(onnx: Any, op: str, inputs: list[str], outputs: list[str], node: Any, kept: tuple[str, ...]) -> Any:
    made = onnx.helper.make_node(op, inputs, outputs)
    made.attribute.extend(a for a in node.attribute if a.name in kept)
    return made


def _attribute(node: Any, name: str, default: int = 0) -> int:
    return next((a.i for a in node.attribute if a.name == name), default)


def _fused_matmul(onnx: Any, node: Any, index: int) -> list[Any]:
    """A MatMul with transposes of the last two axes; the rank is not known here, so Gemm-like swaps stand in."""
    inputs, made = list(node.input[:2]), []
    for position, flag in enumerate(("transA", "transB")):
        if _attribute(node, flag):
            swapped = f"__swapped_{index}_{position}"
            made.append(onnx.helper.make_node("Einsum", [inputs[position]], [swapped], equation="...ij->...ji"))
            inputs[position] = swapped
    made.append(onnx.helper.make_node("MatMul", inputs, list(node.output[:1])))
    return made


def _reorder_output(onnx: Any, graph: Any, node: Any, index: int) -> list[Any]:
    """Blocked layout back to plain: the channels that padding added go away, as in a 1x1 convolution."""
    channels = _attribute(node, "channels")
    if not channels:
        return [onnx.helper.make_node("Identity", [node.input[0]], [node.output[0]])]
    weight = f"__weight_{index}"
    graph.initializer.add(name=weight, dims=[channels, 1, 1, 1], data_type=onnx.TensorProto.FLOAT)
    plain = node.output[0] if not _attribute(node, "channels_last") else f"__plain_{index}"
    made = [onnx.helper.make_node("Conv", [node.input[0], weight], [plain])]
    if plain != node.output[0]:
        made.append(onnx.helper.make_node("Transpose", [plain], [node.output[0]], perm=[0, 2, 3, 1]))
    return made


def _upsample(onnx: Any, graph: Any, node: Any, index: int, opset: int) -> list[Any]:
    scales = next((list(a.ints) for a in node.attribute if a.name == "scales"), [])
    if not scales or opset < 9:
        return []
    name = f"__scales_{index}"
    graph.initializer.add(name=name, dims=[len(scales)], data_type=onnx.TensorProto.FLOAT, float_data=scales)
    op, inputs = ("Resize", [node.input[0], "", name]) if opset >= 11 else ("Upsample", [node.input[0], name])
    return [onnx.helper.make_node(op, inputs, list(node.output[:1]))]


def _wide_matmul(onnx: Any, graph: Any, node: Any, index: int) -> list[Any]:
    weight = f"__weight_{index}"
    graph.initializer.add(name=weight, dims=[_attribute(node, "K"), _attribute(node, "N")],
                          data_type=onnx.TensorProto.FLOAT)
    return [onnx.helper.make_node("MatMul", [node.input[0], weight], [node.output[0]])]
