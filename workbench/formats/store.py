"""The user's cache folder: inspection results by content hash, and live models that were saved at once."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from ..errors import InputError

# Inspections of the models that ship with the project, so that the first look at them takes no framework either:
# files of the same names as in the cache folder (made by loading them and copying its 'inspect' folder).
SHIPPED = Path(__file__).resolve().parents[2] / "data" / "inspected"
LIVE_DAYS = 30  # saved live models that were not opened for so long are removed


def cache_dir() -> Path:
    """WORKBENCH_CACHE, else ``~/.cache/inference-workbench``; not created here."""
    return Path(os.environ.get("WORKBENCH_CACHE") or "~/.cache/inference-workbench").expanduser()


def get(key: str) -> dict[str, Any] | None:
    """A remembered inspection, or None; a damaged entry counts as none."""
    for folder in (cache_dir() / "inspect", SHIPPED):
        try:
            found = json.loads((folder / f"{key}.json").read_text("utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(found, dict):
            return found
    return None


def put(key: str, value: dict[str, Any]) -> None:
    """Remembers an inspection; a cache that cannot be written is no error."""
    folder = cache_dir() / "inspect"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, suffix=".part")
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(value, stream)
        os.replace(temporary, folder / f"{key}.json")  # readers see the old entry or the new one, never half
    except OSError:
        return


def scratch() -> Path:
    """A new empty folder for a live model that is about to be saved.

    Raises:
        InputError: the cache folder cannot be written.
    """
    root = cache_dir() / "live"
    try:
        root.mkdir(parents=True, exist_ok=True)
        _drop_old(root)
        return Path(tempfile.mkdtemp(dir=root, prefix="new-"))
    except OSError as error:
        raise InputError(f"cannot save the model in {root} ({error.strerror}): "
                         "set WORKBENCH_CACHE to a folder that can be written") from None


def keep(artefact: Path, sha256: str) -> Path:
    """Moves a saved live model to its final place, named by its content; returns the new path."""
    final = cache_dir() / "live" / sha256[:32]
    if (final / artefact.name).exists():
        shutil.rmtree(artefact.parent, ignore_errors=True)
    else:
        shutil.rmtree(final, ignore_errors=True)
        try:
            artefact.parent.rename(final)
        except OSError:  # another process was first, with the same content
            shutil.rmtree(artefact.parent, ignore_errors=True)
    os.utime(final)
    return final / artefact.name


def _drop_old(root: Path) -> None:
    limit = time.time() - LIVE_DAYS * 86400
    for entry in root.iterdir():
        if entry.stat().st_mtime < limit:
            shutil.rmtree(entry, ignore_errors=True)
