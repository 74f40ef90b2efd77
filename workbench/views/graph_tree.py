"""One tree of blocks for both graphs: from the names, from the structure where names tell nothing.

The tree is made from the original graph; a node of the other graph goes where its counterpart is. So a block is the
same thing on both sides, opens on both sides, and stands level.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from . import graph_segments as segments

PLAIN = 24  # a group of so many items is readable as it is
CROWDED = 60  # more items than that are cut into parts
FIRST_BOXES = 8  # the first picture opens groups until it has so many boxes,
MOST_BOXES = 40  # never more than so many
SMALL = 44  # a graph of so many nodes is shown whole

# Where a layer begins: the operators that do the work, in the spelling of any format.
_LAYER = re.compile(r"conv(?!ert)|gemm|matmul|dense|fully|lstm|gru|rnn|attention|einsum|(?<!quantize)linear|addmm"
                    r"|\bb?mm\b", re.IGNORECASE)


@dataclass(eq=False)
class Group:
    """A block. ``kind``: root, scope (from names), block (from structure), repeat, part, constants."""

    title: str
    kind: str
    parent: Group | None = None
    items: list[int | Group] = field(default_factory=list)

    def leaves(self) -> Iterator[int]:
        """All nodes below, in no particular order."""
        stack: list[Group] = [self]
        while stack:
            for item in stack.pop().items:
                if isinstance(item, Group):
                    stack.append(item)
                else:
                    yield item


class Tree(NamedTuple):
    """The tree as plain columns; group 0 is the root.

    Attributes:
        parent: of each group, -1 for the root.
        title: of each group.
        kind: of each group.
        expanded: whether the first picture shows it open.
        before: group of each node of the original.
        after: group of each node of the other graph.
    """

    parent: list[int]
    title: list[str]
    kind: list[str]
    expanded: list[bool]
    before: list[int]
    after: list[int]


def build(payload: dict[str, Any]) -> Tree:
    """Makes the tree for a diff payload.

    Args:
        payload: see :mod:`workbench.views.graph_view`.
    """
    before, after = payload["before"], payload["after"]
    swap = not before["nodes"] and bool(after["nodes"])
    main = after if swap else before
    root, home = _main_tree(main)
    other = [] if swap else _transfer(payload, home, root)
    groups = _flatten(root)
    index = {id(g): i for i, g in enumerate(groups)}
    places = [index[id(g)] for g in home]
    others = [index[id(g)] for g in other]
    ours, theirs = (others, places) if swap else (places, others)
    return Tree(
        parent=[-1 if g.parent is None else index[id(g.parent)] for g in groups],
        title=[g.title for g in groups], kind=[g.kind for g in groups],
        expanded=_first_picture(groups, index, ours, theirs), before=ours, after=theirs)


def _main_tree(side: dict[str, Any]) -> tuple[Group, list[Group]]:
    """The tree of one graph, and the group of each of its nodes."""
    nodes, order = side["nodes"], topological(side)
    edges = [(e[0], e[1]) for e in side["edges"]]
    constant = _constants(side, edges, order)
    root = Group("", "root")
    _scopes(root, [i for i in order if not constant[i]], nodes)
    _Refiner(nodes, edges).refine(root)
    home: list[Group] = [root] * len(nodes)
    for group in _flatten(root):
        for item in group.items:
            if not isinstance(item, Group):
                home[item] = group
    _place_constants(constant, edges, order, home, root)
    return root, home


def topological(side: dict[str, Any]) -> list[int]:
    """Node indices in topological order; nodes on a cycle (a damaged file) come last, in file order."""
    count = len(side["nodes"])
    if all(e[0] < e[1] for e in side["edges"]):
        return list(range(count))
    readers: list[list[int]] = [[] for _ in range(count)]
    waiting = [0] * count
    for source, target, *_ in side["edges"]:
        readers[source].append(target)
        waiting[target] += 1
    ready = [i for i in range(count - 1, -1, -1) if not waiting[i]]
    order = []
    while ready:
        node = ready.pop()
        order.append(node)
        for target in reversed(readers[node]):
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    seen = set(order)
    return order + [i for i in range(count) if i not in seen]


def _constants(side: dict[str, Any], edges: list[tuple[int, int]], order: list[int]) -> list[bool]:
    """Nodes that no graph input reaches: they make weights, shapes and the like."""
    nodes = side["nodes"]
    inputs = set(side["inputs"])
    reached = [any(t in inputs for t in n["in"]) for n in nodes]
    readers: list[list[int]] = [[] for _ in nodes]
    for source, target in edges:
        readers[source].append(target)
    stack = [i for i, r in enumerate(reached) if r]
    while stack:
        for target in readers[stack.pop()]:
            if not reached[target]:
                reached[target] = True
                stack.append(target)
    if sum(reached) * 5 < len(nodes):  # inputs unknown: nothing can be said
        return [False] * len(nodes)
    return [not r for r in reached]


def _scopes(root: Group, order: list[int], nodes: list[dict[str, Any]]) -> None:
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
    for group in reversed(_flatten(root)):
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


class _Refiner:
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
        if 2 <= len(found) <= 0.8 * len(group.items):
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
            fold = Group("", "repeat", group, members)
            self._adopt(fold)
            if run.period > 1:
                cuts = [range(k, k + run.period) for k in range(0, len(members), run.period)]
                self._wrap(fold, cuts, "block")
            fold.title = self._repeat_title(fold)
            out.append(fold)
        group.items = out + group.items[at:]
        if len(group.items) == 1 and isinstance(group.items[0], Group) and group.kind != "root":
            only = group.items[0]
            group.items, group.kind = only.items, only.kind
            self._adopt(group)

    def _parts(self, group: Group) -> None:
        self._wrap(group, segments.chunks(len(group.items), 30), "part")

    def _wrap(self, group: Group, cuts: list[range], kind: str) -> None:
        """Replaces stretches of more than one item by groups."""
        items, known = [], segments.common_title([self.nodes[i]["name"] for i in _some(group)])
        for number, cut in enumerate(cuts, 1):
            members = group.items[cut.start:cut.stop]
            if len(members) == 1:
                items.append(members[0])
                continue
            child = Group("", kind, group, members)
            self._adopt(child)
            child.title = self._title(child, known) or f"{kind} {number}"
            items.append(child)
        group.items = items

    def _title(self, group: Group, known: str) -> str:
        """What the names have in common; the operators of a very small group; '' when there is nothing to say."""
        some = _some(group)
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


def _some(group: Group, most: int = 200) -> list[int]:
    found = []
    for leaf in group.leaves():
        found.append(leaf)
        if len(found) == most:
            break
    return found


def _place_constants(constant: list[bool], edges: list[tuple[int, int]], order: list[int],
                     home: list[Group], root: Group) -> None:
    """Puts what makes constants into the innermost group that holds all its readers."""
    readers: dict[int, list[int]] = {}
    for source, target in edges:
        if constant[source]:
            readers.setdefault(source, []).append(target)
    placed: dict[int, list[int]] = {}
    owner: dict[int, Group] = {}
    for i in reversed(order):
        if constant[i]:
            home[i] = _common([home[t] for t in readers.get(i, ())]) or root
            placed.setdefault(id(home[i]), []).append(i)
            owner[id(home[i])] = home[i]
    for key, members in placed.items():
        group = owner[key]
        members.reverse()
        if len(members) > 1 and len(group.items) > 0:
            child = Group("constants", "constants", group, list(members))
            group.items.insert(0, child)
            for i in members:
                home[i] = child
        else:
            group.items[:0] = members


def _common(groups: list[Group]) -> Group | None:
    """The innermost group that holds all of them."""
    if not groups:
        return None
    path = _path(groups[0])
    for group in groups[1:]:
        other = set(map(id, _path(group)))
        path = [g for g in path if id(g) in other]
    return path[-1] if path else None


def _path(group: Group) -> list[Group]:
    """From the root to the group."""
    path = []
    at: Group | None = group
    while at is not None:
        path.append(at)
        at = at.parent
    return path[::-1]


def _transfer(payload: dict[str, Any], home: list[Group], root: Group) -> list[Group]:
    """The group of each node of the other graph: its counterpart's, else its scope's, else a neighbour's."""
    after = payload["after"]
    nodes = after["nodes"]
    found: list[Group | None] = [None] * len(nodes)
    for group in payload["groups"]:
        if not group["before"]:
            continue
        place = home[group["before"][-1]]
        if place.kind == "constants":
            others = [home[i] for i in group["before"] if home[i].kind != "constants"]
            place = others[-1] if others else place
        for i in group["after"]:
            found[i] = place
    scoped: dict[str, Group] = {}
    for i, node in enumerate(payload["before"]["nodes"]):
        if node.get("scope"):
            scoped.setdefault(node["scope"], home[i])
    order = topological(after)
    writers: dict[int, int] = {}
    readers: dict[int, int] = {}
    for source, target, *_ in after["edges"]:
        writers[target] = source
        readers.setdefault(source, target)
    for i in order:
        if found[i] is None:
            source = writers.get(i)
            found[i] = scoped.get(nodes[i].get("scope") or "") or (found[source] if source is not None else None)
    for i in reversed(order):
        if found[i] is None:
            target = readers.get(i)
            found[i] = (found[target] if target is not None else None) or root
    return [g or root for g in found]


