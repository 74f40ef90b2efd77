"""Who is best: how a search orders what it measured. Dominance is judged with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from .. import passes
from ..recipe import Recipe
from ..results import Result
from .goal import Goal

KEEP_ANSWERS = ("convert", "graph")  # groups of passes that change no answer
EQUAL = 0.02  # two that differ by less are equally fast: the last measurement cannot tell them apart
DISTURBED = 2.2  # times slower seems what is timed while another machine's program has one of two cores
LIKELY_Z = 1.64  # one-sided 95 %
_ANSWERS = {"fidelity", "max_drop"}


def finished(result: Result | None) -> bool:
    """Whether a result says all that its trial was to find out; a trial that was cut short does not."""
    if result is None or result.status == "failed":
        return result is not None
    return result.status == "ok" and result.stopped != "cancelled" and result.fidelity is not None


def changes(result: Result) -> int:
    """How many of its passes and settings may change the answers; training counts most."""
    found = [passes.get(s.name) for s in result.recipe.steps]
    reduced = getattr(result.recipe.runtime_settings, "precision", "f32") != "f32"
    return reduced + sum(1 + found.needs_training for found in found if found.group not in KEEP_ANSWERS)


class Ranking:
    """What was measured so far, best first.

    Args:
        goal: constraints.
        form: format of the artefact that a recipe makes.
    """

    def __init__(self, goal: Goal, form: Callable[[Recipe], str]) -> None:
        self.goal, self._form = goal, form
        self.best: Result | None = None
        self._known: dict[str, Result] = {}

    @property
    def baseline(self) -> Result | None:
        """The original, once it was taken."""
        return next((r for r in self._known.values() if r.is_baseline), None)

    def known(self, recipe: Recipe) -> Result:
        """The latest good result of a recipe that was taken."""
        return self._known[recipe.key]

    def unmet(self, result: Result) -> dict[str, str]:
        """Constraints that a result misses."""
        return self.goal.unmet(result, self._form(result.recipe))

    def rank(self, result: Result) -> tuple[float, float]:
        """Nearer to the goal first, then faster."""
        ratio = result.ratio if result.ratio is not None else math.inf
        return self.goal.distance(result, self._form(result.recipe)), ratio

    def take(self, result: Result) -> bool:
        """Takes a result in; True when it is the new best."""
        if result.status != "ok" or not finished(result):
            return False
        key = result.recipe.key
        self._known[key] = result
        before = self.best.run_id if self.best else ""
        self.best = min(self._known.values(), key=self.rank)
        return self.best.run_id != before and self.best is result

    def answers_wrong(self, result: Result) -> bool:
        """Misses the accuracy that was asked for, which threads and options will not change."""
        return bool(_ANSWERS & set(self.unmet(result)))

    def close(self, count: int) -> list[Result]:
        """The best few that meet the goal as far as screening can tell, and whose intervals reach the best one's."""
        if self.best is None:
            return []
        able = [r for r in self.contenders(len(self._known)) if not set(self.unmet(r)) - {"latency_s"}]
        bound = self.best.ratio_interval[1] if self.best.ratio_interval and self.best in able else math.inf
        return [r for r in able if r.ratio_interval is None or r.ratio_interval[0] <= bound][:count]

    def elsewhere(self, chosen: list[Result]) -> list[Result]:
        """The best on each other runtime that is not far behind: its short measurement may have been disturbed."""
        if self.best is None or not self.best.ratio:
            return []
        found: dict[str, Result] = {}
        for result in self.contenders(len(self._known)):
            if not self.unmet(result) and (result.ratio or math.inf) <= DISTURBED * self.best.ratio:
                found.setdefault(result.recipe.runtime, result)
        return [r for runtime, r in found.items() if runtime not in {c.recipe.runtime for c in chosen}]

    def likely(self, result: Result) -> bool:
        """Whether its answers would meet the goal on other samples too, with a chance of 95 %.

        Judged by all samples that it was checked on. The fastest of many is often one whose answers looked better than
        they are; a bound that is only just met is then missed on the next samples.
        """
        known = self._known.get(result.recipe.key)
        checked = {r.run_id: r.fidelity for r in (known, result) if r is not None and r.fidelity is not None}
        spares = [(f.samples, *self.goal.spare(f)) for f in checked.values()]
        total = sum(n for n, _, _ in spares)
        if not total:
            return False
        spare = sum(n * s for n, s, _ in spares) / total
        return spare >= LIKELY_Z * math.sqrt(sum((n * e) ** 2 for n, _, e in spares)) / total

    def finalists(self, count: int) -> list[Result]:
        """The best few, among them one that likely meets the goal on other samples and one that changes no answers."""
        chosen = self.contenders(count)
        ranked = self.contenders(len(self._known))
        if not any(self.likely(r) for r in chosen):
            chosen += [r for r in ranked if self.likely(r) and not self.unmet(r)][:1]
        safe = next((r for r in ranked if not changes(r)), None)
        return chosen + ([safe] if safe is not None and safe not in chosen else [])

    def contenders(self, count: int) -> list[Result]:
        """The best few variants, the baseline left out."""
        ranked = sorted(self._known.values(), key=self.rank)
        return [r for r in ranked if not r.is_baseline][:count]

    def pick(self, results: list[Result]) -> Result:
        """The fastest that meets the goal, of several equally fast ones that which changes the model least.

        One that likely meets it on other samples too, where such a one is surely faster than the original. The
        original, when it meets the goal too and no other is surely faster.
        """
        safe = [r for r in results if r.is_baseline or self.likely(r)]
        if any(not r.is_baseline and r.verdict == "faster" and not self.unmet(r) for r in safe):
            results = safe
        best = min(results, key=self.rank)
        far, ratio = self.rank(best)
        equal = [r for r in results if self.rank(r)[0] <= far and self.rank(r)[1] <= (1 + EQUAL) * ratio]
        best = min(equal, key=lambda r: (changes(r), self.rank(r)), default=best)
        original = next((r for r in results if r.is_baseline), None)
        if original and self.rank(original)[0] <= self.rank(best)[0] and best.verdict != "faster":
            return original
        return best

    def binding(self, results: Iterable[Result]) -> list[str]:
        """Constraints that stand in the way of an unmet goal."""
        return self.goal.binding(results)

    def nearest(self, results: Iterable[Result], count: int) -> tuple[Result, ...]:
        """The results nearest to the goal among those on the front of latency and quality."""
        latest = list({r.recipe.key: r for r in [*self._known.values(), *results]}.values())
        front = [r for r in latest if not any(_dominates(q, r) for q in latest)]
        return tuple(sorted(front, key=self.rank)[:count])


def _dominates(a: Result, b: Result) -> bool:
    """Surely faster at no worse answers, or surely better answers at no more time."""
    if not (a.interval_s and b.interval_s and a.fidelity and b.fidelity and a.ratio and b.ratio):
        return False
    sooner = (a.ratio_interval or (a.ratio,) * 2)[1] < (b.ratio_interval or (b.ratio,) * 2)[0]
    truer = a.fidelity.metric_interval[0] > b.fidelity.metric_interval[1]
    return (sooner and a.fidelity.metric >= b.fidelity.metric) or (truer and a.ratio <= b.ratio)
