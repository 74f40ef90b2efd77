"""Two model files side by side on the same samples: ratio, interval, verdict, agreement."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from . import assemble, variant
from . import fidelity as fidelities
from .datasets import Dataset
from .errors import InputError, WorkbenchError
from .measure import Candidate, Measurement, Plan, WorkerPool, measure, stats
from .model import Model
from .recipe import Recipe
from .results import Fidelity
from .runtimes import registry


class ModelComparison(NamedTuple):
    """What :func:`compare` found; ``ratio`` is B's median over A's; ``reason`` says why there is none."""

    reason: str = ""
    ratio: float | None = None
    interval: tuple[float, float] | None = None
    verdict: str = ""
    stopped: str = ""
    median_a_s: float | None = None
    median_b_s: float | None = None
    samples: int = 0
    fidelity: Fidelity | None = None
    environment: dict[str, Any] = {}


def compare(a: Model, b: Model, dataset: Dataset, *, plan: Plan, threads: int = 0, batch: int = 1,
            on_line: Callable[[str], None] = lambda line: None) -> ModelComparison:
    """Times both, interleaved, each on the natural runtime of its format.

    Raises:
        InputError: one of them cannot run here, or their inputs do not match.
    """
    feeds = dataset.evaluation.feeds(batch, 256)
    evaluation = dataset.evaluation.feeds(batch, plan.fidelity_samples)
    candidates = [_candidate(side, m, a, threads, batch) for side, m in (("a", a), ("b", b))]
    stages: set[str] = set()

    def tell(update) -> None:
        if update.stage not in stages:
            stages.add(update.stage)
            on_line(f"{update.stage}: {update.line}")

    with WorkerPool() as pool:
        raw = measure(candidates, feeds, evaluation=evaluation, plan=plan, pool=pool, on_update=tell)
    for side, m in (("a", a), ("b", b)):
        if raw[side].status != "ok":
            return ModelComparison(reason=f"{m.name} ({side.upper()}): {raw[side].reason}")
    return _summary(raw["a"], raw["b"], dataset, plan)


def _candidate(side: str, model: Model, a: Model, threads: int, batch: int) -> Candidate:
    recipe = variant.complete(model, Recipe(threads=threads, batch=batch))
    reason = variant.problem(model, recipe)
    if reason:
        raise InputError(f"{model.name}: {reason}")
    settings = recipe.runtime_settings or registry.settings_class(recipe.runtime)()
    return Candidate(side, model.path, model.format, a.inputs, recipe.runtime, settings, recipe.threads, "cpu")


def _summary(a: Measurement, b: Measurement, dataset: Dataset, plan: Plan) -> ModelComparison:
    found = assemble.compare(b.rounds, a.rounds, margin=plan.margin, seed=plan.seed)
    try:
        agreement = fidelities.evaluate(assemble.load_outputs(b.outputs_path), assemble.load_outputs(a.outputs_path),
                                        labels=dataset.evaluation.labels, seed=plan.seed)
    except WorkbenchError:
        agreement = None  # two models may answer different questions; their speed is still comparable
    return ModelComparison(
        ratio=found.ratio, interval=found.interval, verdict=found.verdict, stopped=b.stopped,
        median_a_s=stats.median_interval(a.rounds, seed=plan.seed).value,
        median_b_s=stats.median_interval(b.rounds, seed=plan.seed).value,
        samples=sum(map(len, b.rounds)), fidelity=agreement, environment=b.environment)
