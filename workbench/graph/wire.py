"""A difference as plain data: the payload of the view, and the short form of the shell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .graph import Graph, Node
from .groups import Diff

LONGEST_TEXT = 80  # of an attribute's value; the view shows attributes, it does not store weights
MOST_ATTRIBUTES = 24


def payload(found: Diff, *, title: str = "", times_before: Mapping[str, float] | None = None,
            times_after: Mapping[str, float] | None = None) -> dict[str, Any]:
    """What :class:`workbench.views.graph_view.GraphDiff` shows.

    Args:
        found: the difference.
        title: of the pair.
        times_before: node name -> seconds of one run, where a profile tells.
        times_after: the same for the other side.

    Returns:
        plain JSON values; nodes are referred to by position.
    """
    group_of = [{i: n for n, g in enumerate(found.groups) for i in side(g)}
                for side in (lambda g: g.before, lambda g: g.after)]
    groups = [{"id": n, "before": list(g.before), "after": list(g.after), "status": g.status, "evidence": g.evidence,
               "verified": g.verified, "summary": g.summary} for n, g in enumerate(found.groups)]
    return {"version": 1, "title": title, "groups": groups, "counts": found.counts,
            "before": _side(found.before, found, group_of[0], times_before or {}),
            "after": _side(found.after, found, group_of[1], times_after or {})}


def summary(found: Diff) -> dict[str, Any]:
    """The short form: node counts, groups of each status, and each group by the names of its nodes."""
    before, after = found.before.nodes, found.after.nodes
    return {"before_nodes": len(before), "after_nodes": len(after), "counts": found.counts,
            "groups": [{"before": [before[i].name for i in g.before], "after": [after[i].name for i in g.after],
                        "status": g.status, "evidence": g.evidence, "verified": g.verified, "summary": g.summary}
                       for g in found.groups]}


def _side(graph: Graph, found: Diff, group_of: dict[int, int], times: Mapping[str, float]) -> dict[str, Any]:
    makers = {t: i for i, node in enumerate(graph.nodes) for t in node.outputs if t}
    edges = [[makers[t], i, t] for i, node in enumerate(graph.nodes) for t in node.inputs if t in makers]
    nodes = [_node(graph, node, found, group_of[i], times) for i, node in enumerate(graph.nodes)]
    return {"title": graph.title, "format": graph.format, "nodes": nodes, "edges": edges,
            "inputs": list(graph.inputs), "outputs": list(graph.outputs)}


def _node(graph: Graph, node: Node, found: Diff, group: int, times: Mapping[str, float]) -> dict[str, Any]:
    first = graph.tensors.get(node.outputs[0]) if node.outputs else None
    shape = list(first.shape) if first is not None and first.shape is not None else None
    attributes = {k: _short(v) for k, v in list(node.attributes.items())[:MOST_ATTRIBUTES]}
    return {"name": node.name, "op": node.op, "scope": "/".join(node.scope), "in": [t for t in node.inputs if t],
            "out": [t for t in node.outputs if t], "shape": shape, "dtype": first.dtype if first else "",
            "attrs": attributes, "params": node.parameters, "bytes": node.bytes, "flops": node.flops,
            "time_s": times.get(node.name), "group": group, "status": found.groups[group].status}


def _short(value: Any) -> Any:
    if isinstance(value, bool | int | float) or value is None:
        return value
    text = str(value)
    return text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT - 1] + "…"
