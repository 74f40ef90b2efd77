"""What each node costs by its shapes: operations, bytes moved, weight elements read.

A multiply-add counts as two operations, as in the FLOP/s of processors. Bytes are those of inputs, weights and
outputs, each read or written once: the least that memory has to move when nothing stays in a cache. Unknown sizes
give 0, never a guess.
"""

from __future__ import annotations

from dataclasses import replace

from . import cost_formulas
from .dtypes import elements, size_bytes
from .graph import Graph, Node, Tensor
from .ops import plain

# Give another view of the same memory.
_VIEWS = frozenset("Reshape Flatten Squeeze Unsqueeze Identity Dropout Constant RESHAPE SQUEEZE EXPAND_DIMS "
                   "ExpandDims InputLayer Permute aten.view aten.reshape aten.squeeze aten.unsqueeze aten.flatten "
                   "aten.detach aten.alias aten.dropout aten.permute aten.transpose aten.t aten.expand Const "
                   "Placeholder Input Output Parameter Result Shape SHAPE NoOp If Loop Scan".split())
# Read only the part that they give.
_PICKS = frozenset("Gather GatherElements GatherND Slice Embedding GATHER SLICE STRIDED_SLICE GatherV2 StridedSlice "
                   "ResourceGather aten.embedding aten.slice aten.select aten.index_select EMBEDDING_LOOKUP "
                   "Cropping2D".split())
_NO_WEIGHTS = ("int32", "int64", "uint32", "uint64", "bool", "str")


def with_costs(graph: Graph) -> Graph:
    """The graph with ``parameters``, ``flops`` and ``bytes`` of every node filled in."""
    return replace(graph, nodes=tuple(with_cost(n, graph.tensors, graph.format) for n in graph.nodes))


def with_cost(node: Node, tensors: dict[str, Tensor], format: str) -> Node:
    """One node with its costs; numbers that a reader knows better stay."""
    inputs = [tensors.get(t) if t else None for t in node.inputs]
    outputs = [tensors.get(t) if t else None for t in node.outputs]
    # The constructor, not dataclasses.replace: that is a third of the time on a graph of 10,000 nodes.
    return Node(node.name, node.op, node.inputs, node.outputs, node.scope, node.attributes,
                node.parameters or parameters(node, inputs),
                node.flops or max(0, cost_formulas.flops(node, inputs, outputs, format)),
                node.bytes or moved(node, inputs, outputs), node.origins)


def parameters(node: Node, inputs: list[Tensor | None]) -> int:
    """Weight elements that a node reads; shapes, axes and indices are not weights."""
    seen = {t.name: t for t in inputs if t is not None and t.is_constant}
    return sum(elements(t.shape) for t in seen.values() if t.dtype not in _NO_WEIGHTS or _is_bias(node, t))


def _is_bias(node: Node, tensor: Tensor) -> bool:
    """Integer operators have their bias in int32."""
    return tensor.dtype == "int32" and elements(tensor.shape) > 1 and plain(node.op) in (
        "QLinearConv", "QGemm", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "DequantizeLinear")


def moved(node: Node, inputs: list[Tensor | None], outputs: list[Tensor | None]) -> int:
    """Bytes read and written by one run of a node."""
    op = plain(node.op)
    if op in _VIEWS:
        return 0
    written = sum(_size(t) for t in outputs if t is not None)
    if op in _PICKS:
        return 2 * written
    read = {t.name: _size(t) for t in inputs if t is not None}
    return sum(read.values()) + written


def _size(tensor: Tensor) -> int:
    return tensor.size_bytes or size_bytes(tensor.dtype, tensor.shape)
