"""Nodes before without a counterpart: why they could go."""

from __future__ import annotations

from .anchors import Anchors
from .groups import Group
from .index import Index
from .numbering import Before
from .summaries import summary


def left_groups(before: Before, anchors: Anchors, after: Index, left: list[int]) -> list[Group]:
    """Groups of the nodes in ``left``; neighbours with one fate are one group."""
    fates = {i: _fate(before, anchors, after, i) for i in left}
    groups = []
    for members in _neighbours(before.index, fates):
        status, evidence = fates[members[-1]]
        nodes = [before.index.nodes[i] for i in members]
        groups.append(Group(tuple(members), (), status, evidence, False, summary(status, nodes, [])))
    return groups


def _fate(before: Before, anchors: Anchors, after: Index, i: int) -> tuple[str, str]:
    index = before.index
    node = index.nodes[i]
    outputs = [t for t in node.outputs if t]
    if i not in index.alive:
        return "eliminated", "no output of the model depends on it"
    if outputs and all(t in index.constants for t in outputs):
        return "folded", "it reads constants only: its result is stored in the model now"
    if index.passes_on(i) and node.op == "If":
        return "eliminated", "its condition is a constant: the branch that is taken stands in its place"
    if index.passes_on(i):
        return "eliminated", "it passes its input on unchanged"
    if any(after.tensor(t).is_constant for t in outputs):
        return "folded", "its result is a constant of the model now"
    if outputs and all(t in index.settled for t in outputs):
        return "folded", "the inputs' sizes determine its result, which is stored in the model now"
    if index.is_carrier(i) not in ("", "quantized") and before.get(node.inputs[0]) in anchors.tied:
        return "eliminated", "the operators behind it take its input as it is; it changed only the form of the values"
    readers = [u for t in outputs for u in _results(index, t)]
    if readers and all(u in index.settled for u in readers):
        return "folded", "only computations that are stored in the model now read it"
    return "unexplained", "nothing after computes its result, and no rule tells why that is right"


def _results(index: Index, tensor: str) -> list[str]:
    return [o for u in index.users.get(tensor, ()) for o in index.nodes[u].outputs if o]


def _neighbours(index: Index, fates: dict[int, tuple[str, str]]) -> list[list[int]]:
    """Connected nodes of equal status, as lists in order."""
    parent = {i: i for i in fates}

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i in fates:
        for name in index.nodes[i].inputs:
            maker = index.maker.get(name)
            if maker in fates and fates[maker][0] == fates[i][0]:
                parent[root(maker)] = root(i)
    found: dict[int, list[int]] = {}
    for i in sorted(fates):
        found.setdefault(root(i), []).append(i)
    return list(found.values())
