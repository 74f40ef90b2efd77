"""Keras' layer normalization, nine nodes of arithmetic in a converted graph, as the one operator that runtimes know.

Keras computes ``x * s + (b - mean(x) * s)`` with ``s = g / sqrt(var(x) + eps)``, which no runtime fuses; ONNX has
LayerNormalization from operator set 17 on:
https://onnx.ai/onnx/operators/onnx__LayerNormalization.html
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from . import _onnx_io, _onnx_names
from ._onnx_lookup import Lookup

FROM_OPSET = 17
_MEANS = ("ReduceMean", "GlobalAveragePool")


class _Norm(NamedTuple):
    """What is normalized, over which axis, and the constants; None for a scale or shift that the layer has not."""

    x: str
    axis: int
    rank: int
    size: int
    epsilon: np.ndarray
    scale: np.ndarray | None
    shift: np.ndarray | None


def fuse(model: Any) -> int:
    """Writes each layer normalization as one node (in place); those over the channels of a channels-first tensor only
    where a transpose follows that this makes unnecessary.

    Args:
        model: a ``ModelProto`` with inferred shapes.

    Returns:
        number of normalizations written.
    """
    known = Lookup(model.graph)
    found = [(node, norm) for node in model.graph.node if node.op_type == "Add" and (norm := _match(known, node))]
    written = sum(_write(model.graph, known, node, norm) for node, norm in found)
    if written:
        _onnx_names.order(model.graph)  # what nothing reads any more goes
        _onnx_io.drop_unused_weights(model.graph)
    return written


def _match(known: Lookup, add: Any) -> _Norm | None:
    """The normalization whose last node is ``add``."""
    for product, rest in known.both_ways(add.output[0], "Add"):
        scaled, shift = _shift(known, rest)
        for x, scale in known.both_ways(product, "Mul"):
            for negated, again in known.both_ways(scaled, "Mul"):
                mean = known.inputs(negated, "Neg")
                found = _norm(known, x, mean[0], scale, shift) if mean and again == scale else None
                if found:
                    return found
    return None


def _shift(known: Lookup, tensor: str) -> tuple[str, np.ndarray | None]:
    """``tensor`` as what is added to a shift: (tensor without it, the shift)."""
    for part, other in known.both_ways(tensor, "Add"):
        if (shift := known.constant(other)) is not None:
            return part, shift
    return tensor, None


def _norm(known: Lookup, x: str, mean: str, scale: str, shift: np.ndarray | None) -> _Norm | None:
    factor = None
    for part, other in known.both_ways(scale, "Mul"):
        if (factor := known.constant(other)) is not None:
            scale = part
            break
    axis, shape = _mean_axis(known, mean, x), known.shapes.get(x, [])
    if axis is None or not all(_along(c, axis, len(shape), shape[axis]) for c in (factor, shift)):
        return None
    for root in known.inputs(scale, "Reciprocal"):
        for variance, other in (p for i in known.inputs(root, "Sqrt") for p in known.both_ways(i, "Add")):
            epsilon = known.constant(other)
            if epsilon is not None and epsilon.size == 1 and _is_variance(known, variance, x, mean, axis):
                return _Norm(x, axis, len(shape), shape[axis], epsilon.reshape(()), factor, shift)
    return None


def _is_variance(known: Lookup, variance: str, x: str, mean: str, axis: int) -> bool:
    """Whether a tensor is the mean of ``(x - mean) ** 2`` over an axis."""
    averaged = known.inputs(variance, *_MEANS)[:1]
    squared = known.inputs(averaged[0], "Mul") if averaged else []
    return (len(squared) == 2 and squared[0] == squared[1] and known.inputs(squared[0], "Sub") == [x, mean]
            and _mean_axis(known, variance, averaged[0]) == axis)


def _mean_axis(known: Lookup, mean: str, of: str) -> int | None:
    """The one axis, from the front, over which a kept mean of ``of`` is taken; None for any other node."""
    inputs, shape = known.inputs(mean, *_MEANS), known.shapes.get(of)
    if not inputs or inputs[0] != of or not shape:
        return None
    node = known.made[mean]
    if node.op_type == "GlobalAveragePool":
        axes = [2] if len(shape) == 3 else []
    else:
        axes = next((list(a.ints) for a in node.attribute if a.name == "axes"), None)
        if axes is None and len(inputs) > 1 and (given := known.constant(inputs[1])) is not None:
            axes = given.ravel().tolist()
    if not axes or len(axes) != 1 or any(a.name == "keepdims" and a.i == 0 for a in node.attribute):
        return None
    axis = axes[0] % len(shape)
    return axis if shape[axis] else None


def _along(constant: np.ndarray | None, axis: int, rank: int, size: int) -> bool:
    """Whether a constant has one value for each place on an axis, or one for all."""
    if constant is None or constant.size == 1:
        return True
    shape = (1,) * (rank - constant.ndim) + constant.shape
    return len(shape) == rank and shape[axis] == size == constant.size


def _write(graph: Any, known: Lookup, add: Any, norm: _Norm) -> bool:
    import onnx

    result, axis = add.output[0], norm.axis
    name = add.name or result
    to_last = [*(a for a in range(norm.rank) if a != axis), axis]
    behind = [n for n in known.readers.get(result, []) if _is_transpose(n, to_last)]
    last = axis == norm.rank - 1
    if not last and not behind:
        return False
    constants = [(f"{name}/scale", norm.scale, 1.0), (f"{name}/shift", norm.shift, 0.0)]
    for label, values, neutral in constants:
        given = np.array(neutral, norm.epsilon.dtype) if values is None else values
        graph.initializer.append(onnx.numpy_helper.from_array(
            np.ascontiguousarray(np.broadcast_to(given.ravel(), norm.size)), label))
    inputs = [norm.x if last else f"{name}/last", *(label for label, _, _ in constants)]
    made = [onnx.helper.make_node("LayerNormalization", inputs, [result if last else f"{name}/normal"], name, axis=-1,
                                  epsilon=float(norm.epsilon))]
    if not last:
        made.insert(0, onnx.helper.make_node("Transpose", [norm.x], [inputs[0]], f"{name}/Transpose", perm=to_last))
        _onnx_io.rewire(_onnx_io.all_nodes(graph), {n.output[0]: f"{name}/normal" for n in behind
                                                    if n.output[0] not in known.outputs})
        made.append(onnx.helper.make_node("Transpose", [f"{name}/normal"], [result], f"{name}/Transpose_1",
                                          perm=np.argsort(to_last).tolist()))
    place = next(i for i, n in enumerate(graph.node) if n.output[:1] == [result])
    del graph.node[place]
    for node in reversed(made):
        graph.node.insert(place, node)
    return True


def _is_transpose(node: Any, perm: list[int]) -> bool:
    return node.op_type == "Transpose" and any(a.name == "perm" and list(a.ints) == perm for a in node.attribute)
