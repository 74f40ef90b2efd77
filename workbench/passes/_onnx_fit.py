"""What ONNX Runtime's quantizer needs and real files lack: a bias inside each node, and readers that it sees."""

from __future__ import annotations

from collections import Counter
from itertools import count
from typing import Any

import numpy as np

from . import _onnx_io, _onnx_scope


def fit_for_int8(model: Any) -> None:
    """All of it (in place).

    Args:
        model: a prepared ``ModelProto``.
    """
    fuse_bias(model)
    own_biases(model)
    shield_inner_graphs(model)


def fuse_bias(model: Any) -> int:
    """MatMul by a weight and Add of a vector become one Gemm, whose bias INT8 keeps in 32 bits (in place).

    Args:
        model: a ``ModelProto`` with inferred shapes.

    Returns:
        number of Adds removed.
    """
    graph = model.graph
    ranks = {v.name: len(v.type.tensor_type.shape.dim) for v in (*graph.value_info, *graph.input)
             if v.type.tensor_type.HasField("shape")}
    weights = {i.name: i for i in graph.initializer}
    uses = _onnx_io.uses(graph)
    adds = {t: n for n in graph.node if n.op_type == "Add" for t in n.input}
    fused = []
    for node in graph.node:
        add = adds.get(node.output[0]) if node.op_type == "MatMul" and uses[node.output[0]] == 1 else None
        if add is not None and ranks.get(node.input[0]) == 2 and _fuse(node, add, weights, uses):
            fused.append(add)
    return _onnx_io.remove(graph, fused)


def own_biases(model: Any) -> int:
    """A bias that several nodes share becomes one of each (in place).

    Its INT8 scale differs from node to node, so the quantizer copies it, and numbers the copies without looking whether
    another tensor has that name.

    Returns:
        number of copies.
    """
    import onnx

    graph = model.graph
    weights = {i.name: i for i in graph.initializer}
    taken = set(weights) | {t for n in _onnx_io.all_nodes(graph) for t in (*n.input, *n.output)}
    seen: set[str] = set()
    copies = []
    for node in graph.node:
        if node.op_type not in _onnx_scope.COMPUTE or len(node.input) < 3 or node.input[2] not in weights:
            continue
        bias = node.input[2]
        if bias in seen:
            copy = onnx.TensorProto()
            copy.CopyFrom(weights[bias])
            copy.name = next(n for i in count() if (n := f"{bias}_copy{i}") not in taken)
            taken.add(copy.name)
            copies.append(copy)
            node.input[2] = copy.name
        seen.add(bias)
    graph.initializer.extend(copies)
    return len(copies)


def shield_inner_graphs(model: Any) -> int:
    """What a branch or a loop's body reads from the graph around it, it reads through an Identity (in place).

    ONNX Runtime's quantizer takes a Relu away by giving its output's name to the node before it, and looks for readers
    in the main graph only: the graphs inside nodes then read the values from before the Relu.

    Returns:
        number of tensors that got an Identity.
    """
    import onnx

    graph = model.graph
    inner = [g for n in _onnx_io.all_nodes(graph) for g in _onnx_io.subgraphs(n)]
    inside = [n for g in inner for n in g.node]
    own = {v.name for g in inner for v in (*g.input, *g.initializer)}
    read = {i for n in inside for i in n.input} - own.union(*(n.output for n in inside))
    shielded = {}
    stays = set(_onnx_scope.float_nodes(model, ()))
    for node in [n for n in graph.node if n.op_type in _onnx_scope.COMPUTE | _onnx_scope.CARRY and n.name not in stays]:
        for tensor in node.output:
            if tensor in read:
                shielded[tensor] = f"{tensor}_inside"
                place = list(graph.node).index(node) + 1
                graph.node.insert(place, onnx.helper.make_node("Identity", [tensor], [shielded[tensor]],
                                                               f"{tensor}_shield"))
    _onnx_io.rewire(inside, shielded)
    return len(shielded)


def _fuse(node: Any, add: Any, weights: dict[str, Any], uses: Counter) -> bool:
    bias = next((i for i in add.input if i != node.output[0]), "")
    if node.input[1] not in weights or bias not in weights or uses[bias] != 1:
        return False
    shape, size = list(weights[node.input[1]].dims), list(weights[bias].dims)
    if len(shape) != 2 or int(np.prod(size)) != shape[1] or size[-1:] != shape[1:]:
        return False
    del weights[bias].dims[:]
    weights[bias].dims.append(shape[1])
    node.op_type = "Gemm"
    node.input.append(bias)
    node.output[0] = add.output[0]
    return True
