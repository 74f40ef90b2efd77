"""Threads, batch and many runs in a notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...leaks import LeakCheck, leak_check
from ...recipe import Recipe
from ...results import Result
from ..charts import trials
from ..show import show
from ..widgets.chart import Chart
from .work import Task, Work

_LEAST_RUNS = 200  # of a leak check


def over(bench: Any, recipes: Mapping[str, Recipe], setting: str, values: Sequence[int], *, title: str = "",
         subtitle: str = "", per_sample: bool = False) -> Work[dict[str, list[Result]]]:
    """Latency of several variants over 'threads' or 'batch'; what the study holds is not measured again.

    Args:
        bench: model, data and study.
        recipes: name -> recipe.
        setting: 'threads' or 'batch'.
        values: of that setting.
        title: the question.
        subtitle: what is drawn.
        per_sample: divides the latency by the batch.
    """
    chart = Chart(on_select=bench.selection.select)
    grid = {name: [bench.engine.complete(replace(r, **{setting: v})) for v in values] for name, r in recipes.items()}
    title = title or f"Latency over {setting}"
    subtitle = subtitle or ("one sample, ms, log, 95 % intervals" if per_sample else "one run, ms, log, 95 % intervals")

    def known() -> dict[str, list[Result]]:
        found = {name: [bench.result(r) for r in row] for name, row in grid.items()}
        return {name: [r for r in row if r is not None] for name, row in found.items()}

    def draw() -> None:
        chart.draw(trials.scaling(known(), setting, title, subtitle, per_sample=per_sample,
                                  is_random=bench.dataset.is_random))

    def run(task: Task) -> dict[str, list[Result]]:
        bench.fill((r for row in grid.values() for r in row), task, lambda _: work._marshal(draw))
        return known()

    work: Work[dict[str, list[Result]]] = Work(run, lambda _: draw(), title=f"measuring over {setting}", live=chart)
    return work


def leaks(bench: Any, recipe: Recipe, runs: int = 2000) -> Work[LeakCheck]:
    """Memory of one worker over many runs; the measuring plan's time limit bounds it."""

    def run(task: Task) -> LeakCheck:
        limit = 5 * bench.engine.plan.max_s
        return leak_check(bench.engine, recipe, runs=max(_LEAST_RUNS, runs), max_s=limit, cancel=task.cancel,
                          on_sample=lambda done, total, rss: task.progress(done / total, f"{done:,} of {total:,} runs"))

    return Work(run, show, title=f"memory of {bench.name(recipe)}")
