"""What the user wants: constraints that a variant must meet, and how far a variant is from them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

from ..errors import InputError
from ..results import Result
from ..units import duration, size

DEFAULT_FIDELITY = 0.99
DEFAULT_DROP = 1.0


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

    def __post_init__(self) -> None:
        limits = {"fidelity": (0.0, 1.0), "max_drop": (0.0, 100.0), "latency_s": (1e-12, 1e6), "size_bytes": (1, 1e15),
                  "memory_bytes": (1, 1e15), "threads": (0, 1024), "batch": (1, 4096)}
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name in limits and value is not None:
                low, high = limits[f.name]
                if not low <= value <= high:
                    raise InputError(f"'{f.name}' is {value!r}; allowed: {low:g} to {high:g}")
        if self.fidelity is not None and self.max_drop is not None:
            raise InputError("give either a fidelity or a largest drop, not both")

    def with_default(self, has_labels: bool) -> Goal:
        """A goal that says something about accuracy: 1 point of the metric, or 0.99 mean cosine without labels."""
        if self.fidelity is not None or self.max_drop is not None:
            return self
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values |= {"max_drop": DEFAULT_DROP} if has_labels else {"fidelity": DEFAULT_FIDELITY}
        return Goal(**values)

    def unmet(self, result: Result) -> dict[str, str]:
        """Constraints that a measured variant misses: name -> one phrase for people. {} when all are met."""
        missed = {}
        fidelity = result.fidelity
        if fidelity is None:
            missed["fidelity"] = "the answers could not be checked"
        elif self.fidelity is not None and not fidelity.metric >= self.fidelity:
            missed["fidelity"] = f"{fidelity.metric_name} {fidelity.metric:.4f}, wanted {self.fidelity:g}"
        elif self.max_drop is not None and not 100 * fidelity.delta >= -self.max_drop:
            drop = -100 * fidelity.delta
            missed["max_drop"] = f"{fidelity.metric_name} falls {drop:.2f} points, allowed {self.max_drop:g}"
        if self.latency_s is not None and (result.median_s is None or result.median_s > self.latency_s):
            missed["latency_s"] = f"{duration(result.median_s)}, wanted {duration(self.latency_s)}"
        if self.size_bytes is not None and result.size_bytes > self.size_bytes:
            missed["size_bytes"] = f"{size(result.size_bytes)}, wanted {size(self.size_bytes)}"
        used = result.memory.get("rss_peak_bytes", 0)  # already above the worker's own baseline
        if self.memory_bytes is not None and used > self.memory_bytes:
            missed["memory_bytes"] = f"{size(used)} of memory, wanted {size(self.memory_bytes)}"
        return missed

    def binding(self, results: Iterable[Result]) -> list[str]:
        """Constraints without which some measured variant would meet the goal; all that are missed if no single one."""
        misses = [set(self.unmet(r)) for r in results if r.status == "ok"]
        if not misses or set() in misses:
            return []
        alone = sorted(set().union(*(m for m in misses if len(m) == 1)))
        return alone or sorted(set().union(*misses))
