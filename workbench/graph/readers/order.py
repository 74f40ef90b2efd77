"""Topological order that keeps the file's own order wherever that is one."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from ..graph import Node


def sorted_nodes(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """Nodes so that producers come before consumers; a cycle (a broken file) is left in file order.

    Args:
        nodes: in file order.
    """
    maker = {o: i for i, n in enumerate(nodes) for o in n.outputs if o}
    needs = [{maker[t] for t in n.inputs if t in maker and maker[t] != i} for i, n in enumerate(nodes)]
    if all(j < i for i, deps in enumerate(needs) for j in deps):
        return tuple(nodes)
    followers: list[list[int]] = [[] for _ in nodes]
    open_inputs = [len(deps) for deps in needs]
    for i, deps in enumerate(needs):
        for j in deps:
            followers[j].append(i)
    ready = [i for i, count in enumerate(open_inputs) if not count]
    order: list[int] = []
    while ready:
        i = heapq.heappop(ready)
        order.append(i)
        for j in followers[i]:
            open_inputs[j] -= 1
            if not open_inputs[j]:
                heapq.heappush(ready, j)
    if len(order) < len(nodes):
        seen = set(order)
        order += [i for i in range(len(nodes)) if i not in seen]
    return tuple(nodes[i] for i in order)
