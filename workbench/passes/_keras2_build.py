"""Builds a legacy Keras model from the architecture of a Keras 3 model and sets its weights, layer by layer."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from ..errors import NotApplicable
from . import _keras2_config

Weights = dict[str, list[np.ndarray]]  # 'layer' or 'model/layer' -> arrays in the layer's own order
_GENERAL = ("name", "trainable", "dtype", "batch_input_shape")


def build(config: dict[str, Any], weights: Weights) -> Any:
    """The model in legacy Keras.

    Args:
        config: from Keras 3, see :mod:`workbench.passes._keras2_config`.
        weights: of every layer that has some.

    Raises:
        NotApplicable: a layer, a setting or a weight has no counterpart; names the layer.
    """
    reason = _keras2_config.obstacle(config)
    if reason:
        raise NotApplicable(reason)
    return _model(config, weights, "")


def _model(config: dict[str, Any], weights: Weights, prefix: str) -> Any:
    import tf_keras

    inner = config["config"]
    inputs, outputs = (_sequential if config["class_name"] == "Sequential" else _functional)(inner, weights, prefix)
    try:
        return tf_keras.Model(inputs if len(inputs) > 1 else inputs[0], outputs if len(outputs) > 1 else outputs[0],
                              name=inner["name"])
    except (TypeError, ValueError) as error:
        raise NotApplicable(f"legacy Keras cannot build '{inner['name']}': {_line(error)}") from None


def _functional(inner: dict[str, Any], weights: Weights, prefix: str) -> tuple[list[Any], list[Any]]:
    """Calls the layers in an order in which each finds its inputs."""
    made: dict[tuple[str, int, int], Any] = {}
    built: dict[str, Any] = {}
    waiting = [(layer, i, node) for layer in inner["layers"] for i, node in enumerate(layer["inbound_nodes"] or [None])]
    while waiting:
        later = []
        for layer, index, node in waiting:
            name = str(layer.get("name") or layer["config"]["name"])
            if node is not None and any(t not in made for t in _keras2_config.tensors(node)):
                later.append((layer, index, node))
                continue
            if name not in built:
                built[name] = _layer(layer, weights, prefix)
            _call(built[name], name, index, node, made)
        if len(later) == len(waiting):
            raise NotApplicable(f"the inputs of layer '{later[0][0].get('name')}' cannot be traced in the file")
        waiting = later
    for name, layer in built.items():
        _set(layer, weights, prefix + name)
    return ([made[e] for e in _keras2_config.ends(inner["input_layers"])],
            [made[e] for e in _keras2_config.ends(inner["output_layers"])])


def _sequential(inner: dict[str, Any], weights: Weights, prefix: str) -> tuple[list[Any], list[Any]]:
    import tf_keras

    first, *rest = inner["layers"]
    if first["class_name"] == "InputLayer":
        start = _layer(first, weights, prefix)
    else:
        shape = inner.get("build_input_shape") or first.get("build_config", {}).get("input_shape")
        if not shape:
            raise NotApplicable("it has no input shape: call the model once on data before saving it")
        start, rest = tf_keras.Input(shape[1:], batch_size=shape[0]), inner["layers"]
    tensor = start
    for config in rest:
        layer = _layer(config, weights, prefix)
        tensor = layer(tensor)
        _set(layer, weights, prefix + str(config["config"]["name"]))
    return [start], [tensor]


def _layer(config: dict[str, Any], weights: Weights, prefix: str) -> Any:
    """One layer without weights; for an input layer its tensor, for a nested model the model."""
    import tf_keras

    kind, settings = config["class_name"], _keras2_config.settings_of(config)
    if kind in _keras2_config.MODELS:
        return _model(config, weights, f"{prefix}{config['config']['name']}/")
    if kind == "InputLayer":
        shape = settings["batch_input_shape"]
        return tf_keras.Input(shape[1:], batch_size=shape[0], name=settings["name"], dtype=settings.get("dtype"),
                              sparse=settings.get("sparse", False), ragged=settings.get("ragged", False))
    for key in _keras2_config.NESTED:
        if isinstance(config["config"].get(key), dict):
            settings[key] = _layer(config["config"][key], weights, prefix)
    layer_class = getattr(tf_keras.layers, kind)
    known = _accepted(layer_class)
    for key in [k for k in settings if k not in known]:
        if settings.pop(key) not in (None, False, "", [], {}, 1.0):
            raise NotApplicable(f"legacy Keras knows no '{key}' of layer '{settings.get('name')}' ({kind})")
    try:
        direct = kind == "MultiHeadAttention" or _has_layer(settings)  # their from_config wants more than the settings
        return layer_class(**settings) if direct else layer_class.from_config(settings)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise NotApplicable(f"legacy Keras cannot build layer '{settings.get('name')}' ({kind}): "
                            f"{_line(error)}") from None


def _accepted(layer_class: type) -> set[str]:
    """Names of a class's settings, those of its bases included where it passes them on."""
    found = set(_GENERAL)
    for base in layer_class.__mro__:
        if "__init__" in vars(base):
            parameters = inspect.signature(base.__init__).parameters.values()
            found |= {p.name for p in parameters}
            if not any(p.kind == p.VAR_KEYWORD for p in parameters):
                break
    return found


def _has_layer(settings: dict[str, Any]) -> bool:
    return any(hasattr(settings.get(key), "get_weights") for key in _keras2_config.NESTED)


def _call(layer: Any, name: str, index: int, node: dict[str, Any] | None, made: dict) -> None:
    """Calls a layer once and files its results; an input layer is its own result."""
    if node is None:
        made[name, 0, 0] = layer
        return
    arguments = _keras2_config.with_tensors(node["args"], made)
    options = {k: v for k, v in node.get("kwargs", {}).items() if not _is_nothing(v)}
    try:
        result = layer(*arguments, **_keras2_config.with_tensors(options, made))
    except (TypeError, ValueError) as error:
        raise NotApplicable(f"legacy Keras cannot call layer '{name}' as this model does: {_line(error)}") from None
    for i, tensor in enumerate(result if isinstance(result, list | tuple) else [result]):
        made[name, index, i] = tensor


def _is_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(_is_nothing(v) for v in value))


def _set(layer: Any, weights: Weights, key: str) -> None:
    """Sets the weights of a layer; they must agree one by one."""
    if not hasattr(layer, "weights") or hasattr(layer, "layers"):
        return  # an input tensor, or a nested model, whose layers were set already
    given, wanted = weights.get(key, []), [tuple(w.shape) for w in layer.weights]
    if [g.shape for g in given] != wanted:
        raise NotApplicable(f"the weights of layer '{key}' have other shapes in legacy Keras")
    layer.set_weights(given)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
