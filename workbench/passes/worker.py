"""A process that applies passes: one JSON request a line on stdin, progress and answers as JSON lines on stdout.

Frameworks load here and stay loaded, so a second pass does not pay for the import again. The parent ends this
process to cancel; it also ends by itself when the parent goes away.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import traceback
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from .. import passes
from ..errors import WorkbenchError
from ..lifeline import die_with
from . import wire
from .base import PassContext

_ONNX = ("onnx", "onnx.version_converter", "onnxruntime", "onnxruntime.quantization", "onnxslim",
         "onnxruntime.transformers.float16")
_IMPORTS = {
    "onnx": _ONNX,
    "tensorflow": ("tensorflow", "keras", "tf2onnx", "ai_edge_litert.interpreter", *_ONNX),
    "keras2": ("tensorflow", "tf_keras", "tf2onnx", "ai_edge_litert.interpreter", *_ONNX),
    "torch": ("torch", "torch.onnx", *_ONNX),
}


def main() -> int:
    """Answers requests until stdin closes; what frameworks print goes to stderr."""
    die_with(int(sys.argv[1]))
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    requests: queue.SimpleQueue = queue.SimpleQueue()
    threading.Thread(target=_read, args=(sys.stdin, requests), daemon=True).start()
    while True:
        request = requests.get()
        answer = _answer(request, lambda *told: _say(answers, {"progress": told}))
        _say(answers, answer)


def _read(stream: TextIO, requests: queue.SimpleQueue) -> None:
    for line in stream:
        requests.put(json.loads(line))
    os._exit(0)  # the parent is gone; a pass that is running would work for nobody


def _say(stream: TextIO, answer: dict[str, Any]) -> None:
    stream.write(json.dumps(answer, default=_plain) + "\n")
    stream.flush()


def _plain(value: Any) -> Any:
    """numpy values and paths in a pass's details."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    return str(value)


def _answer(request: dict[str, Any], progress: Any) -> dict[str, Any]:
    try:
        if request["do"] == "warm":
            _warm(request["kind"])
            return {"done": {}}
        return {"done": _apply(request, progress)}
    except WorkbenchError as error:
        return {"error": str(error), "kind": type(error).__name__}
    except MemoryError:
        return {"error": "it ran out of memory: close other programs or take a smaller model", "kind": "WorkerError"}
    except Exception as error:  # a bug in a pass or its library is a result for the user, not the end of the worker
        traceback.print_exc()
        cause = " ".join(str(error).split())[:300]
        return {"error": f"it failed: {type(error).__name__}: {cause}", "kind": "WorkerError"}


def _warm(kind: str) -> None:
    """Imports what passes of this kind will need; a missing optional package is no error here."""
    for module in _IMPORTS[kind]:
        if find_spec(module.split(".")[0]) is not None:
            import_module(module)


def _apply(request: dict[str, Any], progress: Any) -> dict[str, Any]:
    found = passes.get(request["pass"])
    settings = found.Settings.from_dict(request["settings"], owner=f"pass {found.name}")
    context = PassContext(Path(request["workdir"]), progress=progress, seed=request["seed"])
    if request["calibration"]:
        feeds, labels = wire.read_feeds(Path(request["calibration"]))
        context = replace(context, calibration=feeds, labels=labels)
    if request.get("training"):
        arrays, labels = wire.read_training(Path(request["training"]))
        context = replace(context, training=arrays, training_labels=labels)
    made = found.apply(wire.model_from_dict(request["model"]), settings, context)
    return {"path": str(made.path), "format": made.format.value, "notes": list(made.notes), "details": made.details}


if __name__ == "__main__":
    sys.exit(main())
