"""The automatic search in a notebook: a plot that fills, the recommendation, the bundle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ... import units
from ...export import bundle
from ...measure import Plan
from ...results import Result
from ...search import Goal, Outcome, Trial
from ...search import tune as search
from ...told_apart import told_apart
from .. import frames
from ..charts import trials as charts
from ..widgets.chart import Chart
from . import pages
from .work import Task, Work


def minutes_of(plan: Plan, minutes: float) -> float:
    """Time budget of a search: what was asked for, or much less where the measuring plan is a short one."""
    share = min(1.0, plan.max_s / Plan().max_s)
    return max(min(minutes, 0.12), minutes * share**2)


def tries(found: Outcome) -> str:
    """'1 try', '12 tries'."""
    return "1 try" if len(found.trials) == 1 else f"{len(found.trials)} tries"


def quality(result: Result) -> str:
    """'91.90 %' of accuracy, or '0.9987' of cosine."""
    if result.fidelity is None:
        return "–"
    is_share = result.fidelity.metric_name == "accuracy"
    return f"{100 * result.fidelity.metric:.2f} %" if is_share else f"{result.fidelity.metric:.4f}"


class Live:
    """What a search shows while it runs: every try in a plot, how far it is in a line.

    Attributes:
        chart: the plot.
        minutes: time budget; see :func:`minutes_of`.
    """

    def __init__(self, bench: Any, minutes: float) -> None:
        self.chart, self.minutes = Chart(), minutes_of(bench.engine.plan, minutes)
        self._random, self._tried = bench.dataset.is_random, []

    def note(self, trial: Trial, work: Work) -> None:
        """One more try; called from the search's thread."""
        self._tried.append(trial)
        tried, seconds = list(self._tried), 60 * self.minutes
        work._marshal(lambda: self.draw(tried))
        best = f", best so far {units.duration(trial.best.median_s)}" if trial.best else ""
        work.task.progress(min(0.95, trial.elapsed_s / seconds), f"{len(tried)} tried{best}",
                           max(0.0, seconds - trial.elapsed_s))

    def draw(self, trials: Sequence[Trial]) -> None:
        """Draws tries."""
        self.chart.draw(charts.progress(trials, self._random))


def tune(bench: Any, minutes: float = 5.0, output: str | Path | None = None, **goal: Any) -> Work[Outcome]:
    """Searches the fastest variant within limits and writes its bundle.

    Args:
        bench: model, data and study.
        minutes: time budget; the measuring plan may shorten it.
        output: folder of the bundle; None writes none.
        **goal: of :class:`workbench.search.Goal`, e.g. ``max_drop=1.0``.
    """
    live = Live(bench, minutes)

    def run(task: Task) -> Outcome:
        found = search(bench.model, bench.dataset, Goal(**goal), minutes=live.minutes, study=bench.study,
                       on_trial=lambda trial: live.note(trial, work), cancel=task.cancel)
        if output is not None:
            bundle.write(found.best, bench.model, Path(output), bench.study, outcome=found)
        return found

    def show(found: Outcome):
        live.draw(found.trials)
        recipes = [r.recipe for r in found.contenders]
        names = told_apart([frames.name_of(r) for r in recipes], recipes)
        rows = [(name, units.duration(r.median_s), units.times(r.speedup or 1.0),
                 quality(r), units.size(r.size_bytes)) for r, name in zip(found.contenders, names, strict=True)]
        told = [f"{tries(found)} in {units.duration(found.seconds)}; the last round was measured on samples "
                "that the search did not use."]
        if output is not None:
            told.append(f"Bundle: {Path(output).as_posix()}/, seen from this notebook.")
        return pages.shown(
            pages.said(found.sentence, *told), live.chart,
            pages.table(("last round, side by side", "median", "speed", found.contenders[0].fidelity.metric_name
                         if found.contenders[0].fidelity else "fidelity", "size"), rows, right=(1, 2, 3, 4),
                        strong=[i for i, r in enumerate(found.contenders) if r.recipe.key == found.best.recipe.key]))

    work: Work[Outcome] = Work(run, show, title="searching", live=live.chart)
    return work
