"""How models and calibration samples reach a pass worker: plain data, no pickles."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..model import Model, ModelFormat, TensorSpec

Feeds = tuple[dict[str, np.ndarray], ...]


def model_to_dict(model: Model) -> dict[str, Any]:
    """All fields of a model as JSON can hold them."""
    return {
        **model.to_dict(), "path": str(model.path), "fix": [[n, list(s)] for n, s in model.fix],
    }


def model_from_dict(d: dict[str, Any]) -> Model:
    """Inverse of :func:`model_to_dict`."""
    return Model(
        path=Path(d["path"]), format=ModelFormat(d["format"]),
        inputs=tuple(TensorSpec.from_dict(s) for s in d["inputs"]),
        outputs=tuple(TensorSpec.from_dict(s) for s in d["outputs"]),
        parameters=int(d["parameters"]), nodes=int(d["nodes"]), size_bytes=int(d["size_bytes"]), sha256=d["sha256"],
        name=d["name"], fix=tuple((n, tuple(s)) for n, s in d["fix"]), notes=tuple(d["notes"]))


def write_feeds(path: Path, feeds: Feeds, labels: np.ndarray | None) -> None:
    """Stores feeds in an .npz: arrays 'a0', 'a1', ... in feed order, their names in 'names'.

    Raises:
        InputError: an array holds Python objects.
    """
    names = list(feeds[0]) if feeds else []
    arrays = {"names": np.array(names, dtype=str), "count": np.array(len(feeds))}
    for i, feed in enumerate(feeds):
        for j, name in enumerate(names):
            arrays[f"a{i * len(names) + j}"] = _plain(name, feed[name])
    if labels is not None:
        arrays["labels"] = np.asarray(labels)
    with path.open("wb") as stream:
        np.savez(stream, **arrays)


def read_feeds(path: Path) -> tuple[Feeds, np.ndarray | None]:
    """Inverse of :func:`write_feeds`."""
    with np.load(path, allow_pickle=False) as archive:
        names = [str(n) for n in archive["names"]]
        feeds = tuple({name: archive[f"a{i * len(names) + j}"] for j, name in enumerate(names)}
                      for i in range(int(archive["count"])))
        return feeds, archive["labels"] if "labels" in archive.files else None


def write_training(path: Path, arrays: dict[str, np.ndarray], labels: np.ndarray | None) -> None:
    """Stores training samples in an .npz: arrays 'a0', 'a1', ... with their names in 'names', and 'labels'."""
    named = {f"a{i}": _plain(name, array) for i, (name, array) in enumerate(arrays.items())}
    if labels is not None:
        named["labels"] = np.asarray(labels)
    with path.open("wb") as stream:
        np.savez(stream, names=np.array(list(arrays), dtype=str), **named)


def read_training(path: Path) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
    """Inverse of :func:`write_training`."""
    with np.load(path, allow_pickle=False) as archive:
        arrays = {str(name): archive[f"a{i}"] for i, name in enumerate(archive["names"])}
        return arrays, archive["labels"] if "labels" in archive.files else None


def feeds_hash(feeds: Feeds) -> str:
    """SHA-256 over names, dtypes, shapes and values."""
    total = hashlib.sha256()
    for feed in feeds:
        for name, array in feed.items():
            array = _plain(name, array)
            total.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
            total.update(np.ascontiguousarray(array).data if array.size else b"")
    return total.hexdigest()


def training_hash(arrays: dict[str, np.ndarray], labels: np.ndarray | None) -> str:
    """SHA-256 over training samples and their labels."""
    return feeds_hash((arrays if labels is None else {**arrays, "labels": labels},))


def _plain(name: str, array: np.ndarray) -> np.ndarray:
    array = np.asarray(array)
    if array.dtype != object:
        return array
    if all(isinstance(v, (str, bytes)) for v in array.ravel()):
        return array.astype(str)
    raise InputError(f"input '{name}' holds Python objects: give plain numbers or text")
