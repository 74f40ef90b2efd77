"""The headline and other lines in plain words, written from the study. UI-free."""

from __future__ import annotations

from typing import NamedTuple

from .. import units
from .frames import Failure, Interval, Point, Tradeoff


class Headline(NamedTuple):
    """The sentence on top; ``tone`` is faster, slower, undecided, failed or plain."""

    text: str
    tone: str = "plain"


def headline(shown: Tradeoff, selected: str, name: str) -> Headline:
    """One sentence on the selected variant, or what to do next when it was not measured.

    Args:
        shown: the trade-off.
        selected: recipe key of the toggles.
        name: how people call that recipe.
    """
    failed = next((f for f in shown.failures if f.key == selected), None)
    if failed:
        return _failed(failed)
    point = shown.point(selected)
    if point is None:
        return _not_measured(shown, name)
    if point.is_baseline:
        return _baseline(point, shown)
    return _compared(point, shown)


def speed(p: Point) -> str:
    """'4.9x faster (4.7 to 5.1)', '2.5x slower (2.4 to 2.6)' or 'not clearly faster or slower (0.97x to 1.04x)'."""
    if p.speedup is None:
        return f"{units.duration(p.latency_s)} a run"
    low, high = p.speedup_interval or (p.speedup, p.speedup)
    if p.verdict == "faster":
        return f"{units.times(p.speedup)} faster ({span(low, high)})"
    if p.verdict == "slower":
        return f"{units.times(1 / p.speedup)} slower ({span(1 / high, 1 / low)})"
    return f"undecided: between {units.times(low)} and {units.times(high)} of the baseline's speed"


def span(low: float, high: float) -> str:
    """'4.7 to 5.1': the interval of a factor, without its x."""
    for digits in (2, 3, 4) if low >= 1 else (3, 4, 5):  # the zero before the point counts as a digit
        a, b = units.significant(low, digits), units.significant(high, digits)
        if a != b:
            break
    return f"{a} to {b}"


def quality(p: Point, shown: Tradeoff) -> str:
    """'at −0.2 points (−0.5 to +0.1)' where there are labels, 'at cosine 0.9991' where there are none."""
    if p.quality is None:
        return "with fidelity unknown"
    base = shown.baseline
    if shown.quality_name == "accuracy" and base is not None and base.quality is not None:
        delta = units.points(p.quality - base.quality)
        return f"at {delta} points{_points_span(p.quality_interval, base.quality)}"
    return f"at {shown.quality_name} {p.quality:.4f} to the original"


def progress(line: str, remaining_s: float | None) -> str:
    """A status line with the time that is left."""
    if remaining_s is None or remaining_s < 0.5:
        return line
    seconds = f"{remaining_s:.0f} s" if remaining_s < 90 else f"{remaining_s / 60:.0f} min"
    return f"{line} · about {seconds} left"


def _points_span(interval: Interval | None, base: float) -> str:
    if interval is None:
        return ""
    return f" ({units.points(interval[0] - base)} to {units.points(interval[1] - base)})"


def _failed(failed: Failure) -> Headline:
    return Headline(f"{failed.name} failed: {failed.reason}", "failed")


def _baseline(p: Point, shown: Tradeoff) -> Headline:
    low, high = p.latency_interval_s
    labelled = p.quality is not None and shown.quality_name == "accuracy"
    told = f" with {100 * p.quality:.1f} % accuracy" if labelled else ""
    text = f"Baseline: {p.name} takes {units.duration(p.latency_s)} ({_durations(low, high)}){told}"
    best = _best(shown)
    return Headline(f"{text}; fastest so far: {best.name}, {units.times(best.speedup)}." if best else f"{text}.")


def _durations(low: float, high: float) -> str:
    """'8.11 to 8.32 ms': the unit once, when both have it."""
    a, b = units.duration(low), units.duration(high)
    return f"{a.split()[0]} to {b}" if a.split()[1] == b.split()[1] else f"{a} to {b}"


def _compared(p: Point, shown: Tradeoff) -> Headline:
    verb = "so far looks" if p.live else "is"
    text = f"{p.name} {verb} {speed(p)}"
    if p.live and p.quality is None:
        return Headline(f"{text}; its answers are checked next.", p.verdict or "plain")
    joint = ", " if p.verdict == "undecided" else " "
    return Headline(f"{text}{joint}{quality(p, shown)}.", p.verdict or "plain")


def _not_measured(shown: Tradeoff, name: str) -> Headline:
    if not shown.points and not shown.failures:
        return Headline("Nothing measured yet: choose options on the left and press Measure; "
                        "the baseline is timed beside them.")
    best = _best(shown)
    so_far = f" Fastest so far: {best.name}, {speed(best)}." if best else ""
    return Headline(f"{name} is not measured yet.{so_far}")


def _best(shown: Tradeoff) -> Point | None:
    """The fastest that is surely faster and not surely worse by more than one point."""
    fast = [p for p in shown.points if p.verdict == "faster" and not p.live and _acceptable(p, shown)]
    return min(fast, key=lambda p: p.latency_s, default=None)


def _acceptable(p: Point, shown: Tradeoff) -> bool:
    base = shown.baseline
    if p.quality is None or base is None or base.quality is None:
        return False
    return (p.quality_interval[1] if p.quality_interval else p.quality) >= base.quality - 0.01
