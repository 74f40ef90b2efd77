"""What to take within a budget: the recommended variant, and how it changes with a limit on time or loss. UI-free."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from ..results import Result
from ..search import Goal
from .frames import Point, Tradeoff


class Step(NamedTuple):
    """From this limit on, up to that of the next step, this variant is the one to take.

    Attributes:
        limit: seconds of one run, or a loss of the quality (0..1); the first step has no limit below it.
        key: recipe key, '' where nothing keeps within the limit.
        rival: key of a variant that does better in the other respect and is not surely worse in this one; '' for none.
    """

    limit: float
    key: str
    rival: str = ""


def default_goal(results: Iterable[Result]) -> Goal:
    """At most 1 point of the metric where there are labels, else 0.99 mean cosine."""
    return Goal().with_default(any(r.fidelity and r.fidelity.metric_name == "accuracy" for r in results))


def recommended(shown: Tradeoff, results: dict[str, Result], goal: Goal) -> Point | None:
    """The fastest variant that is surely faster than the baseline and meets the goal; None when there is none."""
    met = [p for p in shown.points if p.verdict == "faster" and not p.live and not goal.unmet(results[p.key])]
    return min(met, key=lambda p: p.latency_s, default=None)


def by_time(shown: Tradeoff) -> tuple[Step, ...]:
    """For each limit on the time of one run: the variant of the best quality that keeps within it.

    The rival is the fastest that is not surely of lower quality: often the better choice.
    """
    known = _known(shown)
    return _steps([p.latency_s for p in known], lambda limit: _truest(known, limit))


def by_loss(shown: Tradeoff) -> tuple[Step, ...]:
    """For each limit on the loss of quality: the fastest variant that keeps within it.

    The rival is a faster one whose loss may be that small too: its interval reaches there.
    """
    known = _known(shown)
    return _steps([loss(p, shown) for p in known], lambda limit: _fastest(known, limit, shown))


def loss(p: Point, shown: Tradeoff) -> float:
    """Loss of quality against the baseline, 0 or more; against a cosine of 1 where there are no labels."""
    return max(0.0, _reference(shown) - (p.quality or 0.0))


def least_loss(p: Point, shown: Tradeoff) -> float:
    """The smallest loss that the interval allows."""
    best = p.quality_interval[1] if p.quality_interval else p.quality or 0.0
    return max(0.0, _reference(shown) - best)


def _reference(shown: Tradeoff) -> float:
    base = shown.baseline
    if shown.quality_name != "accuracy" or base is None or base.quality is None:
        return 1.0
    return base.quality


def _known(shown: Tradeoff) -> list[Point]:
    return [p for p in shown.points if p.quality is not None and not p.live]


def _steps(limits: list[float], pick: Callable[[float], Step]) -> tuple[Step, ...]:
    """One step for each limit at which the pick changes."""
    found: list[Step] = []
    for limit in sorted(set(limits)):
        step = pick(limit)
        if not found or (step.key, step.rival) != (found[-1].key, found[-1].rival):
            found.append(step)
    return tuple(found)


def _truest(known: list[Point], limit: float) -> Step:
    inside = [p for p in known if p.latency_s <= limit]
    best = max(inside, key=lambda p: (p.quality, -p.latency_s))
    low = best.quality_interval[0] if best.quality_interval else best.quality
    equal = [p for p in inside if (p.quality_interval[1] if p.quality_interval else p.quality) >= low]
    fastest = min(equal, key=lambda p: p.latency_s)
    return Step(limit, best.key, fastest.key if fastest is not best else "")


def _fastest(known: list[Point], limit: float, shown: Tradeoff) -> Step:
    best = min((p for p in known if loss(p, shown) <= limit), key=lambda p: p.latency_s)
    maybe = [p for p in known if least_loss(p, shown) <= limit and p.latency_s < best.latency_s]
    rival = min(maybe, key=lambda p: p.latency_s, default=None)
    return Step(limit, best.key, rival.key if rival else "")