def _flatten(root: Group) -> list[Group]:
    """All groups, parents before their children."""
    found = [root]
    for group in found:
        found += [item for item in group.items if isinstance(item, Group)]
    return found


def _first_picture(groups: list[Group], index: dict[int, int], before: list[int], after: list[int]) -> list[bool]:
    """Opens a small graph whole, another one only as far as its first level is too poor to show anything."""
    boxes = [[0, 0] for _ in groups]
    for side, places in enumerate((before, after)):
        for place in places:
            boxes[place][side] += 1
    weight, shown = [sum(b) for b in boxes], [max(b) for b in boxes]
    children: list[list[int]] = [[] for _ in groups]
    for i in range(len(groups) - 1, 0, -1):
        above = index[id(groups[i].parent)]
        weight[above] += weight[i]
        shown[above] += 1
        children[above].append(i)
    expanded = [i == 0 for i in range(len(groups))]
    small = max(len(before), len(after)) <= SMALL
    now, ready = shown[0], list(children[0])
    while ready and (small or now < FIRST_BOXES):
        ready.sort(key=lambda i: weight[i])
        at = ready.pop()
        if groups[at].kind != "constants" and (small or now + shown[at] - 1 <= MOST_BOXES):
            expanded[at] = True
            now += shown[at] - 1
            ready += children[at]
    return expanded
