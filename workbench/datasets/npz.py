"""Reader for .npz and .npy files that never unpickles and never believes a header before checking it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from ..errors import InputError
from .types import Raw

MAX_BYTES = 8 * 2**30  # all arrays together; more would not fit beside a framework
_MAX_MEMBERS = 1000
_MAX_HEADER = 10_000


def read(path: Path) -> Raw:
    """Arrays of the file by name; one called 'labels' becomes the labels.

    Raises:
        InputError: the file is cut, is not what it says, holds Python objects, or is too large.
    """
    arrays = _read_npy(path) if path.suffix.lower() == ".npy" else _read_npz(path)
    labels = arrays.pop("labels", None)
    return Raw(arrays, labels)


def _read_npy(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as file:
            return {path.stem: _array(file, path.stat().st_size, path.stem, path)}
    except InputError:
        raise
    except Exception as error:  # damaged archives and headers raise a dozen kinds
        raise InputError(_line(path, error)) from None


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if not m.is_dir()]
            _check_members(members, path)
            arrays = {}
            for member in members:
                with archive.open(member) as file:
                    arrays[member.filename.removesuffix(".npy")] = _array(file, member.file_size, member.filename, path)
            return arrays
    except InputError:
        raise
    except Exception as error:  # damaged archives and headers raise a dozen kinds
        raise InputError(_line(path, error)) from None


def _check_members(members: list[zipfile.ZipInfo], path: Path) -> None:
    """Refuses what is no plain .npz, before anything is unpacked."""
    names = [m.filename for m in members]
    strange = [n for n in names if not n.endswith(".npy")]
    if not names:
        raise InputError(f"{path} holds no arrays: save it with numpy.savez")
    if strange or len(names) > _MAX_MEMBERS or len(set(names)) < len(names):
        what = f"'{strange[0][:80]}'" if strange else f"{len(names):,} members, or one of them twice"
        raise InputError(f"{path} is not an .npz file: it holds {what}; save it with numpy.savez")
    total = sum(m.file_size for m in members)
    if total > MAX_BYTES:
        raise InputError(f"{path} unpacks to {total / 2**30:.1f} GiB; at most {MAX_BYTES / 2**30:.0f} GiB are read: "
                         "save fewer samples")


def _array(file, size: int, name: str, path: Path) -> np.ndarray:
    """One array, after its header agreed with the number of bytes that are there."""
    version = np.lib.format.read_magic(file)
    header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if header is None:
        raise InputError(f"'{name}' in {path} is in .npy version {version}: save plain arrays with numpy.savez")
    shape, fortran, dtype = header(file, max_header_size=_MAX_HEADER)
    if dtype.hasobject:
        raise InputError(f"'{name}' in {path} holds Python objects, which are never unpickled: "
                         "save plain arrays, e.g. numpy.savez(path, x=numpy.stack(list))")
    count = 1
    for dimension in shape:
        if isinstance(dimension, bool) or dimension < 0:
            raise InputError(f"'{name}' in {path} states shape {shape}: save it again with numpy.savez")
        count *= int(dimension)
    if count * dtype.itemsize > min(size, MAX_BYTES):
        raise InputError(f"'{name}' in {path} states shape {list(shape)}, more than the file holds: "
                         "the file is damaged, save it again")
    raw = file.read(count * dtype.itemsize)
    if len(raw) < count * dtype.itemsize:
        raise InputError(f"'{name}' in {path} is cut short: save it again")
    flat = np.frombuffer(raw, dtype, count) if count and dtype.itemsize else np.zeros(count, dtype)
    native = flat.astype(dtype.newbyteorder("="), copy=False)
    return native.reshape(shape[::-1]).T if fortran else native.reshape(shape)


def _line(path: Path, error: Exception) -> str:
    reason = (str(error) or type(error).__name__).splitlines()[0][:120]
    return f"{path} cannot be read ({reason}): save it again with numpy.savez, or check the download"
