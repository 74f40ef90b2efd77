"""What a comparison of two graphs gives: groups of nodes before and after, each with a status and its evidence."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from .graph import Graph

# In the order of a legend; 'unexplained' is always counted and shown.
STATUSES = ("kept", "rewritten", "fused", "folded", "merged", "eliminated", "inserted", "quantized", "unexplained")


@dataclass(frozen=True)
class Group:
    """Nodes that belong together.

    Attributes:
        before: positions in ``Diff.before.nodes``, ascending.
        after: positions in ``Diff.after.nodes``, ascending.
        status: one of :data:`STATUSES`.
        evidence: one plain sentence: why.
        verified: the results of both sides were computed and agree.
        summary: one line for people, e.g. 'Conv + Relu became one FusedConv, 2 -> 1'.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    status: str
    evidence: str
    verified: bool = False
    summary: str = ""


@dataclass(frozen=True)
class Diff:
    """Two graphs and the relation between their nodes; every node is in exactly one group.

    Attributes:
        before: the graph that was given.
        after: what became of it.
        groups: in the order of the graph after; groups with nodes before only come where those nodes were.
        pairs: tensor after -> tensor before, for the tensors that hold the same value.
    """

    before: Graph
    after: Graph
    groups: tuple[Group, ...]
    pairs: dict[str, str]

    @property
    def counts(self) -> dict[str, int]:
        """Number of groups of each status, zeros included."""
        found = Counter(g.status for g in self.groups)
        return {s: found.get(s, 0) for s in STATUSES}

    @property
    def unexplained_nodes(self) -> int:
        """Nodes of both sides that no rule explains."""
        return sum(len(g.before) + len(g.after) for g in self.groups if g.status == "unexplained")

    def with_groups(self, groups: tuple[Group, ...]) -> Diff:
        """The same graphs with other groups."""
        return replace(self, groups=groups)
