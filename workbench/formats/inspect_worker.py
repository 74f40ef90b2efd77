"""The clean process behind :mod:`workbench.formats.isolated`: a request on stdin, one JSON answer on stdout."""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path

from ..errors import WorkbenchError
from . import READERS
from .base import Options


def main() -> int:
    """Reads the request, runs the reader, answers; what frameworks print goes to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    request = json.load(sys.stdin)
    path = Path(request["path"])
    try:
        answer = _run(request["module"], path, _options(request["options"]))
    except WorkbenchError as error:
        answer = {"kind": type(error).__name__, "error": str(error)}
    except MemoryError:
        answer = {"kind": "WorkerError", "error": f"reading {path.name} ran out of memory: take a smaller model"}
    except Exception as error:  # whatever a framework throws at a strange file is the file's problem
        cause = " ".join(str(error).split())[:300] or type(error).__name__
        answer = {"kind": "InputError", "error": f"cannot read {path.name}: {cause}"}
    json.dump(answer, answers)
    answers.close()
    return 0


def _run(module: str, path: Path, options: Options) -> dict:
    if module not in READERS:
        raise WorkbenchError(f"no reader '{module}'")
    return import_module(f"{__package__}.{module}").inspect_here(path, options).to_dict()


def _options(d: dict) -> Options:
    return Options(examples=tuple((n, t, tuple(s)) for n, t, s in d["examples"]),
                   fix=tuple((n, tuple(s)) for n, s in d["fix"]))


if __name__ == "__main__":
    sys.exit(main())
