"""What one measured variant is to the study, the views, the shell and the report. SI units inside."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from .recipe import Recipe

CARRIED = ("memory", "describe", "environment", "stages", "warmup_s")  # two thirds of a stored result


@dataclass(frozen=True)
class Fidelity:
    """How a variant answers on held-out samples.

    Attributes:
        samples: number of evaluation samples.
        metric_name: 'accuracy' where there are labels, else ``likeness``.
        metric: its value for the variant, 0..1.
        metric_interval: 95 % interval of ``metric``.
        delta: metric minus the reference's metric (paired).
        delta_interval: 95 % interval of ``delta``.
        cosine_mean: mean over samples of the likeness to the reference output (first output): its cosine, or what
            ``likeness`` names.
        cosine_p5: 5th percentile of the same.
        sqnr_db: signal to quantization-noise ratio, dB; inf when identical.
        top1_agreement: share of samples with the reference's argmax, or None when not a classifier.
        changed: indices of the samples whose prediction changed (at most 1,000).
        notes: what a reader must know, e.g. 'output holds NaN'.
        likeness: 'cosine', 'agreement' or 'R²' (see :class:`workbench.fidelity.Similarity`).
    """

    samples: int
    metric_name: str
    metric: float
    metric_interval: tuple[float, float]
    delta: float = 0.0
    delta_interval: tuple[float, float] = (0.0, 0.0)
    cosine_mean: float = 1.0
    cosine_p5: float = 1.0
    sqnr_db: float = float("inf")
    top1_agreement: float | None = None
    changed: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    likeness: str = "cosine"


@dataclass(frozen=True)
class Result:
    """One variant measured on one machine; a row of the study.

    Attributes:
        run_id: unique id, traceable from every number that is shown.
        created: ISO time, UTC.
        model_sha256: the original model.
        data_sha256: the data set, or 'random' for random inputs (views watermark these).
        recipe: how it was made and run.
        machine: fingerprint id; results of different machines never share a front.
        is_baseline: the reference that ratios and deltas are against.
        status: 'ok', 'failed' or 'cancelled'.
        reason: why, when not 'ok'.
        median_s: median latency of one run (whole batch), or None.
        interval_s: its 95 % bootstrap interval.
        samples: number of timed runs.
        percentiles_s: e.g. {'p90': .., 'p99': None}; None reads 'too few samples'.
        ratio: median of this / median of the baseline, paired by round (below 1 is faster).
        ratio_interval: its 95 % interval.
        verdict: 'faster', 'slower', 'undecided', or '' for the baseline itself.
        stopped: 'narrow', 'time' or 'cancelled'.
        fidelity: see :class:`Fidelity`; None when it could not be checked.
        size_bytes: artefact on disk.
        compressed_bytes: artefact after gzip.
        memory: 'load_s', 'rss_baseline_bytes', 'rss_steady_bytes', 'rss_peak_bytes'.
        describe: what really ran (the session's own words).
        environment: the machine fingerprint.
        artefact: path of the artefact, '' if none.
        stages: one entry a pass: {'name', 'path', 'format', 'notes', 'details', 'seconds'}.
        rounds: raw samples, one list of seconds a round.
        warmup_s: the dropped warm-up samples.
    """

    run_id: str
    created: str
    model_sha256: str
    data_sha256: str
    recipe: Recipe
    machine: str
    is_baseline: bool
    status: str
    reason: str = ""
    median_s: float | None = None
    interval_s: tuple[float, float] | None = None
    samples: int = 0
    percentiles_s: dict[str, float | None] = field(default_factory=dict)
    ratio: float | None = None
    ratio_interval: tuple[float, float] | None = None
    verdict: str = ""
    stopped: str = ""
    fidelity: Fidelity | None = None
    size_bytes: int = 0
    compressed_bytes: int = 0
    memory: dict[str, float] = field(default_factory=dict)
    describe: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    artefact: str = ""
    stages: tuple[dict[str, Any], ...] = field(default_factory=tuple)
    rounds: tuple[tuple[float, ...], ...] = ()
    warmup_s: tuple[float, ...] = field(default_factory=tuple)

    def __getattr__(self, name: str) -> Any:
        # A result from a study reads CARRIED when it is first asked for: thousands are plotted, few are looked into.
        read = self.__dict__.get("_carried")
        if read is None or name not in CARRIED:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        self.__dict__.update(read())
        return self.__dict__[name]

    @property
    def throughput_per_s(self) -> float | None:
        """Samples per second, one stream."""
        return self.recipe.batch / self.median_s if self.median_s else None

    @property
    def speedup(self) -> float | None:
        """Baseline median over this median; 2.0 is twice as fast."""
        return 1 / self.ratio if self.ratio else None

    @property
    def speedup_interval(self) -> tuple[float, float] | None:
        """95 % interval of ``speedup``; None where none is known."""
        found = _known(self.ratio_interval)
        return (1 / found[1], 1 / found[0]) if found else None

    @property
    def span_s(self) -> tuple[float | None, float | None]:
        """95 % interval of the median; the median twice where none is known."""
        return _known(self.interval_s) or (self.median_s, self.median_s)


def _known(interval: tuple[float, float] | None) -> tuple[float, float] | None:
    """An interval that says something, else None: one of too few rounds reaches from 0 to infinity."""
    return interval if interval and 0 < interval[0] and interval[1] < math.inf else None
