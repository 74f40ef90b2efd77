"""What the trade-off shows, as plain tuples: points, front, table rows. No plotly, no widgets, nothing rounded."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from itertools import accumulate
from typing import Any, NamedTuple

from .. import passes as pass_registry
from ..collection import no_collection
from ..recipe import Recipe, Step
from ..results import Result
from ..runtimes import registry
from ..told_apart import named_apart
from .choices import pass_title

Interval = tuple[float, float]
SHORT_RUNTIMES = {"onnxruntime": "ORT", "tensorflow": "TF"}


class Point(NamedTuple):
    """A variant that was timed.

    Attributes:
        key: recipe key; what selection refers to.
        run_id: of its result.
        name: for people, e.g. 'INT8 static on LiteRT'.
        short: for plot and table, e.g. 'LiteRT INT8 static'.
        precision: 'float32', 'float16', 'int8', 'mixed', 'int4' or 'unknown'.
        runtime: registry name.
        latency_s: median of one run.
        latency_interval_s: its 95 % interval.
        quality: the baseline's accuracy plus the paired change, or cosine to the reference; None when unchecked.
        quality_interval: ``quality`` with the 95 % interval of the paired change, None for the baseline.
        speedup: baseline median over this median, None for the baseline.
        speedup_interval: its 95 % interval.
        verdict: 'faster', 'slower', 'undecided' or '' for the baseline.
        size_bytes: artefact on disk.
        is_baseline: the reference.
        standing: 'front', 'undecided' (behind the front, but the intervals do not prove it), 'dominated', or 'tried':
            screened by the automatic search, too short to stand on the front.
        live: still being measured.
        compressed_bytes: the artefact as a download holds it.
    """

    key: str
    run_id: str
    name: str
    short: str
    precision: str
    runtime: str
    latency_s: float
    latency_interval_s: Interval
    quality: float | None
    quality_interval: Interval | None
    speedup: float | None
    speedup_interval: Interval | None
    verdict: str
    size_bytes: int
    is_baseline: bool
    standing: str = "front"
    live: bool = False
    compressed_bytes: int = 0


class Failure(NamedTuple):
    """A variant that could not be measured, and why."""

    key: str
    name: str
    short: str
    precision: str
    runtime: str
    reason: str


class Tradeoff(NamedTuple):
    """All of one plot: one machine, one batch size.

    Attributes:
        points: fastest first.
        failures: drawn as failed.
        front: (latency_s, quality) along the Pareto front, fastest first.
        quality_name: 'accuracy' or 'cosine'.
        is_random: inputs are random; figures say so.
        batch: samples in one run.
        others: variants left out because their batch size differs.
    """

    points: tuple[Point, ...]
    failures: tuple[Failure, ...]
    front: tuple[tuple[float, float], ...]
    quality_name: str
    is_random: bool
    batch: int
    others: int = 0

    def point(self, key: str) -> Point | None:
        """The point of a recipe key."""
        return next((p for p in self.points if p.key == key), None)

    @property
    def baseline(self) -> Point | None:
        """The reference point, once it was timed."""
        return next((p for p in self.points if p.is_baseline), None)


class Row(NamedTuple):
    """One line of the table; None where there is no number. ``status`` is ok, tried, failed, cancelled or live."""

    key: str
    name: str
    short: str
    status: str
    reason: str
    precision: str
    runtime: str
    is_baseline: bool
    median_s: float | None
    speedup: float | None
    speedup_interval: Interval | None
    verdict: str
    quality: float | None
    delta: float | None
    delta_interval: Interval | None
    size_bytes: int
    standing: str
    compressed_bytes: int = 0


class _Chain(NamedTuple):
    """What is said of a chain of passes: titles, the same for where room is short, and the precision they ensure."""

    titles: tuple[str, ...]
    lowered: tuple[str, ...]
    precision: str


def precision_of(recipe: Recipe) -> str:
    """Precision that a recipe's passes ensure, with 'mixed' where some nodes stay in float on purpose."""
    return _chain(recipe.steps).precision


