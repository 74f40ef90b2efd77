"""Files that measuring makes (feeds, outputs): in one temporary folder a process, bounded, removed at its end."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections import OrderedDict
from functools import cache
from pathlib import Path

_PREFIX = "workbench-measure-"


class Shelf:
    """Files by key, the least recently used first to go.

    Args:
        name: of its folder.
        max_bytes: what :meth:`trim` leaves.
    """

    def __init__(self, name: str, max_bytes: int) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=_root()))
        self._max_bytes = max_bytes
        self._paths: OrderedDict[str, Path] = OrderedDict()

    def path(self, key: str) -> Path:
        """Where the file of a key is, or is to be."""
        return self._folder / f"{key}.npz"

    def get(self, key: str) -> Path | None:
        """The file, or None; marks it as used."""
        found = self._paths.get(key)
        if found is None or not found.exists():
            return None
        self._paths.move_to_end(key)
        return found

    def add(self, key: str) -> Path:
        """Takes note of a file that has been written."""
        self._paths[key] = self.path(key)
        self._paths.move_to_end(key)
        return self._paths[key]

    def trim(self) -> None:
        """Removes the longest unused files until the rest fits; call it only where nobody reads them."""
        sizes = {k: p.stat().st_size for k, p in self._paths.items() if p.exists()}
        total = sum(sizes.values())
        for key, size in sizes.items():
            if total <= self._max_bytes:
                return
            self._paths.pop(key).unlink(missing_ok=True)
            total -= size


@cache
def _root() -> Path:
    """This process's folder; folders of processes that were killed are swept up."""
    parent = Path(tempfile.gettempdir())
    for left in parent.glob(f"{_PREFIX}*"):
        pid = left.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdigit() and _is_gone(int(pid)):
            shutil.rmtree(left, ignore_errors=True)  # another user's stays: not ours to remove
    root = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    return root


def _is_gone(pid: int) -> bool:
    import psutil

    return not psutil.pid_exists(pid)
