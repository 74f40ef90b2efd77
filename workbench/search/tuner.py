"""The search: baseline, then what promises most for the seconds it takes; anytime, resumable.

Cheap screening decides who earns a full measurement, side by side. Everything it measures is in the study, so a
second call repeats nothing. The last contenders are measured again, interleaved, on samples that the search did not
use.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..datasets import Dataset
from ..engine import Progress
from ..errors import InputError
from ..measure import Plan
from ..model import Model
from ..results import Result
from ..study import Study
from . import sampling
from .expect import TRIAL_S, Expectation
from .goal import Goal
from .labs import Delivery, Lab, LocalLab, Order
from .outcome import Attempt, Outcome, Trial
from .ranking import EQUAL, Ranking, finished
from .routes import Aim
from .space import Point, Space
from .split import halves
from .terms import MINUTES

CONTENDERS, SEMIFINALISTS = 3, 5
ROUNDS = 3  # of looking and measuring the best few longer
FINAL_SHARE, MOST_FINAL_SHARE = 0.15, 0.4  # of the budget are kept for the last, interleaved measurement
FULL_SHARE = 0.1  # most of the budget that is kept for the full measurement before it
LEAST_GAIN = 0.002  # a search ends when nothing left is expected to bring even 0.2 %
SAMPLE_S = 12.0  # what a trial that only the sampler wants may take
SAMPLED = 4  # each so many trials one comes from the sampler, in case what is known does not hold here
HOPELESS = 4.0  # times slower than the best is a runtime's default that other threads will not save
_LOADS = 1.5  # the last measurement loads every contender anew: that takes longer than the baseline's first trial


def tune(model: Model, dataset: Dataset, goal: Goal | None = None, *, minutes: float = 5.0, study: Study | None = None,
         seed: int = 0, on_trial: Callable[[Trial], None] | None = None,
         on_progress: Callable[[Progress], None] | None = None, on_best: Callable[[Result], None] | None = None,
         on_try: Callable[[Attempt], None] | None = None, cancel: threading.Event | None = None,
         cluster: Any = None) -> Outcome:
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
        on_try: called when a trial begins.
        cancel: set it to stop; the best so far is returned at once.
        cluster: address of a Dask scheduler ('tcp://host:8786') or a ``distributed.Client``; trials then run on its
            workers, with a search of its own for each machine type (see :mod:`workbench.search.cluster`).

    Raises:
        InputError: the goal is impossible to read, or the original itself cannot be measured.
        MissingError: ``cluster`` is given and Dask is not installed.
    """
    if not MINUTES[0] <= minutes <= MINUTES[1]:
        raise InputError(f"'minutes' is {minutes!r}; allowed: {MINUTES[0]:g} to {MINUTES[1]:g}")
    goal, study = goal or Goal(), Study() if study is None else study
    calls = Calls(on_trial, on_progress, on_best, on_try)
    stop = cancel or threading.Event()
    if cluster is not None:
        from .cluster import tune_on

        return tune_on(cluster, model, dataset, goal, minutes * 60, study, seed, calls, stop)
    sides = halves(dataset, seed)
    search = Search(model, dataset, goal, minutes * 60, seed, calls, stop)
    lab = LocalLab(model, sides, study, calls.progress)
    try:
        return search.run(lab, fresh=sides[0] is not sides[1])
    finally:
        lab.close()


class Calls:
    """What a caller wants to hear; silence by default."""

    def __init__(self, on_trial: Any = None, on_progress: Any = None, on_best: Any = None, on_try: Any = None) -> None:
        def silent(event: Any) -> None:
            pass

        self.trial, self.progress = on_trial or silent, on_progress or silent
        self.best, self.attempt = on_best or silent, on_try or silent


