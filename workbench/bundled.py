"""The small models that ship with the project; how each was made stands in data/README.md."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .datasets.shipped import data_folder, data_place
from .errors import InputError, MissingError

if TYPE_CHECKING:
    from .model import Model


class BundledModel(NamedTuple):
    """One shipped model.

    Attributes:
        name: what the shell and the pickers take.
        title: what people read.
        file: its name inside the data folder.
        dataset: the named data set that it was made for.
        baseline_note: what the model is, in one line.
    """

    name: str
    title: str
    file: str
    dataset: str
    baseline_note: str

    @property
    def path(self) -> Path:
        """Where the file belongs; :func:`path` also checks that it is there."""
        return data_place() / self.file


MODELS: tuple[BundledModel, ...] = (
    BundledModel("cnn", "Small CNN", "cnn.keras", "fashion-mnist",
                 "two 3x3 convolutions with max-pooling, Dense 128, softmax"),
    BundledModel("separable", "Depthwise-separable CNN", "separable.keras", "fashion-mnist",
                 "depthwise-separable convolutions with residual adds and batch norm"),
    BundledModel("mlp", "MLP", "mlp.keras", "mlp",
                 "10 features, two classes, two ReLU layers and softmax"),
    BundledModel("language", "Byte-level transformer", "language.keras", "source-files",
                 "in which language is this source file written? 256 bytes, two attention blocks"),
)


def info(name: str) -> BundledModel:
    """The row of a shipped model.

    Raises:
        InputError: no such model; names those there are.
    """
    for row in MODELS:
        if row.name == name:
            return row
    raise InputError(f"'{name}' is no bundled model; there are: {', '.join(m.name for m in MODELS)}")


def path(name: str) -> Path:
    """The model's file.

    Raises:
        InputError: no such model.
        MissingError: the data folder or the file is not there.
    """
    found = data_folder() / info(name).file
    if not found.is_file():
        raise MissingError(f"{found} is missing: restore it with 'git checkout -- {found.parent.name}/{found.name}', "
                           f"or make it with the script in {found.parent.name}/make")
    return found


def model(name: str) -> Model:
    """Loads a shipped model.

    Raises:
        InputError: no such model.
        MissingError: its file is not on this machine.
    """
    from .model import load

    return load(path(name), name=name)


def dataset_name(model_name: str) -> str:
    """Name of the data set that a shipped model was made for, for ``workbench.datasets.load``.

    Raises:
        InputError: no such model.
    """
    return info(model_name).dataset