@lru_cache(maxsize=4096)  # a study of thousands of results repeats few chains of passes
def _chain(steps: tuple[Step, ...]) -> _Chain:
    titles = tuple(pass_title(s.name) for s in steps if pass_registry.get(s.name).group != "convert")
    return _Chain(titles, tuple(map(_lower, titles)), _precision(steps))


def _precision(steps: tuple[Step, ...]) -> str:
    tags = {tag for step in steps for tag in pass_registry.get(step.name).ensures}
    tags |= {"mixed" for step in steps if step.name.endswith("-mixed")}
    tags |= {"int4" for step in steps if getattr(step.settings, "bits", 0) == 4}
    for name in ("mixed", "int4", "int8", "float16"):
        if name in tags:
            return name
    return "float16" if "bfloat16" in tags else "float32"


def name_of(recipe: Recipe, usual_threads: int = 0) -> str:
    """'INT8 static on LiteRT, 1 thread': what was done, then where it runs, then what differs from the usual."""
    return _long(recipe, _chain(recipe.steps).titles, usual_threads)


def _long(recipe: Recipe, shown: tuple[str, ...], usual_threads: int) -> str:
    runtime = registry.info(recipe.runtime).title if recipe.runtime else "default runtime"
    mode = getattr(recipe.runtime_settings, "mode", "") if recipe.runtime_settings else ""
    where = f"{runtime} ({mode})" if mode else runtime
    head = f"{' + '.join(shown)} on {where}" if shown else where
    device = "" if recipe.device == "cpu" else recipe.device.upper()
    return ", ".join(part for part in (head, _threads(recipe.threads, usual_threads), device) if part)


def short_name(recipe: Recipe, usual_threads: int = 0) -> str:
    """'LiteRT INT8 static': the same as :func:`name_of` where room is short."""
    return _short(recipe, _chain(recipe.steps).lowered, usual_threads)


def _short(recipe: Recipe, lowered: tuple[str, ...], usual_threads: int) -> str:
    shown = list(lowered)
    runtime = short_runtime(recipe.runtime) if recipe.runtime else "default"
    mode = getattr(recipe.runtime_settings, "mode", "") if recipe.runtime_settings else ""
    device = "" if recipe.device == "cpu" else recipe.device.upper()
    if shown and shown[0].startswith(f"{runtime} "):
        shown[0] = shown[0].removeprefix(f"{runtime} ")  # 'ORT graph' already says where
    parts = (runtime, mode, " + ".join(shown) or ("" if mode else "float32"),
             _threads(recipe.threads, usual_threads), device)
    return " ".join(part for part in parts if part)


def short_runtime(name: str) -> str:
    """'ORT' for 'onnxruntime'; the registry's title where there is no usual short form."""
    return SHORT_RUNTIMES.get(name) or registry.info(name).title


@no_collection()
def tradeoff(results: Iterable[Result], *, batch: int = 1, machine: str = "",
             live: Iterable[Result] = (), tried: Iterable[Result] = ()) -> Tradeoff:
    """Points and front of one batch size on one machine.

    Args:
        results: latest result of each variant.
        batch: samples in one run; results of other sizes are counted, not drawn.
        machine: fingerprint id; '' takes that of the newest result.
        live: partial results of what is being measured; they replace stored ones of the same recipe.
        tried: results of the automatic search's screening, drawn faintly; any other result of the recipe goes first.
    """
    results, live, tried = list(results), list(live), list(tried)
    newest = max([*results, *live], key=lambda r: r.created, default=None)
    home = machine or (newest.machine if newest else "")
    stored = {r.recipe.key: r for r in results if r.machine == home}
    partial = {r.recipe.key: _with_known(r, stored.get(r.recipe.key)) for r in live if r.machine == home}
    here = [*(r for key, r in stored.items() if key not in partial), *partial.values()]
    usual = next((r.recipe.threads for r in here if r.is_baseline), 0)
    same = [r for r in here if r.recipe.batch == batch]
    reference = _reference(same)
    known = {r.recipe.key for r in here}
    faint = [_point(r, False, usual, reference)._replace(standing="tried") for r in tried
             if r.recipe.key not in known and r.machine == home and r.recipe.batch == batch and r.status == "ok"]
    timed = [_point(r, r.recipe.key in partial, usual, reference) for r in same
             if r.median_s is not None and r.status != "failed"]
    points = tuple(sorted([*_with_standing(timed), *faint], key=lambda p: p.latency_s))
    names = [r.fidelity.metric_name for r in same if r.fidelity]
    failures = tuple(_failure(r, usual) for r in same if r.status == "failed")
    recipes = {r.recipe.key: r.recipe for r in (*tried, *same)}
    points, failures = named_apart(points, recipes), named_apart(failures, recipes)
    return Tradeoff(
        points=points, failures=failures, front=_front(points),
        quality_name="accuracy" if "accuracy" in names or not names else names[0],
        is_random=any(r.data_sha256.split("-")[0] == "random" for r in same), batch=batch, others=len(here) - len(same))


