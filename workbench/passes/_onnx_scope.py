"""Where static INT8 pays: compute nodes, and the nodes between them that can hand INT8 values on.

A node that would only convert to INT8 and back costs time and accuracy, so it stays in float.
"""

from __future__ import annotations

from typing import Any

COMPUTE = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
CARRY = frozenset({"MaxPool", "AveragePool", "GlobalAveragePool", "Reshape", "Flatten", "Transpose", "Squeeze",
                   "Unsqueeze", "Relu", "Clip", "Pad", "Add", "Concat"})
_JOINS = frozenset({"Add", "Concat"})  # every operand must come as INT8, constants would lose their precision
_SHAPED_BY = {"Reshape": 1, "Squeeze": 1, "Unsqueeze": 1, "Clip": 1, "Pad": 1}  # inputs from here on are no data


def float_nodes(model: Any, exclude: tuple[str, ...]) -> list[str]:
    """Names of the carrying nodes that should stay in float, with the user's exclusions.

    Args:
        model: a prepared ``ModelProto`` (named nodes in topological order).
        exclude: nodes to keep in float whatever they are.
    """
    graph = model.graph
    constants = {i.name for i in graph.initializer}
    arrives: set[str] = set()  # tensors that an INT8 node makes
    able = []
    for node in graph.node:
        if node.name in exclude:
            continue
        if node.op_type in COMPUTE:
            arrives.add(node.output[0])
        elif node.op_type in CARRY:
            data = node.input[:_SHAPED_BY.get(node.op_type, len(node.input))]
            if all(i in arrives or (i in constants and node.op_type not in _JOINS) for i in data):
                arrives.add(node.output[0])
                able.append(node)
    wanted = {n.input[0] for n in graph.node if n.op_type in COMPUTE and n.name not in exclude}
    wanted |= {n.input[1] for n in graph.node if n.op_type == "MatMul" and n.name not in exclude}
    useful = set()
    for node in reversed(able):
        if node.output[0] in wanted or node.op_type in ("Relu", "Clip"):  # activations vanish into the node before
            useful.add(node.name)
            wanted.update(node.input)
    return [*exclude, *(n.name for n in graph.node if n.op_type in CARRY and n.name not in useful
                        and n.name not in exclude)]
