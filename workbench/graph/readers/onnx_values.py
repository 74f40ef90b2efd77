"""Follows shape computations: small integer tensors that are known once the inputs' sizes are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import onnx_attributes, small_ops

MOST_ELEMENTS = 256


def fold(graph: Any, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Replaces nodes whose results are known small tensors by constants (in place, main graph only).

    Args:
        graph: ``GraphProto``.
        shapes: static shapes known so far, by tensor name.

    Returns:
        value by tensor name.
    """
    from onnx import numpy_helper

    known = _constants(graph)
    kept, found = [], {}
    for node in graph.node:
        value = _value(node, known, shapes)
        if value is None:
            kept.append(node)
        else:
            name = next(o for o in node.output if o)
            known[name] = found[name] = value
    if found:
        nodes = [type(n).FromString(n.SerializeToString()) for n in kept]
        del graph.node[:]
        graph.node.extend(nodes)
        graph.initializer.extend(numpy_helper.from_array(np.asarray(v), name) for name, v in found.items())
    return found


def _constants(graph: Any) -> dict[str, np.ndarray]:
    known = {}
    for tensor in graph.initializer:
        has_data = bool(tensor.raw_data or tensor.int64_data or tensor.int32_data or tensor.float_data)
        if has_data and math.prod(tensor.dims) <= MOST_ELEMENTS:
            value = _array(tensor)
            if value is not None:
                known[tensor.name] = value
    return known


def _value(node: Any, known: dict[str, np.ndarray], shapes: dict[str, tuple[int, ...]]) -> np.ndarray | None:
    """The single result of a node, when it is known and small."""
    if node.domain not in ("", "ai.onnx") or sum(map(bool, node.output)) != 1:
        return None
    if node.op_type in ("Shape", "Size"):
        return _sizes(node, shapes.get(node.input[0]))
    if any(i and i not in known for i in node.input):
        return None
    if node.op_type == "Constant":
        tensor = onnx_attributes.constant_tensor(node)
        small = tensor is not None and math.prod(tensor.dims) <= MOST_ELEMENTS
        return _array(tensor) if small else None
    if node.op_type in ("ConstantOfShape", "Expand") and np.prod(known[node.input[-1]]) > MOST_ELEMENTS:
        return None
    inputs = [known[i] if i else None for i in node.input]
    value = small_ops.evaluate(node.op_type, inputs, {a.name: _attribute(a) for a in node.attribute})
    return value if value is not None and value.size <= MOST_ELEMENTS else None


def _sizes(node: Any, shape: tuple[int, ...] | None) -> np.ndarray | None:
    if shape is None:
        return None
    sizes = np.array(shape, dtype=np.int64)
    if node.op_type == "Size":
        return np.array(sizes.prod(), dtype=np.int64)
    ends = {a.name: a.i for a in node.attribute}
    return sizes[ends.get("start", 0):ends.get("end", len(sizes))]


def _attribute(attribute: Any) -> Any:
    from onnx import helper

    return helper.get_attribute_value(attribute)


def _array(tensor: Any) -> np.ndarray | None:
    from onnx import numpy_helper

    try:
        return numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError):
        return None
