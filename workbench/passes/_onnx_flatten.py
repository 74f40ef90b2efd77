"""Removes the transpose that a channels-last Flatten leaves: the weights behind it are permuted instead.

Transpose -> Reshape([-1, n]) -> MatMul(W)   becomes   Reshape([-1, n]) -> MatMul(W with rows permuted).
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from . import _onnx_io
from ._onnx_lookup import Lookup


def fold_transposes(model: Any) -> int:
    """Applies the rewrite wherever it is exact (in place).

    Args:
        model: a ``ModelProto`` with inferred shapes.

    Returns:
        number of transposes removed.
    """
    graph = model.graph
    known, uses = Lookup(graph), _onnx_io.uses(graph)
    weights = {i.name: i for i in graph.initializer}
    consumers = {tensor: nodes[-1] for tensor, nodes in known.readers.items()}
    removed = []
    for node in graph.node:
        if node.op_type == "Transpose" and _fold(node, known.shapes, weights, uses, consumers):
            removed.append(node)
    return _onnx_io.remove(graph, removed)


def _fold(node: Any, shapes: dict, weights: dict, uses: Counter, consumers: dict) -> bool:
    reshape = _only_consumer(node, "Reshape", uses, consumers)
    dense = reshape and (_only_consumer(reshape, "MatMul", uses, consumers)
                         or _only_consumer(reshape, "Gemm", uses, consumers))
    if not dense or dense.input[0] != reshape.output[0] or dense.input[1] not in weights:
        return False
    shape, perm = shapes.get(node.input[0]), _perm(node)
    if not shape or not perm or perm[0] != 0 or not all(isinstance(d, int) and d > 0 for d in shape[1:]):
        return False
    size = int(np.prod(shape[1:]))
    if not _flattens(reshape, size, weights) or uses[dense.input[1]] != 1:
        return False
    if not _permute(weights[dense.input[1]], dense, [shape[p] for p in perm[1:]], perm, size):
        return False
    reshape.input[0] = node.input[0]
    return True


def _permute(weight: Any, dense: Any, sizes: list[int], perm: list[int], size: int) -> bool:
    """Permutes the rows of the weight back to the order that the features have without the transpose."""
    import onnx

    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in dense.attribute}
    if attributes.get("transA"):
        return False
    array = onnx.numpy_helper.to_array(weight)
    flipped = bool(attributes.get("transB"))
    rows = array.T if flipped else array
    if rows.ndim != 2 or rows.shape[0] != size:
        return False
    back = np.argsort([p - 1 for p in perm[1:]])
    moved = rows.reshape(*sizes, -1).transpose(*back, len(sizes)).reshape(size, -1)
    moved = np.ascontiguousarray(moved.T if flipped else moved)
    weight.CopyFrom(onnx.numpy_helper.from_array(moved, weight.name))
    return True


def _only_consumer(node: Any, op: str, uses: Counter, consumers: dict) -> Any:
    output = node.output[0]
    found = consumers.get(output)
    return found if found is not None and uses[output] == 1 and found.op_type == op else None


def _flattens(reshape: Any, size: int, weights: dict) -> bool:
    import onnx

    target = weights.get(reshape.input[1])
    if target is None:
        return False
    sizes = onnx.numpy_helper.to_array(target).tolist()
    return len(sizes) == 2 and (sizes[1] == size or (sizes[1] == -1 and sizes[0] in (0, 1)))


def _perm(node: Any) -> list[int]:
    return next((list(a.ints) for a in node.attribute if a.name == "perm"), [])
