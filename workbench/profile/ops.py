"""Kinds of operators, whatever a runtime calls them."""

from __future__ import annotations

SCALES = ("quantizelinear", "dequantizelinear", "fakequantize", "quantize", "dequantize")
MOVES = ("cast", "convert", "transpose", "reorder", "reorderinput", "reorderoutput", "permute", "to", "to_mkldnn",
         "to_dense", "layout", "_to_copy", "contiguous", "clone")
_COMPUTE = ("conv", "gemm", "matmul", "fullyconnected", "linear", "lstm", "gru", "rnn", "addmm", "attention", "dense",
            "einsum", "inner")


def kind(op: str) -> str:
    """'aten.conv2d.default', 'aten::to', 'com.microsoft.QLinearConv' -> the bare name in small letters."""
    if op.startswith("aten."):
        return op.split(".")[1].lower()
    return op.replace("::", ".").split(".")[-1].lower()


def is_compute(op: str) -> bool:
    """Whether an operator multiplies matrices."""
    name = kind(op)
    return name not in MOVES and not name.endswith(SCALES) and any(word in name for word in _COMPUTE)
