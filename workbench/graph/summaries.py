"""Sentences about groups of nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from .graph import Node
from .ops import NCHWC

_MOST_KINDS = 5


def short(op: str) -> str:
    """'com.microsoft.nchwc.Conv' -> 'nchwc.Conv', 'com.microsoft.FusedConv' -> 'FusedConv'."""
    if op.startswith(NCHWC):
        return f"nchwc.{op.removeprefix(NCHWC)}"
    return op.removeprefix("com.microsoft.").removeprefix("aten.")


def listing(nodes: Sequence[Node]) -> str:
    """'Conv + BatchNormalization + Relu'; many of a kind are counted: '4 Slice + Concat'."""
    counts = Counter(short(n.op) for n in nodes)
    parts = [op if n == 1 else f"{n} {op}" for op, n in counts.items()]
    if len(parts) > _MOST_KINDS:
        rest = sum(list(counts.values())[_MOST_KINDS - 1:])
        parts = [*parts[:_MOST_KINDS - 1], f"{rest} more"]
    return " + ".join(parts)


def summary(status: str, before: Sequence[Node], after: Sequence[Node]) -> str:
    """One line for people, e.g. 'Conv + BatchNormalization + Relu became one nchwc.Conv, 3 -> 1'."""
    first, second = listing(before), listing(after)
    ratio = f"{len(before)} -> {len(after)}"
    if not before:
        return f"{second} inserted, {ratio}"
    if not after:
        word = {"folded": "computed ahead of time", "eliminated": "removed", "merged": "merged into a copy"}
        return f"{first} {word.get(status, 'has no counterpart')}, {ratio}"
    if status == "kept":
        return f"{first} kept"
    if status == "unexplained":
        return f"{first} and {second} could not be related"
    if status == "merged":
        return f"{first} computed the same and became one, {ratio}"
    if first == second:
        return f"{first} changed, {ratio}"
    one = "one " if len(after) == 1 and len(before) > 1 else ""
    return f"{first} became {one}{second}, {ratio}"
