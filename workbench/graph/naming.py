"""How ONNX Runtime, its quantizer and converters rename nodes and tensors.

Seen in ONNX Runtime 1.23 to 1.32 and tf2onnx 1.17; tests/test_graph_diff.py pins each form.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

_SUFFIXES = re.compile(
    r"_nchwc|_token_\d+|/duplicated(_token_\d+)?|"  # layout and session-time copies of ONNX Runtime
    r"_QuantizeLinear(_Output|_Input)?|_DequantizeLinear(_Output|_Input)?|_quantized|_dequantized|_quant|"
    r"_bias_quant|_output_quantized|_quantized_cast|_cast_output|_output_cast\d*|_input_cast\d*|_cast_\d+|"
    r"/[A-Za-z0-9]*(Fusion|Fuse|Transformer|Elimination)[A-Za-z0-9]*/?|_fused|_matmul|"
    r"_fp16|_float16|:0|__\d+")
_ONLY = re.compile(rf"(.+?)(?:{_SUFFIXES.pattern})$")


@lru_cache(maxsize=200_000)
def origins(name: str) -> tuple[str, ...]:
    """Names that this one may have been made from, nearest first; not the name itself."""
    found = []
    while True:
        match = _ONLY.fullmatch(name)
        if not match:
            return tuple(found)
        name = match.group(1)
        found.append(name)


def paths(name: str) -> Iterator[str]:
    """Parts of a path that may name a layer, the likeliest first: 'net/conv_1_1/Relu' -> conv_1_1, conv_1, net."""
    parts = [p for p in name.removesuffix(":0").split("/") if p]
    for part in (*reversed(parts[:-1]), *parts[-1:]):
        yield part
        shorter = re.sub(r"_\d+$", "", part)
        if shorter != part:
            yield shorter
