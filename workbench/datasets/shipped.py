"""The data sets that are known by name: those that ship with the project and those that it can find or fetch."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..errors import MissingError
from ..model import Model
from . import full, images, npz, source_files
from .types import Raw

DATA_VARIABLE = "WORKBENCH_DATA"
FASHION_CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
                   "Ankle boot")
CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_CALIBRATION, _PER_LANGUAGE, _TRAINING_PER_LANGUAGE, _TRAINING = 1000, (72, 150), 600, 10_000

Pair = tuple[Raw, Raw]  # calibration, evaluation
Training = Callable[[Model, str], Raw]


def data_place() -> Path:
    """Where the data folder belongs, there or not: $WORKBENCH_DATA, else ``data`` of the checkout."""
    named = os.environ.get(DATA_VARIABLE)
    return Path(os.path.expanduser(named)) if named else Path(__file__).resolve().parents[2] / "data"


def data_folder() -> Path:
    """The folder with the shipped models and data.

    Raises:
        MissingError: it is not there; says how to name it.
    """
    folder = data_place()
    if not (folder / "fashion_mnist_subset.npz").is_file():
        raise MissingError(f"the shipped models and data are not in {folder}: run from a checkout of the project, "
                           f"or set {DATA_VARIABLE} to its 'data' folder")
    return folder


def _fashion_mnist(model: Model, pixels: str) -> Pair:
    arrays = npz.read(data_folder() / "fashion_mnist_subset.npz").arrays
    parts = [(arrays[f"{side}_image"][..., None], arrays[f"{side}_labels"]) for side in ("calibration", "evaluation")]
    return _images(model, pixels, parts, FASHION_CLASSES, "fashion-mnist")


def _fashion_mnist_training(model: Model, pixels: str) -> Raw:
    found = npz.read(data_folder() / "fashion_mnist_training.npz")
    parts = [(found.arrays["image"][..., None], found.labels)]
    return _images(model, pixels, parts, FASHION_CLASSES, "fashion-mnist")[0]


def _fashion_mnist_full(model: Model, pixels: str) -> Pair:
    return _published(model, pixels, full.fashion_mnist(), FASHION_CLASSES, "fashion-mnist-full")


def _cifar10(model: Model, pixels: str) -> Pair:
    return _published(model, pixels, full.cifar10(), CIFAR_CLASSES, "cifar-10")


def _published(model: Model, pixels: str, found: full.Images, classes: tuple[str, ...], name: str) -> Pair:
    chosen = np.random.default_rng(0).permutation(len(found.train))[:_CALIBRATION]
    parts = [(found.train[chosen], found.train_labels[chosen]), (found.test, found.test_labels)]
    return _images(model, pixels, parts, classes, name)


def _published_training(load: Callable[[], full.Images], classes: tuple[str, ...], name: str) -> Training:
    def read(model: Model, pixels: str) -> Raw:
        found = load()
        chosen = np.random.default_rng(1).permutation(len(found.train))[:_TRAINING]
        return _images(model, pixels, [(found.train[chosen], found.train_labels[chosen])], classes, name)[0]

    return read


def _images(model: Model, pixels: str, parts: list[tuple[np.ndarray, np.ndarray]], classes: tuple[str, ...],
            name: str) -> tuple[Raw, ...]:
    """Images [n, h, w, c] and labels of each part, fitted to the model's image input."""
    spec, place = images.image_input(model, name)
    made = []
    for table, labels in parts:
        height, width = place.height or table.shape[1], place.width or table.shape[2]
        same = (height, width, place.channels) == table.shape[1:]
        most = len(table) if same else images.most_images(place, height, width)
        fitted = images.resize(table[:most], place)
        array, note = images.arrange(fitted, spec, place, pixels)
        notes = [note] if same else [f"images resized to {height}x{width}x{place.channels}", note]
        made.append(Raw({spec.name: array}, labels[:most].astype(np.int64), classes, tuple(notes)))
    return tuple(made)


def _mlp(model: Model, pixels: str) -> Pair:
    arrays = npz.read(data_folder() / "mlp.npz").arrays
    return tuple(Raw({"features": arrays[f"{side}_features"]}, arrays[f"{side}_labels"])
                 for side in ("calibration", "evaluation"))


def _mlp_training(model: Model, pixels: str) -> Raw:
    arrays = npz.read(data_folder() / "mlp.npz").arrays
    return Raw({"features": arrays["training_features"]}, arrays["training_labels"])


def _source_files(model: Model, pixels: str) -> Pair:
    found = source_files.files()
    sides = []
    for held, count in zip((False, True), _PER_LANGUAGE, strict=True):
        chosen = [f for f in found if source_files.is_held_out(f.package) is held]
        text, labels = source_files.sample(chosen, count, seed=int(held))
        sides.append(Raw({"bytes": text}, labels, source_files.LANGUAGES,
                         ("read from the packages that are installed here; evaluation packages were not trained on",)))
    return sides[0], sides[1]


def _source_files_training(model: Model, pixels: str) -> Raw:
    chosen = [f for f in source_files.files() if not source_files.is_held_out(f.package)]
    text, labels = source_files.sample(chosen, _TRAINING_PER_LANGUAGE, seed=2)
    return Raw({"bytes": text}, labels, source_files.LANGUAGES)


SETS: dict[str, tuple[str, Callable[[Model, str], Pair]]] = {
    "fashion-mnist": ("Fashion-MNIST, 1,000 + 2,000 images", _fashion_mnist),
    "mlp": ("10 features, two classes, 250 + 1,000 samples", _mlp),
    "source-files": ("windows of the installed packages' source files, seven languages", _source_files),
    "fashion-mnist-full": ("Fashion-MNIST, 1,000 + 10,000 images (local copy or network)", _fashion_mnist_full),
    "cifar-10": ("CIFAR-10, 1,000 + 10,000 images (local copy or network)", _cifar10),
}
TRAINING: dict[str, Training] = {  # what the training passes learn from; read when one asks
    "fashion-mnist": _fashion_mnist_training,
    "mlp": _mlp_training,
    "source-files": _source_files_training,
    "fashion-mnist-full": _published_training(full.fashion_mnist, FASHION_CLASSES, "fashion-mnist-full"),
    "cifar-10": _published_training(full.cifar10, CIFAR_CLASSES, "cifar-10"),
}
