"""Sizes of elements and tensors by numpy-style type name."""

from __future__ import annotations

import math
from functools import cache

from ..model import Dim

_ODD = {"bool": 8, "complex64": 64, "complex128": 128, "bfloat16": 16, "str": 0, "float4e2m1": 4, "float6e2m3": 6,
        "float6e3m2": 6}
QUANTIZED = ("int8", "uint8", "int4", "uint4", "int2", "uint2")


@cache
def bits(dtype: str) -> int:
    """Bits of one element, 0 when unknown or of no fixed size."""
    if dtype in _ODD:
        return _ODD[dtype]
    if dtype.startswith("float8"):
        return 8
    digits = dtype.lstrip("abcdefghijklmnopqrstuvwxyz")
    return int(digits) if digits.isdigit() and int(digits) <= 128 else 0


def elements(shape: tuple[Dim, ...] | None) -> int:
    """Number of elements, 0 when a size is open."""
    if shape is None or not all(isinstance(d, int) for d in shape):
        return 0
    return math.prod(shape)


def size_bytes(dtype: str, shape: tuple[Dim, ...] | None) -> int:
    """Bytes of a dense tensor, 0 when a size is open or the type has no fixed size."""
    return -(-elements(shape) * bits(dtype) // 8)
