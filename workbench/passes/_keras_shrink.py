"""Builds a Keras 3 network without some of its channels: smaller layers, the weights that stay, the same names."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import NotApplicable
from . import _keras_layers
from ._keras_channels import Map


def functional(model: Any) -> Any:
    """A functional model of the same layers, whatever way it was built.

    Raises:
        NotApplicable: it is a subclass whose structure only its code knows.
    """
    kind = type(model).__name__
    if kind not in ("Sequential", "Functional", "Model") or not getattr(model, "inputs", None):
        raise NotApplicable(f"the model is of the class '{kind}', whose layers only its own code connects: build it "
                            "with the functional API, or save it as one")
    if kind != "Sequential":
        return model
    import keras

    return keras.Model(model.inputs[0], model.outputs[0], name=model.name)


def shrink(model: Any, found: Map, removed: np.ndarray) -> Any:
    """The network without these units.

    Args:
        model: functional Keras 3 model; not changed.
        found: its channels, of :func:`workbench.passes._keras_layers.trace`.
        removed: roots of the units that go.

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
        made.set_weights(_weights(model, found, kept))
    except (ValueError, TypeError) as error:
        cause = " ".join(str(error).split())[:200]
        raise NotApplicable(f"Keras cannot rebuild this model with fewer filters: {cause}") from None
    return made


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
