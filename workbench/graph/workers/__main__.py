"""The clean process behind :mod:`workbench.graph.isolate`: a request on stdin, one JSON answer on stdout."""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module

from ...errors import WorkbenchError

WORKERS = ("onnxruntime_graph", "openvino_graph", "tensorflow_graph", "torch_graph", "onnx_values",
           "litert_shapes")


def main() -> int:
    """Runs the worker named on the command line; what frameworks print goes to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    name = sys.argv[1]
    request = json.load(sys.stdin)
    try:
        if name not in WORKERS:
            raise WorkbenchError(f"no worker '{name}'")
        answer = import_module(f"{__package__}.{name}").run(request)
    except WorkbenchError as error:
        answer = {"kind": type(error).__name__, "error": str(error)}
    except MemoryError:
        answer = {"kind": "WorkerError", "error": "out of memory: take a smaller model"}
    except Exception as error:  # whatever a framework throws at a strange file is the file's problem
        cause = " ".join(str(error).split())[:300] or type(error).__name__
        answer = {"kind": "InputError", "error": f"{request.get('label', 'the model')}: {cause}"}
    json.dump(answer, answers)
    answers.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
