"""Standard ONNX operators on the small integer arrays that shape computations are made of.

Both spellings are understood: axes as an attribute (old operator sets) and as an input (new ones).
Semantics: https://onnx.ai/onnx/operators/
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Inputs = list[np.ndarray | None]


def evaluate(op: str, inputs: Inputs, attributes: dict[str, Any]) -> np.ndarray | None:
    """Result of a single-output operator, or None when it is not one of these or does not work out."""
    function = _TABLE.get(op)
    if function is None:
        return None
    try:
        with np.errstate(all="ignore"):
            return np.asarray(function(inputs, attributes))
    except (ValueError, TypeError, IndexError, ZeroDivisionError, OverflowError, AttributeError, MemoryError):
        return None


def _axes(inputs: Inputs, attributes: dict[str, Any], position: int = 1) -> tuple[int, ...] | None:
    if len(inputs) > position and inputs[position] is not None:
        return tuple(int(a) for a in np.atleast_1d(inputs[position]))
    found = attributes.get("axes")
    return None if found is None else tuple(found)


def _unsqueeze(inputs: Inputs, attributes: dict[str, Any]) -> np.ndarray:
    return np.expand_dims(inputs[0], _axes(inputs, attributes))


def _squeeze(inputs: Inputs, attributes: dict[str, Any]) -> np.ndarray:
    return np.squeeze(inputs[0], _axes(inputs, attributes))


def _reduce(function: Callable) -> Callable:
    def run(inputs: Inputs, attributes: dict[str, Any]) -> np.ndarray:
        axes = _axes(inputs, attributes)
        return function(inputs[0], axis=axes, keepdims=bool(attributes.get("keepdims", 1))).astype(inputs[0].dtype)

    return run


def _fold(function: Callable) -> Callable:
    def run(inputs: Inputs, attributes: dict[str, Any]) -> np.ndarray:
        total = inputs[0]
        for other in inputs[1:]:
            total = function(total, other)
        return total

    return run


def _divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if np.issubdtype(np.asarray(a).dtype, np.integer):
        return (np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))).astype(a.dtype)  # truncates, as C does
    return np.divide(a, b)


def _slice(inputs: Inputs, attributes: dict[str, Any]) -> np.ndarray:
    data = inputs[0]
    given = [None if i >= len(inputs) or inputs[i] is None else np.atleast_1d(inputs[i]).tolist() for i in (1, 2, 3, 4)]
    starts, ends, axes, steps = given
    starts, ends = starts or attributes["starts"], ends or attributes["ends"]
    axes = axes or attributes.get("axes") or list(range(len(starts)))
    index = [slice(None)] * data.ndim
    for i, axis in enumerate(axes):
        step = steps[i] if steps else 1
        stop = ends[i]
        index[axis] = slice(starts[i], None if step < 0 and stop < -data.shape[axis] else stop, step)
    return data[tuple(index)]


def _reshape(inputs: Inputs, attributes: dict[str, Any]) -> np.ndarray:
    target = inputs[1].tolist() if len(inputs) > 1 else attributes["shape"]
    sizes = [inputs[0].shape[i] if d == 0 and not attributes.get("allowzero") else d for i, d in enumerate(target)]
    return inputs[0].reshape(sizes)


def _cast(inputs: Inputs, attributes: dict[str, Any]) -> np.ndarray:
    from onnx import helper

    return inputs[0].astype(helper.tensor_dtype_to_np_dtype(attributes["to"]))


def _filled(inputs: Inputs, attributes: dict[str, Any]) -> np.ndarray:
    from onnx import numpy_helper

    value = numpy_helper.to_array(attributes["value"]) if "value" in attributes else np.zeros(1, np.float32)
    return np.full(inputs[0].tolist(), value.reshape(-1)[0], value.dtype)


_TABLE: dict[str, Callable[[Inputs, dict[str, Any]], Any]] = {
    "Identity": lambda i, a: i[0], "Neg": lambda i, a: -i[0], "Abs": lambda i, a: np.abs(i[0]),
    "Not": lambda i, a: ~i[0], "Floor": lambda i, a: np.floor(i[0]), "Ceil": lambda i, a: np.ceil(i[0]),
    "Sqrt": lambda i, a: np.sqrt(i[0]).astype(i[0].dtype),
    "Add": _fold(np.add), "Sub": _fold(np.subtract), "Mul": _fold(np.multiply), "Div": _fold(_divide),
    "Mod": _fold(np.mod), "Max": _fold(np.maximum), "Min": _fold(np.minimum),
    "And": _fold(np.logical_and), "Or": _fold(np.logical_or), "Equal": _fold(np.equal), "Less": _fold(np.less),
    "Greater": _fold(np.greater), "LessOrEqual": _fold(np.less_equal), "GreaterOrEqual": _fold(np.greater_equal),
    "Gather": lambda i, a: np.take(i[0], i[1], axis=a.get("axis", 0)),
    "Concat": lambda i, a: np.concatenate(i, axis=a.get("axis", 1)),
    "Unsqueeze": _unsqueeze, "Squeeze": _squeeze, "Slice": _slice, "Reshape": _reshape, "Cast": _cast,
    "Transpose": lambda i, a: np.transpose(i[0], a.get("perm")),
    "Range": lambda i, a: np.arange(i[0].item(), i[1].item(), i[2].item(), dtype=i[0].dtype),
    "Where": lambda i, a: np.where(i[0], i[1], i[2]),
    "Expand": lambda i, a: np.broadcast_to(i[0], np.broadcast_shapes(i[0].shape, tuple(i[1].tolist()))),
    "ConstantOfShape": _filled,
    "ReduceProd": _reduce(np.prod), "ReduceSum": _reduce(np.sum),
    "ReduceMax": _reduce(np.max), "ReduceMin": _reduce(np.min),
}