@no_collection()
def rows(results: Iterable[Result], shown: Tradeoff) -> tuple[Row, ...]:
    """Table lines: timed variants fastest first, then the failed and the cancelled ones."""
    by_key = {r.recipe.key: r for r in results}
    timed = [_row(by_key.get(p.key), p) for p in shown.points]
    failed = [Row(f.key, f.name, f.short, "failed", f.reason, f.precision, f.runtime, False, None, None, None, "", None,
                  None, None, 0, "") for f in shown.failures]
    return (*timed, *failed)


def dominates(a: Point, b: Point) -> bool:
    """Whether ``a`` surely beats ``b``: better beyond the intervals in one respect, at least as good in the other.

    Overlapping intervals prove nothing, so they never count as domination.
    """
    if a.quality is None or b.quality is None or a.live or b.live:
        return False
    sooner = a.latency_interval_s[1] < b.latency_interval_s[0]
    truer = _low(a) > _high(b)
    return (sooner and a.quality >= b.quality) or (truer and a.latency_s <= b.latency_s)


def _with_standing(points: list[Point]) -> list[Point]:
    beaten, behind = _Best(points, sure=True), _Best(points, sure=False)
    return [p._replace(standing="dominated" if beaten.by(p) else "undecided" if behind.by(p) else "front")
            for p in points]


class _Best:
    """The best quality up to each latency: whether any point is before another, for thousands of points.

    Args:
        points: live and unchecked ones count only where intervals do not (``sure`` is False).
        sure: judge as :func:`dominates` does; else by the estimates alone.
    """

    def __init__(self, points: list[Point], sure: bool) -> None:
        self._sure = sure
        rated = [p for p in points if p.quality is not None and not (sure and p.live)]
        self._ends = _Steps([(p.latency_interval_s[1] if sure else p.latency_s, p.quality) for p in rated])
        self._lows = _Steps([(p.latency_s, _low(p)) for p in rated])

    def by(self, p: Point) -> bool:
        """Whether some point is before ``p``."""
        if p.quality is None or (self._sure and p.live):
            return False
        if self._sure:
            sooner = self._ends.most(p.latency_interval_s[0], inclusive=False)
            return sooner >= p.quality or self._lows.most(p.latency_s, inclusive=True) > _high(p)
        return (self._ends.most(p.latency_s, inclusive=False) >= p.quality
                or self._ends.most(p.latency_s, inclusive=True) > p.quality)


class _Steps:
    """Running maximum of values over positions."""

    def __init__(self, pairs: list[tuple[float, float]]) -> None:
        pairs = sorted(pairs)
        self._places = [x for x, _ in pairs]
        self._most = list(accumulate((v for _, v in pairs), max))

    def most(self, place: float, inclusive: bool) -> float:
        """Largest value at places up to this one; minus infinity when there is none."""
        count = (bisect_right if inclusive else bisect_left)(self._places, place)
        return self._most[count - 1] if count else -math.inf


