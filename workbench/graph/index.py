"""A graph with the look-ups that comparing needs."""

from __future__ import annotations

from functools import cached_property

from .graph import Graph, Node, Tensor
from .ops import CARRIERS, PASS_ON, RANDOM, plain
from .readers.constants import digest

_MAYBE_USELESS = frozenset("Cast CAST Convert Reshape Flatten Squeeze Unsqueeze RESHAPE Slice Expand Pad".split())
_TRUE, _FALSE = ({digest(value, "bool", shape) for shape in ((), (1,))} for value in (b"\1", b"\0"))
_NEVER_FOLDED = RANDOM | {"DequantizeLinear", "com.microsoft.DequantizeLinear", "DEQUANTIZE"}


class Index:
    """Makers and users of tensors, and which of them are constant."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: tuple[Node, ...] = graph.nodes
        self.maker: dict[str, int] = {}
        self.users: dict[str, list[int]] = {}
        for i, node in enumerate(graph.nodes):
            for t in node.outputs:
                if t:
                    self.maker[t] = i
            for t in dict.fromkeys(node.inputs):
                if t:
                    self.users.setdefault(t, []).append(i)
        self.by_name = {n.name: i for i, n in enumerate(graph.nodes)}
        self.outputs = frozenset(graph.outputs)
        self._carriers = [CARRIERS.get(n.op, "") for n in graph.nodes]

    def tensor(self, name: str) -> Tensor:
        """The tensor, an empty one when the graph does not list it."""
        return self.graph.tensors.get(name) or Tensor(name)

    def producer(self, tensor: str) -> Node | None:
        """The node that makes a tensor."""
        i = self.maker.get(tensor)
        return None if i is None else self.nodes[i]

    @cached_property
    def constants(self) -> frozenset[str]:
        """Weights, and results of nodes that read nothing but constants.

        A dequantized weight does not count: it is computed at run time, or inside an integer operator.
        """
        found = {name for name, t in self.graph.tensors.items() if t.is_constant}
        for node in self.nodes:
            if node.inputs and plain(node.op) not in _NEVER_FOLDED and all(t in found for t in node.inputs if t):
                found.update(t for t in node.outputs if t)
            elif not node.inputs and node.op not in RANDOM:
                found.update(t for t in node.outputs if t)  # constants in the form of nodes
        return frozenset(found)

    @cached_property
    def settled(self) -> frozenset[str]:
        """Constants, and results that the inputs' sizes determine."""
        found = set(self.constants)
        found.update(t.name for t in self.graph.tensors.values() if t.digest)
        for node in self.nodes:
            if node.inputs and plain(node.op) not in _NEVER_FOLDED and all(t in found for t in node.inputs if t):
                found.update(t for t in node.outputs if t)
        return frozenset(found)

    @cached_property
    def alive(self) -> frozenset[int]:
        """Nodes that some output of the graph depends on; of an If that is settled, only the branch that is taken."""
        seen: set[int] = set()
        todo = [self.maker[t] for t in self.graph.outputs if t in self.maker]
        while todo:
            i = todo.pop()
            if i in seen:
                continue
            seen.add(i)
            reads = (self.passed(i),) if self.nodes[i].op == "If" and self.passed(i) else self.nodes[i].inputs
            todo += [self.maker[t] for t in reads if t in self.maker]
        return frozenset(seen)

    @cached_property
    def _passed(self) -> list[str]:
        return [self._gives_back(n) for n in self.nodes]

    def passed(self, i: int) -> str:
        """The input that a node gives back unchanged, '' for nodes that compute."""
        return self._passed[i]

    def passes_on(self, i: int) -> bool:
        """Whether a node gives an input back unchanged."""
        return bool(self._passed[i])

    def _gives_back(self, node: Node) -> str:
        """Dropout and the like; casts to the same type, reshapes to the same shape, transposes that swap nothing."""
        op = plain(node.op)
        if not node.inputs or not node.inputs[0] or not node.outputs:
            return ""
        if op == "If":
            return self._taken_branch(node)
        return node.inputs[0] if self._is_useless(node, op) else ""

    def _is_useless(self, node: Node, op: str) -> bool:
        if op in PASS_ON:
            return not node.attributes.get("training_mode")
        if op in ("Concat", "Sum", "Max", "Min", "Mean"):
            return len(node.inputs) == 1
        if op in ("Transpose", "TRANSPOSE"):
            perm = node.attributes.get("perm")
            return bool(perm) and list(perm) == sorted(perm)
        if op not in _MAYBE_USELESS:
            return False
        before, after = self.tensor(node.inputs[0]), self.tensor(node.outputs[0])
        if op in ("Cast", "CAST", "Convert"):
            return bool(before.dtype) and before.dtype == after.dtype
        return before.shape is not None and before.shape == after.shape and all(
            isinstance(d, int) for d in before.shape)

    def _taken_branch(self, node: Node) -> str:
        """Result of the branch that a constant condition takes; inputs are condition, then results, else results."""
        mark = self.tensor(node.inputs[0]).digest if node.inputs[0] in self.constants else ""
        if len(node.outputs) != 1 or len(node.inputs) != 3 or mark not in (*_TRUE, *_FALSE):
            return ""
        return node.inputs[1 if mark in _TRUE else 2]

    def real_maker(self, tensor: str) -> int | None:
        """The node that computes a tensor, looking back through nodes that only pass it on."""
        i = self.maker.get(tensor)
        while i is not None and self._passed[i]:
            i = self.maker.get(self._passed[i])
        return i

    def forms(self, tensor: str) -> list[str]:
        """The tensor, and those that it is another form of: back through casts, reshapes, transposes, quantization."""
        found = [tensor]
        i = self.maker.get(tensor)
        while i is not None and (self._carriers[i] or self._passed[i]):
            tensor = self._passed[i] or next((t for t in self.nodes[i].inputs[:1] if t), "")
            if not tensor:
                break
            found.append(tensor)
            i = self.maker.get(tensor)
        return found

    def is_carrier(self, i: int) -> str:
        """'quantized', 'blocked', 'cast', 'transposed' or 'same' for nodes that change only the form; else ''."""
        return self._carriers[i]
