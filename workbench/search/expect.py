"""What a trial may bring, from general knowledge and from what was measured so far: one linear model, in closed form.

The logarithm of a latency is a sum of effects: of the runtime, of each technique, of a technique on that runtime, of
threads and options. Each effect has a prior; every trial narrows it (Bayesian linear regression, Bishop 2006, 3.3).
The next point is the one with the largest expected improvement for the seconds it takes.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .. import passes
from ..measure.environment import INT8_DOT
from ..results import Result
from .ranking import KEEP_ANSWERS
from .routes import COSTS, DOT_RATIO, OPEN_COST, TRAITS, Route
from .space import Point, Space

_RUNTIME_SPREAD, _PAIR_SPREAD, _ROUTE_SPREAD = 0.5, 0.25, 0.08
_FEWER, _FEWER_SPREAD = 0.4, 0.3  # logarithm of what half the threads cost a model that keeps them busy
_TINY_S = 3e-4  # below it threads cost more than they bring
_OPTION, _OPTION_SPREAD = 0.02, 0.05
_UNKNOWN_SPREAD, _NOISE = 3.0, 0.03
TRIAL_S = 3.0  # of a trial whose artefact is there
WORKS = 0.9  # chance that a route which was not tried works at all
REDUCED = {"bf16": TRAITS["rest bf16"].chance}  # arithmetic of a runtime -> chance that right answers stay right
SPOILT = 0.1  # what is left of the chance when the first of several passes alone spoils the answers


class Bet(NamedTuple):
    """What trying a point may bring.

    Attributes:
        point: the place.
        gain: expected fall of the logarithm of the best latency.
        seconds: what the trial takes.
    """

    point: Point
    gain: float
    seconds: float


class Expectation:
    """Learns from trials and judges what is left.

    Args:
        space: routes, and the processor that runs the trials.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._dot = not INT8_DOT.isdisjoint(space.isa)
        self._most = max(space.threads)
        self._seen: dict[Point, float] = {}
        self._answers: dict[tuple, bool] = {}  # passes, arithmetic -> whether the goal's accuracy was met
        self._failed: set[tuple] = set()  # chains of passes whose last one does not suit the model
        self._built: set[tuple] = set()
        self._slow = {False: 1.0, True: 1.0}  # of passes that train not, and that do: one says little about the other
        self._median_s: float | None = None

    def tell(self, point: Point, result: Result, right: bool) -> None:
        """Learns from a trial.

        Args:
            point: where.
            result: what came out; a pass that failed fails on every runtime.
            right: whether its answers meet the goal.
        """
        steps = self._steps(point)
        if result.status == "failed":
            self._failed |= {steps[:n] for n, s in enumerate(steps, 1)
                             if result.reason.startswith(f"{passes.get(s.name).title}:")}
        self.built(steps)
        if result.status != "ok" or not result.ratio:
            return
        self._seen[point] = math.log(result.ratio)
        self._answers[self._changes(point)] = right
        if right and result.median_s:
            self._median_s = min(result.median_s, self._median_s or math.inf)

    def took(self, point: Point, seconds: float) -> None:
        """Corrects what passes are expected to take; call it before :meth:`tell`."""
        wanted = self.seconds(point) - self._open_s(point)
        if wanted > 2 * TRIAL_S:  # else there was nothing to make
            trains = any(passes.get(s.name).needs_training for s in self._fresh(point))
            slow = self._slow[trains]
            self._slow[trains] = min(5.0, max(0.2, 0.5 * slow + 0.5 * slow * seconds / wanted))

    def built(self, steps: tuple) -> None:
        """Remembers that a chain of passes is in the cache, and so is every part of it."""
        self._built |= {steps[:n] for n in range(1, len(steps) + 1)}

    def seconds(self, point: Point) -> float:
        """What a trial of a point is expected to take."""
        making = (self._slow[passes.get(s.name).needs_training] * COSTS.get(s.name, 3.0) for s in self._fresh(point))
        return self._open_s(point) + TRIAL_S + sum(making)

    def _fresh(self, point: Point) -> list:
        """Passes that nobody has made yet."""
        steps = self._steps(point)
        return [s for n, s in enumerate(steps, 1) if steps[:n] not in self._built]

    def bets(self, points: list[Point], best: float) -> list[Bet]:
        """What each point may bring, the most for its time first.

        Args:
            points: what is left.
            best: smallest ratio that meets the goal so far.
        """
        if not points:
            return []
        mean, spread = self._predict(points)
        found = []
        for point, m, s in zip(points, mean, spread, strict=True):
            gain = self._chance(point) * _improvement(math.log(best) - m, s)
            found.append(Bet(point, gain, self.seconds(point)))
        return sorted(found, key=lambda b: -b.gain / b.seconds)

    def _steps(self, point: Point) -> tuple:
        return self._space.recipe(point).steps

    def _open_s(self, point: Point) -> float:
        return OPEN_COST.get(self._route(point).runtime, 0.0)

    def _route(self, point: Point) -> Route:
        return self._space.routes[point.route]

    def _chance(self, point: Point) -> float:
        whole = self._steps(point)
        if any(whole[:len(failed)] == failed for failed in self._failed):
            return 0.0
        changes = self._changes(point)
        if changes in self._answers:
            return float(self._answers[changes])
        if self._answers.get(changes[:-1]) and changes[-1] in REDUCED:
            return REDUCED[changes[-1]]
        chance = WORKS * math.prod(TRAITS[t].chance for t in self._route(point).traits)
        spoilt = any(not right and changes[:len(begun)] == begun for begun, right in self._answers.items())
        return SPOILT * chance if spoilt else chance

    def _changes(self, point: Point) -> tuple:
        """What may change the answers, in order: passes but conversions and graph rewriting, then less precision."""
        steps = [s for s in self._steps(point) if passes.get(s.name).group not in KEEP_ANSWERS]
        precision = self._route(point).settings.get("precision")
        return (*steps, precision) if precision in REDUCED else tuple(steps)

    def _effects(self, point: Point) -> dict[tuple, tuple[float, float, float]]:
        """Effect -> (weight at this point, prior mean, prior spread)."""
        route = self._route(point)
        found = {("all",): (1.0, 0.0, _UNKNOWN_SPREAD), ("runtime", route.runtime): (1.0, 0.0, _RUNTIME_SPREAD),
                 ("route", route.name): (1.0, 0.0, _ROUTE_SPREAD)}
        for trait in route.traits:
            prior = TRAITS[trait]
            ratio = DOT_RATIO if trait == "int8" and self._dot else prior.ratio
            found["trait", trait] = (1.0, math.log(ratio), prior.spread)
            found["pair", trait, route.runtime] = (1.0, 0.0, _PAIR_SPREAD)
        fewer = math.log2(self._most / point.threads)
        if fewer:
            tiny = self._median_s is not None and self._median_s < _TINY_S
            found["threads",] = (fewer, 0.0 if tiny else _FEWER, _FEWER_SPREAD)
            found["threads", route.runtime] = (fewer, 0.0, _FEWER_SPREAD / 2)
        if point.option:
            found["option", route.runtime, point.option] = (1.0, _OPTION, _OPTION_SPREAD)
        return found

    def _predict(self, points: list[Point]) -> tuple[np.ndarray, np.ndarray]:
        """Mean and spread of the logarithm of each point's ratio, given the trials."""
        seen = list(self._seen)
        rows = [self._effects(p) for p in [*seen, *points]]
        names = {name: i for i, name in enumerate(dict.fromkeys(n for row in rows for n in row))}
        weights, means, spreads = np.zeros((len(rows), len(names))), np.zeros(len(names)), np.zeros(len(names))
        for i, row in enumerate(rows):
            for name, (weight, mean, spread) in row.items():
                weights[i, names[name]], means[names[name]], spreads[names[name]] = weight, mean, spread
        a, b = weights[:len(seen)], weights[len(seen):]
        prior = b @ means
        cover = (b * spreads**2) @ b.T
        if seen:
            gain = np.linalg.solve((a * spreads**2) @ a.T + _NOISE**2 * np.eye(len(seen)), (a * spreads**2) @ b.T).T
            prior = prior + gain @ (np.array([self._seen[p] for p in seen]) - a @ means)
            cover = cover - gain @ ((a * spreads**2) @ b.T)
        return prior, np.sqrt(np.maximum(np.diag(cover), 1e-6))


def _improvement(distance: float, spread: float) -> float:
    """Expected improvement of a normal variable over a bound it is ``distance`` below."""
    z = distance / spread
    return distance * 0.5 * math.erfc(-z / math.sqrt(2)) + spread * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
