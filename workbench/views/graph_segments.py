"""Hierarchy from structure: where a network narrows to one tensor, which stretches repeat, where a long row is cut."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

HUB_READERS = 10  # a tensor read by that many items, all over the place, says nothing about where blocks end
LONGEST_PERIOD = 12
SHORT_TAIL = 4  # so many items without a layer among them belong to the block before: an activation, a sum


class Run(NamedTuple):
    """A stretch of equal periods: items ``start`` to ``start + period * times``."""

    start: int
    period: int
    times: int


def waists(count: int, edges: Sequence[tuple[int, int]]) -> list[bool]:
    """After which items at most one tensor is alive, so that a block can end there.

    Args:
        count: number of items, in topological order.
        edges: (source, target) positions; those that run backwards are left out, and so are hubs and edges over more
            than a quarter of the row (masks, tables, long skips), which would hide every block.

    Returns:
        For each item, True when the row can be cut behind it. The last entry is True.
    """
    last = list(range(count))
    readers: list[set[int]] = [set() for _ in range(count)]
    for source, target in edges:
        if target > source:
            readers[source].add(target)
    longest = max(40, count // 4)
    for source, found in enumerate(readers):
        hub = len(found) >= HUB_READERS and max(found) - source > count // 4
        near = [target for target in found if target - source <= longest]
        if near and not hub:
            last[source] = max(near)
    alive, change = 0, [0] * (count + 1)
    for source, end in enumerate(last):
        if end > source:
            change[source] += 1
            change[end] -= 1
    cuts = []
    for k in range(count):
        alive += change[k]
        cuts.append(alive <= 1)
    if cuts:
        cuts[-1] = True
    return cuts


def units(count: int, edges: Sequence[tuple[int, int]], is_anchor: Callable[[int], bool]) -> list[range]:
    """Cuts a row of items into blocks: a branching block with the cheap tail behind it, or a layer and its tail.

    Args:
        count: number of items, in topological order.
        edges: (source, target) positions.
        is_anchor: whether an item begins a layer (it has weights).

    Returns:
        Ranges that cover 0 to ``count`` in order.
    """
    pieces, start = [], 0
    for k, cut in enumerate(waists(count, edges)):
        if cut:
            pieces.append(range(start, k + 1))
            start = k + 1
    found: list[range] = []
    for piece in pieces:
        tail = len(piece) <= SHORT_TAIL and not any(is_anchor(k) for k in piece)
        if tail and found and len(found[-1]) < 40:
            found[-1] = range(found[-1].start, piece.stop)
        else:
            found.append(piece)
    return found


def repeats(signatures: Sequence[Hashable], least: int = 4) -> list[Run]:
    """Finds stretches that repeat, the one that folds most first at each place.

    Args:
        signatures: equal for items of equal structure.
        least: smallest number of repetitions worth folding.

    Returns:
        Runs in order, without overlap.
    """
    runs, k, count = [], 0, len(signatures)
    while k < count:
        best = Run(k, 1, 1)
        for period in range(1, min(LONGEST_PERIOD, (count - k) // least) + 1):
            times = 1
            while (k + (times + 1) * period <= count and all(
                    signatures[k + i] == signatures[k + times * period + i] for i in range(period))):
                times += 1
            if times >= least and times * period > best.period * best.times:
                best = Run(k, period, times)
        if best.times >= least:
            runs.append(best)
        k += best.period * best.times
    return runs


def chunks(count: int, most: int) -> list[range]:
    """Cuts a row without any structure into at most ``most`` even parts of at least twelve items."""
    parts = max(1, min(most, count // 12))
    bounds = [round(i * count / parts) for i in range(parts + 1)]
    return [range(a, b) for a, b in zip(bounds, bounds[1:], strict=False)]


def common_title(names: Sequence[str], known: str = "") -> str:
    """What most names begin with, whole words only: 'res2_0' of 'gpu_0/res2_0_branch2a' and 'gpu_0/res2_0_branch2b'.

    Args:
        names: of the members.
        known: what the surrounding group says already; left out.

    Returns:
        '' when there is no such beginning.
    """
    names = [n for n in names[:200] if n]
    if len(names) < 2:
        return ""
    words = [_words(n) for n in names]
    best = ""
    for depth in range(1, 9):
        counted: dict[str, int] = {}
        for w in words:
            if len(w) > depth:
                key = "".join(w[:depth])
                counted[key] = counted.get(key, 0) + 1
        key, most = max(counted.items(), key=lambda item: item[1], default=("", 0))
        if most < 0.6 * len(names) or most < 2:
            break
        best = key
    best = best.rstrip("/_.:-")
    if known and best.startswith(known):
        best = best[len(known):].strip("/_.:-")
    return best if any(c.isalpha() for c in best) else ""


def _words(name: str) -> list[str]:
    """'a/b_1' -> ['a/', 'b_', '1']: each word with the mark behind it."""
    found, start = [], 0
    for i, c in enumerate(name):
        if c in "/_.:-":
            found.append(name[start:i + 1])
            start = i + 1
    found.append(name[start:])
    return found
