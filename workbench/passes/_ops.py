"""What a graph pass did, in numbers of operators: counted, told, and kept as details."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

_LISTED = 6


def frequent_first(names: Iterable[str]) -> dict[str, int]:
    """Operator -> how many there are, most frequent first, equal ones by name."""
    return dict(sorted(Counter(names).items(), key=lambda item: (-item[1], item[0])))


def of_onnx(model: Any) -> dict[str, int]:
    """Operators of the main graph and the graphs inside it; a foreign domain is named."""
    from . import _onnx_io

    return frequent_first(n.op_type if n.domain in ("", "ai.onnx") else f"{n.domain}.{n.op_type}"
                          for n in _onnx_io.all_nodes(model.graph))


def changes(before: dict[str, int], after: dict[str, int]) -> list[str]:
    """'12 nodes became 8', and which operators went and came."""
    notes = [f"{sum(before.values())} nodes became {sum(after.values())}"]
    gone = [f"{op} {n} -> {after.get(op, 0)}" for op, n in before.items() if after.get(op, 0) < n]
    new = [f"{op} {n}" for op, n in after.items() if op not in before]
    if gone:
        notes.append("fewer: " + ", ".join(gone[:_LISTED]))
    if new:
        notes.append("new: " + ", ".join(new[:_LISTED]))
    if any("nchwc" in op for op in after):
        notes.append("the graph holds a memory layout made for this CPU: measure and use it on the same kind only")
    return notes


def details(before: dict[str, int], after: dict[str, int]) -> dict[str, Any]:
    """The same for programs, for :class:`workbench.passes.base.PassResult`."""
    return {"before": sum(before.values()), "after": sum(after.values()), "ops_before": before, "ops_after": after}
