"""Lets ONNX Runtime optimize a model as it does at load, and keep the result; large weights go to a file beside it."""

from __future__ import annotations

from typing import Any

from ...errors import InputError

LEVELS = {"disabled": "ORT_DISABLE_ALL", "basic": "ORT_ENABLE_BASIC", "extended": "ORT_ENABLE_EXTENDED",
          "layout": "ORT_ENABLE_LAYOUT", "all": "ORT_ENABLE_ALL"}
_INLINE_BYTES = "1024"


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Writes ``target`` and answers {'version': ...}."""
    import onnxruntime as ort

    ort.set_default_logger_severity(4)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    level = LEVELS[request["level"]]
    if not hasattr(ort.GraphOptimizationLevel, level):
        raise InputError(f"this ONNX Runtime has no level '{request['level']}'; update it, or take another level")
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
    options.optimized_model_filepath = request["target"]
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", request["weights"])
    options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", _INLINE_BYTES)
    try:
        ort.InferenceSession(request["path"], options, providers=["CPUExecutionProvider"],
                             disabled_optimizers=request["disabled"] or None)
    except Exception as error:  # ORT's classes share no base but Exception
        cause = " ".join(str(error).split())[:240]
        raise InputError(f"ONNX Runtime cannot load {request['label']}: {cause}") from None
    return {"version": ".".join(ort.__version__.split(".")[:2])}
