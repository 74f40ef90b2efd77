"""Passes that train, in a notebook: live curves, sizes beside speed, the table that the project began with."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from ... import passes, variant
from ...passes._training import TrainingSettings
from ...recipe import Recipe
from ...results import Result
from ...seed import TECHNIQUES, SeedTable, seed_table
from ..charts import learning, trials
from ..widgets.chart import Chart
from . import pages
from .work import Task, Work

_QUICK = {"epochs": 1, "max_samples": 400}  # the test suite's switch shortens training as it shortens measuring


def step(name: str, **settings: Any) -> tuple[str, dict[str, Any]]:
    """A pass that trains, for a recipe; under WORKBENCH_QUICK=1 its training is short.

    Args:
        name: of the pass.
        **settings: of the pass, e.g. ``epochs=4``.
    """
    short = _QUICK if os.environ.get("WORKBENCH_QUICK") == "1" else {}
    return name, {**settings, **short}


def curves(bench: Any, recipes: Mapping[str, Recipe]) -> Work[dict[str, variant.Variant]]:
    """Makes variants whose passes train, with their curves while they do; cached ones are there at once."""
    chart, told = Chart(), {}

    def draw() -> None:
        if told:
            chart.draw(learning.curves(dict(told)))

    def run(task: Task) -> dict[str, variant.Variant]:
        found = {}
        for index, (name, recipe) in enumerate(recipes.items()):
            def tell(fraction: float, line: str, index: int = index, name: str = name) -> None:
                task.progress((index + fraction) / len(recipes), f"{name}: {line}")

            def learnt(so_far: dict[str, Any], name: str = name) -> None:
                told[name] = dict(so_far)
                work._marshal(draw)

            found[name] = variant.build(bench.model, bench.engine.complete(recipe), bench.dataset,
                                        cache=bench.engine.cache, progress=tell, on_training=learnt, cancel=task.cancel)
            done = [s["details"]["training"] for s in found[name].stages if "training" in (s["details"] or {})]
            if done:
                told[name] = done[-1]
                work._marshal(draw)
        return found

    def show(found: dict[str, variant.Variant]):
        draw()
        rows = [(name, "; ".join(s["notes"])) for name, made in found.items() for s in made.stages
                if "training" in (s["details"] or {})]
        return pages.shown(chart, pages.table(("variant", "the pass reports"), rows))

    work: Work[dict[str, variant.Variant]] = Work(run, show, title="training", live=chart)
    return work


def sizes(bench: Any, recipes: Mapping[str, Recipe]) -> Work[list[Result]]:
    """Size on disk and compressed beside the speed, of variants that the study holds (measured if need be)."""
    done = {name: bench.engine.complete(r) for name, r in recipes.items()}
    names = {r.key: name for name, r in done.items()}

    def run(task: Task) -> list[Result]:
        bench.fill(done.values(), task)
        return [found for r in done.values() if (found := bench.result(r)) is not None]

    def show(found: list[Result]):
        random = bench.dataset.is_random
        return pages.shown(Chart(learning.sizes(found, names)),
                           Chart(trials.speedups(found, names, "Does it also run faster?", random)))

    return Work(run, show, title="sizes and speed")


def seed(bench: Any, only: Iterable[str] = ()) -> Work[SeedTable]:
    """The table that the project began with, remade: every technique in one interleaved run."""
    short = {name: dict(step(name)[1]) for t in TECHNIQUES for name in t.steps if _trains(name)}

    def run(task: Task) -> SeedTable:
        return seed_table(bench.engine, only=tuple(only), settings=short, cancel=task.cancel,
                          on_progress=lambda p: task.progress(p.fraction, p.line, p.remaining_s))

    def show(found: SeedTable):
        results = [r.result for r in found.rows if r.result is not None and r.result.status == "ok"]
        names = {r.result.recipe.key: r.technique.title for r in found.rows if r.result is not None}
        chart = Chart(trials.speedups(results, names, "What each technique does to the speed", bench.dataset.is_random))
        return pages.shown(pages.html(found._repr_html_()), chart)

    return Work(run, show, title="all techniques")


def _trains(name: str) -> bool:
    try:
        return issubclass(passes.get(name).Settings, TrainingSettings)
    except Exception:  # a technique whose pass is not in this release is a row with a reason
        return False
