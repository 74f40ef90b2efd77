"""A model is a file with a known format, specs and content hash; never a live framework object."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

Dim = int | str | None  # a size, a symbolic name, or unknown


class ModelFormat(str, Enum):
    """Formats that the workbench reads; the value is what recipes, JSON and the shell say."""

    ONNX = "onnx"
    KERAS = "keras"  # Keras 3 archive, or an .h5 that Keras 3 reads
    KERAS2 = "keras2"  # legacy Keras, needed by tensorflow-model-optimization
    SAVED_MODEL = "saved_model"
    TFLITE = "tflite"
    TORCHSCRIPT = "torchscript"
    TORCH_EXPORT = "torch_export"


@dataclass(frozen=True)
class TensorSpec:
    """One input or output.

    Attributes:
        name: as the format knows it.
        dtype: numpy name, e.g. 'float32', 'int64', 'str'.
        shape: a size, a symbolic name or None for each axis; () is a scalar.
    """

    name: str
    dtype: str
    shape: tuple[Dim, ...]

    @property
    def is_static(self) -> bool:
        """True when every size is a known number."""
        return all(isinstance(d, int) for d in self.shape)

    def to_dict(self) -> dict[str, Any]:
        """Plain form: name, dtype, shape as a list."""
        return {"name": self.name, "dtype": self.dtype, "shape": list(self.shape)}

    @classmethod
    def from_dict(cls, d: dict[str, Any]) -> TensorSpec:
        """Inverse of :meth:`to_dict`."""
        return cls(d["name"], d["dtype"], tuple(d["shape"]))


@dataclass(frozen=True)
class Model:
    """An artefact on disk.

    Attributes:
        path: file, or folder for a SavedModel.
        format: see :class:`ModelFormat`.
        inputs: specs in the model's own order.
        outputs: specs in the model's own order.
        parameters: number of weight elements.
        nodes: number of operators in the main graph (subgraphs included), 0 if the format hides it.
        size_bytes: the artefact on disk, external data included.
        sha256: hash of the content, external data included.
        name: short name for people.
        fix: sizes the user pinned, by input name (recorded, not written into the file).
        notes: what the reader wants the user to know, one line each.
    """

    path: Path
    format: ModelFormat
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    parameters: int
    nodes: int
    size_bytes: int
    sha256: str
    name: str
    fix: tuple[tuple[str, tuple[int, ...]], ...] = ()
    notes: tuple[str, ...] = ()
