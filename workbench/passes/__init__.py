"""The registry of passes. A new one takes a file and one row here: (recipe name, module, class)."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from ..errors import InputError
from .base import Pass, PassContext, PassResult

__all__ = ["PASSES", "Pass", "PassContext", "PassResult", "get"]

PASSES: tuple[tuple[str, str, str], ...] = (
    ("onnx-convert", "onnx_convert", "OnnxConvert"),
    ("onnx-graph-level", "onnx_graph_level", "OnnxGraphLevel"),
    ("onnx-float16", "onnx_float16", "OnnxFloat16"),
    ("onnx-int8-dynamic", "onnx_int8_dynamic", "OnnxInt8Dynamic"),
    ("onnx-int8-static", "onnx_int8_static", "OnnxInt8Static"),
    ("tflite-convert", "tflite_convert", "TfliteConvert"),
    ("tflite-dynamic-range", "tflite_dynamic_range", "TfliteDynamicRange"),
    ("tflite-float16", "tflite_float16", "TfliteFloat16"),
    ("tflite-int8", "tflite_int8", "TfliteInt8"),
)


@cache
def get(name: str) -> Pass:
    """The pass of that name; its frameworks load only when it is applied.

    Raises:
        InputError: no such pass; names those there are.
    """
    for key, module, cls in PASSES:
        if key == name:
            return getattr(import_module(f"{__name__}.{module}"), cls)()
    raise InputError(f"unknown pass '{name}'; allowed: {', '.join(p[0] for p in PASSES)}")
