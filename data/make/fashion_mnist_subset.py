"""Makes data/fashion_mnist_subset.npz (1,000 calibration and 2,000 held-out images of Fashion-MNIST) and
data/fashion_mnist_training.npz (10,000 training images).

Run with: python data/make/fashion_mnist_subset.py [FOLDER]
FOLDER holds the four IDX files; Debian's package dataset-fashion-mnist puts them in the default.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from workbench.datasets import idx

DATA = Path(__file__).resolve().parent.parent
FOLDER = Path("/usr/share/datasets/fashion-mnist")


def original(folder: Path = FOLDER) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The whole set: train images [60000, 28, 28] and labels, test images [10000, 28, 28] and labels; uint8."""
    names = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    return tuple(idx.read(folder / f"{name}-ubyte.gz") for name in names)


def balanced(labels: np.ndarray, per_class: int, seed: int) -> np.ndarray:
    """Indices of ``per_class`` samples of every class, in a shuffled order."""
    rng = np.random.default_rng(seed)
    chosen = [rng.choice(np.flatnonzero(labels == c), per_class, replace=False) for c in np.unique(labels)]
    return rng.permutation(np.concatenate(chosen))


def main(folder: Path) -> None:
    """Writes both; only the held-out images come from the test part of the set."""
    train, train_labels, test, test_labels = original(folder)
    calibration, evaluation = balanced(train_labels, 100, seed=0), balanced(test_labels, 200, seed=1)
    np.savez_compressed(
        DATA / "fashion_mnist_subset.npz",
        calibration_image=train[calibration], calibration_labels=train_labels[calibration],
        evaluation_image=test[evaluation], evaluation_labels=test_labels[evaluation])
    training = balanced(train_labels, 1000, seed=2)
    np.savez_compressed(DATA / "fashion_mnist_training.npz", image=train[training], labels=train_labels[training])


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
