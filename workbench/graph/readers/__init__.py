"""Readers of graphs, one a file: what a model holds, and what a runtime really executes.

A reader module defines ``read(model, shapes) -> Graph``; one of an executed graph ``read(model, shapes, options) ->
Graph``. A new one takes a module and one row here.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from os import PathLike
from typing import Any

from ...errors import InputError
from ...model import Model, ModelFormat, load, resolve_inputs
from ..cost import with_costs
from ..graph import Graph

READERS: tuple[tuple[ModelFormat, str], ...] = (
    (ModelFormat.ONNX, "onnx"),
    (ModelFormat.TFLITE, "tflite"),
    (ModelFormat.KERAS, "keras"),
    (ModelFormat.KERAS2, "keras"),
    (ModelFormat.SAVED_MODEL, "tensorflow"),
    (ModelFormat.TORCHSCRIPT, "torchscript"),
    (ModelFormat.TORCH_EXPORT, "torch_export"),
)
# Runtime -> module that asks it for the graph it runs, and the formats it takes.
EXECUTED: tuple[tuple[str, str, tuple[ModelFormat, ...]], ...] = (
    ("onnxruntime", "onnxruntime", (ModelFormat.ONNX,)),
    ("openvino", "openvino", (ModelFormat.ONNX, ModelFormat.TFLITE, ModelFormat.SAVED_MODEL)),
    ("tensorflow", "tensorflow", (ModelFormat.SAVED_MODEL, ModelFormat.KERAS, ModelFormat.KERAS2)),
)


def read(model: Model | str | PathLike, *, shapes: Mapping[str, tuple[int, ...]] | None = None) -> Graph:
    """The graph of a model, in a form that is the same for all formats.

    Args:
        model: a :class:`workbench.model.Model`, or a path of a file or folder.
        shapes: input name -> sizes, as the data has them; open sizes that are missing default to the model's ``fix``
            and a batch of 1, and stay open where that does not tell.

    Returns:
        nodes with operator, scope, attributes, tensors and costs.

    Raises:
        InputError: the model cannot be read; one line.
        MissingError: a framework that this format takes is not installed.
        WorkerError: the framework hung or ran out of memory.
    """
    model = model if isinstance(model, Model) else load(model)
    for format, module in READERS:
        if model.format == format:
            reader = import_module(f"{__name__}.{module}")
            return with_costs(reader.read(model, known_shapes(model, shapes)))
    raise InputError(f"the graph of a {model.format.value} model cannot be read")


def executed(model: Model | str | PathLike, runtime: str, *, shapes: Mapping[str, tuple[int, ...]] | None = None,
             **options: Any) -> Graph:
    """The graph that a runtime executes, after its own optimizations; asked for in a process of its own.

    Args:
        model: as for :func:`read`.
        runtime: 'onnxruntime', 'openvino' or 'tensorflow'.
        shapes: as for :func:`read`.
        options: of that runtime: ``level`` ('disabled', 'basic', 'extended', 'layout', 'all' of ONNX Runtime; 'before'
            or 'after' Grappler of TensorFlow), ``precision`` ('f32', 'bf16', 'f16', '' for OpenVINO's
            own choice).

    Raises:
        InputError: the runtime does not take this model.
        MissingError: the runtime is not installed.
        WorkerError: it hung or ran out of memory.
    """
    model = model if isinstance(model, Model) else load(model)
    for name, module, formats in EXECUTED:
        if name != runtime:
            continue
        if model.format not in formats:
            raise InputError(f"{runtime} does not load {model.format.value}; convert the model first")
        reader = import_module(f"{__name__}.executed_{module}")
        return with_costs(reader.read(model, known_shapes(model, shapes), options))
    raise InputError(f"no executed graph from '{runtime}'; there is: {', '.join(row[0] for row in EXECUTED)}")


def known_shapes(model: Model, shapes: Mapping[str, tuple[int, ...]] | None) -> dict[str, tuple[int, ...]] | None:
    """Sizes of all inputs: the given ones, then ``fix``, then a batch of 1; None when some stay open."""
    names = {s.name for s in model.inputs}
    given = {name: tuple(sizes) for name, sizes in (shapes or {}).items() if name in names}
    try:
        return resolve_inputs(model) | given
    except InputError:
        missing = [s.name for s in model.inputs if s.name not in given and not s.is_static]
        static = {s.name: s.shape for s in model.inputs if s.is_static}
        return static | given if not missing else None
