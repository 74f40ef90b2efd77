"""Passes rest while something is timed: their processes stop, and go on when it is over."""

from __future__ import annotations

import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

_AT_REST = (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
_PATIENCE_S = 1.0  # for a process that waits for a disk
_lock = threading.Lock()
_processes: set[subprocess.Popen] = set()
_stopped: set[subprocess.Popen] = set()
_holders: Counter[int] = Counter()  # threads that time something


@contextmanager
def resting() -> Iterator[None]:
    """No pass of this process works meanwhile, except for one that this thread asks for."""
    me = threading.get_ident()
    _hold(me, 1)
    try:
        yield
    finally:
        _hold(me, -1)


@contextmanager
def working() -> Iterator[None]:
    """Around a pass: a thread that times something and needs one lets them all work until it has it."""
    me = threading.get_ident()
    held = _holders[me]
    _hold(me, -held)
    try:
        yield
    finally:
        _hold(me, held)


def began(process: subprocess.Popen) -> None:
    """A pass worker started; it rests too."""
    with _lock:
        _processes.add(process)
        _settle()


def ended(process: subprocess.Popen) -> None:
    """It is gone."""
    with _lock:
        _processes.discard(process)
        _stopped.discard(process)


def rests(process: subprocess.Popen) -> bool:
    """Whether a process is stopped now."""
    return process in _stopped


def _hold(thread: int, more: int) -> None:
    with _lock:
        _holders[thread] += more
        if not _holders[thread]:
            del _holders[thread]
        _settle()


def _settle() -> None:
    """Stops all that works while somebody times, or lets all that is stopped go on."""
    deadline = time.monotonic() + _PATIENCE_S
    for process in _processes - _stopped if _holders else set(_stopped):
        try:
            top = psutil.Process(process.pid)
            family = [top, *top.children(recursive=True)]
            for one in family:
                one.suspend() if _holders else one.resume()
            while _holders and any(one.status() not in _AT_REST for one in family) and time.monotonic() < deadline:
                time.sleep(0.002)  # a stop is heard when the process is next scheduled
        except (psutil.Error, OSError):
            pass  # it ended meanwhile, or is not ours to stop
        _stopped.add(process) if _holders else _stopped.discard(process)
