"""The kernel side of a pass worker: starts it, keeps it warm, hears its progress, ends it to cancel."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from .. import errors
from ..errors import Cancelled, WorkerError
from . import hush

TIMEOUT_S = 3600.0
_POLL_S = 0.05
_ROOT = Path(__file__).resolve().parents[2]
_ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow", "PYTHONIOENCODING": "utf-8",
    "PYTHONHASHSEED": "0",  # some converters walk over sets; the same input must give the same file
    "CUDA_VISIBLE_DEVICES": "-1",
}
# Linux may end a child when the thread that started it ends; this thread lives as long as the process.
_starter = ThreadPoolExecutor(1, thread_name_prefix="pass-worker-starter")


def worker_environment(*, legacy_keras: bool) -> dict[str, str]:
    """The environment of a process for passes; which Keras it holds is decided before TensorFlow loads."""
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, **_ENVIRONMENT, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
            "TF_USE_LEGACY_KERAS": "1" if legacy_keras else "0"}


class PassWorker:
    """One worker process for passes, started when first needed and again after it ended.

    Args:
        kind: 'onnx' (starts fast, loads no TensorFlow), 'tensorflow' (current Keras), 'keras2' (legacy Keras: the two
            never meet in one process) or 'torch'.
    """

    def __init__(self, kind: str = "onnx") -> None:
        self.kind = kind
        self._lock = threading.Lock()
        self._process: subprocess.Popen | None = None
        self._answers: queue.SimpleQueue = queue.SimpleQueue()
        self._log: Any = None
        self._scratch: tempfile.TemporaryDirectory | None = None
        self._warming = False

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def warm(self) -> None:
        """Starts the process and its imports; returns at once."""
        if self.pid is None and self._lock.acquire(blocking=False):
            try:
                self._start()
                self._send({"do": "warm", "kind": self.kind})
                self._warming = True
            finally:
                self._lock.release()

    def apply(self, request: dict[str, Any], *, title: str, progress: Callable[..., None],
              cancel: threading.Event | None = None, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
        """Applies one pass; blocks until it is done.

        Args:
            request: 'pass', 'settings', 'model', 'workdir', 'calibration' and 'training' (path or ''), 'seed'.
            title: the pass's name for people, for messages.
            progress: called with (fraction, line), by a pass that trains with (fraction, line, curves).
            cancel: set it to stop; the process ends with it.
            timeout_s: after which the pass counts as hung.

        Returns:
            'path', 'format', 'notes', 'details'.

        Raises:
            NotApplicable, InputError, MissingError: as the pass says.
            WorkerError: it crashed, hung, ran out of memory or failed.
            Cancelled: ``cancel`` was set.
        """
        deadline = time.monotonic() + timeout_s
        while not self._lock.acquire(timeout=_POLL_S):
            check(cancel)
        try:
            check(cancel)
            if self.pid is None:
                self._start()
            self._send({"do": "apply", **request})
            if self._warming:
                progress(0.0, "starting the frameworks")
            return self._wait(title, progress, cancel, deadline)
        except BaseException as error:
            if not isinstance(error, (errors.NotApplicable, errors.InputError, errors.MissingError)):
                self._end()  # whatever state it is in, the next pass gets a fresh one
            raise
        finally:
            self._lock.release()

    def close(self) -> None:
        """Ends the process."""
        self._end()

    def _wait(self, title: str, progress: Callable[..., None], cancel: threading.Event | None,
              deadline: float) -> dict[str, Any]:
        fraction, waits = 0.0, False
        while True:
            check(cancel)  # also when progress arrives without a pause
            if hush.rests(self._process) and not waits:
                waits = True
                progress(fraction, "waits until the measurement is over")
            if time.monotonic() > deadline:
                raise WorkerError(f"{title} took too long and was stopped; take fewer calibration samples or a "
                                  "smaller model")
            try:
                answer = self._answers.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            if answer is None:
                raise WorkerError(f"{title}: {self._obituary()}")
            if "progress" in answer:
                progress(*answer["progress"])
                fraction, waits = answer["progress"][0], False
            elif self._warming:
                self._warming = False  # the answer to warm(), also when an import failed: the pass will say it better
            elif "error" in answer:
                kind = getattr(errors, answer["kind"], WorkerError)
                raise kind(f"{title}: {answer['error']}" if kind is WorkerError else answer["error"])
            else:
                return answer["done"]

    def _start(self) -> None:
        self._end()
        self._answers, self._warming = queue.SimpleQueue(), False
        self._log = tempfile.TemporaryFile()
        self._scratch = tempfile.TemporaryDirectory(prefix="workbench-pass-", ignore_cleanup_errors=True)
        environment = worker_environment(legacy_keras=self.kind == "keras2")
        environment |= dict.fromkeys(("TMPDIR", "TEMP", "TMP"), self._scratch.name)  # what it leaves goes with it
        # -P: a torch.py here is not torch
        command = [sys.executable, "-P", "-m", f"{__package__}.worker", str(os.getpid())]
        try:
            self._process = _starter.submit(
                subprocess.Popen, command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True,
                encoding="utf-8", env=environment,
                start_new_session=True,  # an interrupt of the kernel must not reach it
            ).result()
        except OSError as error:
            raise WorkerError(f"the pass worker cannot be started: {error.strerror}") from None
        hush.began(self._process)
        threading.Thread(target=_pump, args=(self._process, self._answers), daemon=True).start()

    def _send(self, request: dict[str, Any]) -> None:
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except OSError:
            pass  # it just died: reading its answers tells why

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        hush.ended(process)
        for stream in (process.stdin, self._log):
            try:
                stream.close()
            except OSError:
                pass
        self._scratch.cleanup()

    def _obituary(self) -> str:
        """Why the process ended, in words."""
        code = self._process.wait()
        if code in (-9, 137):
            return ("the pass worker was killed, most likely because memory ran out; take a smaller model or fewer "
                    "samples")
        if code < 0:
            return (f"the pass worker crashed ({signal.Signals(-code).name}); this model meets a bug in a library, "
                    "leave the pass out")
        return f"the pass worker ended with exit code {code}{self._last_words()}"

    def _last_words(self) -> str:
        try:
            self._log.seek(max(0, self._log.seek(0, os.SEEK_END) - 2000))
            lines = [x.strip() for x in self._log.read().decode("utf-8", "replace").splitlines() if x.strip()]
        except (OSError, ValueError):
            return ""
        return f": {lines[-1][:200]}" if lines else ""


def _pump(process: subprocess.Popen, answers: queue.SimpleQueue) -> None:
    """Moves answer lines to the queue; None marks the end of the process."""
    try:
        for line in process.stdout:
            answers.put(json.loads(line))
    except ValueError:
        pass  # the pipe was closed, or a line was cut off by the end of the process
    answers.put(None)


def check(cancel: threading.Event | None) -> None:
    """Raises ``Cancelled`` once ``cancel`` is set."""
    if cancel is not None and cancel.is_set():
        raise Cancelled("stopped; finished results are kept")
