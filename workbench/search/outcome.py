"""What a search tells: each trial, and what was found in the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from ..recipe import Recipe
from ..results import Result
from ..units import duration, points, times
from .goal import Goal


class Attempt(NamedTuple):
    """What is being tried right now.

    Attributes:
        recipe: the variant.
        why: what made the search try it.
        stage: 'screen', 'full' or 'final'.
        remaining_s: of the budget.
    """

    recipe: Recipe
    why: str
    stage: str
    remaining_s: float


class Trial(NamedTuple):
    """One try, for the log and the live plot.

    Attributes:
        number: counted from 0.
        why: what made the search try it.
        result: what came out.
        best: the best variant so far, or None.
        elapsed_s: since the start.
        reused: True when the study had it already.
        unmet: constraints that it misses, one phrase each.
    """

    number: int
    why: str
    result: Result
    best: Result | None
    elapsed_s: float
    reused: bool = False
    unmet: dict[str, str] = {}


@dataclass(frozen=True)
class Outcome:
    """What a search found.

    Attributes:
        best: the recommended variant, measured on samples that the search did not use (see ``confirmed``).
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
        confirmed: False when the search was cancelled before the last measurement, or the data were too few to keep
            samples back for it: the numbers are then those that the search chose by.
        machine: fingerprint id of where it was measured.
        others: outcomes of the other machine types of a cluster; fronts are never shared.
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
    confirmed: bool = True
    machine: str = ""
    others: tuple[Outcome, ...] = field(default=())

    @property
    def ended(self) -> str:
        """'12 trials in 14.2 s, nothing left promises more'."""
        count = "1 trial" if len(self.trials) == 1 else f"{len(self.trials)} trials"
        why = {"cancelled": "cancelled", "time": "the time was up"}.get(self.stopped, "nothing left promises more")
        return f"{count} in {duration(self.seconds)}, {why}"

    @property
    def in_the_way(self) -> str:
        """What keeps an unmet goal where no constraint does."""
        if self.stopped == "time":
            return "the time: more minutes would try more"
        return "what the goal allows leaves nothing else to try"

    @property
    def sentence(self) -> str:
        """The recommendation in plain words."""
        lead = "" if self.met else f"The goal is not met ({'; '.join(self.unmet.values())}). Nearest: "
        tail = "" if self.confirmed else " Not confirmed on samples that the search did not use."
        return f"{lead}{self._found()}{tail}"

    def _found(self) -> str:
        best = self.best
        if best.is_baseline:
            end = ": nothing tried is surely faster within the goal." if self.met else "."
            text = f"the original ({duration(best.median_s)}){end}"
            return f"Keep {text}" if self.met else text
        low, high = best.speedup_interval or (best.speedup, best.speedup)
        return (f"{best.recipe.label} is {times(best.speedup)} as fast as the original "
                f"({times(low)} to {times(high)}){_quality(best)}.")


def _quality(result: Result) -> str:
    """' at −0.2 points of accuracy (85.9 %)' with labels, ' at cosine 0.9991' without."""
    found = result.fidelity
    if found is None:
        return ""
    if found.metric_name in ("cosine", "R²"):
        return f" at {found.metric_name} {found.metric:.4f}"
    return f" at {points(found.delta)} points of {found.metric_name} ({100 * found.metric:.1f} %)"
