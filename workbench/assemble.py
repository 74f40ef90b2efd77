"""From raw measurements to results: statistics, fidelity, sizes. No process, no user interface."""

from __future__ import annotations

import uuid
import zlib
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from . import fidelity as fidelities
from .measure import Candidate, Measurement, stats
from .recipe import Recipe
from .results import Fidelity, Result
from .runtimes import registry

if TYPE_CHECKING:
    from .engine import Engine
    from .model import Model
    from .variant import Variant

_CHUNK = 1 << 20


def candidate(original: Model, built: Variant, recipe: Recipe) -> Candidate:
    """What a worker needs to run a built variant.

    Args:
        original: the model before all passes; feeds are keyed by its inputs.
        built: the artefact.
        recipe: complete.
    """
    settings = recipe.runtime_settings or registry.settings_class(recipe.runtime)()
    return Candidate(recipe.key, built.model.path, built.model.format, original.inputs, recipe.runtime, settings,
                     recipe.threads, recipe.device)


class Rounds(NamedTuple):
    """Rounds of all sessions: the variant's, and the baseline's paired with them (seconds)."""

    variant: list
    baseline: list


class Comparison(NamedTuple):
    """Ratio of medians (variant over baseline) with its 95 % interval and the verdict."""

    ratio: float | None = None
    interval: tuple[float, float] | None = None
    verdict: str = ""


def new_id() -> str:
    """A fresh run or session id: 12 hex digits."""
    return uuid.uuid4().hex[:12]


def compare(variant_rounds, baseline_rounds, *, margin: float, seed: int) -> Comparison:
    """The verdict on two sets of paired rounds (see MEASURING: faster, slower or undecided)."""
    found = stats.ratio_interval(variant_rounds, baseline_rounds, seed=seed)
    interval = (found.low, found.high)
    return Comparison(found.value, interval, stats.verdict(interval, margin))


def fidelity(engine: Engine, raw: Measurement, base: Measurement | None) -> Fidelity | None:
    """How the variant answers beside the baseline on the evaluation samples; None when one has no outputs.

    Raises:
        InputError: the outputs do not fit each other.
    """
    if raw.outputs_path is None or base is None or base.outputs_path is None:
        return None
    outputs, reference = load_outputs(raw.outputs_path), load_outputs(base.outputs_path)
    return fidelities.evaluate(outputs, reference, labels=engine.dataset.evaluation.labels, seed=engine.plan.seed)


def load_outputs(path: Path) -> dict[str, np.ndarray]:
    """Outputs that a worker wrote, by name."""
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def result(engine: Engine, built: Variant, recipe: Recipe, base: Recipe, raw: Measurement, rounds: Rounds,
           fidelity: Fidelity | None) -> Result:
    """A finished result; its statistics cover the rounds of all sessions."""
    plan, is_baseline = engine.plan, recipe.key == base.key
    median = stats.median_interval(rounds.variant, seed=plan.seed)
    against = Comparison()
    if rounds.baseline and not is_baseline:
        against = compare(rounds.variant, rounds.baseline, margin=plan.margin, seed=plan.seed)
    return Result(
        **_identity(engine, recipe, base), status="ok",
        median_s=median.value, interval_s=(median.low, median.high), samples=sum(map(len, rounds.variant)),
        percentiles_s=stats.percentiles(np.concatenate(rounds.variant)), ratio=1.0 if is_baseline else against.ratio,
        ratio_interval=(1.0, 1.0) if is_baseline else against.interval, verdict=against.verdict,
        stopped=raw.stopped, fidelity=fidelity, size_bytes=built.model.size_bytes,
        compressed_bytes=compressed_size(built.model.path), memory=raw.memory, describe=raw.describe,
        environment={**engine.fingerprint, **raw.environment}, artefact=str(built.model.path), stages=built.stages,
        rounds=tuple(tuple(map(float, r)) for r in rounds.variant), warmup_s=tuple(raw.warmup_s))


def partial(engine: Engine, recipe: Recipe, base: Recipe, live) -> Result:
    """A result in the making, for a live plot; not stored."""
    ratio = live.ratio
    return Result(
        **_identity(engine, recipe, base), status="ok", median_s=live.median.value,
        interval_s=(live.median.low, live.median.high), samples=live.samples,
        ratio=ratio.value if ratio else None, ratio_interval=(ratio.low, ratio.high) if ratio else None,
        verdict=stats.verdict((ratio.low, ratio.high), engine.plan.margin) if ratio else "")


def failed(engine: Engine, recipe: Recipe, base: Recipe, reason: str) -> Result:
    """A variant that could not be built or run."""
    return Result(**_identity(engine, recipe, base), status="failed", reason=reason, environment=engine.fingerprint)


def _identity(engine: Engine, recipe: Recipe, base: Recipe) -> dict:
    return {"run_id": new_id(), "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "model_sha256": engine.model.sha256, "data_sha256": engine.dataset.sha256, "recipe": recipe,
            "machine": engine.machine, "is_baseline": recipe.key == base.key}


def compressed_size(path: Path) -> int:
    """Bytes of a file or folder after zlib level 6, what a download or an app package would hold.

    Computed once for a file as it is: a search runs one artefact with many settings.
    """
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return sum(_compressed(str(f.resolve()), f.stat().st_size, f.stat().st_mtime_ns) for f in files)


@lru_cache(maxsize=4096)
def _compressed(path: str, size: int, changed_ns: int) -> int:
    packer, total = zlib.compressobj(6), 0
    with open(path, "rb") as stream:
        while chunk := stream.read(_CHUNK):
            total += len(packer.compress(chunk))
    return total + len(packer.flush())
