"""How each kind of Keras layer treats channels; what is not listed here keeps its input and output as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ._keras_channels import Consumer, Map, Producer

_MIXING = frozenset({"softmax", "log_softmax", "glu", "sparsemax"})  # activations over the channel axis
_FREE = frozenset({
    "ReLU", "LeakyReLU", "ELU", "Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "AlphaDropout",
    "GaussianNoise", "GaussianDropout", "ActivityRegularization", "Identity", "Rescaling", "MaxPooling1D",
    "MaxPooling2D", "MaxPooling3D", "AveragePooling1D", "AveragePooling2D", "AveragePooling3D", "GlobalMaxPooling1D",
    "GlobalMaxPooling2D", "GlobalMaxPooling3D", "GlobalAveragePooling1D", "GlobalAveragePooling2D",
    "GlobalAveragePooling3D", "ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D", "Cropping1D", "Cropping2D",
    "Cropping3D", "UpSampling1D", "UpSampling2D", "UpSampling3D", "AdaptiveAveragePooling2D", "Relu", "Relu6", "Silu",
    "Sigmoid", "Tanh", "Gelu", "HardSwish", "HardSigmoid"})
_JOINING = frozenset({"Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"})
_CONVOLUTIONS = frozenset({"Conv1D", "Conv2D", "Conv3D", "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"})

Ids = list[np.ndarray]


class Tracer:
    """Walks a functional model once.

    Args:
        exact: channels that a normalization over all channels reads must stay, so that removing an all-zero channel
            changes nothing; False for a network that is trained anew.
    """

    def __init__(self, *, exact: bool = True) -> None:
        self.map, self._exact = Map(), exact
        self._seen: dict[int, tuple[Ids, Ids]] = {}

    def walk(self, model: Any, given: Ids) -> Ids:
        """Numbers of the outputs of a model whose inputs have these numbers."""
        known = {id(t): ids for t, ids in zip(model.inputs, given, strict=True)}
        for depth in sorted(model._nodes_by_depth, reverse=True):
            for node in model._nodes_by_depth[depth]:
                if node.is_input or any(id(t) not in known for t in node.input_tensors):
                    continue
                outs = self._visit(node.operation, node, [known[id(t)] for t in node.input_tensors])
                known |= {id(t): ids for t, ids in zip(node.output_tensors, outs, strict=True)}
        return [known[id(t)] for t in model.outputs]

    def _visit(self, layer: Any, node: Any, ins: Ids) -> Ids:
        earlier = self._seen.get(id(layer))
        if earlier is not None and len(earlier[0]) == len(ins):  # a shared layer: both calls have one set of weights
            for a, b in zip(earlier[0], ins, strict=True):
                if len(a) != len(b):
                    break
                self.map.channels.join(a, b)
            else:
                return earlier[1]
        outs = self._handle(layer, node, ins)
        if getattr(layer, "weights", ()) or id(layer) in self.map.sizes:
            self._seen[id(layer)] = ins, outs
        return outs

    def _handle(self, layer: Any, node: Any, ins: Ids) -> Ids:
        inner = functional(layer)
        if inner is not None:
            for tensor, ids in zip(inner.inputs, ins, strict=True):
                self.map.sizes[id(tensor._keras_history.operation)].append(("batch_shape", -1, ids))
            return self.walk(inner, ins)
        rule = _rule(layer, node) if len(node.output_tensors) == 1 else None
        outs = rule(self.map, layer, node, ins, self._exact) if rule else None
        return self._unknown(layer, node, ins) if outs is None else outs

    def _unknown(self, layer: Any, node: Any, ins: Ids) -> Ids:
        reason = f"{type(layer).__name__} '{layer.name}' needs all of them"
        for ids in ins:
            self.map.channels.freeze(ids, reason)
        outs = [self.map.channels.new(_width(t)) for t in node.output_tensors]
        for ids in outs:
            self.map.channels.freeze(ids, f"{type(layer).__name__} '{layer.name}' fixes their number")
        return outs


def trace(model: Any, *, exact: bool = True) -> Map:
    """Channels of a whole functional model; those of its inputs and outputs are frozen."""
    tracer = Tracer(exact=exact)
    channels = tracer.map.channels
    given = [channels.new(_width(t)) for t in model.inputs]
    for ids in given:
        channels.freeze(ids, "they are the model's input")
    for ids in tracer.walk(model, given):
        channels.freeze(ids, "they are the model's output")
    return tracer.map


def functional(layer: Any) -> Any:
    """The functional graph inside a nested model, or None for a plain layer."""
    inner = getattr(layer, "_functional", None) if type(layer).__name__ == "Sequential" else layer
    return inner if hasattr(inner, "_nodes_by_depth") else None


def _width(tensor: Any) -> int:
    last = tensor.shape[-1] if len(tensor.shape) else 1
    return int(last) if isinstance(last, int) else 1


Rule = Callable[[Map, Any, Any, Ids, bool], Ids | None]


def _rule(layer: Any, node: Any) -> Rule | None:
    kind = type(layer).__name__
    if getattr(layer, "data_format", None) == "channels_first" or getattr(layer, "quantization_mode", None):
        return None
    if kind == "Rescaling" and (np.ndim(layer.scale) or np.ndim(layer.offset)):
        return None  # one number a channel, which the configuration holds
    if kind in _FREE or (kind == "Activation" and _name(layer.activation) not in _MIXING):
        return _hand_on
    if kind in _JOINING:
        return None if _has_constants(node) else _joined
    if kind in _CONVOLUTIONS:
        return _convolution
    return _RULES.get(kind)


def _name(function: Any) -> str:
    return getattr(function, "__name__", type(function).__name__).lower()


def _has_constants(node: Any) -> bool:
    """An array among the operands has channels that nobody may cut."""
    from keras import tree

    values = tree.flatten((node.arguments.args, node.arguments.kwargs))
    return any(getattr(v, "ndim", 0) and not hasattr(v, "_keras_history") for v in values)


def _hand_on(found: Map, layer: Any, node: Any, ins: Ids, exact: bool) -> Ids:
    return [ins[0] for _ in node.output_tensors]


def _joined(found: Map, layer: Any, node: Any, ins: Ids, exact: bool) -> Ids:
    widest = max(ins, key=len)
    for ids in ins:
        if len(ids) == len(widest):
            found.channels.join(widest, ids)
        else:
            found.channels.freeze(ids, f"'{layer.name}' spreads them over other channels")
    return [widest]


def _convolution(found: Map, layer: Any, node: Any, ins: Ids, exact: bool) -> Ids | None:
    groups, given = getattr(layer, "groups", 1), ins[0]
    transposed = type(layer).__name__.endswith("Transpose")
    if groups == 1:
        return _dense_like(found, layer, node, given, axes=(-1, -2) if transposed else (-2, -1), what="filters")
    if groups != len(given):
        return None
    outs = np.repeat(given, layer.filters // groups)  # a depthwise convolution by another name
    found.slice(layer.kernel, -1, outs)
    found.slice(layer.bias, 0, outs)
    found.sizes[id(layer)] += [("filters", None, outs), ("groups", None, given)]
    return [outs]


def _dense_like(found: Map, layer: Any, node: Any, given: np.ndarray, *, axes: tuple[int, int], what: str) -> Ids:
    outs = found.channels.new(layer.kernel.shape[axes[1]])
    found.slice(layer.kernel, axes[0], given)
    found.slice(layer.kernel, axes[1], outs)
    found.slice(getattr(layer, "bias", None), -1, outs)
    found.sizes[id(layer)].append((what, None, outs))
    _finish(found, layer, node, given, outs, (layer.kernel, axes[0]), ((layer.kernel, axes[1]),), what)
    return [outs]


def _finish(found: Map, layer: Any, node: Any, given: np.ndarray, outs: np.ndarray, reads: tuple[Any, int],
            makes: tuple, what: str) -> None:
    """Notes producer and consumer; an activation over all channels keeps them all."""
    found.producers.append(Producer(layer, what, makes, outs))
    found.consumers.append(Consumer(node.input_tensors[0], *reads, given))
    if _name(getattr(layer, "activation", None)) in _MIXING:
        found.channels.freeze(outs, f"the activation of '{layer.name}' mixes them")


def _dense(found: Map, layer: Any, node: Any, ins: Ids, exact: bool) -> Ids:
    return _dense_like(found, layer, node, ins[0], axes=(0, 1), what="units")


def _depthwise(found: Map, layer: Any, node: Any, ins: Ids, exact: bool) -> Ids:
    outs = np.repeat(ins[0], layer.depth_multiplier)
    found.slice(layer.kernel, -2, ins[0])
    found.slice(layer.bias, 0, outs)
    return [outs]


def _separable(found: Map, layer: Any, node: Any, ins: Ids, exact: bool) -> Ids:
    spread = np.repeat(ins[0], layer.depth_multiplier)
    outs = found.channels.new(layer.filters)
    found.slice(layer.depthwise_kernel, -2, ins[0])
    found.slice(layer.pointwise_kernel, -2, spread)
    found.slice(layer.pointwise_kernel, -1, outs)
    found.slice(layer.bias, 0, outs)
    found.sizes[id(layer)].append(("filters", None, outs))
    _finish(found, layer, node, ins[0], outs, (layer.depthwise_kernel, -2), ((layer.pointwise_kernel, -1),), "filters")
    return [outs]


def _einsum(found: Map, layer: Any, node: Any, ins: Ids, exact: bool) -> Ids | None:
    left, _, out = layer.equation.replace(" ", "").partition("->")
    given, _, kernel = left.partition(",")
    i, o = given[-1:], out[-1:]
    if not i or not o or i not in kernel or o not in kernel or i in out or o in given:
        return None
    outs = found.channels.new(layer.kernel.shape[kernel.index(o)])
    found.slice(layer.kernel, kernel.index(i), ins[0])
    found.slice(layer.kernel, kernel.index(o), outs)
    if layer.bias is not None:
        if not (layer.bias_axes or "").endswith(o):
            return None
        found.slice(layer.bias, -1, outs)
    whole = layer.get_config()["output_shape"]
    found.sizes[id(layer)].append(("output_shape", None if isinstance(whole, int) else -1, outs))
    _finish(found, layer, node, ins[0], outs, (layer.kernel, kernel.index(i)), ((layer.kernel, kernel.index(o)),),
            "units")
    return [outs]


def _batch_norm(found: Map, layer: Any, node: Any, ins: Ids, exact: bool) -> Ids | None:
    if layer.axis not in (-1, len(node.input_tensors[0].shape) - 1):
        return None
    for variable in (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance):
        found.slice(variable, 0, ins[0])
    if layer.gamma is not None:
        found.norms.append((layer.gamma, ins[0]))
    return [ins[0]]


def _layer_norm(found: Map, layer: Any, node: Any, ins: Ids, exact: bool) -> Ids | None:
    axis = layer.axis if isinstance(layer.axis, int) else layer.axis[0] if len(layer.axis) == 1 else None
    if exact or axis not in (-1, len(node.input_tensors[0].shape) - 1):
        return None
    for name in ("gamma", "beta", "scale"):
        variable = getattr(layer, name, None)
        if hasattr(variable, "shape"):
            found.slice(variable, 0, ins[0])
    return [ins[0]]


def _prelu(found: Map, layer: Any, node: Any, ins: Ids, exact: bool) -> Ids | None:
    if layer.alpha.shape[-1] != len(ins[0]):
        return None
    found.slice(layer.alpha, -1, ins[0])
    return [ins[0]]


def _embedding(found: Map, layer: Any, node: Any, ins: Ids, exact: bool) -> Ids:
    outs = found.channels.new(layer.output_dim)
    found.slice(layer.embeddings, 1, outs)
    found.sizes[id(layer)].append(("output_dim", None, outs))
    found.producers.append(Producer(layer, "units", ((layer.embeddings, 1),), outs))
    return [outs]


def _attention(found: Map, layer: Any, node: Any, ins: Ids, exact: bool) -> Ids | None:
    """Heads are units of their own; inputs are read and outputs are made channel by channel."""
    given = node.arguments.args
    parts = [getattr(layer, f"_{n}_dense", None) for n in ("query", "value", "key", "output")]
    if (any(p is None or len(p.kernel.shape) != 3 for p in parts) or getattr(layer, "_gate_dense", None) is not None
            or len(ins) != len(given) or not 2 <= len(given) <= 3):  # by keyword, or with a mask
        return None
    *readers, output = parts
    heads, outs = found.channels.new(layer.num_heads), found.channels.new(output.kernel.shape[-1])
    order = (0, 1, len(ins) - 1)  # query, value, and key, which is the value where it is not given
    for part, place in zip(readers, order, strict=True):
        found.slice(part.kernel, 0, ins[place])
        found.slice(part.kernel, 1, heads)
        found.slice(part.bias, 0, heads)
        found.consumers.append(Consumer(node.input_tensors[place], part.kernel, 0, ins[place]))
    found.slice(output.kernel, 0, heads)
    found.slice(output.kernel, 2, outs)
    found.slice(output.bias, 0, outs)
    found.sizes[id(layer)] += [("num_heads", None, heads), ("output_shape", None, outs)]
    found.producers += [Producer(layer, "heads", ((readers[1].kernel, 1), (output.kernel, 0)), heads),
                        Producer(layer, "units", ((output.kernel, 2),), outs)]
    return [outs]


def _flatten(found: Map, layer: Any, node: Any, ins: Ids, exact: bool) -> Ids | None:
    width = _width(node.output_tensors[0])
    return [np.tile(ins[0], width // len(ins[0]))] if width % len(ins[0]) == 0 else None


def _reshape(found: Map, layer: Any, node: Any, ins: Ids, exact: bool) -> Ids | None:
    target, given, width = list(layer.target_shape), ins[0], _width(node.output_tensors[0])
    if len(target) == 1 and width % len(given) == 0:
        outs = np.tile(given, width // len(given))
    elif width == len(given):
        outs = given
    elif len(node.input_tensors[0].shape) == 2 and len(given) % width == 0:  # a vector becomes an image
        rows = given.reshape(-1, width)
        for row in rows[1:]:
            found.channels.join(rows[0], row)
        outs = rows[0]
    else:
        return None
    if target[-1] != -1:
        found.sizes[id(layer)].append(("target_shape", -1, outs))
    elif len(target) > 1:
        return None  # the open size would hide a change
    return [outs]


def _concatenate(found: Map, layer: Any, node: Any, ins: Ids, exact: bool) -> Ids | None:
    rank = len(node.output_tensors[0].shape)
    if layer.axis % rank == rank - 1:
        return [np.concatenate(ins)]
    for ids in ins[1:]:
        found.channels.join(ins[0], ids)
    return [ins[0]]


def _permute(found: Map, layer: Any, node: Any, ins: Ids, exact: bool) -> Ids | None:
    return [ins[0]] if layer.dims[-1] == len(layer.dims) else None


_RULES: dict[str, Rule] = {
    "Dense": _dense, "DepthwiseConv1D": _depthwise, "DepthwiseConv2D": _depthwise, "SeparableConv1D": _separable,
    "SeparableConv2D": _separable, "EinsumDense": _einsum, "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm, "RMSNormalization": _layer_norm, "PReLU": _prelu, "Embedding": _embedding,
    "MultiHeadAttention": _attention, "Flatten": _flatten, "Reshape": _reshape, "Concatenate": _concatenate,
    "Permute": _permute,
}
