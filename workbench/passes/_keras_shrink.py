"""Builds a Keras 3 network without some of its channels: smaller layers, the weights that stay, the same names."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import NotApplicable
from ..model import Model
from . import _keras_layers
from ._keras_channels import Map

_KINDS = ("Sequential", "Functional", "Model")


def functional(model: Any) -> Any:
    """A functional model of the same layers, whatever way it was built.

    Raises:
        NotApplicable: it is a subclass whose structure only its code knows.
    """
    kind = type(model).__name__
    if kind not in _KINDS or not getattr(model, "inputs", None):
        raise NotApplicable(_own_class(kind))
    if kind != "Sequential":
        return model
    import keras

    return keras.Model(model.inputs[0], model.outputs[0], name=model.name)


def why_not(model: Model) -> str | None:
    """One sentence why a Keras 3 file cannot be rebuilt smaller, from its configuration alone; None when it can."""
    try:
        with zipfile.ZipFile(model.path) as archive:
            kind = json.loads(archive.read("config.json")).get("class_name", "")
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None  # an .h5 file, or one that the loader explains better
    return None if kind in _KINDS else _own_class(kind)


def _own_class(kind: str) -> str:
    return (f"the model is of the class '{kind}', whose layers only its own code connects: build it with the "
            "functional API, or save it as one")


def shrink(model: Any, found: Map, removed: np.ndarray, *, fresh: bool = False) -> Any:
    """The network without these units.

    Args:
        model: functional Keras 3 model; not changed.
        found: its channels, of :func:`workbench.passes._keras_layers.trace`.
        removed: roots of the units that go.
        fresh: begin with random weights instead of those that stay.

    Returns:
        a new functional model with the weights that stay; same input and output names and shapes.

    Raises:
        NotApplicable: Keras cannot rebuild a layer at the smaller size.
    """
    gone = np.zeros(len(found.channels), bool)
    gone[removed] = True

    def kept(ids: np.ndarray) -> np.ndarray:
        return ~gone[found.channels.roots(ids)]

    config = model.get_config()
    _edit(model, config, found, kept)
    try:
        made = type(model).from_config(config)
        if not fresh:
            made.set_weights(_weights(model, found, kept))
    except (ValueError, TypeError) as error:
        cause = " ".join(str(error).split())[:200]
        raise NotApplicable(f"Keras cannot rebuild this model with fewer filters: {cause}") from None
    return made


def save(network: Any, path: Path) -> Path:
    """Writes a network for inference only: without optimizer and loss, which other programs need not know."""
    import keras

    keras.Model(network.input, network.output, name=network.name).save(path)
    return path


def _edit(model: Any, config: dict[str, Any], found: Map, kept: Any) -> None:
    """Writes the new sizes into the layers of a configuration (in place), nested models included."""
    layers = {layer.name: layer for layer in (*_keras_layers.functional(model).operations, *model.layers)}
    for entry in config["layers"]:
        entry.pop("build_config", None)  # holds the old shapes; layers are built anew when they are called
        inner = entry["config"]
        layer = layers.get(entry.get("name") or inner.get("name"))
        if layer is None:
            continue
        if "layers" in inner:
            inner.pop("build_input_shape", None)
            _edit(layer, inner, found, kept)
        for key, index, ids in found.sizes.get(id(layer), ()):
            inner[key] = _resized(inner.get(key), index, ids, int(kept(ids).sum()))


def _resized(value: Any, index: int | None, ids: np.ndarray, count: int) -> Any:
    if index is None:
        return value if count == len(ids) else count
    return [*value[:-1], count]


def _weights(model: Any, found: Map, kept: Any) -> list[np.ndarray]:
    made = []
    for variable in model.weights:
        array = np.asarray(variable)
        for axis, ids in found.axes.get(id(variable), ()):
            array = np.compress(kept(ids), array, axis=axis)
        made.append(array)
    return made
