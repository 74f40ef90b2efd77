"""Marks the groups whose results were computed on both sides and agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from .groups import Diff, Group

_DIFFER = "its inputs agree on one sample, but the computed results differ"


def verified(found: Diff, values: Mapping[str, bool]) -> Diff:
    """The same difference with what computed values say.

    Args:
        found: a difference.
        values: tensor after -> whether it agrees with its counterpart, from :func:`workbench.graph.values.compare`.

    Returns:
        groups with agreeing results are verified; one whose inputs agree and whose results do not is unexplained.
    """
    return found.with_groups(tuple(_judged(found, g, values) for g in found.groups))


def _judged(found: Diff, group: Group, values: Mapping[str, bool]) -> Group:
    nodes = [found.after.nodes[i] for i in group.after]
    inside = {t for n in nodes for t in n.outputs}
    results = [values[t] for t in inside if t in values]
    if not results:
        return group
    if all(results):
        return replace(group, verified=True)
    inputs = [values[t] for n in nodes for t in n.inputs if t in values and t not in inside]
    if group.status in ("quantized", "inserted") or not inputs or not all(inputs):
        return group
    return replace(group, status="unexplained", evidence=_DIFFER)
