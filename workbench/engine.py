"""The engine: recipes in, measured results out. Builds variants, times them beside the baseline, checks fidelity.

Blocking and UI-free: views call it from a thread, the shell directly. All heavy work is in worker processes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from . import assemble, variant
from . import recipe as recipes
from .datasets import Dataset
from .errors import Cancelled, WorkbenchError
from .measure import Measurement, Plan, WorkerPool, environment, measure
from .measure.protocol import FEWEST_ROUNDS
from .model import Model
from .passes import _tf_export, hush
from .recipe import Recipe
from .results import Result
from .study import Study

TIMING_FEEDS = 256  # distinct inputs that the timed runs cycle through
_QUICK_TO_CONVERT = 20_000_000  # bytes; what takes longer would hold up the pass that the user asks for first


class Progress(NamedTuple):
    """One step of the work, for a progress line.

    Attributes:
        recipe_key: the variant concerned, '' for all.
        stage: 'pass', 'load', 'warm-up', 'measure', 'fidelity', 'done' or 'failed'.
        line: one short line for people.
        fraction: of the whole call, 0..1.
        remaining_s: estimate of the time left, or None.
        partial: the live result of that variant while it is measured, else None.
        training: curves so far of the pass that trains (``workbench.passes._training.Curves``), else None.
    """

    recipe_key: str
    stage: str
    line: str
    fraction: float
    remaining_s: float | None = None
    partial: Result | None = None
    training: dict[str, Any] | None = None


OnProgress = Callable[[Progress], None]
OnResult = Callable[[Result], None]


class Engine:
    """Measures recipes of one model on one data set, into one study.

    Args:
        model: the original.
        dataset: calibration and evaluation samples.
        study: where results are kept and looked up.
        plan: how strictly to measure; default ``Plan.default()``.
        cache: artefact cache; default the user's.
    """

    def __init__(self, model: Model, dataset: Dataset, study: Study, *, plan: Plan | None = None,
                 cache: variant.Cache | None = None) -> None:
        self.model, self.dataset, self.study = model, dataset, study
        self.plan = plan or Plan.default()
        self.cache = cache or variant.Cache()
        self.fingerprint = environment.fingerprint()
        self.machine = environment.machine_id(self.fingerprint)
        self._pool = WorkerPool(hush=hush.resting)
        self._busy = threading.Lock()
        study.remember_model(model.sha256, {**model.to_dict(), "path": str(model.path)})
        study.remember_data(dataset.sha256, dataset.name)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the worker processes."""
        self._pool.close()

    @property
    def baseline(self) -> Recipe:
        """The model as it is, on the natural runtime of its format, one sample a run."""
        return self.baseline_for(Recipe())

    def baseline_for(self, recipe: Recipe) -> Recipe:
        """The baseline at the batch and device of a recipe, so that ratios compare the same work."""
        return variant.complete(self.model, Recipe(batch=recipe.batch))

    def complete(self, recipe: Recipe) -> Recipe:
        """Inserts missing conversions, the natural runtime and the thread count."""
        return variant.complete(self.model, recipe)

    def problem(self, recipe: Recipe) -> str | None:
        """One sentence why the recipe cannot run here, or None. Cheap."""
        return variant.problem(self.model, recipe)

    def results(self) -> list[Result]:
        """All variants of this model and data measured on this machine, oldest first."""
        return self.study.results(self.model.sha256, self.machine, self.dataset.sha256)

    def find(self, recipe: Recipe) -> Result | None:
        """The stored result of a recipe, or None; instant."""
        key = self.complete(recipe).key
        return self.study.find(key, self.model.sha256, self.dataset.sha256, self.machine)

    def prewarm(self) -> None:
        """Starts, in the background, what a first measurement would otherwise wait for."""
        threading.Thread(target=self._prewarm, daemon=True, name="prewarm").start()

    def _prewarm(self) -> None:
        variant.prewarm(self.model)
        try:
            base = self.baseline
            built = variant.build(self.model, base, self.dataset, cache=self.cache)
            self._pool.prewarm(assemble.candidate(self.model, built, base), self._feeds(base.batch, TIMING_FEEDS),
                               self._feeds(base.batch, self.plan.fidelity_samples), self.plan)
            if self.model.format in _tf_export.FORMATS and self.model.size_bytes <= _QUICK_TO_CONVERT:
                for step in ("onnx-convert", "tflite-convert"):
                    converted = variant.complete(self.model, recipes.make(step))
                    variant.build(self.model, converted, self.dataset, cache=self.cache)
        except WorkbenchError:
            pass  # the measurement itself will say what is wrong

    def measure(self, recipes: list[Recipe], *, on_progress: OnProgress | None = None,
                on_result: OnResult | None = None, cancel: threading.Event | None = None) -> list[Result]:
        """Measures recipes, always beside the baseline, interleaved; one call at a time.

        A variant that cannot be built or run is a result with status 'failed' and a reason. After a cancel
        the finished ones are kept and returned.

        Args:
            recipes: need not be complete.
            on_progress: called from worker threads, a few times a second.
            on_result: called once for each finished variant, after it is in the study.
            cancel: set it to stop within a fraction of a second.

        Returns:
            results in the order of the recipes, each baseline first.
        """
        done: list[Result] = []
        groups: dict[int, list[Recipe]] = {}
        for recipe in map(self.complete, recipes):
            groups.setdefault(recipe.batch, []).append(recipe)
        with self._busy:
            for index, group in enumerate(groups.values()):
                span = (index / len(groups), 1 / len(groups))
                run = _Run(self, group, span, on_progress, on_result, cancel or threading.Event())
                done += run.run()
        return done

    @property
    def busy(self) -> bool:
        """Whether a measurement, or a warming in the background, goes on."""
        return self._pool.working

    def alone(self, cancel: threading.Event | None = None, on_wait: Callable[[str], None] = lambda line: None):
        """A context in which no measurement and no warming runs on this machine, for a profile."""
        return self._pool.exclusive(cancel, on_wait)

    def _feeds(self, batch: int, limit: int):
        return self.dataset.evaluation.feeds(batch, limit)