def _front(points: Iterable[Point]) -> tuple[tuple[float, float], ...]:
    steps: list[tuple[float, float]] = []
    rated = (p for p in points if p.quality is not None and p.standing != "tried")
    for p in sorted(rated, key=lambda p: (p.latency_s, -(p.quality or 0))):
        if not steps or p.quality > steps[-1][1]:
            steps.append((p.latency_s, p.quality))
    return tuple(steps)


def _low(p: Point) -> float:
    return p.quality_interval[0] if p.quality_interval else p.quality


def _high(p: Point) -> float:
    return p.quality_interval[1] if p.quality_interval else p.quality


def _with_known(partial: Result, stored: Result | None) -> Result:
    """A live result borrows the fidelity and size of its last good measurement: the artefact is the same."""
    if stored is None or stored.status != "ok":
        return partial
    return replace(partial, fidelity=stored.fidelity, size_bytes=stored.size_bytes,
                   compressed_bytes=stored.compressed_bytes)


def _failure(r: Result, usual: int) -> Failure:
    return Failure(r.recipe.key, name_of(r.recipe, usual), short_name(r.recipe, usual), precision_of(r.recipe),
                   r.recipe.runtime, r.reason)


def _point(r: Result, live: bool, usual: int, reference: float | None) -> Point:
    quality, spread = _quality(r, reference)
    chain = _chain(r.recipe.steps)
    return Point(
        key=r.recipe.key, run_id=r.run_id, name=_long(r.recipe, chain.titles, usual), live=live,
        short=_short(r.recipe, chain.lowered, usual), precision=chain.precision, runtime=r.recipe.runtime,
        latency_s=r.median_s, latency_interval_s=r.span_s, quality=quality, quality_interval=spread,
        speedup=None if r.is_baseline else r.speedup,
        speedup_interval=None if r.is_baseline else r.speedup_interval, verdict="" if r.is_baseline else r.verdict,
        size_bytes=r.size_bytes, is_baseline=r.is_baseline, compressed_bytes=r.compressed_bytes)


def _reference(results: list[Result]) -> float | None:
    """The baseline's accuracy on the largest set of samples that any of the results was checked on."""
    checked = [r.fidelity for r in results if r.fidelity and r.fidelity.metric_name == "accuracy"]
    best = max(checked, key=lambda f: f.samples, default=None)
    return best.metric - best.delta if best else None


def _quality(r: Result, reference: float | None) -> tuple[float | None, Interval | None]:
    """Quality and its interval.

    With labels it is the baseline's accuracy plus the *paired* change: only that compares variants, since two
    measurements may have been checked on different numbers of samples.
    """
    f = r.fidelity
    if f is None:
        return None, None
    if f.metric_name != "accuracy" or reference is None:
        return f.metric, None if r.is_baseline else f.metric_interval
    if r.is_baseline:
        return reference, None
    return reference + f.delta, (reference + f.delta_interval[0], reference + f.delta_interval[1])


def _row(r: Result | None, p: Point) -> Row:
    f = r.fidelity if r else None
    compared = f is not None and not p.is_baseline
    status = "live" if p.live else "tried" if p.standing == "tried" else r.status if r else "ok"
    return Row(
        p.key, p.name, p.short, status, r.reason if r else "", p.precision,
        p.runtime, p.is_baseline, p.latency_s, p.speedup, p.speedup_interval, p.verdict, p.quality,
        f.delta if compared else None, f.delta_interval if compared else None, p.size_bytes, p.standing,
        p.compressed_bytes)


def _threads(n: int, usual: int) -> str:
    return "" if n in (0, usual) else "1 thread" if n == 1 else f"{n} threads"


def _lower(title: str) -> str:
    """'Float16' -> 'float16', but 'INT8 static' as it is."""
    return title[:1].lower() + title[1:] if title[1:2].islower() else title


def plain(value: Any) -> Any:
    """A tuple tree as lists and dicts, ready for JSON (named tuples become dicts)."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {k: plain(v) for k, v in value._asdict().items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value
