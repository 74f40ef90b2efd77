"""What names say about where a tensor comes from, strongest word first."""

from __future__ import annotations

from collections import Counter
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
        self._ends = _paired_outputs(before, after)  # result of the model after -> the one before
        self._reserved = set(self._ends.values())
        self._layers = _layers(before, after)

    def of(self, i: int, place: int, name: str) -> Iterator[tuple[str, str]]:
        """(tensor before, 'place' | 'name' | 'node' | 'origin' | 'layer') in order of trust."""
        if name in self._ends:
            yield self._ends[name], "place"
        for candidate, how in self._named(i, place, name):
            if candidate not in self._reserved:
                yield candidate, how

    def _named(self, i: int, place: int, name: str) -> Iterator[tuple[str, str]]:
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
        if self._layers is not None and place == 0 and i in self._layers.last:
            yield self._layers.last[i], "layer"

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
        """The last of the nodes before that a runtime names as sources, by their own names or their results'."""
        if place or not node.origins:
            return
        made = self._before.maker
        found = []
        for origin in node.origins:
            shorter = origin.rstrip("0123456789")  # TFLite's converter numbers the second of two equal names
            for label in (origin, f"{origin}:0", shorter, f"{shorter}:0"):
                i = self._before.by_name.get(label, made.get(label))
                if i is not None:
                    found.append(i)
                    break
        if found:
            outputs = self._before.nodes[max(found)].outputs
            if outputs and outputs[0]:
                yield outputs[0], "origin"


def _paired_outputs(before: Index, after: Index) -> dict[str, str]:
    """Results of the models that correspond: by name, the rest by position."""
    first, second = before.graph.outputs, after.graph.outputs
    found = {t: t for t in second if t in before.outputs}
    if len(first) == len(second):
        left = [t for t in first if t not in found]
        found |= dict(zip([t for t in second if t not in found], left, strict=False))
    return {new: old for new, old in found.items() if old in before.maker}


def _layers(before: Index, after: Index) -> Layers | None:
    """What paths say, for formats whose nodes are layers or calls of modules."""
    format = before.graph.format
    if format in ("keras", "keras2"):
        known = {n.name: i for i, n in enumerate(before.nodes)}
        known |= {n.name.rsplit("/", 1)[-1]: i for i, n in enumerate(before.nodes) if n.op != "Identity"}
        return Layers(before, after, [_in_path(n, known) for n in after.nodes])
    if format in ("torchscript", "torch_export") and after.graph.format != format:
        paths = Counter(_module(n) for n in before.nodes)
        known = {_module(n): i for i, n in enumerate(before.nodes) if paths[_module(n)] == 1}
        return Layers(before, after, [known.get(_module(n)) if n.scope else None for n in after.nodes])
    return None


def _in_path(node: Node, known: dict[str, int]) -> int | None:
    """Layer that a node belongs to, by its result's name, else its own."""
    names = [part for t in node.outputs[:1] for part in t.split(";")]
    for name in (*names, node.name):
        for part in naming.paths(name):
            if part in known:
                return known[part]
    return None


def _module(node: Node) -> str:
    """('blocks.0', 'q') and ('blocks', '0', 'q') are one module."""
    return ".".join(node.scope)


class Layers:
    """Nodes of a converted graph that belong to one layer or module before.

    Attributes:
        last: node after that gives a layer's result -> that result before.
    """

    def __init__(self, before: Index, after: Index, labels: list[int | None]) -> None:
        self.last: dict[int, str] = {}
        seen: set[int] = set()
        for i in reversed(range(len(after.nodes))):
            label = labels[i]
            if label is None or label in seen or not after.nodes[i].outputs:
                continue
            users = [u for t in after.nodes[i].outputs for u in after.users.get(t, ())]
            is_result = any(t in after.outputs for t in after.nodes[i].outputs)
            if is_result or any(labels[u] != label for u in users):
                seen.add(label)
                self.last[i] = before.nodes[label].outputs[0]
