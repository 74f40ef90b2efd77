"""Real 8-bit weights for a model that was trained for INT8: the converter writes them as rounded float32 values.

A kernel whose values lie on an 8-bit grid becomes integers with a DequantizeLinear, its bias 32-bit integers of the
scale of the sum, as TFLite has them: https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_spec
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from . import _cpu, _onnx_io

_CARRY = ("MaxPool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Identity")  # hand the same scale on
_KERNELS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_LEVELS = 127
_OFF = 1e-3  # largest distance from the grid, in steps of it: float32 keeps trained values within 1e-4


class Done(NamedTuple):
    """What became integers.

    Attributes:
        stored: names of the kernels that are integers now.
        left: names of kernels that lie on no grid.
        unsigned: whether they are written as uint8 around 128.
    """

    stored: list[str]
    left: list[str]
    unsigned: bool


def rounds(model: Any) -> bool:
    """Whether a model rounds its activations as training for INT8 taught it."""
    return any(n.op_type == "QuantizeLinear" for n in model.graph.node)


def store(model: Any) -> Done:
    """Stores the kernels of a trained graph as 8-bit integers (in place); the answers stay.

    A CPU without 8-bit dot products sums signed weights with unsigned activations in 16 bits and overflows; there
    the same integers are written as unsigned ones, for which ONNX Runtime has exact kernels.
    """
    graph = model.graph
    weights = {i.name: i for i in graph.initializer}
    _relu_on_integers(graph, weights)
    makers = {o: n for n in graph.node for o in n.output}
    done = Done([], [], not _cpu.has_int8_dot())
    ready: dict[str, tuple[np.ndarray, str]] = {}
    made = []
    for node in graph.node:
        name = node.input[1] if node.op_type in _KERNELS and len(node.input) > 1 else ""
        if name not in weights or not _is_kernel(weights[name]):
            made.append(node)
            continue
        axis = _axis(node, len(weights[name].dims))
        key = f"{name}@{axis}"
        if key not in ready:
            ready[key] = _integers(graph, weights[name], axis, done, made)
        scale, result = ready[key]
        if result:
            node.input[1] = result
            _bias(graph, node, scale, _input_scale(node.input[0], makers, weights), weights, made)
        made.append(node)
    del graph.node[:]
    graph.node.extend(made)
    _onnx_io.drop_unused_weights(graph)
    return done


def grid(array: np.ndarray, axis: int) -> np.ndarray | None:
    """The step of the 8-bit grid that all values lie on: 0-d for one step, 1-d for one a channel; None without.

    Args:
        array: kernel.
        axis: of its output channels.
    """
    peak = float(np.abs(array).max())
    if not np.isfinite(peak) or peak == 0.0:
        return None
    if _fits(array, np.float64(peak / _LEVELS)):
        return np.asarray(peak / _LEVELS, np.float32)
    rows = np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1).astype(np.float64)
    steps = np.empty(len(rows), np.float32)
    for i, row in enumerate(rows):
        step = _row_step(row)
        if step is None:
            return None
        steps[i] = step
    return steps


def _row_step(row: np.ndarray) -> float | None:
    """A normalization that was folded in scales each channel, whose largest value need not be the last level."""
    peak = np.abs(row).max()
    if peak == 0.0:
        return 1.0
    return next((peak / level for level in range(_LEVELS, 0, -1) if _fits(row, peak / level)), None)


def _fits(values: np.ndarray, step: float) -> bool:
    levels = values / step
    return bool(np.abs(levels - np.round(levels)).max() < _OFF)


def _relu_on_integers(graph: Any, weights: dict[str, Any]) -> None:
    """Relu before QuantizeLinear becomes Clip behind it: the same integers, and the kernel meets its scale directly.

    ONNX Runtime drops such a Relu only where the zero point is 0; ranges that training found begin below that.
    """
    from collections import Counter

    from onnx import helper, numpy_helper

    uses = Counter(t for n in graph.node for t in n.input) + Counter(o.name for o in graph.output)
    relus = {n.output[0]: n for n in graph.node if n.op_type == "Relu" and uses[n.output[0]] == 1}
    made = []
    for node in graph.node:
        made.append(node)
        relu = relus.get(node.input[0]) if node.op_type == "QuantizeLinear" and len(node.input) > 2 else None
        zero = weights.get(node.input[2]) if relu is not None else None
        if zero is None or numpy_helper.to_array(zero).ndim or not int(numpy_helper.to_array(zero)):
            continue
        before, after = f"{node.output[0]}_before_relu", node.output[0]
        node.input[0], node.output[0] = relu.input[0], before
        made.append(helper.make_node("Clip", [before, node.input[2]], [after], f"{relu.name}_int8"))
        made.remove(relu)
    del graph.node[:]
    graph.node.extend(made)


def _is_kernel(tensor: Any) -> bool:
    import onnx

    return tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) >= 2


def _axis(node: Any, rank: int) -> int:
    """Where a kernel has its output channels."""
    if node.op_type == "Gemm":
        return 0 if any(a.name == "transB" and a.i for a in node.attribute) else 1
    return {"Conv": 0, "ConvTranspose": 1}.get(node.op_type, rank - 1)


def _integers(graph: Any, tensor: Any, axis: int, done: Done, made: list) -> tuple[np.ndarray, str]:
    """Adds the integers and the node that scales them; returns the scale and the tensor to read, '' without a grid."""
    from onnx import helper, numpy_helper

    array = numpy_helper.to_array(tensor)
    scale = grid(array, axis)
    if scale is None:
        done.left.append(tensor.name)
        return np.float32(0), ""
    shape = [1] * array.ndim
    if scale.ndim:
        shape[axis] = -1
    levels = np.clip(np.round(array / scale.reshape(shape if scale.ndim else ())), -_LEVELS, _LEVELS)
    stored = (levels + 128).astype(np.uint8) if done.unsigned else levels.astype(np.int8)
    zero = np.full(scale.shape, 128 if done.unsigned else 0, stored.dtype)
    base = f"{tensor.name}_{axis}" if f"{tensor.name}_int8" in {i.name for i in graph.initializer} else tensor.name
    names = [f"{base}_int8", f"{base}_scale", f"{base}_zero_point"]
    graph.initializer.extend(numpy_helper.from_array(a, n) for a, n in zip((stored, scale, zero), names, strict=True))
    made.append(helper.make_node("DequantizeLinear", names, [f"{base}_dequantized"], f"{base}_DequantizeLinear",
                                 **({"axis": axis} if scale.ndim else {})))
    done.stored.append(tensor.name)
    return scale, f"{base}_dequantized"


def _input_scale(tensor: str, makers: dict[str, Any], weights: dict[str, Any]) -> float | None:
    """The step of the activations that reach a kernel; None where they are not rounded."""
    from onnx import numpy_helper

    node = makers.get(tensor)
    while node is not None and node.op_type in _CARRY:
        node = makers.get(node.input[0])
    if node is None or node.op_type != "DequantizeLinear" or node.input[1] not in weights:
        return None
    step = numpy_helper.to_array(weights[node.input[1]])
    return float(step) if step.size == 1 else None


def _bias(graph: Any, node: Any, scale: np.ndarray, step: float | None, weights: dict[str, Any], made: list) -> None:
    """The bias in the steps of the sum, where those are known and the bias is this node's own."""
    from onnx import helper, numpy_helper

    name = node.input[2] if node.op_type in ("Conv", "Gemm") and len(node.input) > 2 else ""
    if step is None or name not in weights or len(weights[name].dims) != 1:
        return
    array = numpy_helper.to_array(weights[name])
    both = np.broadcast_to(np.float32(step) * scale, array.shape) if scale.ndim == 0 else np.float32(step) * scale
    levels = np.round(array.astype(np.float64) / both)
    if array.shape != both.shape or np.abs(levels).max(initial=0) >= 2**31:
        return
    base = f"{node.name or node.output[0]}_bias"
    names = [f"{base}_int32", f"{base}_scale", f"{base}_zero_point"]
    values = (levels.astype(np.int32), np.ascontiguousarray(both, np.float32), np.zeros(both.shape, np.int32))
    graph.initializer.extend(numpy_helper.from_array(a, n) for a, n in zip(values, names, strict=True))
    made.append(helper.make_node("DequantizeLinear", names, [f"{base}_dequantized"], f"{base}_DequantizeLinear",
                                 axis=0))
    node.input[2] = f"{base}_dequantized"
