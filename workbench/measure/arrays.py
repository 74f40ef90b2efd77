"""Arrays between the kernel and a worker: .npz files without pickles, whatever the names and dtypes."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

_META = "meta"
Feed = dict[str, np.ndarray]


def digest(feeds: Sequence[Feed]) -> str:
    """Content hash of feeds: names, dtypes, shapes, values (32 hex digits)."""
    found = hashlib.blake2b(digest_size=16)
    for feed in feeds:
        for name, array in feed.items():
            stored = _stored(array)
            found.update(f"{name}|{array.dtype}|{stored.dtype}|{array.shape}|".encode())
            found.update(np.ascontiguousarray(stored).reshape(-1).view(np.uint8))
    return found.hexdigest()


def write_feeds(path: Path, feeds: Sequence[Feed]) -> None:
    """Writes feeds, in order; names may hold anything, since the members are numbered."""
    names = [list(feed) for feed in feeds]
    dtypes = [[array.dtype.name for array in feed.values()] for feed in feeds]
    members = {f"{i}_{j}": _stored(array) for i, feed in enumerate(feeds) for j, array in enumerate(feed.values())}
    np.savez(path, **{_META: np.array(json.dumps([names, dtypes]))}, **members)


def count_feeds(path: Path) -> int:
    """Number of feeds in a file."""
    with np.load(path, allow_pickle=False) as archive:
        return len(json.loads(str(archive[_META]))[0])


def read_feeds(path: Path) -> Iterator[Feed]:
    """Reads feeds one by one, so that a large file need not fit into memory."""
    with np.load(path, allow_pickle=False) as archive:
        names, dtypes = json.loads(str(archive[_META]))
        for i, (row, kinds) in enumerate(zip(names, dtypes, strict=True)):
            yield {n: _restored(archive[f"{i}_{j}"], k) for j, (n, k) in enumerate(zip(row, kinds, strict=True))}


def write_outputs(path: Path, outputs: Sequence[Feed], batches: Sequence[int | None]) -> list[str]:
    """Joins the outputs of many runs along axis 0 and writes them, keyed by output name.

    An output whose axis 0 is the batch in every run is concatenated; any other gets a new axis 0, one entry a run.
    Where sizes differ from run to run, smaller ones are filled up with zeros.

    Args:
        path: .npz to write.
        outputs: one mapping a run.
        batches: samples in each run's feed, None where its inputs do not agree on one.

    Returns:
        names of the outputs that were filled up.
    """
    joined, filled = {}, []
    for name in outputs[0] if outputs else ():
        arrays = [_plain(run[name]) for run in outputs]
        has_batch = all(a.ndim and a.shape[0] == n for a, n in zip(arrays, batches, strict=True))
        arrays = arrays if has_batch else [a[None] for a in arrays]
        if len({a.shape[1:] for a in arrays}) > 1:
            filled.append(name)
            arrays = _fill(arrays)
        joined[name] = np.concatenate(arrays)
    # member by member: np.savez would take an output named 'file' for its own argument
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in joined.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    return filled


def owned(value: Any) -> np.ndarray:
    """A copy that outlives the next run: some runtimes hand out views of their own buffers."""
    return np.array(value)


def batch_of(feed: Feed) -> int | None:
    """Samples in a feed: the leading size that its inputs share, scalars left out; None when they disagree."""
    sizes = {array.shape[0] for array in feed.values() if array.ndim}
    return sizes.pop() if len(sizes) == 1 else None


def _stored(array: np.ndarray) -> np.ndarray:
    """What .npz can hold: text instead of objects, bytes instead of bfloat16 and its like."""
    if array.dtype.kind == "O":
        return array.astype(str)
    if array.dtype.kind == "V":
        return np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}")
    return array


def _restored(array: np.ndarray, name: str) -> np.ndarray:
    if name == "object":
        return array.astype(object)
    if name in ("bfloat16", "int4", "uint4", "int2", "uint2") or name.startswith(("float8_", "float6_", "float4_")):
        import ml_dtypes

        return array.view(getattr(ml_dtypes, name))
    return array


def _plain(value: Any) -> np.ndarray:
    """An output in a dtype that .npz and every reader know."""
    array = np.asarray(value)
    if array.dtype.kind == "O":
        return array.astype(str)
    if array.dtype.kind == "V":  # bfloat16 and its like, all exact in float32
        return array.astype(np.float32)
    return array


def _fill(arrays: list[np.ndarray]) -> list[np.ndarray]:
    rank = max(a.ndim for a in arrays)
    arrays = [a.reshape(a.shape + (1,) * (rank - a.ndim)) for a in arrays]
    shape = tuple(max(a.shape[axis] for a in arrays) for axis in range(1, rank))
    filled = []
    for array in arrays:
        whole = np.zeros(array.shape[:1] + shape, dtype=array.dtype)
        whole[tuple(slice(n) for n in array.shape)] = array
        filled.append(whole)
    return filled
