"""Numbers in a page, each with its origin: a ``<data>`` element with the exact value, the run and the field.

``<data value="0.0014" data-run="ab12..." data-field="median_s" title="...">1.40 ms</data>``: the title says run,
number of samples and interval, and a test compares every one of them with the study.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from html import escape
from typing import Any

from markupsafe import Markup

from .. import units
from ..results import Result
from ..views.sentences import span as joined

Format = Callable[[Any], str]
_SPAN = re.compile(r"(\d(?: [µm]?s)?) to (?=[−+±]?\d)")
_NUMBER = re.compile(r"[−+±]?\d[\d,]*(?:\.\d+)?")


def read(result: Result, field: str) -> Any:
    """The value behind a field name: 'median_s', 'interval_s.0', 'speedup_interval.1', 'fidelity.delta'."""
    if field == "rounds":
        return result.samples
    value: Any = result
    for part in field.split("."):
        if isinstance(value, dict):
            value = value[part]
        elif isinstance(value, list | tuple):
            value = value[int(part)]
        else:
            value = getattr(value, part)
    return value


def percent(value: float) -> str:
    """0.9104 -> '91.0'; the unit stands in the title of the column."""
    return f"{100 * value:.1f}"


def cosine(value: float) -> str:
    """0.99987 -> '0.9999'."""
    return f"{value:.4f}"


def decibel(value: float) -> str:
    """'37.6 dB', or 'identical'."""
    return "identical" if math.isinf(value) else f"{value:.1f} dB"


FORMATS: tuple[tuple[str, Format], ...] = (
    ("median_s", units.duration), ("interval_s", units.duration), ("percentiles_s", units.duration),
    ("memory.load_s", units.duration), ("memory", units.size), ("speedup", units.times), ("size_bytes", units.size),
    ("compressed_bytes", units.size), ("samples", units.count), ("fidelity.samples", units.count),
    ("fidelity.delta", units.points), ("fidelity.cosine", cosine), ("fidelity.sqnr_db", decibel),
    ("fidelity.top1_agreement", lambda v: f"{100 * v:.2f} %"), ("fidelity.metric", percent),
    ("recipe", str), ("throughput_per_s", units.significant),
)


def form(result: Result, field: str) -> Format:
    """How a field is written."""
    if field.startswith("fidelity.metric") and result.fidelity.metric_name != "accuracy":
        return cosine
    return next(f for name, f in FORMATS if field.startswith(name))


def number(result: Result, field: str, text: str = "") -> Markup:
    """One number as HTML; '–' where there is none."""
    try:
        value = read(result, field)
    except (AttributeError, KeyError, TypeError):
        value = None
    if value is None:
        return Markup("–")
    return tag(result, field, value, text or form(result, field)(value))


def tag(result: Result, field: str, value: float, text: str) -> Markup:
    """The element itself."""
    return Markup('<data value="{}" data-run="{}" data-field="{}" title="{}">{}</data>').format(
        repr(value), result.run_id, field, origin(result, field), text)


def derived(value: float, field: str, text: str) -> Markup:
    """A number counted over the study, such as how many variants were measured."""
    return Markup('<data value="{}" data-run="study" data-field="{}">{}</data>').format(repr(value), field, text)


def span(result: Result, field: str, joint: str = " to ") -> Markup:
    """An interval as '4.7 to 5.1', with as many digits as tell its ends apart."""
    pair = read_pair(result, field)
    if pair is None:
        return Markup("–")
    if field.startswith("fidelity.delta"):
        texts = [units.points(v) for v in pair]
    elif field.startswith("fidelity"):
        texts = [form(result, field)(v) for v in pair]
    elif field == "interval_s":
        texts = same_unit(*map(units.duration, pair))
    else:
        texts = joined(*pair).split(" to ")
    low, high = (tag(result, f"{field}.{i}", v, t) for i, (v, t) in enumerate(zip(pair, texts, strict=True)))
    return low + joint + high


def read_pair(result: Result, field: str) -> tuple[float, float] | None:
    """Both ends of an interval, or None."""
    try:
        return read(result, f"{field}.0"), read(result, f"{field}.1")
    except (AttributeError, KeyError, TypeError):
        return None


def same_unit(low: str, high: str) -> list[str]:
    """The unit once, when both have it: ['8.11 ms', '8.32 ms'] -> ['8.11', '8.32 ms']."""
    return [low.split()[0], high] if low.split()[1] == high.split()[1] else [low, high]


def origin(result: Result, field: str) -> str:
    """'run ab12, 412 timed runs, 95 % interval 1.38 to 1.42 ms': what a reader sees on the number."""
    parts = [f"run {result.run_id}"]
    f = result.fidelity
    if field.startswith("fidelity") and f:
        parts.append(f"{units.count(f.samples)} evaluation samples")
        if field.startswith("fidelity.delta"):
            parts.append(f"95 % interval {units.points(f.delta_interval[0])} to {units.points(f.delta_interval[1])}")
        elif field.startswith("fidelity.metric"):
            low, high = map(form(result, field), f.metric_interval)
            parts.append(f"95 % interval {low} to {high}")
    elif not field.startswith(("size", "compressed", "memory", "recipe")):
        parts.append(f"{units.count(result.samples)} timed runs")
        if field.startswith("speedup") and result.speedup_interval:
            parts.append(f"95 % interval {joined(*read_pair(result, 'speedup_interval'))}")
        elif result.interval_s and not field.startswith("percentiles"):
            parts.append("95 % interval " + " to ".join(same_unit(*map(units.duration, result.interval_s))))
    return ", ".join(parts)


class Annotator:
    """Finds the numbers of a sentence in the study and marks them; names and given limits stay as they are.

    Args:
        results: in order of preference where two have the same number.
        names: of variants, which hold digits that are no numbers ('INT8').
        given: numbers that were not measured, e.g. the limit of the goal.
        counts: numbers counted over the study, by their text.
    """

    def __init__(self, results: Iterable[Result], names: Iterable[str], given: Iterable[str] = (),
                 counts: dict[str, Markup] | None = None) -> None:
        self._known: dict[str, Markup] = {}
        for result in results:
            self._learn(result)
        for text, element in (counts or {}).items():
            self._known.setdefault(text, element)
        self._names = [n for n in sorted(set(names), key=len, reverse=True) if n]
        self._given = set(given)

    def _learn(self, result: Result) -> None:
        singles = ("speedup", "fidelity.delta", "median_s", "fidelity.metric", "fidelity.samples", "size_bytes",
                   "samples", "fidelity.cosine_mean", "recipe.batch", "recipe.threads")
        pairs = ("speedup_interval", "fidelity.delta_interval", "interval_s", "fidelity.metric_interval")
        for field in singles:
            self._keep(number(result, field))
        for field in pairs:
            for piece in str(span(result, field, "\0")).split("\0"):
                self._keep(Markup(piece))
        for i, value in enumerate(read_pair(result, "speedup_interval") or ()):  # 'undecided' sentences tell times
            self._keep(tag(result, f"speedup_interval.{i}", value, units.times(value)))
        if result.ratio_interval and result.ratio:  # 'slower' sentences turn the ratio round
            for field, value in (("ratio", result.ratio), ("ratio_interval.0", result.ratio_interval[0]),
                                 ("ratio_interval.1", result.ratio_interval[1])):
                self._keep(tag(result, field, value, units.times(value)))
            for i, text in enumerate(joined(*result.ratio_interval).split(" to ")):
                self._keep(tag(result, f"ratio_interval.{i}", result.ratio_interval[i], text))

    def _keep(self, element: Markup) -> None:
        for text in _NUMBER.findall(element.striptags()):
            self._known.setdefault(text, element)

    def __call__(self, text: str) -> Markup:
        """The sentence as HTML; an interval never breaks over two lines."""
        text = _SPAN.sub("\\1\u00a0to\u00a0", text)
        for name in self._names:
            at = text.find(name)
            if at >= 0:
                inside = Markup('<span class="name">{}</span>').format(name)
                return self(text[:at]) + inside + self(text[at + len(name):])
        parts, end = [], 0
        for match in _NUMBER.finditer(text):
            parts.append(escape(text[end:match.start()]))
            parts.append(self._mark(match[0]))
            end = match.end()
        return Markup("".join([*parts, escape(text[end:])]))

    def _mark(self, text: str) -> str:
        if text in self._given:
            return f'<span class="given">{text}</span>'
        known = self._known.get(text)
        if known is None:
            return text
        return re.sub(r">[^<]*</data>", f">{text}</data>", str(known))
