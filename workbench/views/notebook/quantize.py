"""Which nodes INT8 hurts, in a notebook."""

from __future__ import annotations

from typing import Any

from ... import sensitivity, units
from ..charts import nodes
from ..widgets.chart import Chart
from . import pages
from .work import Task, Work


def rank(bench: Any, target: float = 0.0, **settings: Any) -> Work[sensitivity.Ranking]:
    """Quantizes each node alone and draws the damage against the time; ``target`` above 0 also chooses the mixture."""

    def run(task: Task) -> sensitivity.Ranking:
        made = sensitivity.mixed(bench.model, bench.dataset, target=target, cache=bench.engine.cache,
                                 progress=task.progress, cancel=task.cancel, **settings)
        return sensitivity.ranking(made)

    def show(found: sensitivity.Ranking):
        worst = found.rows[0]
        line = (f"INT8 everywhere costs {max(0.0, 1 - found.fidelity_all_int8):.1e} of the {found.metric}; "
                f"'{worst.name}' ({worst.op}) alone {worst.damage:.1e}.")
        kept = [r for r in found.rows if r.kept_float]
        notes = []
        if target and found.fidelity_all_int8 >= found.target and not kept:
            notes.append(f"The target of {found.target:g} is met without any float node: this model needs no mixture.")
        elif target:
            word = "met" if found.target_met else "not met"
            notes.append(f"{len(kept)} of {len(found.rows)} nodes stay in float: {found.metric} {found.fidelity:.4f}, "
                         f"target {found.target:g} {word}, {units.duration(sum(r.cost_s for r in kept))} a run more.")
        return pages.shown(pages.said(line, *notes), Chart(nodes.damage(found.rows)))

    return Work(run, show, title="ranking the nodes")
