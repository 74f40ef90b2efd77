"""The registry of passes. A new one takes a file and one row here: (recipe name, module, class)."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from ..errors import InputError
from .base import Pass, PassContext, PassResult

__all__ = ["PASSES", "Pass", "PassContext", "PassResult", "get"]

PASSES: tuple[tuple[str, str, str], ...] = (
    ("keras-prune-structured", "keras_prune_structured", "KerasPruneStructured"),
    ("keras-distill", "keras_distill", "KerasDistill"),
    ("keras2-convert", "keras2_convert", "Keras2Convert"),
    ("keras-prune-magnitude", "keras_prune_magnitude", "KerasPruneMagnitude"),
    ("keras-prune-2-4", "keras_prune_2_4", "KerasPrune24"),
    ("keras-prune-block", "keras_prune_block", "KerasPruneBlock"),
    ("keras-cluster", "keras_cluster", "KerasCluster"),
    ("keras-qat", "keras_qat", "KerasQat"),
    ("keras-pqat", "keras_pqat", "KerasPqat"),
    ("keras-cqat", "keras_cqat", "KerasCqat"),
    ("keras-pcqat", "keras_pcqat", "KerasPcqat"),
    ("tf-freeze", "tf_freeze", "TfFreeze"),
    ("tf-grappler", "tf_grappler", "TfGrappler"),
    ("tf-xla", "tf_xla", "TfXla"),
    ("onnx-convert", "onnx_convert", "OnnxConvert"),
    ("onnx-normalize", "onnx_normalize", "OnnxNormalize"),
    ("onnx-dequantize", "onnx_dequantize", "OnnxDequantize"),
    ("onnx-simplify", "onnx_simplify", "OnnxSimplify"),
    ("onnx-freeze-shapes", "onnx_freeze_shapes", "OnnxFreezeShapes"),
    ("onnx-constant-inputs", "onnx_constant_inputs", "OnnxConstantInputs"),
    ("onnx-fold-constants", "onnx_fold_constants", "OnnxFoldConstants"),
    ("onnx-fuse-transformer", "onnx_fuse_transformer", "OnnxFuseTransformer"),
    ("onnx-graph-level", "onnx_graph_level", "OnnxGraphLevel"),
    ("onnx-layout-nchwc", "onnx_layout_nchwc", "OnnxLayoutNchwc"),
    ("onnx-float16", "onnx_float16", "OnnxFloat16"),
    ("onnx-bfloat16", "onnx_bfloat16", "OnnxBfloat16"),
    ("onnx-int8-dynamic", "onnx_int8_dynamic", "OnnxInt8Dynamic"),
    ("onnx-int8-static", "onnx_int8_static", "OnnxInt8Static"),
    ("onnx-int8-mixed", "onnx_int8_mixed", "OnnxInt8Mixed"),
    ("onnx-int8w-int16a", "onnx_int8w_int16a", "OnnxInt8wInt16a"),
    ("onnx-weight-only", "onnx_weight_only", "OnnxWeightOnly"),
    ("tflite-convert", "tflite_convert", "TfliteConvert"),
    ("tflite-dynamic-range", "tflite_dynamic_range", "TfliteDynamicRange"),
    ("tflite-float16", "tflite_float16", "TfliteFloat16"),
    ("tflite-int8", "tflite_int8", "TfliteInt8"),
    ("tflite-int16x8", "tflite_int16x8", "TfliteInt16x8"),
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
