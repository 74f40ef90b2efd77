"""The kernel side of one worker process: starts it, sends commands, waits without ever blocking for good."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..errors import Cancelled, WorkerError

POLL_S = 0.05
GRACE_S = 0.1  # a command that is nearly done may finish after a cancel, which keeps its worker warm
_ROOT = Path(__file__).resolve().parents[2]
_WORDS = ("error", "fatal", "abort", "terminate", "what()", "check failed", "cannot", "could not", "killed")
_DOING = {"preload": "importing its framework", "open": "loading the model", "block": "running",
          "resident": "running without copies",
          "evaluate": "answering the evaluation samples", "sessions": "loading the model for each client",
          "clients": "serving concurrent requests", "grow": "running", "infer": "running",
          "describe": "running", "close": "closing"}

# Linux ends a worker when the *thread* that started it ends (prctl(2), PR_SET_PDEATHSIG), so all are started by one
# thread that lives as long as the process.
_starter = ThreadPoolExecutor(1, thread_name_prefix="worker-starter")


class WorkerClient:
    """One worker process.

    Args:
        cores: logical cores it is held to.
        environment: variables added to ours, there before its framework loads.

    Raises:
        WorkerError: the process cannot be started.
    """

    def __init__(self, cores: tuple[int, ...], environment: dict[str, str]) -> None:
        self.info: dict[str, Any] = {}  # what the owner wants to keep with it, e.g. load times
        self._answers: queue.SimpleQueue = queue.SimpleQueue()
        self._said: deque[str] = deque(maxlen=100)
        self._next = 0
        self._doing = ""
        self._dead = self._ended_by_us = False
        try:
            self._process = _starter.submit(_start, cores, environment).result()
        except OSError as error:
            raise WorkerError(f"a worker process cannot be started: {error.strerror}") from None
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()
        self._listener.start()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it can take a command."""
        return not self._dead and self._process.poll() is None

    @property
    def busy(self) -> bool:
        """Whether an answer is outstanding."""
        return bool(self._doing)

    def send(self, do: str, **arguments: Any) -> None:
        """Sends a command; :meth:`receive` waits for its answer. One at a time."""
        self._next += 1
        self._doing = do
        try:
            self._process.stdin.write(json.dumps({"id": self._next, "do": do, **arguments}) + "\n")
            self._process.stdin.flush()
        except (OSError, ValueError):
            pass  # it has ended; receive() finds out why

    def receive(self, timeout_s: float, cancel: threading.Event | None = None,
                on_note: Callable[[float], None] | None = None) -> dict[str, Any]:
        """Waits for the answer to the last command.

        Args:
            timeout_s: longest silence; after it the worker counts as hung and is killed.
            cancel: when set, the wait ends within about :data:`GRACE_S`, and the worker is killed if still busy.
            on_note: called with the fraction done, 0..1, while a long command goes on.

        Raises:
            WorkerError: it crashed, hangs, or the command failed; one line that says which.
            Cancelled: ``cancel`` was set.
        """
        give_up = time.monotonic() + timeout_s
        cancelled_at = None
        while True:
            try:
                answer = self._answers.get(timeout=POLL_S)
            except queue.Empty:
                now = time.monotonic()
                cancelled_at = cancelled_at or (now if cancel is not None and cancel.is_set() else None)
                if cancelled_at and now >= cancelled_at + GRACE_S:
                    self.kill()
                    raise Cancelled("cancelled") from None
                if now >= give_up:
                    self.kill()
                    raise WorkerError(f"no answer for {timeout_s:g} s while {_DOING.get(self._doing, self._doing)}; "
                                      "the worker was ended") from None
                continue
            if answer is None:
                self._dead = True
                raise WorkerError(self._why())
            if "note" in answer:
                give_up = time.monotonic() + timeout_s
                if on_note:
                    on_note(answer["note"])
            elif answer["id"] == self._next:
                self._doing = ""
                if not answer["ok"]:
                    raise WorkerError(answer["error"])
                return answer

    def call(self, do: str, timeout_s: float, cancel: threading.Event | None = None, **arguments: Any) -> dict:
        """:meth:`send` and :meth:`receive`."""
        self.send(do, **arguments)
        return self.receive(timeout_s, cancel)

    def kill(self) -> None:
        """Ends the process, and what it may have started, at once."""
        self._dead = self._ended_by_us = True
        if self._process.poll() is None:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)  # its session, see _start
            except (AttributeError, OSError):  # Windows has no groups of this kind
                self._process.kill()
            self._process.wait()
        self._forget_pipes()

    def close(self) -> None:
        """Lets it go: asks, waits half a second, then kills."""
        if self.alive:
            self.send("close")
            try:
                self._process.wait(0.5)
            except subprocess.TimeoutExpired:
                pass
        self.kill()

    def _forget_pipes(self) -> None:
        for pipe, user in ((self._process.stdin, None), (self._process.stdout, self._reader),
                           (self._process.stderr, self._listener)):
            if user is not None and user is not threading.current_thread():
                user.join(1)
            try:
                if user is None or not user.is_alive():  # closing under a reader would block
                    pipe.close()
            except OSError:
                pass  # what was still to be written has no reader any more

    def _read(self) -> None:
        """Answers go to the queue; None stands for the end of the process."""
        try:
            for line in self._process.stdout:
                answer = _parse(line)
                if answer is not None:
                    self._answers.put(answer)
        except ValueError:
            pass  # the pipe was closed
        self._answers.put(None)

    def _listen(self) -> None:
        """Keeps the last lines of standard error, for the reason of a crash, and the pipe from filling up."""
        try:
            for line in self._process.stderr:
                self._said.append(line.strip()[:300])
        except ValueError:
            pass

    def _why(self) -> str:
        """One line on how the process ended."""
        if self._ended_by_us:
            return "the worker was closed"
        code = self._process.wait()
        self._listener.join(1)
        doing = _DOING.get(self._doing, self._doing)
        told = [line for line in self._said if any(word in line.lower() for word in _WORDS)]
        words = f": {told[-1]}" if told else ""
        if code == -getattr(signal, "SIGKILL", 9):
            return f"the worker was killed while {doing}, as the system does when memory runs out{words}"
        if code < 0:
            return f"the worker crashed while {doing} ({_signal_name(-code)}){words}"
        return f"the worker ended while {doing} (exit code {code}){words}"


def _parse(line: str) -> dict[str, Any] | None:
    """An answer; None for what start-up hooks of an environment print, and for a killed worker's cut-off line."""
    try:
        answer = json.loads(line)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) and "id" in answer else None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _start(cores: tuple[int, ...], environment: dict[str, str]) -> subprocess.Popen:
    paths = [str(_ROOT), os.environ.get("PYTHONPATH", "")]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in paths if p), "PYTHONUNBUFFERED": "1",
                 **environment}
    # -P: a notebook's folder may hold a file with a standard module's name.
    # A session of its own: an interrupt meant for the notebook must not reach the worker.
    if os.name == "nt":
        apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    else:
        apart = {"start_new_session": True}
    command = [sys.executable, "-P", "-m", "workbench.measure.worker", ",".join(map(str, cores)), str(os.getpid())]
    return subprocess.Popen(command, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, encoding="utf-8", errors="replace", **apart)
