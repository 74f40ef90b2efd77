"""Graphs as plain data, for the pipe from a worker process and for the cache."""

from __future__ import annotations

from typing import Any

from .graph import Graph, Node, Tensor


def to_dict(graph: Graph) -> dict[str, Any]:
    """Lists in field order, which keeps 10,000 nodes to a few megabytes of JSON."""
    return {
        "nodes": [[n.name, n.op, n.inputs, n.outputs, n.scope, n.attributes, n.parameters, n.flops, n.bytes, n.origins]
                  for n in graph.nodes],
        "tensors": [[t.name, t.dtype, t.shape, t.is_constant, t.size_bytes, t.digest] for t in graph.tensors.values()],
        "inputs": graph.inputs, "outputs": graph.outputs,
        "title": graph.title, "format": graph.format, "producer": graph.producer,
    }


def from_dict(d: dict[str, Any]) -> Graph:
    """Inverse of :func:`to_dict`, also after a trip through JSON."""
    nodes = tuple(Node(name, op, tuple(ins), tuple(outs), tuple(scope), attributes, parameters, flops, size,
                       tuple(origins))
                  for name, op, ins, outs, scope, attributes, parameters, flops, size, origins in d["nodes"])
    tensors = {name: Tensor(name, dtype, None if shape is None else tuple(shape), constant, size, digest)
               for name, dtype, shape, constant, size, digest in d["tensors"]}
    return Graph(nodes, tensors, tuple(d["inputs"]), tuple(d["outputs"]), d["title"], d["format"], d["producer"])
