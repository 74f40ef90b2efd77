"""Cuts both graphs into regions that compute the same: backwards from each anchored result, as far as the next anchors.

The walk stops at *all* anchors, not only at the inputs of the node in question: that keeps every walk short (a graph of
10,000 nodes takes 0.2 s instead of 96 s).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .anchors import Anchors
from .index import Index
from .numbering import Before


@dataclass
class Region:
    """Nodes before and after that give the same results.

    Attributes:
        before: positions before.
        after: positions after; the one that gives the anchored result is last.
        copies: nodes before that compute what a node of this region computes (merged into it).
        results: anchored tensors after that the region gives.
        leaves: tensors that the region reads before, constants left out.
    """

    before: list[int] = field(default_factory=list)
    after: list[int] = field(default_factory=list)
    copies: list[int] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    leaves: set[str] = field(default_factory=set)


class Regions:
    """All regions, and the nodes that are in none.

    Attributes:
        found: regions in the order of the graph after.
        extra: nodes after that repeat what a region gives already -> that region.
        carriers: nodes after that only change the form of a value.
        loose: nodes after without any tie.
        left: nodes before in no region.
    """

    def __init__(self, before: Before, after: Index, anchors: Anchors) -> None:
        self._before, self._after, self._anchors = before, after, anchors
        self.found: list[Region] = []
        self.extra: dict[int, Region] = {}
        self.carriers: list[int] = []
        self.loose: list[int] = []
        self._owner: dict[int, Region] = {}  # node before -> region
        self._home: dict[int, Region] = {}  # node after -> region
        self._stops = {anchors.number[t] for t in anchors.pair}
        for i in range(len(after.nodes)):
            self._anchored(i)
        for i in reversed(range(len(after.nodes))):
            if i not in self._home and i not in self.extra:
                self._inner(i)
        self._merge_copies()
        self.left = [i for i in range(len(before.index.nodes)) if i not in self._owner]
        for region in self.found:
            region.before.sort()
            region.after.sort()
            region.copies.sort()
        self.carriers.sort()
        self.loose.sort()

    def _anchored(self, i: int) -> None:
        """The region of a node whose results have counterparts."""
        node = self._after.nodes[i]
        results = [t for t in node.outputs if self._anchors.how.get(t, "form") != "form" or self._is_backwards(i, t)]
        passing = self._after.passes_on(i)
        index = self._before.index
        maker_of = index.maker.get if passing else index.real_maker
        makers = [maker_of(self._anchors.pair[t]) for t in results]
        if not any(m is not None for m in makers):
            return
        region = Region(after=[i], results=results)
        for maker in makers:
            if maker is not None:
                self._slice(maker, region)
        if region.before:
            self.found.append(region)
            self._home[i] = region
            self._owner.update((b, region) for b in region.before)
            return
        owners = [self._owner[m] for m in makers if m is not None and m in self._owner]
        if owners:
            self.extra[i] = owners[0]

    def _is_backwards(self, i: int, tensor: str) -> bool:
        return tensor in self._anchors.pair and not self._after.is_carrier(i)

    def _slice(self, maker: int, region: Region) -> None:
        index, todo, seen = self._before.index, [maker], set()
        while todo:
            i = todo.pop()
            if i in seen:
                continue
            seen.add(i)
            if i in self._owner or i in region.before:
                continue
            region.before.append(i)
            for name in index.nodes[i].inputs:
                if not name or name in index.settled:
                    continue
                if self._before.get(name) in self._stops or name not in index.maker:
                    region.leaves.add(name)
                else:
                    todo.append(index.maker[name])

    def _inner(self, i: int) -> None:
        """A node between anchors belongs to those that use its results; seen from the outputs, users come first."""
        if self._after.is_carrier(i):
            self.carriers.append(i)
            return
        for tensor in self._after.nodes[i].outputs:
            for user in self._after.users.get(tensor, ()):
                home = self._home_through(user)
                if home is not None:
                    home.after.append(i)
                    self._home[i] = home
                    return
        self.loose.append(i)

    def _home_through(self, i: int) -> Region | None:
        """Region of a node, looking through carriers whose value has no counterpart of its own."""
        for _ in range(4):
            if i in self._home:
                return self._home[i]
            outputs = self._after.nodes[i].outputs
            if not self._after.is_carrier(i) or not outputs or outputs[0] in self._anchors.pair:
                return None
            users = self._after.users.get(outputs[0], ())
            if not users:
                return None
            i = users[0]
        return None

    def _merge_copies(self) -> None:
        """Nodes before that compute what another, surviving one computes join its region."""
        index = self._before.index
        for i, node in enumerate(index.nodes):
            if i in self._owner or not node.outputs or index.passes_on(i):
                continue
            for name in node.outputs:
                same = self._before.members.get(self._before.of.get(name, -1), ())
                makers = (index.maker.get(t) for t in same)
                home = next((self._owner[m] for m in makers if m is not None and m != i and m in self._owner), None)
                if home is not None:
                    home.copies.append(i)
                    self._owner[i] = home
                    break
