"""Which nodes of the neutral graph a runtime's node stands for: by name, by origins, by what runtimes append."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ..graph.naming import origins as older_names
from .ops import is_compute

if TYPE_CHECKING:
    from ..graph.graph import Node

_LONGEST = 6  # a fused chain: Conv, BatchNormalization, Add, activation of two or three nodes


class Names:
    """Nodes of a graph, ready to be looked up.

    Args:
        nodes: nodes, or just their names; none match nothing.
    """

    def __init__(self, nodes: Iterable[Node | str]) -> None:
        self._nodes: dict[str, Node | None] = {}
        self._makers: dict[str, str] = {}
        for node in nodes:
            if isinstance(node, str):
                self._nodes[node] = None
                continue
            self._nodes[node.name] = node
            self._makers |= dict.fromkeys((o for o in node.outputs if o), node.name)
        self._ends = {n.strip("/"): n for n in self._nodes}

    def of(self, name: str, origins: Iterable[str] = (), op: str = "") -> tuple[str, ...]:
        """Nodes that a runtime's node stands for; () when none is known.

        Args:
            name: the runtime's name.
            origins: names that the runtime says were merged into it.
            op: what it computes; a product that is found under the name of its activation takes the chain between.
        """
        found = [o for o in origins if o in self._nodes]
        if name in self._nodes:
            found.insert(0, name)
        for label in (name, *origins) if not found else ():
            found += self._older(label)
        if op and found and is_compute(op) and not any(self._computes(n) for n in found):
            found += self._before(found[-1])
        return tuple(dict.fromkeys(found))

    def _older(self, label: str) -> Iterator[str]:
        """The nearest node or tensor that the label was made from."""
        label = label.removeprefix("fused ")  # ONNX Runtime: a Gemm with its activation
        for candidate in (label, *older_names(label)):
            node = (candidate if candidate in self._nodes else self._makers.get(candidate)
                    or self._ends.get(candidate.strip("/")))
            if node:
                yield node
                return

    def _computes(self, name: str) -> bool:
        node = self._nodes[name]
        return node is None or is_compute(node.op)

    def _before(self, name: str) -> list[str]:
        """The chain of nodes that leads to a name, back to the product that it ends; [] when it forks first."""
        chain: list[str] = []
        while len(chain) < _LONGEST:
            node = self._nodes[chain[-1] if chain else name]
            makers = list(dict.fromkeys(self._makers[i] for i in node.inputs if i in self._makers)) if node else []
            products = [m for m in makers if self._computes(m)]
            if products:
                return [*chain, products[0]]
            if len(makers) != 1:
                return []
            chain.append(makers[0])
        return []
