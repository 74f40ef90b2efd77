"""The same gradients from a framework's automatic differentiation, made in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import Cancelled, InputError, MissingError, WorkerError
from . import mlp

FRAMEWORKS = ("tensorflow", "torch")
_ROOT = Path(__file__).resolve().parents[2]
_TIMEOUT_S, _POLL_S = 180.0, 0.1


class Differentiated(NamedTuple):
    """What a framework found.

    Attributes:
        loss: mean over the samples.
        probabilities: [samples, classes].
        gradients: in the shape of the parameters.
    """

    loss: float
    probabilities: np.ndarray
    gradients: mlp.Params


def differentiate(params: mlp.Params, x: np.ndarray, labels: np.ndarray, kind: str = "cross-entropy", *,
                  framework: str = "tensorflow", cancel: threading.Event | None = None) -> Differentiated:
    """Loss and gradients of the MLP by automatic differentiation in float64.

    Args:
        params: see :func:`workbench.teaching.mlp.init`.
        x: [samples, features].
        labels: int [samples].
        kind: 'cross-entropy' or 'mse'.
        framework: 'tensorflow' or 'torch'.
        cancel: ends the process.

    Raises:
        InputError: no such framework.
        MissingError: it is not installed.
        WorkerError: its process failed or took too long.
        Cancelled: ``cancel`` was set.
    """
    if framework not in FRAMEWORKS:
        raise InputError(f"unknown framework '{framework}'; allowed: {', '.join(FRAMEWORKS)}")
    if find_spec(framework) is None:
        raise MissingError(f"{framework} is not installed; install it with: pip install {framework}")
    flat = [np.asarray(part, dtype=np.float64) for layer in params for part in layer]
    with tempfile.TemporaryDirectory(prefix="workbench-autodiff-") as name:
        request, answer = Path(name) / "request.npz", Path(name) / "answer.npz"
        np.savez(request, x=np.asarray(x, dtype=np.float64), labels=np.asarray(labels, dtype=np.int64), kind=kind,
                 framework=framework, count=len(flat), **{f"layer{i}": a for i, a in enumerate(flat)})
        _run([sys.executable, "-P", "-m", f"{__package__}.workers.autodiff", str(request), str(answer)],
             Path(name) / "log", framework, cancel)
        with np.load(answer) as found:
            parts = [found[f"gradient{i}"] for i in range(len(flat))]
            pairs = tuple(zip(parts[::2], parts[1::2], strict=True))
            return Differentiated(float(found["loss"]), found["probabilities"], pairs)


def _run(command: list[str], log: Path, framework: str, cancel: threading.Event | None) -> None:
    paths = [str(_ROOT), os.environ.get("PYTHONPATH", "")]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in paths if p), "CUDA_VISIBLE_DEVICES": ""}
    left = _TIMEOUT_S
    with log.open("wb") as sink:
        process = subprocess.Popen(command, env=variables, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink)
        try:
            while process.poll() is None:
                if cancel is not None and cancel.wait(_POLL_S):
                    raise Cancelled("stopped")
                if cancel is None:
                    try:
                        process.wait(_POLL_S)
                    except subprocess.TimeoutExpired:
                        pass
                left -= _POLL_S
                if left <= 0:
                    raise WorkerError(f"{framework} did not answer within {_TIMEOUT_S:.0f} s: try again")
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if process.returncode:
        tail = log.read_text("utf-8", "replace").strip().splitlines()[-1:] or ["no output"]
        raise WorkerError(f"{framework} failed: {tail[0][:200]}")
