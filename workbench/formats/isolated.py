"""Runs a reader that needs a framework in a clean process, and remembers its answer by the file's content."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .. import errors
from ..errors import InputError, MissingError, WorkerError
from . import store
from .base import Inspection, Options, content_hash

TIMEOUT_S = 180.0
_VERSION = 1  # raise it when a reader's answers change, so that old ones are forgotten


def inspect(module: str, path: Path, files: tuple[Path, ...], options: Options, *, package: str) -> Inspection:
    """The answer of ``module.inspect_here(path, options)``, computed in a worker process.

    Args:
        module: name of a reader below ``workbench.formats``.
        path: the model.
        files: every file of it; the answer is remembered under the hash of their content.
        options: what the caller adds.
        package: import name of the framework that the worker will load.

    Raises:
        InputError: the file cannot be read; one line from the reader or the framework.
        MissingError: the framework is not installed.
        WorkerError: the worker hung or ran out of memory.
    """
    sha256 = content_hash(files, path)
    key = _key(module, sha256, options)
    answer = store.get(key)
    if answer is None:
        if find_spec(package) is None:
            raise MissingError(f"reading {path.name} takes {package}; install it with: "
                               f"pip install {package.replace('_', '-')}")
        answer = _ask(module, path, options)
        store.put(key, answer)
    try:
        found = Inspection.from_dict(answer)
    except (KeyError, TypeError, ValueError):
        raise InputError(f"the inspection cache is damaged: remove {store.cache_dir() / 'inspect'}") from None
    return Inspection(**{**vars(found), "files": files, "sha256": sha256})


def _key(module: str, sha256: str, options: Options) -> str:
    text = json.dumps([_VERSION, module, sha256, options])
    return hashlib.sha256(text.encode()).hexdigest()


def _ask(module: str, path: Path, options: Options) -> dict[str, Any]:
    request = json.dumps({"module": module, "path": str(path), "options": options._asdict()})
    command = [sys.executable, "-P", "-m", f"{__package__}.inspect_worker"]  # -P: a torch.py here is not torch
    try:
        done = subprocess.run(command, input=request, capture_output=True, text=True, encoding="utf-8",
                              errors="replace", env=_environment(), timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise WorkerError(f"reading {path.name} took longer than {TIMEOUT_S:.0f} s and was stopped: the file may be "
                          "damaged, or the machine busy; try again") from None
    return _answer(done, path)


def _environment() -> dict[str, str]:
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TF_CPP_MIN_LOG_LEVEL": "3",
            "CUDA_VISIBLE_DEVICES": "-1", "PYTHONIOENCODING": "utf-8"}


def _answer(done: subprocess.CompletedProcess, path: Path) -> dict[str, Any]:
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        answer = None
    if isinstance(answer, dict) and "error" in answer:
        kind = getattr(errors, str(answer.get("kind")), InputError)
        raise kind(answer["error"])
    if isinstance(answer, dict) and done.returncode == 0:
        return answer
    if done.returncode in (-9, 137):
        raise WorkerError(f"reading {path.name} ran out of memory: close other programs or take a smaller model")
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    last = f": {lines[-1][:200]}" if lines and done.returncode > 0 else ""
    raise InputError(f"{path.name} made its reader crash (exit {done.returncode}{last}): the file is damaged, or needs "
                     "another version of its framework")
