"""Value numbers: equal numbers are equal values, by construction, across both graphs.

The classic global value numbering (hash-consing) of compilers: an operator with the same attributes on the same
inputs gives the same value, whatever its name.
"""

from __future__ import annotations

from collections.abc import Hashable

from . import normal
from .graph import Node, Tensor
from .index import Index
from .ops import COMMUTATIVE, RANDOM, numbering_name, plain


class Numbers:
    """Hands out numbers; shared by the two graphs."""

    def __init__(self) -> None:
        self._table: dict[Hashable, int] = {}

    def of(self, key: Hashable) -> int:
        """The number of a key, a new one for a new key."""
        return self._table.setdefault(key, len(self._table))

    def known(self, key: Hashable) -> int | None:
        """The number of a key that occurred before."""
        return self._table.get(key)

    def constant(self, tensor: Tensor) -> int:
        """By content where it was hashed, else by name."""
        return self.of(("constant", tensor.digest or f"name:{tensor.name}"))

    @staticmethod
    def key(node: Node, inputs: list[int | None]) -> tuple:
        """What makes two nodes compute the same."""
        op = plain(node.op)
        if op in RANDOM:
            return ("random", node.name, id(node))
        if op in COMMUTATIVE:
            inputs = sorted(inputs, key=lambda n: -1 if n is None else n)
        return (numbering_name(node.op), normal.attributes(node), tuple(inputs))


class Before:
    """Numbers of all tensors of the first graph."""

    def __init__(self, index: Index, numbers: Numbers) -> None:
        self.index, self.numbers = index, numbers
        self.of: dict[str, int] = {}
        self.members: dict[int, list[str]] = {}
        for name in index.graph.inputs:
            self._set(name, numbers.of(("input", name)))
        for tensor in index.graph.tensors.values():
            if tensor.is_constant and tensor.name not in index.maker:
                self._set(tensor.name, numbers.constant(tensor))
        for i, node in enumerate(index.nodes):
            self._node(i, node)

    def _node(self, i: int, node: Node) -> None:
        inputs = [self.get(t) if t else None for t in node.inputs]
        if self.index.passes_on(i):
            self._set(node.outputs[0], self.get(self.index.passed(i)))
            for name in node.outputs[1:]:
                self._set(name, self.numbers.of(("extra", node.name, name)))
            return
        key = None
        for place, name in enumerate(node.outputs):
            if not name:
                continue
            tensor = self.index.tensor(name)
            if tensor.is_constant:
                self._set(name, self.numbers.constant(tensor))
                continue
            key = key or self.numbers.key(node, inputs)
            self._set(name, self.numbers.of((key, place)))

    def get(self, name: str) -> int:
        """Number of a tensor; one that nothing makes (the input of a loop body) is known by its name."""
        if name not in self.of:
            self._set(name, self.numbers.of(("free", name)))
        return self.of[name]

    def _set(self, name: str, number: int) -> None:
        self.of[name] = number
        self.members.setdefault(number, []).append(name)
