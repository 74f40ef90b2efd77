"""A graph with the look-ups that comparing needs."""

from __future__ import annotations

from functools import cached_property

from .graph import Graph, Node, Tensor
from .ops import CARRIERS, PASS_ON, RANDOM, plain

_MAYBE_USELESS = frozenset("Cast CAST Convert Reshape Flatten Squeeze Unsqueeze RESHAPE Slice Expand Pad".split())
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
        """Nodes that some output of the graph depends on."""
        seen: set[int] = set()
        todo = [self.maker[t] for t in self.graph.outputs if t in self.maker]
        while todo:
            i = todo.pop()
            if i in seen:
                continue
            seen.add(i)
            todo += [self.maker[t] for t in self.nodes[i].inputs if t in self.maker]
        return frozenset(seen)

    @cached_property
    def _passing(self) -> list[bool]:
        return [self._gives_back(n) for n in self.nodes]

    def passes_on(self, i: int) -> bool:
        """Whether a node gives its first input back unchanged."""
        return self._passing[i]

    def _gives_back(self, node: Node) -> bool:
        """Dropout and the like; casts to the same type, reshapes to the same shape, transposes that swap nothing."""
        op = plain(node.op)
        if not node.inputs or not node.inputs[0] or not node.outputs:
            return False
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

    def real_maker(self, tensor: str) -> int | None:
        """The node that computes a tensor, looking back through nodes that only pass it on."""
        i = self.maker.get(tensor)
        while i is not None and self.passes_on(i):
            tensor = self.nodes[i].inputs[0]
            i = self.maker.get(tensor)
        return i

    def forms(self, tensor: str) -> list[str]:
        """The tensor, and those that it is another form of: back through casts, reshapes, transposes, quantization."""
        found = [tensor]
        i = self.maker.get(tensor)
        while i is not None and (self.is_carrier(i) or self.passes_on(i)):
            tensor = next((t for t in self.nodes[i].inputs[:1] if t), "")
            if not tensor:
                break
            found.append(tensor)
            i = self.maker.get(tensor)
        return found

    def is_carrier(self, i: int) -> str:
        """'quantized', 'blocked', 'cast', 'transposed' or 'same' for nodes that change only the form; else ''."""
        return self._carriers[i]
