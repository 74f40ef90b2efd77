"""Small devices and many clients, in a notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ... import units
from ...loads import LoadTest, load_test
from ...recipe import Recipe
from ...results import Result
from ..show import show as view_of
from . import pages
from .work import Task, Work


def within(bench: Any, recipes: Mapping[str, Recipe], memory_mb: float) -> Work[list[Result]]:
    """Memory of variants, and the fastest whose peak stays within a budget.

    Args:
        bench: model, data and study.
        recipes: name -> recipe; measured if the study does not hold them.
        memory_mb: budget for the peak above the empty worker, MB.
    """
    done = {name: bench.engine.complete(r) for name, r in recipes.items()}
    names = {r.key: name for name, r in done.items()}

    def run(task: Task) -> list[Result]:
        bench.fill(done.values(), task)
        return [found for r in done.values() if (found := bench.result(r)) is not None]

    def show(found: list[Result]):
        return pages.shown(pages.said(sentence(found, names, memory_mb)), view_of(found))

    return Work(run, show, title="memory")


def sentence(found: Sequence[Result], names: Mapping[str, str], memory_mb: float) -> str:
    """The fastest variant within the budget, in plain words."""
    known = [r for r in found if r.memory.get("rss_peak_bytes") is not None and r.median_s]
    inside = [r for r in known if r.memory["rss_peak_bytes"] <= memory_mb * 1e6]
    if not inside:
        least = min(known, key=lambda r: r.memory["rss_peak_bytes"], default=None)
        most = f"; {names[least.recipe.key]} needs least, {units.size(least.memory['rss_peak_bytes'])}" if least else ""
        return f"No variant stays within {memory_mb:g} MB{most}."
    best = min(inside, key=lambda r: r.median_s)
    return (f"Within {memory_mb:g} MB: {names[best.recipe.key]} is fastest, {units.duration(best.median_s)} a run "
            f"with a peak of {units.size(best.memory['rss_peak_bytes'])}; {len(inside)} of {len(known)} variants fit.")


def load(bench: Any, recipe: Recipe, clients: Sequence[int]) -> Work[LoadTest]:
    """Throughput with several requests in flight beside a single stream."""

    def run(task: Task) -> LoadTest:
        return load_test(bench.engine, recipe, clients=tuple(clients), cancel=task.cancel,
                         on_line=lambda line: task.progress(0.5, line))

    return Work(run, view_of, title=f"{bench.name(recipe)} under load")