class _Run:
    """One interleaved session: a baseline and the variants that share its batch."""

    def __init__(self, engine: Engine, group: list[Recipe], span, on_progress, on_result, cancel) -> None:
        self.engine, self.span, self.cancel = engine, span, cancel
        self.on_progress = on_progress or (lambda progress: None)
        self.on_result = on_result or (lambda result: None)
        base = engine.baseline_for(group[0])
        self.recipes = list(dict.fromkeys([base, *group]))
        self.base = base
        self.session = assemble.new_id()
        self.built: dict[str, variant.Variant] = {}

    def run(self) -> list[Result]:
        results = {key: r for key, r in ((x.key, self._build(i, x)) for i, x in enumerate(self.recipes)) if r}
        ready = [r for r in self.recipes if r.key in self.built]
        if ready and not self.cancel.is_set():
            measured = self._time(ready)
            for key in (r.key for r in ready):
                result = self._keep(key, measured)
                if result:
                    results[key] = result
        return [results[r.key] for r in self.recipes if r.key in results]

    def _tell(self, key: str, stage: str, line: str, fraction: float, remaining=None, partial=None,
              training=None) -> None:
        start, width = self.span
        self.on_progress(Progress(key, stage, line, start + width * fraction, remaining, partial, training))

    def _build(self, index: int, recipe: Recipe) -> Result | None:
        """Makes the artefact; a Result only when that failed."""
        if self.cancel.is_set():
            return None
        share, curves = 0.3 / len(self.recipes), {}

        def progress(fraction: float, line: str) -> None:
            self._tell(recipe.key, "pass", line, share * (index + fraction), training=dict(curves) or None)

        try:
            reason = self.engine.problem(recipe)
            if reason:
                return self._failed(recipe, reason)
            self.built[recipe.key] = variant.build(self.engine.model, recipe, self.engine.dataset,
                                                   cache=self.engine.cache, progress=progress, cancel=self.cancel,
                                                   on_training=curves.update)
        except Cancelled:
            pass
        except WorkbenchError as error:
            return self._failed(recipe, str(error))
        return None

    def _failed(self, recipe: Recipe, reason: str) -> Result:
        result = assemble.failed(self.engine, recipe, self.base, reason)
        self.engine.study.add(result, self.session)
        self._tell(recipe.key, "failed", reason, 0.3)
        self.on_result(result)
        return result

    def _time(self, ready: list[Recipe]) -> dict[str, Measurement]:
        engine, batch = self.engine, self.base.batch
        try:
            feeds = engine._feeds(batch, TIMING_FEEDS)
            evaluation = engine._feeds(batch, engine.plan.fidelity_samples)
        except WorkbenchError as error:
            return {r.key: Measurement(status="failed", reason=str(error)) for r in ready}
        candidates = [assemble.candidate(engine.model, self.built[r.key], r) for r in ready]
        return measure(candidates, feeds, evaluation=evaluation, plan=engine.plan, pool=engine._pool,
                       on_update=self._update, cancel=self.cancel)

    def _update(self, update) -> None:
        live = {key: assemble.partial(self.engine, self._recipe(key), self.base, numbers)
                for key, numbers in update.candidates.items()}
        fraction = 0.3 + 0.7 * update.fraction
        if not live:
            self._tell("", update.stage, update.line, fraction, update.remaining_s)
        for key, result in live.items():
            self._tell(key, update.stage, update.line, fraction, update.remaining_s, result)

    def _recipe(self, key: str) -> Recipe:
        return next(r for r in self.recipes if r.key == key)

    def _keep(self, key: str, measured: dict[str, Measurement]) -> Result | None:
        """Turns raw samples into a Result, joined with what the study already holds, and stores it."""
        recipe, raw = self._recipe(key), measured[key]
        if raw.status == "cancelled" and len(raw.rounds) < FEWEST_ROUNDS:
            return None  # of fewer there is no interval, and nothing is said without one
        if raw.status == "failed":
            return self._failed(recipe, raw.reason)
        engine, base = self.engine, measured.get(self.base.key)
        try:
            fidelity = assemble.fidelity(engine, raw, base)
        except WorkbenchError as error:
            return self._failed(recipe, str(error))
        old, old_base = engine.study.history(key, self.base.key, engine.model.sha256, engine.dataset.sha256,
                                             engine.machine)
        has_base = base is not None and base.status != "failed"
        paired = base.rounds[:len(raw.rounds)] if has_base else []
        rounds = assemble.Rounds([*old, *raw.rounds], [*old_base, *paired] if has_base else [])
        result = assemble.result(engine, self.built[key], recipe, self.base, raw, rounds, fidelity)
        engine.study.add(replace(result, rounds=()), self.session, raw.rounds)
        self._tell(key, "done", f"{recipe.label}: done", 1.0)
        self.on_result(result)
        return result
