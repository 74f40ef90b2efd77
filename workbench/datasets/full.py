"""The whole Fashion-MNIST and CIFAR-10: from a local copy where there is one, else fetched where there is a network."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import InputError, MissingError
from . import idx

FOLDER_VARIABLE = "WORKBENCH_DATASETS"
_DEBIAN = Path("/usr/share/datasets")
_FETCH_SECONDS = 600
_CIFAR_RECORD = 1 + 3 * 32 * 32
_FETCH = """
import sys
import numpy, keras
(x, y), (tx, ty) = getattr(keras.datasets, sys.argv[1]).load_data()
numpy.savez(sys.argv[2], x=x, y=y.ravel(), tx=tx, ty=ty.ravel())
"""


class Images(NamedTuple):
    """A published set: uint8 images [n, h, w, c] and integer labels, its own train and test parts."""

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray


def fashion_mnist() -> Images:
    """60,000 and 10,000 greyscale images of 28x28.

    Raises:
        MissingError: no local copy and no network; says where to put one.
    """
    for folder in _folders("fashion-mnist"):
        if (folder / "train-images-idx3-ubyte.gz").is_file():
            names = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
            parts = [idx.read(folder / f"{name}-ubyte.gz") for name in names]
            return _checked(Images(parts[0][..., None], parts[1], parts[2][..., None], parts[3]), folder)
    return _fetched("fashion_mnist", "fashion-mnist-full",
                    "install Debian's dataset-fashion-mnist, or put its four IDX files in a folder 'fashion-mnist'")


def cifar10() -> Images:
    """50,000 and 10,000 colour images of 32x32.

    The local copy is the published 'binary version': its other form is a pickle, which is never opened.

    Raises:
        MissingError: no local copy and no network; says where to put one.
    """
    for folder in _folders("cifar-10-batches-bin"):
        if (folder / "test_batch.bin").is_file():
            train = [_cifar_batch(folder / f"data_batch_{i}.bin") for i in range(1, 6)]
            images, labels = (np.concatenate(part) for part in zip(*train, strict=True))
            return _checked(Images(images, labels, *_cifar_batch(folder / "test_batch.bin")), folder)
    return _fetched("cifar10", "cifar-10", "put the binary version's folder 'cifar-10-batches-bin' in a folder")


def _folders(name: str) -> list[Path]:
    own = os.environ.get(FOLDER_VARIABLE)
    roots = [Path(own).expanduser()] if own else []
    return [root / name for root in (*roots, _DEBIAN)] + roots


def _cifar_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        raw = np.fromfile(path, np.uint8)
    except OSError as error:
        raise InputError(f"cannot read {path} ({error.strerror}): unpack the binary version again") from None
    if raw.size == 0 or raw.size % _CIFAR_RECORD:
        raise InputError(f"{path} holds {raw.size} bytes, no multiple of {_CIFAR_RECORD}: unpack the binary version "
                         "again")
    table = raw.reshape(-1, _CIFAR_RECORD)
    return table[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), table[:, 0]


def _checked(images: Images, folder: Path) -> Images:
    for part, labels in ((images.train, images.train_labels), (images.test, images.test_labels)):
        if part.ndim != 4 or len(part) != len(labels) or len(part) == 0 or labels.max() > 9:
            raise InputError(f"the files in {folder} do not belong together: put the published ones there")
    return images


def _fetched(loader: str, name: str, advice: str) -> Images:
    """Fetches with ``keras.datasets`` in a process of its own, so that no framework loads here."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "set.npz"
        try:
            done = subprocess.run([sys.executable, "-c", _FETCH, loader, str(path)], capture_output=True, text=True,
                                  timeout=_FETCH_SECONDS, check=False)
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1][:160]
        except subprocess.TimeoutExpired:
            reason = f"no answer within {_FETCH_SECONDS} s"
        if not path.is_file():
            raise MissingError(f"{name} is not on this machine and could not be fetched ({reason}): {advice} and set "
                               f"{FOLDER_VARIABLE} to the folder that holds it")
        with np.load(path, allow_pickle=False) as got:
            train, test = (a if a.ndim == 4 else a[..., None] for a in (got["x"], got["tx"]))
            return Images(train, got["y"], test, got["ty"])
