"""A helper process for profiles and machine limits: a request file in, an answer file out, ended when asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import errors
from ..errors import Cancelled, WorkerError

_ROOT = Path(__file__).resolve().parents[2]
_POLL_S = 0.05


def call(module: str, request: dict[str, Any], environment: dict[str, str], *, timeout_s: float,
         prepare: Callable[[Path, dict[str, Any]], None] | None = None,
         cancel: threading.Event | None = None) -> dict[str, Any]:
    """Runs ``python -m module REQUEST ANSWER`` and returns the answer.

    Args:
        module: full module name.
        request: plain values.
        environment: variables added to ours.
        timeout_s: after it the process is ended.
        prepare: gets the temporary folder and the request, to add files.
        cancel: ends the process when set.

    Raises:
        WorkbenchError: what the process answered, that it crashed or took too long.
        Cancelled: ``cancel`` was set.
    """
    with tempfile.TemporaryDirectory(prefix="workbench-profile-") as name:
        folder = Path(name)
        if prepare:
            prepare(folder, request)
        (folder / "request.json").write_text(json.dumps(request), "utf-8")
        paths = [str(_ROOT), os.environ.get("PYTHONPATH", "")]
        variables = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in paths if p), **environment}
        command = [sys.executable, "-P", "-m", module, str(folder / "request.json"), str(folder / "answer.json")]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            try:
                _wait(process, timeout_s, cancel)
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
        return _answer(folder, process.returncode)


def _wait(process: subprocess.Popen, timeout_s: float, cancel: threading.Event | None) -> None:
    give_up = time.monotonic() + timeout_s
    while process.poll() is None:
        if cancel is not None and cancel.is_set():
            raise Cancelled("cancelled")
        if time.monotonic() > give_up:
            raise WorkerError(f"no profile after {timeout_s:g} s; the process was ended: profile a smaller batch")
        time.sleep(_POLL_S)


def _answer(folder: Path, code: int) -> dict[str, Any]:
    path = folder / "answer.json"
    if code != 0 or not path.exists():
        lines = [line.strip() for line in (folder / "log").read_text("utf-8", "replace").splitlines() if line.strip()]
        raise WorkerError(f"the profiling process ended (exit code {code}): {lines[-1][:300] if lines else 'no word'}")
    found = json.loads(path.read_text("utf-8"))
    if "error" in found:
        raise getattr(errors, found["kind"], WorkerError)(found["error"])
    return found
