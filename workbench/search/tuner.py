"""The search: baseline, then the strong known recipes, then sampling around the front; anytime, resumable.

Cheap screening decides who earns a full measurement. Everything it measures is in the study, so a second call
repeats nothing. The last contenders are measured again, interleaved, on samples that the search did not use.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ..datasets import Dataset
from ..engine import Engine, Progress
from ..errors import InputError
from ..measure import Plan
from ..model import Model
from ..results import Result
from ..study import Study
from ..units import duration, times
from . import sampling
from .goal import Goal
from .space import Point, Space

CONTENDERS = 3
FINAL_SHARE = 0.2  # of the budget is kept for the last, interleaved measurement


class Trial(NamedTuple):
    """One try, for the log and the live plot.

    Attributes:
        number: counted from 0.
        why: what made the search try it.
        result: what came out.
        best: the best variant so far that meets the goal, or None.
        elapsed_s: since the start.
        reused: True when the study had it already.
    """

    number: int
    why: str
    result: Result
    best: Result | None
    elapsed_s: float
    reused: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a search found.

    Attributes:
        best: the recommended variant, measured on samples that the search did not use.
        baseline: the original beside it.
        contenders: all that were in the last measurement.
        trials: every try, failures included.
        met: whether ``best`` meets the goal on the last samples.
        unmet: what it misses, one phrase a constraint.
        binding: constraints that stand in the way, when the goal is not met.
        nearest: the front variants nearest to an unmet goal.
        ruled_out: routes that could not be tried, with the reason.
        stopped: 'done', 'time' or 'cancelled'.
        seconds: what it took.
        goal: with its defaults filled in.
    """

    best: Result
    baseline: Result
    contenders: tuple[Result, ...]
    trials: tuple[Trial, ...]
    met: bool
    unmet: dict[str, str]
    binding: tuple[str, ...]
    nearest: tuple[Result, ...]
    ruled_out: dict[str, str]
    stopped: str
    seconds: float
    goal: Goal

    @property
    def sentence(self) -> str:
        """The recommendation in plain words."""
        best = self.best
        if best.is_baseline:
            return f"Keep the original ({duration(best.median_s)}): nothing tried is faster within the goal."
        low, high = best.ratio_interval
        text = (f"{best.recipe.label} is {times(best.speedup)} as fast as the original "
                f"({times(1 / high)} to {times(1 / low)}) at {best.fidelity.metric_name} {best.fidelity.metric:.4f}.")
        return text if self.met else f"The goal is not met ({'; '.join(self.unmet.values())}). Nearest: {text}"


def tune(model: Model, dataset: Dataset, goal: Goal | None = None, *, minutes: float = 5.0, study: Study | None = None,
         seed: int = 0, on_trial: Callable[[Trial], None] | None = None,
         on_progress: Callable[[Progress], None] | None = None, on_best: Callable[[Result], None] | None = None,
         cancel: threading.Event | None = None) -> Outcome:
    """Searches the fastest variant that meets the goal.

    Args:
        model: the original.
        dataset: calibration and evaluation samples; half of the evaluation side is kept for the last measurement.
        goal: constraints; default: at most 1 point of the metric, or 0.99 mean cosine without labels.
        minutes: time budget, 0.05 to 10,000.
        study: where every trial goes; what it holds already is not measured again.
        seed: of the sampler, the split and the measuring order.
        on_trial: called after each trial.
        on_progress: called while a trial runs.
        on_best: called whenever a better variant is known, the baseline first.
        cancel: set it to stop; the best so far is returned.

    Raises:
        InputError: the goal is impossible to read, or the original itself cannot be measured.
    """
    if not 0.05 <= minutes <= 10_000:
        raise InputError(f"'minutes' is {minutes!r}; allowed: 0.05 to 10000")
    search = _Search(model, dataset, goal or Goal(), minutes * 60, Study() if study is None else study, seed,
                     cancel or threading.Event())
    search.on_trial = on_trial or (lambda trial: None)
    search.on_progress = on_progress or (lambda progress: None)
    search.on_best = on_best or (lambda result: None)
    return search.run()


