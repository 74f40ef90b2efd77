"""Artefacts by content: the same pass on the same input is made once; old ones go when the space is full."""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from pathlib import Path
from typing import Any, NamedTuple

from .errors import InputError

DEFAULT_BYTES = 4 * 10**9
_META = "meta.json"
_STALE_S = 24 * 3600.0  # a temporary folder this old belongs to a process that died


class Entry(NamedTuple):
    """One artefact folder and what was stored with it."""

    folder: Path
    meta: dict[str, Any]


class Cache:
    """A folder of artefacts, safe for several processes: an entry appears by one rename and goes by one rename.

    Args:
        root: default the WORKBENCH_CACHE variable, else ``~/.cache/inference-workbench``.
        max_bytes: when more is stored, the least recently used artefacts go.
    """

    def __init__(self, root: str | Path | None = None, max_bytes: int = DEFAULT_BYTES) -> None:
        self.root = Path(root or os.environ.get("WORKBENCH_CACHE") or Path.home() / ".cache" / "inference-workbench")
        self.max_bytes = max_bytes
        self._entries = self.root / "artefacts"
        self._temporary = self.root / "tmp"
        try:
            for folder in (self._entries, self._temporary):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"the cache folder {self.root} cannot be made ({error.strerror}): "
                             "set WORKBENCH_CACHE to a folder you can write to") from None
        self._sweep()

    @property
    def size_bytes(self) -> int:
        """All that is stored."""
        return sum(_size(e) for e in self._folders())

    def get(self, key: str) -> Entry | None:
        """The entry of a key, or None; using it makes it young again. A damaged entry is removed."""
        folder = self._entries / key
        try:
            meta = json.loads((folder / _META).read_text("utf-8"))
            os.utime(folder / _META)
        except FileNotFoundError:
            meta = None
        except (OSError, ValueError):
            meta = {}
        if meta is not None and not _is_whole(folder, meta):
            meta = None
        if meta is None and folder.exists():
            self._remove(folder)
        return None if meta is None else Entry(folder, meta)

    def workdir(self) -> Path:
        """A fresh empty folder on the same disk, to fill and hand to :meth:`put`."""
        folder = self._temporary / uuid.uuid4().hex
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise InputError(f"the cache folder {self.root} cannot be written ({error.strerror}): free space, or set "
                             "WORKBENCH_CACHE to another folder") from None
        return folder

    def put(self, key: str, folder: Path, meta: dict[str, Any]) -> Entry:
        """Moves a filled folder in under a key; where another process was first, its entry stays.

        Args:
            key: content hash.
            folder: from :meth:`workdir`.
            meta: JSON values; 'file' names the artefact inside the folder.

        Raises:
            InputError: the disk is full or not writable.
        """
        target = self._entries / key
        try:
            (folder / _META).write_text(json.dumps(meta), "utf-8")
            folder.rename(target)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            found = self.get(key)
            if found is None:
                raise InputError(f"the artefact cannot be stored in {self.root} ({error.strerror}): free space, or set "
                                 "WORKBENCH_CACHE to another folder") from None
            return found
        self._evict(keep=target)
        return Entry(target, meta)

    def clear(self) -> None:
        """Removes every artefact."""
        for folder in self._folders():
            self._remove(folder)

    def _folders(self) -> list[Path]:
        try:
            return [e for e in self._entries.iterdir() if e.is_dir()]
        except OSError:
            return []

    def _evict(self, keep: Path) -> None:
        sizes = {e: _size(e) for e in self._folders()}
        total = sum(sizes.values())
        for folder in sorted(sizes, key=_age):
            if total <= self.max_bytes:
                return
            if folder != keep:
                self._remove(folder)
                total -= sizes[folder]

    def _remove(self, folder: Path) -> None:
        """Out of sight first, so that no other process opens half an entry."""
        aside = self._temporary / uuid.uuid4().hex
        try:
            folder.rename(aside)
        except OSError:
            return  # another process removed it, or has it open (Windows)
        shutil.rmtree(aside, ignore_errors=True)

    def _sweep(self) -> None:
        limit = time.time() - _STALE_S
        try:
            stale = [f for f in self._temporary.iterdir() if f.stat().st_mtime <= limit]
        except OSError:
            return
        for folder in stale:
            shutil.rmtree(folder, ignore_errors=True)


def _is_whole(folder: Path, meta: Any) -> bool:
    """True when the entry has the artefact that it names, inside its own folder."""
    name = meta.get("file") if isinstance(meta, dict) else None
    if not isinstance(name, str):
        return False
    path = (folder / name).resolve()
    return path.exists() and path != folder.resolve() and path.is_relative_to(folder.resolve())


def _size(folder: Path) -> int:
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(root, name)).st_size
            except OSError:
                pass  # went away meanwhile
    return total


def _age(folder: Path) -> float:
    try:
        return (folder / _META).stat().st_mtime_ns
    except OSError:
        return 0.0
