"""Where to look next: Optuna's multi-objective TPE over the points that are left."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from ..results import Result
from .goal import Goal
from .space import Point

ASKS = 6  # a sampler that keeps naming tried points has learnt the space; then the next untried one is taken
_ACCURACY = ("fidelity", "max_drop")


class Sampler:
    """Names points to try, each at most once.

    Args:
        points: the whole space, the best known first.
        seed: of the sampler.
    """

    def __init__(self, points: list[Point], seed: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._optuna = optuna
        self._left = dict.fromkeys(points)
        choices = {"route": sorted({p.route for p in points}), "threads": sorted({p.threads for p in points}),
                   "option": sorted({p.option for p in points})}
        self._space = {n: optuna.distributions.CategoricalDistribution(c) for n, c in choices.items() if c}
        self._study = optuna.create_study(directions=["minimize", "minimize"],
                                          sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=0))

    @property
    def left(self) -> list[Point]:
        """Points that were neither named nor tried, in their first order."""
        return list(self._left)

    def ask(self, allowed: Collection[Point] | None = None) -> Point | None:
        """The next point, which is then no longer left; None when all were named or tried.

        Args:
            allowed: points to choose from; None for all that are left.
        """
        left = [p for p in self._left if allowed is None or p in allowed]
        if not left:
            return None
        for _ in range(ASKS):
            trial = self._study.ask(self._space)
            point = Point(trial.params["route"], trial.params["threads"], trial.params["option"])
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
            if point in left:
                break
        else:
            point = left[0]
        del self._left[point]
        return point

    def drop(self, route: str) -> None:
        """Leaves out what is left of a route: threads and options change neither whether it works nor its answers."""
        for point in [p for p in self._left if p.route == route]:
            del self._left[point]

    def tell(self, point: Point | None, result: Result | None, goal: Goal) -> None:
        """Learns from a trial: how fast, and how far from the goal. A failure only ends the point."""
        if point is None:
            return
        self._left.pop(point, None)
        if result is None or result.status != "ok" or not result.ratio:
            return
        loss = 1.0 if result.fidelity is None else max(0.0, 1.0 - result.fidelity.metric)
        penalty = 10.0 * any(name in goal.unmet(result) for name in _ACCURACY)
        values = [float(np.log(result.ratio)), float(np.nan_to_num(loss, nan=1.0)) + penalty]
        self._study.add_trial(self._optuna.trial.create_trial(
            params=point._asdict(), distributions=self._space, values=values))