def halves(dataset: Dataset, seed: int) -> tuple[Dataset, Dataset]:
    """The evaluation samples for the search and those for the last measurement; the same when there are too few."""
    side = dataset.evaluation
    count, step = len(side), side.fixed_batch or 1
    if count < 8 * step or not (side.rows or side.entries):
        return dataset, dataset
    order = np.random.default_rng(seed).permutation(count)
    cut = count // 2 // step * step
    parts = [side.take(np.sort(order[:cut])), side.take(np.sort(order[cut:]))]
    return (replace(dataset, evaluation=parts[0], sha256=f"{dataset.sha256}-search{seed}"),
            replace(dataset, evaluation=parts[1], sha256=f"{dataset.sha256}-final{seed}"))


class _Search:
    """State of one call of :func:`tune`."""

    def __init__(self, model: Model, dataset: Dataset, goal: Goal, budget_s: float, study: Study, seed: int,
                 cancel: threading.Event) -> None:
        self.start = time.monotonic()
        self.goal = goal.with_default(dataset.evaluation.labels is not None)
        self.space = Space(model, self.goal)
        self.model, self.study, self.seed, self.budget_s = model, study, seed, budget_s
        self.search_data, self.final_data = halves(dataset, seed)
        self.cancel, self.deadline = cancel, threading.Event()
        self.trials: list[Trial] = []
        self.best: Result | None = None
        self.full = replace(Plan.default(), seed=seed)
        self.full = replace(self.full, max_s=min(self.full.max_s, max(1.0, budget_s / 20)))
        self.screen = replace(self.full, rounds_min=min(8, self.full.rounds_min), max_s=min(1.5, self.full.max_s),
                              target=0.08, warmup_max_s=min(1.5, self.full.warmup_max_s), fidelity_samples=256)

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.start

    def run(self) -> Outcome:
        watch = threading.Thread(target=self._watch, daemon=True, name="deadline")
        watch.start()
        with Engine(self.model, self.search_data, self.study, plan=self.screen) as engine:
            baseline = self._baseline(engine)
            self._known(engine)
            self._sample(engine)
            contenders = self._contenders(baseline)
        return self._finish(contenders)

    def _watch(self) -> None:
        """Ends a running trial when the search's share of the time is up."""
        share = self.budget_s * (1 - FINAL_SHARE)
        while not self.deadline.is_set():
            if self.cancel.wait(0.1) or self.elapsed_s > share:
                self.deadline.set()

    def _baseline(self, engine: Engine) -> Result:
        base = replace(engine.baseline, batch=self.goal.batch)
        found = engine.find(base)
        if found is None or found.status != "ok":
            found = engine.measure([base], on_progress=self.on_progress, cancel=self.cancel)
            found = found[0] if found else None
        if found is None or found.status != "ok":
            raise InputError(f"the original cannot be measured: {found.reason if found else 'cancelled'}")
        self._note("baseline", found)
        return found

    def _known(self, engine: Engine) -> None:
        """Each route once, with the best known settings."""
        seen = set()
        tried = self.trials[0].result.recipe.key
        for point in self.space.points():
            if self.space.recipe(point).key == tried:
                seen.add(point.route)
            elif point.route not in seen and not self.deadline.is_set():
                seen.add(point.route)
                self._try(engine, point, self.space.routes[point.route].why)

    def _sample(self, engine: Engine) -> None:
        """What is left of the space, where the sampler expects most."""
        sampler = sampling.Sampler(self.space.points(), self.seed)
        for trial in self.trials:
            sampler.tell(self._point_of(trial.result), trial.result, self.goal)
        while not self.deadline.is_set():
            point = sampler.ask()
            if point is None:
                return
            result = self._try(engine, point, "sampled near the front")
            sampler.tell(point, result, self.goal)

    def _point_of(self, result: Result) -> Point | None:
        for point in self.space.points():
            if self.space.recipe(point).key == result.recipe.key:
                return point
        return None

    def _try(self, engine: Engine, point: Point, why: str) -> Result | None:
        """Screens a recipe, and measures it fully when it may be the new best."""
        recipe = self.space.recipe(point)
        known = engine.find(recipe)
        if known is not None:
            self._note(why, known, reused=True)
            return known
        found = self._measure(engine, recipe, self.screen)
        if found is not None and found.status == "ok" and self._promising(found) and not self.deadline.is_set():
            found = self._measure(engine, recipe, self.full) or found
        if found is not None:
            self._note(why, found)
        return found

    def _measure(self, engine: Engine, recipe, plan: Plan) -> Result | None:
        engine.plan = plan
        results = engine.measure([recipe], on_progress=self.on_progress, cancel=self.deadline)
        return next((r for r in results if r.recipe.key == recipe.key), None)

    def _promising(self, result: Result) -> bool:
        """Meets the goal as far as the screening can tell, and may be faster than the best."""
        if set(self.goal.unmet(result)) - {"latency_s"}:
            return False
        if self.best is None or result.ratio_interval is None or self.best.ratio_interval is None:
            return True
        return result.ratio_interval[0] <= self.best.ratio_interval[1]

    def _note(self, why: str, result: Result, reused: bool = False) -> None:
        if result.status == "ok" and self._better(result):
            self.best = result
            self.on_best(result)
        trial = Trial(len(self.trials), why, result, self.best, self.elapsed_s, reused)
        self.trials.append(trial)
        self.on_trial(trial)

    def _better(self, result: Result) -> bool:
        if self.best is None:
            return True
        mine, theirs = self._rank(result), self._rank(self.best)
        return mine < theirs

    def _rank(self, result: Result) -> tuple:
        """Fewer missed constraints first; the latency limit counts only when the rest is met."""
        missed = self.goal.unmet(result)
        return len(missed), result.ratio if result.ratio is not None else np.inf

    def _contenders(self, baseline: Result) -> list:
        """The best few recipes, the baseline and the runtime's default always among them."""
        ranked = sorted({t.result.recipe.key: t.result for t in self.trials if t.result.status == "ok"}.values(),
                        key=self._rank)
        chosen = [r.recipe for r in ranked if not r.is_baseline][:CONTENDERS]
        return [baseline.recipe, *chosen]

    def _finish(self, recipes: list) -> Outcome:
        """Measures the contenders side by side on fresh samples; only this is reported."""
        left = max(2.0, self.budget_s - self.elapsed_s)
        plan = replace(self.full, max_s=min(2 * self.full.max_s, max(1.0, 0.5 * left)))
        with Engine(self.model, self.final_data, self.study, plan=plan) as engine:
            results = engine.measure(recipes, on_progress=self.on_progress)
        good = [r for r in results if r.status == "ok"]
        if not good:
            raise InputError(f"the last measurement failed: {results[0].reason if results else 'no result'}")
        best = self._pick(good)
        missed = self.goal.unmet(best)
        tried = [t.result for t in self.trials]
        stopped = "cancelled" if self.cancel.is_set() else "time" if self.elapsed_s > 0.75 * self.budget_s else "done"
        self.deadline.set()
        return Outcome(best, good[0], tuple(good), tuple(self.trials), not missed, missed,
                       tuple(self.goal.binding([*tried, *good])) if missed else (),
                       tuple(sorted(good, key=self._rank)[:CONTENDERS]) if missed else (),
                       self.space.ruled_out, stopped, self.elapsed_s, self.goal)

    def _pick(self, results: list[Result]) -> Result:
        """The fastest that meets the goal; the original when no other is surely faster."""
        ranked = sorted(results, key=self._rank)
        best = ranked[0]
        original = next((r for r in results if r.is_baseline), None)
        if original and len(self.goal.unmet(original)) <= len(self.goal.unmet(best)) and best.verdict != "faster":
            return original
        return best
