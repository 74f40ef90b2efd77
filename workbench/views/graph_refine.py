"""Blocks of one graph: from the scopes in the names, and from the structure where a block is too crowded to read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from . import graph_segments as segments

PLAIN = 24  # a group of so many items is readable as it is
CROWDED = 60  # more items than that are cut into parts

# Where a layer begins: the operators that do the work, in the spelling of any format.
_LAYER = re.compile(r"conv(?!ert)|gemm|matmul|dense|fully|lstm|gru|rnn|attention|einsum|(?<!quantize)linear|addmm"
                    r"|\bb?mm\b", re.IGNORECASE)


@dataclass(eq=False)
class Group:
    """A block. ``kind``: root, scope (from names), block (from structure), repeat (of ``times``), part, constants."""

    title: str
    kind: str
    parent: Group | None = None
    items: list[int | Group] = field(default_factory=list)
    times: int = 0

    def leaves(self) -> Iterator[int]:
        """All nodes below, in no particular order."""
        stack: list[Group] = [self]
        while stack:
            for item in stack.pop().items:
                if isinstance(item, Group):
                    stack.append(item)
                else:
                    yield item


def scopes(root: Group, order: list[int], nodes: list[dict[str, Any]]) -> None:
    """Groups from scope names; a group that holds one group only is joined with it."""
    known: dict[tuple[str, ...], Group] = {(): root}
    for i in order:
        path = tuple(p for p in (nodes[i].get("scope") or "").split("/") if p)[:12]
        depth = len(path)
        while path[:depth] not in known:
            depth -= 1
        group = known[path[:depth]]
        for k in range(depth, len(path)):
            child = Group(path[k], "scope", group)
            group.items.append(child)
            known[path[:k + 1]] = group = child
        group.items.append(i)
    _join(root)


def _join(root: Group) -> None:
    """Takes out levels that say nothing: a group inside a group alone, and a group of one node."""
    for group in reversed(flatten(root)):
        kept: list[int | Group] = []
        for item in group.items:
            while isinstance(item, Group) and len(item.items) == 1:
                only = item.items[0]
                if isinstance(only, Group):
                    only.title = f"{item.title}/{only.title}"
                    only.parent = group
                item = only
            kept.append(item)
        group.items = kept
    while len(root.items) == 1 and isinstance(root.items[0], Group):
        root.items = root.items[0].items
        for item in root.items:
            if isinstance(item, Group):
                item.parent = root


class Refiner:
    """Adds levels where a group holds too many items to read: blocks, repeats, parts."""

    def __init__(self, nodes: list[dict[str, Any]], edges: list[tuple[int, int]]) -> None:
        self.nodes = nodes
        self.kept: list[Group] = []
        self.readers: list[list[int]] = [[] for _ in nodes]
        for source, target in edges:
            self.readers[source].append(target)
        self.signs: dict[int, int] = {}

    def refine(self, root: Group) -> None:
        """Works top down; new groups are refined in their turn. Items are in topological order throughout."""
        stack = [root]
        while stack:
            group = stack.pop()
            crowded = len(group.items) > PLAIN
            if crowded:
                self._cut(group)
            self._fold(group, leaves_too=crowded)
            if len(group.items) > CROWDED:
                self._parts(group)
            stack += [item for item in group.items if isinstance(item, Group)]

    def _cut(self, group: Group) -> None:
        place: dict[int, int] = {}
        for k, item in enumerate(group.items):
            for leaf in item.leaves() if isinstance(item, Group) else (item,):
                place[leaf] = k
        inner = {(k, place[t]) for leaf, k in place.items() for t in self.readers[leaf] if place.get(t, k) != k}
        found = segments.units(len(group.items), sorted(inner), lambda k: self._anchor(group.items[k]))
        most = 1.0 if group.kind in ("root", "scope") else 0.75  # else each level could take off one node only
        if 2 <= len(found) <= 0.8 * len(group.items) and max(map(len, found)) <= most * len(group.items):
            self._wrap(group, found, "block")

    def _anchor(self, item: int | Group) -> bool:
        return isinstance(item, Group) or bool(_LAYER.search(self.nodes[item]["op"]))

    def _fold(self, group: Group, leaves_too: bool) -> None:
        """Folds equal neighbours; in a small group only whole groups, since single nodes may be parallel branches."""
        runs = segments.repeats([self._sign(item) if leaves_too or isinstance(item, Group) else -1 - k
                                 for k, item in enumerate(group.items)]) if group.kind != "repeat" else []
        out: list[int | Group] = []
        at = 0
        for run in runs:
            out += group.items[at:run.start]
            end = run.start + run.period * run.times
            members = group.items[run.start:end]
            at = end
            if run.period == 1 and not isinstance(members[0], Group) and run.times < 8:
                out += members
                continue
            fold = Group("", "repeat", group, members, run.times)
            self._adopt(fold)
            if run.period > 1:
                cuts = [range(k, k + run.period) for k in range(0, len(members), run.period)]
                self._wrap(fold, cuts, "block")
            fold.title = self._repeat_title(fold)
            out.append(fold)
        group.items = out + group.items[at:]
        if len(group.items) == 1 and isinstance(group.items[0], Group) and group.kind != "root":
            only = group.items[0]
            group.items, group.kind, group.times = only.items, only.kind, only.times
            self._adopt(group)

    def _parts(self, group: Group) -> None:
        self._wrap(group, segments.chunks(len(group.items), 30), "part")

    def _wrap(self, group: Group, cuts: list[range], kind: str) -> None:
        """Replaces stretches of more than one item by groups."""
        items, known = [], segments.common_title([self.nodes[i]["name"] for i in first_leaves(group)])
        for number, cut in enumerate(cuts, 1):
            members = group.items[cut.start:cut.stop]
            if len(members) == 1:
                items.append(members[0])
                continue
            child = Group("", kind, group, members)
            self._adopt(child)
            ends = self._repeat_title(child) if kind == "part" and isinstance(members[0], Group) else ""
            child.title = ends or self._title(child, known) or f"{kind} {number}"
            items.append(child)
        group.items = items

    def _title(self, group: Group, known: str) -> str:
        """What the names have in common; the operators of a very small group; '' when there is nothing to say."""
        some = first_leaves(group)
        title = segments.common_title([self.nodes[i]["name"] for i in some], known)
        if title and all(title != self.nodes[i]["op"] for i in some):
            return title
        return " + ".join(self.nodes[i]["op"] for i in some) if len(some) <= 3 else ""

    def _repeat_title(self, fold: Group) -> str:
        titles = [item.title for item in fold.items if isinstance(item, Group)]
        if len(titles) > 1 and titles[0] != titles[-1]:
            return f"{titles[0]} … {titles[-1]}"
        return titles[0] if titles else self.nodes[next(fold.leaves())]["op"]

    @staticmethod
    def _adopt(group: Group) -> None:
        for item in group.items:
            if isinstance(item, Group):
                item.parent = group

    def _sign(self, item: int | Group) -> int:
        """Equal for equal structure: the operators below, in order, with their nesting."""
        if not isinstance(item, Group):
            return hash(self.nodes[item]["op"])
        if id(item) not in self.signs:
            self.signs[id(item)] = hash(tuple(self._sign(child) for child in item.items))
            self.kept.append(item)  # an id is unique only while its object lives
        return self.signs[id(item)]


def flatten(root: Group) -> list[Group]:
    """All groups, parents before their children."""
    found = [root]
    for group in found:
        found += [item for item in group.items if isinstance(item, Group)]
    return found


def first_leaves(group: Group, most: int = 200) -> list[int]:
    found = []
    for leaf in group.leaves():
        found.append(leaf)
        if len(found) == most:
            break
    return found
