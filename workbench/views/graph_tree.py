"""One tree of blocks for both graphs: from the names, from the structure where names tell nothing.

The tree is made from the original graph; a node of the other graph goes where its counterpart is. So a block is the
same thing on both sides, opens on both sides, and stands level.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .graph_refine import Group, Refiner, flatten, scopes

FIRST_BOXES = 8  # the first picture opens groups until it has so many boxes,
MOST_BOXES = 40  # never more than so many
SMALL = 44  # a graph of so many nodes is shown whole


class Tree(NamedTuple):
    """The tree as plain columns; group 0 is the root.

    Attributes:
        parent: of each group, -1 for the root.
        title: of each group.
        kind: of each group.
        times: how often its block repeats, 0 where it does not.
        expanded: whether the first picture shows it open.
        before: group of each node of the original.
        after: group of each node of the other graph.
    """

    parent: list[int]
    title: list[str]
    kind: list[str]
    times: list[int]
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
    groups = flatten(root)
    index = {id(g): i for i, g in enumerate(groups)}
    places = [index[id(g)] for g in home]
    others = [index[id(g)] for g in other]
    ours, theirs = (others, places) if swap else (places, others)
    return Tree(
        parent=[-1 if g.parent is None else index[id(g.parent)] for g in groups],
        title=[g.title for g in groups], kind=[g.kind for g in groups],
        times=[g.times for g in groups],
        expanded=_first_picture(groups, index, ours, theirs), before=ours, after=theirs)


def _main_tree(side: dict[str, Any]) -> tuple[Group, list[Group]]:
    """The tree of one graph, and the group of each of its nodes."""
    nodes, order = side["nodes"], topological(side)
    edges = [(e[0], e[1]) for e in side["edges"]]
    constant = _constants(side, edges, order)
    root = Group("", "root")
    scopes(root, [i for i in order if not constant[i]], nodes)
    Refiner(nodes, edges).refine(root)
    home: list[Group] = [root] * len(nodes)
    for group in flatten(root):
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
