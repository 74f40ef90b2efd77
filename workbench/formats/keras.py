"""Reads Keras files (.keras, .h5) of Keras 2 and 3, each with its own Keras in a worker process."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..model import Dim, ModelFormat, TensorSpec
from . import isolated, keras_config
from .base import UNKNOWN_RANK, Inspection, Options, Probe, unique_names

_HDF5 = b"\x89HDF\r\n\x1a\n"


def sniff(found: Probe) -> bool:
    """An archive with config.json beside weights or metadata, or an HDF5 file."""
    if found.members:
        return "config.json" in found.members and bool({"metadata.json", "model.weights.h5"} & set(found.members))
    return found.head.startswith(_HDF5)


def read(found: Probe, options: Options) -> Inspection:
    """Specs and counts of a Keras model; the format says which Keras it takes.

    Raises:
        InputError: damaged, weights only, unsafe (Lambda, custom classes), or not buildable.
        MissingError: TensorFlow is not installed.
        WorkerError: the worker hung or ran out of memory.
    """
    return isolated.inspect("keras", found.path, (found.path,), Options(), package="tensorflow")


def inspect_here(path: Path, options: Options) -> Inspection:
    """What :func:`read` returns; loads TensorFlow, so it runs in a worker.

    Raises:
        InputError: see :func:`read`.
    """
    architecture = keras_config.read(path)
    # A process holds one Keras: the choice must be made before either is imported.
    os.environ["TF_USE_LEGACY_KERAS"] = "1" if architecture.legacy else "0"
    os.environ["KERAS_BACKEND"] = "tensorflow"
    try:
        model = _load_legacy(path, architecture.tfmot) if architecture.legacy else _load_current(path)
    except InputError:
        raise
    except Exception as error:
        raise InputError(_failure(path, architecture, error)) from None
    if not getattr(model, "built", True) or not model.inputs:
        raise InputError(f"{path.name} has no input shape: call the model once on data before saving it")
    inputs, outputs = _specs(model, architecture.legacy)
    writer = f"written by Keras {architecture.version}" if architecture.version else "Keras version unknown"
    notes = [writer] + (["read with legacy Keras (tf_keras)"] if architecture.legacy else [])
    return Inspection(
        format=ModelFormat.KERAS2 if architecture.legacy else ModelFormat.KERAS, inputs=inputs, outputs=outputs,
        parameters=int(model.count_params()), nodes=_layers(model), notes=tuple(notes))


def _load_current(path: Path) -> Any:
    import keras

    return keras.saving.load_model(path, compile=False, safe_mode=True)


def _load_legacy(path: Path, tfmot: bool) -> Any:
    import tf_keras

    with ExitStack() as scopes:
        if tfmot:
            import tensorflow_model_optimization as optimization

            scopes.enter_context(optimization.quantization.keras.quantize_scope())
            scopes.enter_context(optimization.sparsity.keras.prune_scope())
        return tf_keras.models.load_model(path, compile=False, safe_mode=True)


def _specs(model: Any, legacy: bool) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Inputs by the name of their input layer, outputs by the name of the layer that makes them."""
    in_names = model.input_names if legacy else [t.name for t in model.inputs]
    # A Sequential of Keras 3 keeps no output_names.
    out_names = getattr(model, "output_names", None) or [t._keras_history[0].name for t in model.outputs]
    return (tuple(_spec(n, t) for n, t in zip(unique_names(in_names), model.inputs, strict=True)),
            tuple(_spec(n, t) for n, t in zip(unique_names(out_names), model.outputs, strict=True)))


def _spec(name: str, tensor: Any) -> TensorSpec:
    dtype = getattr(tensor.dtype, "name", tensor.dtype)
    return TensorSpec(name, "str" if dtype == "string" else str(dtype), _shape(tensor.shape))


def _shape(shape: Any) -> tuple[Dim, ...]:
    if shape is None or getattr(shape, "rank", 0) is None:
        return UNKNOWN_RANK
    return tuple(None if d is None else int(d) for d in shape)


def _layers(model: Any) -> int:
    """Layers that compute: nested models are opened, input layers left out."""
    count = 0
    todo = list(model.layers)
    while todo:
        layer = todo.pop()
        inner = getattr(layer, "layers", None)
        if inner:
            todo += inner
        else:
            count += type(layer).__name__ != "InputLayer"
    return count


def _failure(path: Path, architecture: keras_config.Architecture, error: Exception) -> str:
    cause = " ".join(str(error).split())
    if any(sign in cause for sign in ("Could not locate", "Unknown layer", "Unknown object", "custom_objects",
                                      "could not be found", "registered")):
        return (f"{path.name} uses a custom class, whose code is not in the file ({cause[:160]}): in the program that "
                "made it, export it as SavedModel (model.export) or ONNX")
    which = f"Keras {architecture.version}" if architecture.version else "Keras"
    return f"cannot read {path.name} (written by {which}): {cause[:240] or type(error).__name__}"