class Search:
    """One search on one machine type.

    Args:
        model: the original.
        dataset: tells whether there are labels.
        goal: constraints.
        budget_s: of the whole search.
        seed: of the sampler and the measuring order.
        calls: what the caller wants to hear.
        cancel: set it to stop.
        clock: seconds; another one serves recorded measurements.
        only: names of routes to search, None for all.
        fingerprint: of the machine that runs the trials; None for this one.
    """

    def __init__(self, model: Model, dataset: Dataset, goal: Goal, budget_s: float, seed: int, calls: Calls,
                 cancel: threading.Event, *, clock: Callable[[], float] = time.monotonic, only: Any = None,
                 fingerprint: dict[str, Any] | None = None) -> None:
        self._clock, self._start = clock, clock()
        side = dataset.calibration
        self._labels = dataset.evaluation.labels is not None
        self._labelled_calibration = side is not None and side.labels is not None
        self.goal = goal.with_default(self._labels)
        self._options = {"only": only, "fingerprint": fingerprint, "training": dataset.read_training is not None}
        self.model, self.seed, self.budget_s, self.calls, self.cancel = model, seed, budget_s, calls, cancel
        self.space = Space(model, self.goal, aim=self._aim(None), **self._options)
        self.ranking = Ranking(self.goal, self.space.form)
        self.trials: list[Trial] = []
        self._deadline, self._first_s = threading.Event(), 0.0
        self._begun: dict[tuple, float] = {}  # recipes -> when their order began
        self._screened: set[str] = set()  # keys of recipes
        self._defaults: dict[str, float] = {}  # runtime -> best ratio of the model as it is
        self._again: set[str] = set()  # recipes that had a second look because their runtime seemed to be behind
        self._asked = 0
        self._out_of_time = False
        full = replace(Plan.default(), seed=seed)
        self.full = replace(full, max_s=min(full.max_s, max(1.0, budget_s / 20)))
        self.screen = replace(self.full, rounds_min=min(8, self.full.rounds_min), max_s=min(1.5, self.full.max_s),
                              target=0.08, warmup_max_s=min(1.5, self.full.warmup_max_s),
                              fidelity_max_s=min(1.5, self.full.fidelity_max_s))

    @property
    def elapsed_s(self) -> float:
        """Since the start."""
        return self._clock() - self._start

    def run(self, lab: Lab, fresh: bool = True) -> Outcome:
        """Searches until the space or the time is up, then measures the contenders side by side."""
        threading.Thread(target=self._watch, daemon=True, name="deadline").start()
        try:
            self._measure_baseline(lab)
            self._open_space()
            for _ in range(ROUNDS):
                self._explore(lab)
                if not self._narrow(lab):
                    break
            self._deadline.set()
            return self._finish(lab, fresh)
        finally:
            self._deadline.set()

    def _aim(self, reference: float | None) -> Aim:
        """What mixed precision must meet so that the goal is met."""
        goal = self.goal
        if not self._labels:
            return Aim("cosine", goal.fidelity)
        if not self._labelled_calibration:
            return Aim()
        if goal.max_drop is not None:
            return Aim("accuracy", 1.0 - goal.max_drop / 100)
        return Aim("accuracy", goal.fidelity / reference if reference else goal.fidelity)

    def _search_until(self) -> float:
        reserve = max(FINAL_SHARE * self.budget_s, _LOADS * self._first_s + self.full.max_s)
        return self.budget_s - min(reserve, MOST_FINAL_SHARE * self.budget_s)

    def _watch(self) -> None:
        """Ends a running trial when the search's share of the time is up."""
        while not self._deadline.wait(0.1):
            if self.cancel.is_set() or self.elapsed_s > self._search_until():
                self._deadline.set()

    def _measure_baseline(self, lab: Lab) -> None:
        base = replace(lab.baseline, batch=self.goal.batch)
        found = lab.find(base)
        reused = finished(found) and found.status == "ok"
        if not reused:
            self._begin(lab, Order((base,), self.screen, "the original, to compare with"), self.cancel)
            begun = self._clock()
            results = lab.wait().results
            self._first_s = self._clock() - begun
            found = results[0] if results else None
        if found is None or found.status != "ok":
            raise InputError(f"the original cannot be measured: {found.reason if found else 'cancelled'}")
        self._base = found.recipe
        if self._labels and self.goal.fidelity is not None and found.fidelity is not None:
            self.space = Space(self.model, self.goal, aim=self._aim(found.fidelity.metric), **self._options)
        self._note("the original, to compare with", found, reused)

    def _open_space(self) -> None:
        """Everything that may be tried, and what the original tells of it."""
        points = self.space.points()
        self._sampler = sampling.Sampler(points, self.seed)
        self._expected = Expectation(self.space)
        self._places = {self.space.recipe(p).key: p for p in points}
        if self._base.key in self._places:
            self._learn(self._places[self._base.key], self.ranking.baseline)

    def _explore(self, lab: Lab) -> None:
        """Keeps the lab's slots busy until nothing promises anything or the time is up."""
        running = 0
        while True:
            while running < lab.slots and not self._deadline.is_set():
                order = self._next(lab)
                if order is None:
                    break
                self._begin(lab, order, self._deadline)
                running += 1
            if not running:
                return
            self._take(lab.wait())
            running -= 1
            if self.elapsed_s > self._search_until():
                self._deadline.set()

    def _next(self, lab: Lab) -> Order | None:
        """The next order; what the study holds already is told on the way and not ordered again."""
        while (chosen := self._choose()) is not None:
            point, why = chosen
            recipe = self.space.recipe(point)
            if recipe.key == self._base.key:
                continue
            known = lab.find(recipe)
            if known is None or not finished(known):
                return Order((recipe,), self.screen, why, "screen", point)
            self._learn(point, known)
            self._note(why, known, reused=True)
            if self._deadline.is_set():
                return None
        return None

    def _choose(self) -> tuple[Point, str] | None:
        """The point that promises most for its seconds, of those that still fit into the time; sometimes a sample."""
        until = self._search_until() - min(self.full.max_s + TRIAL_S, FULL_SHARE * self.budget_s) - self.elapsed_s
        best = self.ranking.best
        bets = self._expected.bets(self._sampler.left, best.ratio if best and best.ratio else 1.0)
        promising = any(b.gain >= LEAST_GAIN for b in bets)
        bets = [b for b in bets if b.seconds <= until]
        if not any(b.gain >= LEAST_GAIN for b in bets):
            self._out_of_time = promising
            return self._as_it_comes(until)
        self._asked += 1
        if self._asked % SAMPLED == 0:
            quick = {b.point for b in bets if b.gain > 0 and b.seconds <= SAMPLE_S}
            point = self._sampler.ask(quick)
            if point is not None:
                return point, f"near the front: {self.space.routes[point.route].why}"
        self._sampler.tell(bets[0].point, None, self.goal)
        return bets[0].point, self.space.routes[bets[0].point.route].why

    def _as_it_comes(self, until: float) -> tuple[Point, str] | None:
        """A runtime's own default with the threads of the best, where the runtime was judged by other variants only."""
        best = self.ranking.best
        if best is None or not best.ratio:
            return None
        routes = self.space.routes
        plain = [p for p in self._sampler.left
                 if not routes[p.route].traits and not p.option and p.threads == best.recipe.threads
                 and self._defaults.get(routes[p.route].runtime, 0.0) <= HOPELESS * best.ratio
                 and self._expected.seconds(p) <= until]
        if not plain:
            return None
        point = min(plain)
        self._sampler.tell(point, None, self.goal)
        return point, f"{routes[point.route].why}, as it comes"

    def _narrow(self, lab: Lab) -> bool:
        """Measures those that may be the best side by side, for longer, on the samples of the search.

        Returns:
            True when the best one's short measurement had flattered it, or another runtime's had wronged it, so that
            what promised too little beside it may be worth a trial after all.
        """
        chosen = self.ranking.close(SEMIFINALISTS)
        if len(chosen) == 1:  # so far ahead that it may be luck
            chosen = self.ranking.contenders(2)
        others = [r for r in self.ranking.elsewhere(chosen) if r.recipe.key not in self._again]
        self._again |= {r.recipe.key for r in others}
        chosen += others
        if len(chosen) < 2 or not self._screened & {r.recipe.key for r in chosen} or self._deadline.is_set():
            return False
        recipes = tuple(r.recipe for r in chosen)
        hoped = self.ranking.best.ratio or 1.0
        self._begin(lab, Order(recipes, self.full, "may be the best: measured longer, side by side", "full"),
                    self._deadline)
        self._take(lab.wait())
        for recipe in recipes:
            self._learn(self._places[recipe.key], self.ranking.known(recipe))
        found = self.ranking.best
        return (found.ratio or 1.0) > (1 + EQUAL) * hoped or found.recipe.key in {r.recipe.key for r in others}

    def _begin(self, lab: Lab, order: Order, cancel: threading.Event) -> None:
        left = max(0.0, self.budget_s - self.elapsed_s)
        self._begun[order.recipes] = self._clock()
        self.calls.attempt(Attempt(order.recipes[-1], order.why, order.stage, left))
        lab.start(order, cancel)

    def _take(self, delivery: Delivery) -> None:
        order = delivery.order
        found = {r.recipe.key: r for r in delivery.results}
        for result in (found[r.key] for r in order.recipes if r.key in found):
            if order.point is not None and finished(result):
                self._expected.took(order.point, self._clock() - self._begun[order.recipes])
                self._learn(order.point, result)
            if order.stage == "screen":
                self._screened.add(result.recipe.key)
            if result.recipe.key in self._screened:
                self._note(order.why, result)
            elif self.ranking.take(result):
                self.calls.best(result)

    def _learn(self, point: Point, result: Result) -> None:
        wrong = result.status == "ok" and self.ranking.answers_wrong(result)
        self._sampler.tell(point, result, self.goal)
        self._expected.tell(point, result, not wrong)
        route = self.space.routes[point.route]
        if not route.traits and result.ratio:
            self._defaults[route.runtime] = min(result.ratio, self._defaults.get(route.runtime, math.inf))
        if (wrong or result.status != "ok") and point.option == 0:
            self._sampler.drop(point.route)

    def _note(self, why: str, result: Result, reused: bool = False) -> None:
        if self.ranking.take(result):
            self.calls.best(result)
        unmet = self.ranking.unmet(result) if result.status == "ok" else {}
        trial = Trial(len(self.trials), why, result, self.ranking.best, self.elapsed_s, reused, unmet)
        self.trials.append(trial)
        self.calls.trial(trial)

    def _finish(self, lab: Lab, fresh: bool) -> Outcome:
        """Measures the contenders side by side on fresh samples; only this is reported. A cancel skips it."""
        chosen = self.ranking.finalists(CONTENDERS)
        results: list[Result] = []
        if not self.cancel.is_set():
            left = max(2.0, self.budget_s - self.elapsed_s)
            plan = replace(self.full, max_s=min(2 * self.full.max_s, max(1.0, 0.4 * left)),
                           warmup_max_s=min(self.full.warmup_max_s, max(0.5, 0.05 * left)),
                           fidelity_max_s=min(self.full.fidelity_max_s, max(1.0, 0.25 * left)))
            recipes = tuple(dict.fromkeys([self._base, *(r.recipe for r in chosen)]))
            why = "the best few side by side, on samples that the search did not use"
            self._begin(lab, Order(recipes, plan, why, "final"), self.cancel)
            results = lab.wait().results
        good = [r for r in results if finished(r) and r.status == "ok"]
        confirmed = fresh and bool(good) and good[0].is_baseline
        if not good or not good[0].is_baseline:
            good = [self.ranking.baseline, *chosen]
        return self._outcome(good, confirmed)

    def _outcome(self, good: list[Result], confirmed: bool) -> Outcome:
        best = self.ranking.pick(good)
        missed = self.ranking.unmet(best)
        tried = [*(t.result for t in self.trials), *good]
        late = self.elapsed_s > 0.75 * self.budget_s
        stopped = "cancelled" if self.cancel.is_set() else "time" if late or self._out_of_time else "done"
        return Outcome(best, good[0], tuple(good), tuple(self.trials), not missed, missed,
                       tuple(self.ranking.binding(tried)) if missed else (),
                       self.ranking.nearest(good, CONTENDERS) if missed else (),
                       self.space.ruled_out, stopped, self.elapsed_s, self.goal, confirmed, best.machine)
