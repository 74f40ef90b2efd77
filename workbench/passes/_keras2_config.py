"""The architecture text of a Keras 3 file, as legacy Keras can build it. Plain data in and out; no framework loads.

Keras 3 writes calls as ``inbound_nodes`` with ``args`` and ``kwargs`` that hold ``__keras_tensor__`` entries; those are
kept, and what differs between the two in a layer's own settings is translated here.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import NotApplicable

MODELS = ("Functional", "Model", "Sequential")
NESTED = ("layer", "backward_layer", "cell")  # settings that hold a layer of their own
LAYERS = frozenset((
    "InputLayer Dense EinsumDense Embedding Masking Activation Conv1D Conv2D Conv3D Conv1DTranspose Conv2DTranspose "
    "Conv3DTranspose DepthwiseConv1D DepthwiseConv2D SeparableConv1D SeparableConv2D MaxPooling1D MaxPooling2D "
    "MaxPooling3D AveragePooling1D AveragePooling2D AveragePooling3D GlobalMaxPooling1D GlobalMaxPooling2D "
    "GlobalMaxPooling3D GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D Add Subtract Multiply "
    "Average Maximum Minimum Concatenate Dot ReLU LeakyReLU ELU PReLU Softmax BatchNormalization LayerNormalization "
    "GroupNormalization UnitNormalization Rescaling Flatten Reshape Permute RepeatVector Cropping1D Cropping2D "
    "Cropping3D ZeroPadding1D ZeroPadding2D ZeroPadding3D UpSampling1D UpSampling2D UpSampling3D Dropout "
    "SpatialDropout1D SpatialDropout2D SpatialDropout3D GaussianDropout GaussianNoise AlphaDropout "
    "ActivityRegularization MultiHeadAttention Attention AdditiveAttention LSTM GRU SimpleRNN LSTMCell GRUCell "
    "SimpleRNNCell Bidirectional TimeDistributed").split())
_RENAMED = {"LeakyReLU": {"negative_slope": "alpha"}}
_DIFFERENT = {"hard_sigmoid": "hard_sigmoid has another slope"}
_DROPPED = ("optional", "quantization_config", "build_config", "shared_object_id")


def read(path: Path) -> dict[str, Any] | None:
    """The architecture in a ``.keras`` archive; None for other files, which only Keras can read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read("config.json"))
    except (OSError, zipfile.BadZipFile, KeyError, ValueError):
        return None


def layers(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every layer of a model's architecture, those of nested models and wrappers included."""
    for layer in config.get("config", {}).get("layers", ()):
        yield layer
        if layer.get("class_name") in MODELS:
            yield from layers(layer)
        for key in NESTED:
            inner = layer.get("config", {}).get(key)
            if isinstance(inner, dict):
                yield inner


def obstacle(config: dict[str, Any]) -> str | None:
    """Why legacy Keras cannot build this model, in one sentence, or None as far as the text tells."""
    if config.get("class_name") not in MODELS:
        return f"it is a model of its own class ({config.get('class_name')}), not one of layers"
    for layer in layers(config):
        kind, name = layer.get("class_name"), _name(layer)
        if kind in MODELS:
            continue
        if ".ops." in str(layer.get("module")):
            return f"'{name}' is the operation keras.ops {kind}, not a layer: write it as a layer"
        if kind not in LAYERS:
            return f"legacy Keras, which this technique needs, has no counterpart of layer '{name}' ({kind})"
        settings = layer.get("config", {})
        changed = next((v for v in settings.values() if isinstance(v, str) and v in _DIFFERENT), None)
        if changed:
            return f"layer '{name}' differs in legacy Keras: {_DIFFERENT[changed]}"
        policy = _dtype(settings.get("dtype"))
        if "from" in policy or policy in ("int4", "int8", "float8"):
            return f"layer '{name}' is already quantized ({policy})"
    return None


def settings_of(layer: dict[str, Any]) -> dict[str, Any]:
    """A layer's settings as legacy Keras takes them.

    Initializers go, since every weight is set; None and empty ones of newer Keras go too.
    """
    found = {}
    renamed = _RENAMED.get(layer["class_name"], {})
    for key, value in layer.get("config", {}).items():
        if key in _DROPPED or key.endswith("_initializer"):
            continue
        if key in ("batch_shape", "batch_input_shape"):
            found["batch_input_shape"] = value
        elif key == "dtype":
            found[key] = _dtype(value)
        elif key not in NESTED:
            found[renamed.get(key, key)] = _plain(value)
    return found


def tensors(value: Any) -> Iterator[tuple[str, int, int]]:
    """Origins (layer, call, output) of all tensors in the arguments of a call."""
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            name, node, index = value["config"]["keras_history"]
            yield str(name), int(node), int(index)
        else:
            for inner in value.values():
                yield from tensors(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from tensors(inner)


def with_tensors(value: Any, made: dict[tuple[str, int, int], Any]) -> Any:
    """The arguments of a call with real tensors in the place of their descriptions."""
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            name, node, index = value["config"]["keras_history"]
            return made[str(name), int(node), int(index)]
        if "class_name" in value:
            raise NotApplicable(f"a call takes a {value['class_name']}, which legacy Keras does not know")
        return {k: with_tensors(v, made) for k, v in value.items()}
    if isinstance(value, list):
        return [with_tensors(v, made) for v in value]
    return value


def ends(value: Any) -> list[tuple[str, int, int]]:
    """``input_layers`` or ``output_layers``: one entry, a list of them, or a dict, in the order of Keras 3."""
    if isinstance(value, dict):
        return [e for key in sorted(value) for e in ends(value[key])]
    if len(value) == 3 and isinstance(value[0], str) and isinstance(value[1], int):
        return [(value[0], value[1], value[2])]
    return [e for inner in value for e in ends(inner)]


def _dtype(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("config", {}).get("name", "float32"))
    return str(value or "float32")


def _plain(value: Any) -> Any:
    """Regularizers and the like without the module names of Keras 3."""
    if isinstance(value, dict) and "class_name" in value:
        return {"class_name": value["class_name"], "config": _plain(value.get("config", {}))}
    return value


def _name(layer: dict[str, Any]) -> str:
    return str(layer.get("config", {}).get("name") or layer.get("name"))
