"""Zip archives from strangers: names, sizes and ratios are checked before anything is read."""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

from ..errors import InputError

MAX_RATIO = 200  # float weights compress at most a few times; what exceeds this is a bomb
FREE_BYTES = 64 * 2**20  # below this, any ratio is harmless
MAX_JSON_BYTES = 256 * 2**20
MAX_MEMBERS = 1_000_000


def names(path: Path) -> tuple[str, ...]:
    """Names inside an archive.

    Raises:
        InputError: the archive is damaged, or made to harm (see :func:`open_archive`).
    """
    with open_archive(path) as archive:
        return tuple(archive.namelist())


def open_archive(path: Path) -> zipfile.ZipFile:
    """Opens a zip archive whose directory is harmless.

    Raises:
        InputError: cut short, encrypted, too many entries, a name outside the archive, or a bomb.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError):
        raise InputError(f"{path.name} starts like a zip archive but is damaged or cut short: "
                         "copy or download it again") from None
    problem = _problem(archive.infolist(), path.stat().st_size)
    if problem:
        archive.close()
        raise InputError(f"{path.name} {problem}: not opened")
    return archive


def read(archive: zipfile.ZipFile, member: str, limit: int = MAX_JSON_BYTES) -> bytes:
    """Content of one member.

    Raises:
        InputError: missing, damaged, or larger than ``limit`` bytes.
    """
    label = Path(archive.filename or "archive").name
    try:
        if archive.getinfo(member).file_size > limit:
            raise InputError(f"{label}: '{member}' is larger than {limit} bytes: not opened")
        return archive.read(member)
    except KeyError:
        raise InputError(f"{label} has no '{member}' inside: save the model again") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError):
        raise InputError(f"{label}: '{member}' is damaged: copy or download the file again") from None


def read_json(archive: zipfile.ZipFile, member: str) -> Any:
    """One member as JSON.

    Raises:
        InputError: as :func:`read`, or not JSON, or nested beyond reason.
    """
    return parse_json(read(archive, member), f"{Path(archive.filename or 'archive').name}: '{member}'")


def parse_json(text: bytes | str, label: str) -> Any:
    """JSON from a file that cannot be trusted.

    Raises:
        InputError: not JSON, or nested beyond reason.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(f"{label} is not valid JSON: save the model again") from None


def _problem(entries: list[zipfile.ZipInfo], size: int) -> str:
    if len(entries) > MAX_MEMBERS:
        return "has more than a million entries"
    if len({e.filename.lower() for e in entries}) < len(entries):
        return "holds two entries of one name"  # readers disagree on which of them counts
    for entry in entries:
        parts = entry.filename.replace("\\", "/").split("/")
        if ".." in parts or entry.filename.startswith(("/", "\\")) or ":" in parts[0]:
            return "holds a name that points outside the archive"
        if entry.flag_bits & 1:
            return "is encrypted"
    total = sum(e.file_size for e in entries)
    if total > FREE_BYTES and total > MAX_RATIO * size:
        return f"would unpack to {total} bytes, over {MAX_RATIO} times its size (a zip bomb)"
    return ""
