"""What the user wants: constraints that a variant must meet, and how far a variant is from them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

from ..errors import InputError
from ..results import Fidelity, Result
from ..units import duration, size

DEFAULT_FIDELITY = 0.99
DEFAULT_DROP = 1.0
_Z95 = 1.96  # half the width of a 95 % interval, in standard errors
_LIMITS = {"fidelity": (0.0, 1.0), "max_drop": (0.0, 100.0), "latency_s": (1e-12, 1e6), "size_bytes": (1, 1e15),
           "memory_bytes": (1, 1e15), "threads": (0, 1024), "batch": (1, 4096)}


@dataclass(frozen=True)
class Goal:
    """Constraints of a search; None does not constrain.

    Attributes:
        fidelity: smallest mean cosine to the original (no labels) or task metric (labels), 0..1.
        max_drop: largest loss of the metric against the original, in percentage points.
        latency_s: largest median latency of one run.
        size_bytes: largest artefact.
        memory_bytes: largest peak memory above the worker's own.
        runtimes: allowed runtimes; () for all that are installed.
        formats: allowed formats of the artefact, e.g. ('onnx',); () for all.
        threads: threads available in production; 0 for all physical cores.
        batch: samples in one run.
        finetune: whether variants that need fine-tuning may be tried.
    """

    fidelity: float | None = None
    max_drop: float | None = None
    latency_s: float | None = None
    size_bytes: float | None = None
    memory_bytes: float | None = None
    runtimes: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    threads: int = 0
    batch: int = 1
    finetune: bool = True

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name in _LIMITS and value is not None:
                low, high = _LIMITS[f.name]
                if not low <= value <= high:
                    raise InputError(f"'{f.name}' is {value!r}; allowed: {low:g} to {high:g}")
        if self.fidelity is not None and self.max_drop is not None:
            raise InputError("give either a fidelity or a largest drop, not both")

    def with_default(self, has_labels: bool) -> Goal:
        """A goal that says something about accuracy: 1 point of the metric, or 0.99 mean cosine without labels."""
        if self.fidelity is not None or self.max_drop is not None:
            return self
        return replace(self, max_drop=DEFAULT_DROP) if has_labels else replace(self, fidelity=DEFAULT_FIDELITY)

    def unmet(self, result: Result, form: str = "") -> dict[str, str]:
        """Constraints that a measured variant misses: name -> one phrase for people. {} when all are met.

        Args:
            result: a variant.
            form: format of its artefact; '' leaves the formats unchecked.
        """
        return {name: phrase for name, (_, phrase) in self._misses(result, form).items()}

    def spare(self, fidelity: Fidelity) -> tuple[float, float]:
        """How far within the accuracy that was asked for some answers are, and the standard error of that.

        Both as shares; infinitely far where nothing was asked for.
        """
        if self.fidelity is not None:
            value, low, limit = fidelity.metric, fidelity.metric_interval[0], self.fidelity
        elif self.max_drop is not None:
            value, low, limit = fidelity.delta, fidelity.delta_interval[0], -self.max_drop / 100
        else:
            return math.inf, 0.0
        return value - limit, max(0.0, value - low) / _Z95

    def distance(self, result: Result, form: str = "") -> float:
        """How far a variant is from the goal; 0 when it meets it. Limits count by their ratio, accuracy by points."""
        return sum(far for far, _ in self._misses(result, form).values())

    def _misses(self, result: Result, form: str) -> dict[str, tuple[float, str]]:
        return {**self._wrong_answers(result), **self._too_much(result), **self._not_allowed(result, form)}

    def _wrong_answers(self, result: Result) -> dict[str, tuple[float, str]]:
        fidelity = result.fidelity
        if fidelity is None:
            return {"fidelity": (1e3, "the answers could not be checked")}
        if self.fidelity is not None and not fidelity.metric >= self.fidelity:
            phrase = f"{fidelity.metric_name} {fidelity.metric:.4f}, wanted {self.fidelity:g}"
            return {"fidelity": (_far(10 * (self.fidelity - fidelity.metric)), phrase)}
        if self.max_drop is not None and not 100 * fidelity.delta >= -self.max_drop:
            drop = -100 * fidelity.delta
            phrase = f"{fidelity.metric_name} falls {drop:.2f} points, allowed {self.max_drop:g}"
            return {"max_drop": (_far((drop - self.max_drop) / 10), phrase)}
        return {}

    def _too_much(self, result: Result) -> dict[str, tuple[float, str]]:
        used = result.memory.get("rss_peak_bytes", 0)  # already above the worker's own baseline
        rows = (("latency_s", result.median_s, duration, ""), ("size_bytes", result.size_bytes, size, ""),
                ("memory_bytes", used, size, " of memory"))
        missed = {}
        for name, value, show, what in rows:
            limit = getattr(self, name)
            if limit is not None and (value is None or value > limit):
                far = math.log(value / limit) if value else 1e3
                missed[name] = (far, f"{show(value)}{what}, wanted {show(limit)}")
        return missed

    def _not_allowed(self, result: Result, form: str) -> dict[str, tuple[float, str]]:
        recipe, missed = result.recipe, {}
        if self.runtimes and recipe.runtime not in self.runtimes:
            missed["runtimes"] = (10.0, f"runs on {recipe.runtime}, allowed: {', '.join(self.runtimes)}")
        if self.formats and form and form not in self.formats:
            missed["formats"] = (10.0, f"is {form}, allowed: {', '.join(self.formats)}")
        if self.threads and recipe.threads > self.threads:
            missed["threads"] = (10.0, f"takes {recipe.threads} threads, allowed: {self.threads}")
        return missed

    def binding(self, results: Iterable[Result]) -> list[str]:
        """Constraints without which some measured variant would meet the goal; all that are missed if no single one.

        Which runtime, format and thread count are allowed shapes the space, so those never bind here.
        """
        shaping = {"runtimes", "formats", "threads"}
        misses = [set(self.unmet(r)) for r in results if r.status == "ok"]
        misses = [m for m in misses if not m & shaping] or [m - shaping for m in misses]
        if not misses or set() in misses:
            return []
        alone = sorted(set().union(*(m for m in misses if len(m) == 1)))
        return alone or sorted(set().union(*misses))


def _far(value: float) -> float:
    """A distance that is never zero for a missed constraint; answers that are no numbers are very far."""
    return 1e3 if math.isnan(value) else max(value, 1e-9)
