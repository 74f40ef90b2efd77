"""The table that the project began with, measured: what quantization, pruning and their relatives do to a small CNN.

The first version claimed 10.5 s for the original, 5.2 s quantized and 4.8 s pruned 'for the same work', without saying
what was measured. Here every technique of that list is made, timed beside the original in one interleaved run, and
judged on held-out images.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from . import passes, sources, units
from . import recipe as recipes
from .engine import Engine, OnProgress
from .errors import InputError
from .measure import Plan, stats
from .recipe import Recipe
from .results import Result
from .study import Study

CLAIMS_S = {"original": 10.5, "ptq": 5.2, "pruned": 4.8}  # as the first README had them
_RUNTIME = "litert"


class Technique(NamedTuple):
    """One row to be: its key, its name for people, the passes, and what to expect of it."""

    key: str
    title: str
    steps: tuple[str, ...]
    expect: str


TECHNIQUES: tuple[Technique, ...] = (
    Technique("original", "Original", (), "as it is, in TensorFlow: what all others are compared with"),
    Technique("converted", "Original in LiteRT", ("tflite-convert",), "the same network and numbers, another runtime"),
    Technique("ptq", "Quantized after training", ("tflite-int8",), "8-bit numbers, ranges from calibration samples"),
    Technique("qat", "Quantization-aware training", ("keras-qat", "tflite-convert"),
              "fine-tuned with 8-bit rounding"),
    Technique("pruned", "Pruned (zeros)", ("keras-prune-magnitude", "tflite-convert"),
              "zeros compress well; dense kernels multiply them like any other number"),
    Technique("pruned-quantized", "Pruned (zeros) and quantized", ("keras-prune-magnitude", "tflite-int8"),
              "zeros and 8 bits: the smallest download"),
    Technique("structured", "Pruned (filters removed)", ("keras-prune-structured", "tflite-convert"),
              "a smaller network: less to compute"),
    Technique("structured-quantized", "Filters removed and quantized", ("keras-prune-structured", "tflite-int8"),
              "a smaller network in 8 bits"),
    Technique("clustered", "Clustered weights", ("keras-cluster", "tflite-convert"),
              "few distinct weights compress well; the work stays the same"),
    Technique("distilled", "Distilled", ("keras-distill", "tflite-convert"),
              "a narrower network, taught by the original"),
)


class SeedRow(NamedTuple):
    """One technique.

    Attributes:
        technique: what was done.
        recipe: None when it is not available.
        result: measured, or None.
        reason: why there is no result, '' when there is one.
        claim_s: seconds that the first version claimed, or None.
        ratio: latency over that of the same network in LiteRT (:class:`~workbench.measure.stats.Estimate`), or None.
        verdict: of that ratio: 'faster', 'slower', 'undecided' or ''.
    """

    technique: Technique
    recipe: Recipe | None
    result: Result | None
    reason: str
    claim_s: float | None
    ratio: stats.Estimate | None = None
    verdict: str = ""

    @property
    def claimed_speedup(self) -> float | None:
        """How many times faster than its original the first version said this is."""
        return CLAIMS_S["original"] / self.claim_s if self.claim_s else None


class SeedTable(NamedTuple):
    """The table; the last line of a notebook cell shows it as HTML.

    Attributes:
        rows: in the order of :data:`TECHNIQUES`.
        model: name of the model.
        data: name of the data set, 'random' for made-up inputs.
        machine: what it ran on, one line.
        batch: samples in one run.
    """

    rows: tuple[SeedRow, ...]
    model: str
    data: str
    machine: str
    batch: int

    def row(self, key: str) -> SeedRow:
        """The row of a technique.

        Raises:
            InputError: there is none; names those there are.
        """
        for row in self.rows:
            if row.technique.key == key:
                return row
        raise InputError(f"no row '{key}'; there are: {', '.join(r.technique.key for r in self.rows)}")

    def _repr_html_(self) -> str:
        from .views.seed_html import html  # the table itself needs no interface

        return html(self)

    def __str__(self) -> str:
        return "\n".join(_line(row) for row in self.rows)


def seed_table(model: Any = "cnn", data: Any = None, *, study: Study | str | Path | None = None,
               only: Iterable[str] = (), settings: Mapping[str, Mapping[str, Any]] | None = None,
               plan: Plan | None = None, batch: int = 1, on_progress: OnProgress | None = None,
               cancel: threading.Event | None = None) -> SeedTable:
    """Makes every technique of the seed's list and measures all in one interleaved run.

    The training passes take minutes the first time; later calls take them from the cache.

    Args:
        model: a Keras model: bundled name, path, :class:`Model`, live object, or an open :class:`Engine`.
        data: data set; None for the one that comes with a bundled model.
        study: keeps the results; in memory when None.
        only: keys of techniques to make; 'original' and 'converted' are always there. All when empty.
        settings: pass name -> its settings, e.g. ``{'keras-distill': {'width': 0.25}}``.
        plan: how strictly to measure.
        batch: samples in one run.
        on_progress: as of :meth:`Engine.measure`.
        cancel: set it to stop; what is finished is kept.

    Raises:
        InputError: an unknown technique, or the model or data cannot be used.
    """
    wanted = _chosen(only)
    with sources.engine(model, data, study, plan=plan) as engine:
        asked = {t.key: _recipe(engine, t, settings or {}, batch) for t in wanted}
        found = engine.measure([r for r, _ in asked.values() if r is not None], on_progress=on_progress, cancel=cancel)
        by_key = {r.recipe.key: r for r in found}
        rows = tuple(_row(t, *asked[t.key], by_key) for t in wanted)
        compared = tuple(_against(row, rows[1], engine.plan) for row in rows)
        cpu = engine.fingerprint.get("cpu_model", "unknown CPU")
        machine = f"{cpu}, {rows[0].recipe.threads} threads"
        return SeedTable(compared, engine.model.name, engine.dataset.name, machine, batch)


def _chosen(only: Iterable[str]) -> list[Technique]:
    keys = set(only)
    unknown = keys - {t.key for t in TECHNIQUES}
    if unknown:
        raise InputError(f"no technique '{sorted(unknown)[0]}'; there are: {', '.join(t.key for t in TECHNIQUES)}")
    return [t for t in TECHNIQUES if not keys or t.key in keys or t.key in ("original", "converted")]


def _recipe(engine: Engine, technique: Technique, settings: Mapping[str, Mapping[str, Any]],
            batch: int) -> tuple[Recipe | None, str]:
    """The complete recipe, or why there is none."""
    known = {name for name, _, _ in passes.PASSES}
    absent = [s for s in technique.steps if s not in known]
    if absent:
        return None, f"not available: this release has no pass {absent[0]}"
    if not technique.steps:
        return engine.baseline_for(Recipe(batch=batch)), ""
    steps = [(s, dict(settings.get(s, {}))) for s in technique.steps]
    made = engine.complete(recipes.make(*steps, runtime=_RUNTIME, batch=batch))
    reason = engine.problem(made)
    return (None, f"not available: {reason}") if reason else (made, "")


def _row(technique: Technique, recipe: Recipe | None, reason: str, found: dict[str, Result]) -> SeedRow:
    result = found.get(recipe.key) if recipe else None
    if recipe and result is None:
        reason = "stopped before it was measured"
    elif result is not None and result.status != "ok":
        reason, result = f"failed: {result.reason}", None
    return SeedRow(technique, recipe, result, reason, CLAIMS_S.get(technique.key))


def _against(row: SeedRow, reference: SeedRow, plan: Plan) -> SeedRow:
    """With the ratio to the same network in LiteRT, paired by round: what the technique itself did to the speed."""
    mine, theirs = row.result, reference.result
    if mine is None or theirs is None or row.technique.key in ("original", "converted"):
        return row
    count = min(len(mine.rounds), len(theirs.rounds))
    if not count:
        return row
    ratio = stats.ratio_interval(mine.rounds[-count:], theirs.rounds[-count:], seed=plan.seed)
    return row._replace(ratio=ratio, verdict=stats.verdict(ratio.interval, plan.margin))


def _line(row: SeedRow) -> str:
    head = f"{row.technique.title:<30}"
    if row.result is None:
        return f"{head} {row.reason}"
    r, f = row.result, row.result.fidelity
    accuracy = f"{f.metric_name} {f.metric:.4f} ({f.metric_interval[0]:.4f} to {f.metric_interval[1]:.4f})" if f else ""
    speed = "" if r.is_baseline else f" {units.times(r.speedup)} {r.verdict}"
    own = f", {units.times(1 / row.ratio.value)} in LiteRT: {row.verdict}" if row.ratio else ""
    low, high = r.interval_s
    return (f"{head} {units.duration(r.median_s)} ({units.duration(low)} to {units.duration(high)}){speed}{own}; "
            f"{accuracy}; {units.size(r.size_bytes)}, {units.size(r.compressed_bytes)} compressed")
