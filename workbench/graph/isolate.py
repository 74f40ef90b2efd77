"""Asks a worker process for what only a framework can tell; frameworks never load in this process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .. import errors
from ..errors import InputError, MissingError, WorkerError

TIMEOUT_S = 300.0


def ask(worker: str, request: Mapping[str, Any], *, package: str, install: str, label: str,
        environment: Mapping[str, str] | None = None, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
    """The answer of ``workbench.graph.workers.<worker>.run(request)``.

    Args:
        worker: module name.
        request: plain data.
        package: import name of the framework that the worker loads.
        install: the line that installs it.
        label: the model's name, for messages.
        environment: variables to set before the framework loads.
        timeout_s: the worker is stopped after so many seconds.

    Raises:
        MissingError: the framework is not installed.
        InputError: it refuses the model; one line.
        WorkerError: it hung or ran out of memory.
    """
    if find_spec(package) is None:
        raise MissingError(f"the graph of {label} takes {package}; install it with: {install}")
    command = [sys.executable, "-P", "-m", f"{__package__}.workers", worker]  # -P: a torch.py here is not torch
    try:
        done = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, encoding="utf-8",
                              errors="replace", env=_environment(environment or {}), timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        raise WorkerError(f"reading the graph of {label} took longer than {timeout_s:.0f} s and was stopped: "
                          "try a smaller model, or again when the machine is less busy") from None
    return _answer(done, label)


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONIOENCODING": "utf-8",
            "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", **extra}


def _answer(done: subprocess.CompletedProcess, label: str) -> dict[str, Any]:
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        answer = None
    if isinstance(answer, dict) and "error" in answer:
        raise getattr(errors, str(answer.get("kind")), InputError)(answer["error"])
    if isinstance(answer, dict) and done.returncode == 0:
        return answer
    if done.returncode in (-9, 137):
        raise WorkerError(f"reading the graph of {label} ran out of memory: close other programs or take a smaller "
                          "model")
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    last = f": {lines[-1][:200]}" if lines and done.returncode > 0 else ""
    raise InputError(f"the framework crashed on {label} (exit {done.returncode}{last}): the file may be damaged, or "
                     "need another version of its framework")
