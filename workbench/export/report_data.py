"""What a report tells, gathered from a study: one model, data set, machine and batch size. UI-free."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import InputError, WorkbenchError
from ..model import Model
from ..results import Result
from ..search import Goal
from ..search.split import name_of, role
from ..study import Study
from ..views import budget, frames
from ..views.frames import Point, Row, Tradeoff

MOST = 80  # variants that a report holds; of more, those nearest to the front are kept
_RANKS = {"front": 0, "undecided": 1}


class Report(NamedTuple):
    """Everything that is shown, nothing formatted.

    Attributes:
        model: description from the study: name, format, nodes, parameters, size_bytes, path.
        original: the loaded model, or None when its file is gone.
        data_name: name of the data set, '' where only its hash is known.
        shown: the trade-off.
        rows: its table.
        results: by recipe key.
        chosen: the recommended variant, None for 'keep the original'.
        goal: what 'recommended' means.
        named: whether the recommended variant was named instead of picked.
        by_time: picks for a limit on the time of one run.
        by_loss: picks for a limit on the loss.
        left_out: variants of the study that are not shown, all behind the front.
        screened: results of the search that led here, short measurements on other samples.
        tried: points of those that were not measured again; drawn faintly.
    """

    model: dict[str, Any]
    original: Model | None
    data_name: str
    shown: Tradeoff
    rows: tuple[Row, ...]
    results: dict[str, Result]
    chosen: Point | None
    goal: Goal
    by_time: tuple[budget.Step, ...]
    by_loss: tuple[budget.Step, ...]
    left_out: int = 0
    screened: tuple[Result, ...] = ()
    tried: tuple[Point, ...] = ()
    named: bool = False

    @property
    def focus(self) -> Point:
        """The variant that the report is about: the recommended one, else the fastest other, else the baseline."""
        others = [p for p in self.shown.points if not p.is_baseline]
        return self.chosen or (others[0] if others else self.shown.points[0])

    @property
    def result(self) -> Result:
        """Result of :attr:`focus`."""
        return self.results[self.focus.key]

    @property
    def baseline(self) -> Result | None:
        """Result of the baseline."""
        base = self.shown.baseline
        return self.results[base.key] if base else None

    @property
    def newest(self) -> str:
        """When the last run was, ISO time in UTC."""
        return max(r.created for r in self.results.values())


def gather(study: Study, *, model: Model | None = None, goal: Goal | None = None, choose: str = "") -> Report:
    """Picks the newest model, data and machine of a study, and its fullest batch size.

    Args:
        study: what was measured.
        model: the original; None takes that of the newest result, from its file if that is still there.
        goal: what a recommended variant must meet; default: at most 1 point of accuracy lost, or cosine 0.99.
        choose: recipe key or run id of the variant to recommend instead.

    Raises:
        InputError: the study holds no measurement (of that model), or not the chosen one.
    """
    found = study.results(model.sha256 if model else None)
    timed = [r for r in found if r.status == "ok" and r.median_s is not None]
    if not timed:
        whose = f" of {model.name}" if model else ""
        raise InputError(f"the study holds no measurement{whose}: run 'workbench measure MODEL --study S.sqlite' "
                         "or press Measure in the workbench first")
    last = timed[-1]
    group = [r for r in found if (r.model_sha256, r.data_sha256, r.machine)
             == (last.model_sha256, last.data_sha256, last.machine)]
    batch = _batch([r for r in group if r.median_s is not None])
    screened = _screened(found, last)
    both = frames.tradeoff(group, batch=batch, machine=last.machine, tried=screened)
    tried = tuple(p for p in both.points if p.standing == "tried")
    everything = both._replace(points=tuple(p for p in both.points if p.standing != "tried"))
    shown = _bounded(everything)
    kept = {p.key for p in shown.points} | {f.key for f in shown.failures}
    results = {r.recipe.key: r for r in group if r.recipe.key in kept}
    goal = goal.with_default(not shown.is_random) if goal else budget.default_goal(results.values())
    chosen = _named(shown, results, choose) if choose else budget.recommended(shown, results, goal)
    if shown.baseline is None:
        chosen = None  # nothing to compare with
    about = study.models().get(last.model_sha256) or {"name": "model", "format": ""}
    original = model or _original(about, last.model_sha256)
    return Report(
        model=about, original=original, data_name=_data_name(study, original, last, about), shown=shown,
        rows=frames.rows(results.values(), shown), results=results, chosen=chosen, goal=goal,
        by_time=budget.by_time(shown), by_loss=budget.by_loss(shown), screened=screened[:MOST], tried=tried[:MOST],
        left_out=len(everything.points) - len(shown.points), named=bool(choose))


def _bounded(shown: Tradeoff) -> Tradeoff:
    """At most :data:`MOST` points and failures: the baseline, the front, then what comes nearest."""
    order = sorted(shown.points, key=lambda p: (not p.is_baseline, _RANKS.get(p.standing, 2), p.latency_s))
    kept = {p.key for p in order[:MOST]}
    return shown._replace(points=tuple(p for p in shown.points if p.key in kept), failures=shown.failures[:MOST])


def _batch(timed: list[Result]) -> int:
    counted = Counter(r.recipe.batch for r in timed)
    most = max(counted.values())
    return next(r.recipe.batch for r in reversed(timed) if counted[r.recipe.batch] == most)


def _named(shown: Tradeoff, results: dict[str, Result], name: str) -> Point | None:
    for p in shown.points:
        if name in (p.key, results[p.key].run_id):
            return None if p.is_baseline else p
    raise InputError(f"no measured variant has the key or run id '{name}'; there are: "
                     + ", ".join(f"{r.run_id} ({r.recipe.label})" for r in results.values() if r.status == "ok"))


def _original(about: dict[str, Any], sha256: str) -> Model | None:
    """The model's file, if it still is what was measured."""
    from ..model import load

    path = Path(str(about.get("path") or ""))
    if not about.get("path") or not path.exists():
        return None
    try:
        found = load(path, name=str(about.get("name") or path.stem))
    except WorkbenchError:
        return None
    return found if found.sha256 == sha256 else None


def _data_name(study: Study, original: Model | None, last: Result, about: dict[str, Any]) -> str:
    """Name of the data set; a study that is older than these names may tell it for bundled data only."""
    from .. import bundled, datasets

    data = role(last.data_sha256)[0]
    if data == "random":
        return "random inputs"
    if known := name_of(last.data_sha256, study.data_names()):
        return known
    row = next((m for m in bundled.MODELS if m.name == about.get("name")), None)
    if row is None or original is None:
        return ""
    try:
        found = datasets.load(row.dataset, original)
    except WorkbenchError:
        return ""
    return row.dataset if data == found.sha256 else ""


def _screened(found: list[Result], last: Result) -> tuple[Result, ...]:
    """What a search tried before its last measurement, which keeps half of the samples for itself."""
    data, part = role(last.data_sha256)
    if part != "final":
        return ()
    return tuple(r for r in found if role(r.data_sha256) == (data, "search") and r.machine == last.machine
                 and r.model_sha256 == last.model_sha256)
