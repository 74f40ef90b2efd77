"""What names say about where a tensor comes from, strongest word first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from . import naming
from .graph import Node
from .index import Index


class Hints:
    """Candidates before for an output of a node after."""

    def __init__(self, before: Index, after: Index) -> None:
        self._before, self._after = before, after
        # A tensor that still exists under its own name, made by a real operator, is not also somebody else's origin.
        self._taken = {t for t, i in after.maker.items() if t in before.maker and (
            not after.is_carrier(i) or before.nodes[before.maker[t]].op == after.nodes[i].op)}
        self._layers = before.graph.format in ("keras", "keras2")

    def of(self, i: int, place: int, name: str) -> Iterator[tuple[str, str]]:
        """(tensor before, 'name' | 'node' | 'origin') in order of trust."""
        node = self._after.nodes[i]
        made = self._before.maker
        if not self._moved(node, name):
            if name in made:
                yield name, "name"
            for origin in naming.origins(name):
                if origin in made and origin not in self._taken:
                    yield origin, "name"
        yield from self._by_node(node, place, name)
        yield from self._by_origin(node, place)

    def best(self, node: Node, place: int, name: str, same: Sequence[str]) -> str:
        """Of several tensors before with one value, the one that the names point to; else the first."""
        if len(same) == 1 or name in same:
            return name if name in same else same[0]
        wanted = {origin for origin in naming.origins(name)}
        i = self._before.by_name.get(node.name)
        if i is not None and place < len(self._before.nodes[i].outputs):
            wanted.add(self._before.nodes[i].outputs[place])
        return next((t for t in same if t in wanted), same[0])

    def _moved(self, node: Node, name: str) -> bool:
        """ONNX Runtime's layout pass names outputs after nodes: such a name belongs to the node, not to the tensor."""
        return name == node.name or name in naming.origins(node.name)

    def _by_node(self, node: Node, place: int, name: str) -> Iterator[tuple[str, str]]:
        for label in (node.name, *naming.origins(node.name)):
            i = self._before.by_name.get(label)
            if i is not None and place < len(self._before.nodes[i].outputs):
                tensor = self._before.nodes[i].outputs[place]
                if tensor and (tensor == name or tensor not in self._taken):
                    yield tensor, "node"
            if label in self._before.maker and (label == name or label not in self._taken):
                yield label, "node"

    def _by_origin(self, node: Node, place: int) -> Iterator[tuple[str, str]]:
        """The last of the nodes before that a runtime names as sources."""
        found = [self._before.by_name[o] for o in node.origins if o in self._before.by_name]
        if found and place == 0:
            outputs = self._before.nodes[max(found)].outputs
            if outputs and outputs[0]:
                yield outputs[0], "origin"
