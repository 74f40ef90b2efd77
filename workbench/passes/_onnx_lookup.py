"""Who makes and who reads each tensor of an ONNX graph: what rewrites by pattern ask."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _onnx_io


class Lookup:
    """Of a ``GraphProto`` as it is now.

    Attributes:
        made: tensor -> node.
        readers: tensor -> nodes, those of inner graphs too.
        shapes: tensor -> sizes, None for an open one; only where they are declared or inferred.
        outputs: names of the graph's outputs.
    """

    def __init__(self, graph: Any) -> None:
        self.made = {o: n for n in graph.node for o in n.output}
        self.shapes = {v.name: [d.dim_value if d.HasField("dim_value") else None for d in v.type.tensor_type.shape.dim]
                       for v in (*graph.value_info, *graph.input, *graph.output)}
        self.readers: dict[str, list[Any]] = {}
        for node in _onnx_io.all_nodes(graph):
            for tensor in node.input:
                self.readers.setdefault(tensor, []).append(node)
        self.outputs = {o.name for o in graph.output}
        self._constants = {i.name: i for i in graph.initializer}

    def constant(self, tensor: str) -> np.ndarray | None:
        """Values of an initializer."""
        import onnx

        return onnx.numpy_helper.to_array(self._constants[tensor]) if tensor in self._constants else None

    def inputs(self, tensor: str, *ops: str) -> list[str]:
        """What the node reads that makes ``tensor``; none where it is another operator."""
        node = self.made.get(tensor)
        return list(node.input) if node is not None and node.op_type in ops else []

    def both_ways(self, tensor: str, op: str) -> list[tuple[str, str]]:
        """The two inputs of an operator that commutes, in either order."""
        pair = self.inputs(tensor, op)
        return [(pair[0], pair[1]), (pair[1], pair[0])] if len(pair) == 2 else []
