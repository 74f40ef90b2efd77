"""One timing at a time on a machine: the processes of a user take turns, so that none times what another one loads."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ..errors import Cancelled
from ..formats.store import cache_dir
from .client import POLL_S

OnWait = Callable[[str], None]


@contextmanager
def machine(cancel: threading.Event | None = None, on_wait: OnWait = lambda line: None) -> Iterator[None]:
    """The machine to oneself, as far as other measurements go; a process that dies gives it back.

    Not re-entrant. Where no file can be locked (a read-only or an unusual file system) nobody waits.

    Args:
        cancel: set it to stop waiting.
        on_wait: called once with a line, when another one measures.

    Raises:
        Cancelled: ``cancel`` was set while waiting.
    """
    name = re.sub(r"\W+", "-", platform.node()) or "machine"  # home folders may be shared by several machines
    path = cache_dir() / f"timing-{name}.lock"
    holder = path.with_suffix(".holder")
    told: list[str] = []

    def wait() -> None:
        if cancel is not None and cancel.is_set():
            raise Cancelled("cancelled")
        if not told:
            told.append(f"waiting for {_who(holder)}, which is measuring on this machine")
            on_wait(told[0])

    with contextlib.ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with _held(path.with_suffix(".next"), wait):  # who waits keeps the door: a search cannot slip in again
                stack.enter_context(_held(path, wait))
            holder.write_text(str(os.getpid()), encoding="ascii")
        except (OSError, NotImplementedError):
            pass
        yield


@contextmanager
def _held(path: Path, wait: Callable[[], None]) -> Iterator[None]:
    """A locked file; ``wait`` is called again and again while another one holds it."""
    lock = FileLock(path, thread_local=False)
    while True:
        try:
            lock.acquire(timeout=POLL_S)
            break
        except Timeout:
            wait()
    try:
        yield
    finally:
        lock.release()


def _who(holder: Path) -> str:
    """The process that holds the turn, in words."""
    try:
        pid = int(holder.read_text("ascii"))
    except (OSError, ValueError):
        return "another notebook or command"
    if pid == os.getpid():
        return "another workbench of this kernel"
    return f"another notebook or command (process {pid})"
