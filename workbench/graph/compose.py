"""The difference over several stages: each step is compared with the next, and the relations are joined.

Consecutive stages are close to each other, so each step has strong evidence; first and last alone may share no name.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InputError
from .diff import diff
from .graph import Graph
from .groups import Diff, Group
from .summaries import summary


def compose(stages: Sequence[Graph]) -> Diff:
    """The difference of the first and the last graph of a chain.

    Args:
        stages: at least two graphs in the order in which they were made.

    Raises:
        InputError: fewer than two graphs.
    """
    if len(stages) < 2:
        raise InputError("comparing takes two graphs or more")
    total = diff(stages[0], stages[1])
    for before, after in zip(stages[1:], stages[2:], strict=False):
        total = join(total, diff(before, after))
    return total


def join(first: Diff, second: Diff) -> Diff:
    """A -> C from A -> B and B -> C; groups that share nodes of B become one."""
    parts = _components(first.groups, second.groups)
    groups = [g for g in (_joined(first, second, a, b) for a, b in parts) if g is not None]
    groups.sort(key=lambda g: _place(g, first, second))
    pairs = {new: first.pairs[middle] for new, middle in second.pairs.items() if middle in first.pairs}
    return Diff(first.before, second.after, tuple(groups), pairs)


def _components(first: Sequence[Group], second: Sequence[Group]) -> list[tuple[list[Group], list[Group]]]:
    """Groups of both steps that hang together over nodes in the middle."""
    offset = len(first)
    parent = list(range(offset + len(second)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    owner = {node: n for n, group in enumerate(first) for node in group.after}
    for n, group in enumerate(second):
        for node in group.before:
            parent[root(offset + n)] = root(owner[node])
    found: dict[int, tuple[list[Group], list[Group]]] = {}
    for n, group in enumerate((*first, *second)):
        found.setdefault(root(n), ([], []))[n >= offset].append(group)
    return list(found.values())


def _joined(first: Diff, second: Diff, left: list[Group], right: list[Group]) -> Group | None:
    """One group from the parts; None for what one step inserted and the next took away."""
    before = tuple(sorted(i for g in left for i in g.before))
    after = tuple(sorted(i for g in right for i in g.after))
    if not before and not after:
        return None
    status = _status(left, right, before, after)
    told = sorted((g for g in (*left, *right) if g.status != "kept"), key=lambda g: g.status != status)
    words = list(dict.fromkeys(g.evidence for g in told))
    evidence = "; ".join(words[:2]) or (left + right)[0].evidence
    verified = all(g.verified for g in (*left, *right))
    line = summary(status, [first.before.nodes[i] for i in before], [second.after.nodes[i] for i in after])
    return Group(before, after, status, evidence, verified, line)


def _status(left: list[Group], right: list[Group], before: tuple, after: tuple) -> str:
    said = {g.status for g in (*left, *right)} - {"kept"}
    if "unexplained" in said:
        return "unexplained"
    if not before:
        return "inserted"
    if not after:
        gone = [g.status for g in (*left, *right) if not g.after and g.status != "kept"]
        return gone[0] if gone else "eliminated"
    for status in ("quantized", "fused"):
        if status in said:
            return status
    if not said:
        return "kept"
    return "merged" if said == {"merged"} else "rewritten"


def _place(group: Group, first: Diff, second: Diff) -> float:
    if group.after:
        return float(group.after[-1])
    return group.before[0] / max(1, len(first.before.nodes)) * len(second.after.nodes) - 0.5
