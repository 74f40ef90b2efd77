"""A model is a file with a known format, specs and content hash; never a live framework object."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from .errors import InputError

Dim = int | str | None  # a size, a symbolic name, or unknown


class ModelFormat(StrEnum):
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
        shape: a size, a symbolic name or None for each axis; () is a scalar; ('...',) when the file does not
            tell the number of axes.
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

    @property
    def bytes_per_parameter(self) -> float | None:
        """Artefact bytes a weight element: about 4 for float32, 2 for float16, 1 for INT8; None without weights."""
        return self.size_bytes / self.parameters if self.parameters else None

    def to_dict(self) -> dict[str, Any]:
        """Plain form for JSON: name, format, inputs, outputs, nodes, parameters, size_bytes, sha256, notes."""
        return {
            "name": self.name, "format": self.format.value,
            "inputs": [s.to_dict() for s in self.inputs], "outputs": [s.to_dict() for s in self.outputs],
            "nodes": self.nodes, "parameters": self.parameters, "size_bytes": self.size_bytes,
            "sha256": self.sha256, "notes": list(self.notes),
        }


def load(source: Any, *, example_inputs: Any = None, fix: Mapping[str, Any] | None = None,
         name: str | None = None) -> Model:
    """Opens a model: a file of any format the workbench reads, or a live object, which is saved at once.

    Nothing that a file contains is executed; formats that need TensorFlow or PyTorch are read in a process of
    their own, once for each content.

    Args:
        source: path of an ONNX, .keras, .h5, TFLite, TorchScript or .pt2 file or of a SavedModel folder; or a Keras
            model, ``torch.nn.Module``, ``torch.export.ExportedProgram``, TorchScript module or ONNX ``ModelProto``;
            or a :class:`Model`.
        example_inputs: an array, a sequence of arrays or a dict by input name; needed for torch modules and
            TorchScript, which do not store their input shapes.
        fix: input name -> sizes, for inputs with open sizes.
        name: short name for people; default the file's stem.

    Raises:
        InputError: the source cannot be read, is no model, is damaged or unsafe, or ``fix`` does not fit.
        MissingError: the framework that reads this format is not installed.
        WorkerError: that framework hung or ran out of memory.
    """
    from . import formats  # readers load only when a model is opened
    from .formats import base, live, shapes

    pinned = shapes.check_fix(fix)
    if isinstance(source, Model):
        inputs = shapes.apply_fix(source.inputs, pinned)
        return replace(source, inputs=inputs, fix=pinned or source.fix, name=name or source.name)
    options = base.Options(base.example_options(example_inputs), pinned)
    if isinstance(source, (str, os.PathLike)):
        path, notes, label = _as_path(source), (), ""
    else:
        path, notes, label = live.save(source, example_inputs)
    try:
        found = formats.inspect(path, options)
        path = path.parent if path.name == "saved_model.pb" else path
        size = sum(f.stat().st_size for f in found.files)
        sha256 = found.sha256 or base.content_hash(found.files, path)
    except OSError as error:
        raise InputError(f"cannot read {error.filename or path}: {error.strerror}; "
                         "check its mode, or copy it") from None
    return Model(
        path=path, format=found.format, inputs=shapes.apply_fix(found.inputs, pinned), outputs=found.outputs,
        parameters=found.parameters, nodes=found.nodes, size_bytes=size, sha256=sha256,
        name=name or label or path.stem or path.name, fix=pinned, notes=(*notes, *found.notes))


def resolve_inputs(model: Model, sample: Mapping[str, Any] | None = None) -> dict[str, tuple[int, ...]]:
    """Concrete sizes of every input: from ``fix``, then from a first data sample, then 1 for the batch.

    A symbolic name has one size in all inputs, so a size learnt from one input serves the others. The batch is an
    axis called 'batch', 'batch_size', 'N', 'bs' or alike, or axis 0 without a name of its own; a batch in ``fix``
    wins over the sample's.

    Args:
        model: the model.
        sample: one whole input (batch axis included) per input name; inputs may be missing.

    Returns:
        input name -> sizes; () for a scalar.

    Raises:
        InputError: a size is still open (one question that names input and axis), or sizes contradict each other.
    """
    from .formats import shapes

    return shapes.resolve(model.inputs, model.fix, sample)


def _as_path(source: str | os.PathLike) -> Path:
    text = os.fspath(source)
    if isinstance(text, bytes):
        text = os.fsdecode(text)
    if not text.strip() or "\0" in text:
        raise InputError("the model's path is empty or holds a zero byte: give the path of a model file")
    if text.lower().startswith(("http://", "https://", "s3://", "gs://", "hf://")):
        raise InputError(f"{text[:200]} is an address: the workbench does not download; fetch the file, then give its "
                         "path")
    try:
        return Path(text).expanduser().absolute()
    except (RuntimeError, OSError, ValueError) as error:
        raise InputError(f"cannot use {text[:200]!r} as a path: {error}") from None
