"""A bench: one model with its data and its study, and what a notebook does with them. ``workbench.bench()`` makes it.

Calls that take long return at once (see :class:`workbench.views.notebook.work.Work`); what they return shows itself
and fills in place. Views of the same study share the selected variant.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ... import recipe as recipes
from ... import units, variant
from ...errors import Cancelled
from ...model import ModelFormat
from ...recipe import Recipe
from ...results import Result
from .. import frames, opening, panes, shared
from ..opening import FORMAT_TITLES
from ..show import show
from ..sweep_view import sweep_view
from . import (
    edge,
    graphs,
    handing,
    pages,
    profiles,
    quantize,
    scale,
    searching,
    serving,
    spread,
    training,
)
from .variants import Variants
from .work import Task, Work

_open: dict[str, Bench] = {}  # by study and model


def bench(model: Any = None, data: Any = None, study: Any = None) -> Bench:
    """Opens a model with its data and its study for a notebook; as the last line of a cell it shows what it holds.

    The same model on the same data is opened once in a kernel: a cell that is run again finds what is going on.

    Args:
        model: name of a bundled model ('cnn'), path of a model file, or a live Keras model or torch module.
        data: name of a bundled data set, path of .npz, .csv or an image folder, or 'random'.
        study: path of the SQLite file that keeps the results; default ``studies/NAME.sqlite`` beside the notebook.

    Raises:
        WorkbenchError: one of them cannot be used; one line that says what to do.
    """
    opened = opening.open_engine(model, data, study)
    key = f"{opened.engine.study.path} {opened.engine.model.sha256}"
    earlier = _open.get(key)
    if earlier is not None and earlier.dataset.sha256 == opened.engine.dataset.sha256:
        opened.engine.close()
        return earlier
    if earlier is not None:
        earlier.close()
    _open[key] = Bench(opened)
    return _open[key]


def close_all() -> None:
    """Ends the worker processes of all benches."""
    while _open:
        _open.popitem()[1].close()
    variant.close()


atexit.register(close_all)


class Bench:
    """See :func:`bench`.

    Attributes:
        engine: measures into the study.
        model: the original.
        dataset: calibration and evaluation samples.
        selection: the variant that is looked at, shared by all views of the study.
    """

    def __init__(self, opened: opening.Opened) -> None:
        self.engine, self._note = opened.engine, opened.note
        self.model, self.dataset, self.study = self.engine.model, self.engine.dataset, self.engine.study
        self.selection = shared.selection(self.study)
        self._going: dict[str, Work] = {}
        self.engine.prewarm()

    def close(self) -> None:
        """Stops what goes on and ends the worker processes; the study stays."""
        for work in self._going.values():
            work.task.cancel.set()
        self.engine.close()

    def _once(self, what: Any, make: Callable[[], Work]) -> Work:
        """The same work while it goes on: after a reload of the page the cell is run again, and finds it."""
        going = self._going.get(repr(what))
        if going is None or going.done:
            going = self._going[repr(what)] = make()
        return going

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        model, data = self.model, self.dataset
        labels = "with labels" if data.evaluation.labels is not None else "without labels"
        held = "random inputs: agreement only" if data.is_random else f"{data.name}, {len(data.evaluation):,} held out"
        pairs = [("model", model.name), ("format", FORMAT_TITLES[model.format]), ("size", units.size(model.size_bytes)),
                 ("nodes", units.count(model.nodes) if model.nodes else "–"),
                 ("parameters", units.count(model.parameters)), ("inputs", _specs(model.inputs)),
                 ("outputs", _specs(model.outputs)), ("data", held if data.is_random else f"{held}, {labels}"),
                 ("machine", panes.cpu_line(self.engine.fingerprint)),
                 ("in the study", f"{len(self.engine.results())} variants")]
        notes = [pages.note(n) for n in (self._note,) if n]
        return pages.shown(pages.facts(pairs), *notes)._repr_mimebundle_(**kwargs)

    # --- recipes and results ------------------------------------------------------------------------------------

    @property
    def baseline(self) -> Recipe:
        """The model as it is, on the natural runtime of its format."""
        return self.engine.baseline

    def recipe(self, *steps: str | tuple[str, dict[str, Any]], runtime: str = "", threads: int = 0, batch: int = 1,
               **settings: Any) -> Recipe:
        """A complete recipe: passes by name (or ``(name, settings)``), then where it runs.

        Args:
            steps: passes in order; missing conversions are inserted.
            runtime: registry name; '' takes what fits.
            threads: 0 for all physical cores.
            batch: samples in one run.
            **settings: of the runtime, e.g. ``graph_level='all'``.

        Raises:
            InputError: an unknown name, or a setting out of range.
        """
        made = recipes.make(*steps, runtime=runtime, runtime_settings=settings, threads=threads, batch=batch)
        return self.engine.complete(made)

    def as_onnx(self) -> tuple[tuple[str, dict[str, Any]], ...]:
        """Steps that make ONNX of the model and nothing else: no step for one that is ONNX already."""
        return () if self.model.format == ModelFormat.ONNX else (("onnx-convert", {"simplify": False}),)

    def result(self, recipe: Recipe | None = None) -> Result | None:
        """What the study holds on a recipe (the baseline without one), or None; instant."""
        found = self.engine.find(recipe or self.baseline)
        return found if found is not None and found.status == "ok" else None

    def fill(self, recipes: Iterable[Recipe], task: Task, on_result: Callable[[Result], None] | None = None) -> None:
        """Measures, within a piece of work, those complete recipes that the study does not hold."""
        todo = [r for r in recipes if self.result(r) is None]
        if todo:
            self.engine.measure(todo, cancel=task.cancel, on_result=on_result,
                                on_progress=lambda p: task.progress(p.fraction, p.line, p.remaining_s))

    def name(self, recipe: Recipe) -> str:
        """How people call a recipe."""
        return frames.name_of(recipe, self.baseline.threads)

    def samples(self, run_id: str) -> tuple[float, ...]:
        """Raw latencies of a run, in seconds."""
        return tuple(float(s) for block in self.study.rounds(run_id) for s in block)

    # --- measuring ----------------------------------------------------------------------------------------------

    def measure(self, *wanted: Recipe | Mapping[str, Recipe], again: bool = False) -> Work[list[Result]]:
        """Measures recipes beside the baseline; what the study holds already is only shown.

        Args:
            wanted: recipes, or a mapping of name to recipe.
            again: measures all anew; the samples are added to those in the study.

        Returns:
            the results, baseline first, as a plot and a table that fill while they are measured.
        """
        named = {k: v for w in wanted if isinstance(w, Mapping) for k, v in w.items()}
        todo = [self.engine.complete(r) for w in wanted for r in (w.values() if isinstance(w, Mapping) else [w])]
        names = {self.engine.complete(r).key: name for name, r in named.items()}
        return self._once(("measure", names, [r.key for r in todo], again), lambda: self._measure(todo, names, again))

    def _measure(self, todo: list[Recipe], names: dict[str, str], again: bool) -> Work[list[Result]]:
        view = Variants(self.selection, self.engine.machine, names, self.samples)
        job = Measuring(self, todo, again)
        work = Work(job.run, lambda results: view.show(results), title="measuring", live=view.widget)
        job.on_change = lambda: work._marshal(view.show, job.results(), job.live())
        return work

    def variants(self) -> Variants:
        """All variants in the study at batch 1, as a plot and a table."""
        view = Variants(self.selection, self.engine.machine, {}, self.samples)
        view.show(self.engine.results())
        return view

    # --- looking closer; each is described where it is made --------------------------------------------------------

    def graphs(self, recipe: Recipe, height: int = 520) -> Work:
        """See :func:`workbench.views.notebook.graphs.compare`."""
        return graphs.compare(self, recipe, height)

    def passes(self, **recipes: Recipe) -> Work:
        """See :func:`workbench.views.notebook.graphs.passes`; ``name_of_step=recipe``."""
        return graphs.passes(self, {k.replace("_", " "): r for k, r in recipes.items()})

    def profile(self, recipe: Recipe | None = None) -> Work:
        """See :func:`workbench.views.notebook.profiles.hot`."""
        return profiles.hot(self, recipe or self.baseline)

    def profiles(self, recipes: Mapping[str, Recipe]) -> Work:
        """See :func:`workbench.views.notebook.profiles.beside`."""
        return profiles.beside(self, recipes)

    def roofline(self, recipe: Recipe | None = None) -> Work:
        """See :func:`workbench.views.notebook.profiles.roof`."""
        return profiles.roof(self, recipe or self.baseline)

    def why(self, recipe: Recipe, than: Recipe | None = None) -> Work:
        """See :func:`workbench.views.notebook.profiles.why`."""
        return profiles.why(self, recipe, than)

    def rank(self, target: float = 0.0, **settings: Any) -> Work:
        """See :func:`workbench.views.notebook.quantize.rank`."""
        return quantize.rank(self, target, **settings)

    def tune(self, minutes: float = 5.0, output: Any = None, **goal: Any) -> Work:
        """See :func:`workbench.views.notebook.searching.tune`."""
        return self._once(("tune", minutes, output, goal), lambda: searching.tune(self, minutes, output, **goal))

    def scaling(self, recipes: Mapping[str, Recipe], over: str, values: Sequence[int], **texts: Any) -> Work:
        """See :func:`workbench.views.notebook.scale.over`."""
        return scale.over(self, recipes, over, values, **texts)

    def sweep(self, **grid: Any) -> Work:
        """The map of threads, batch and runtime under a latency budget, with all that the cells above measured.

        Args:
            **grid: of :func:`workbench.sweep_view`, e.g. ``threads=(1, 2)``.
        """
        return Work(lambda _: None, lambda _: sweep_view(self.engine, **grid), title="the map")

    def leaks(self, recipe: Recipe | None = None, runs: int = 2000) -> Work:
        """See :func:`workbench.views.notebook.scale.leaks`."""
        return scale.leaks(self, recipe or self.baseline, runs)

    def training(self, recipes: Mapping[str, Recipe]) -> Work:
        """See :func:`workbench.views.notebook.training.curves`."""
        return training.curves(self, recipes)

    def sizes(self, recipes: Mapping[str, Recipe]) -> Work:
        """See :func:`workbench.views.notebook.training.sizes`."""
        return training.sizes(self, recipes)

    def seed_table(self, *only: str) -> Work:
        """See :func:`workbench.views.notebook.training.seed`."""
        return training.seed(self, only)

    def serve(self, recipe: Recipe | None = None) -> Work:
        """See :func:`workbench.views.notebook.serving.flow`."""
        return serving.flow(self, recipe or self.baseline)

    def answer(self, recipe: Recipe | None = None, sample: int = 0) -> Work:
        """See :func:`workbench.views.notebook.serving.answer`."""
        return serving.answer(self, recipe or self.baseline, sample)

    def thresholds(self, recipe: Recipe | None = None) -> Work:
        """See :func:`workbench.views.notebook.serving.thresholds`."""
        return serving.thresholds(self, recipe or self.baseline)

    def monitor(self, recipe: Recipe | None = None, seconds: float = 8.0) -> Work:
        """See :func:`workbench.views.notebook.serving.monitor`."""
        return serving.monitor(self, recipe or self.baseline, seconds=seconds)

    def train(self, name: str, **settings: Any) -> tuple[str, dict[str, Any]]:
        """A pass that trains, for :meth:`recipe`. See :func:`workbench.views.notebook.training.step`."""
        return training.step(name, **settings)

    def bundle(self, folder: Any, after: Work | None = None) -> Work:
        """See :func:`workbench.views.notebook.handing.bundle`."""
        return handing.bundle(self, folder, after)

    def within(self, recipes: Mapping[str, Recipe], memory_mb: float) -> Work:
        """See :func:`workbench.views.notebook.edge.within`."""
        return edge.within(self, recipes, memory_mb)

    def load(self, recipe: Recipe, clients: Sequence[int] = (1, 2, 4)) -> Work:
        """See :func:`workbench.views.notebook.edge.load`."""
        return edge.load(self, recipe, clients)

    def spread(self, cluster: str | None = None, workers: int = 2, minutes: float = 2.0, **goal: Any) -> Work:
        """See :func:`workbench.views.notebook.spread.tune`."""
        return self._once(("spread", cluster, workers, minutes, goal),
                          lambda: spread.tune(self, cluster, workers, minutes, **goal))

    def memory(self) -> Work:
        """Memory, artefact and load time of everything in the study, after the work above is done."""
        def run(_: Task) -> list[Result]:
            good = [r for r in self.engine.results() if r.recipe.batch == 1 and r.memory]
            return list({frames.short_name(r.recipe, self.baseline.threads): r for r in good}.values())

        return Work(run, show, title="memory")


class Measuring:
    """One call of :meth:`Bench.measure`, run in the background."""

    def __init__(self, owner: Bench, wanted: list[Recipe], again: bool) -> None:
        self.engine, self.wanted, self.again = owner.engine, wanted, again
        self.on_change = lambda: None
        self._live: dict[str, Result] = {}
        bases = [self.engine.baseline_for(r) for r in wanted] or [self.engine.baseline]
        self._keys = list(dict.fromkeys(r.key for r in [*bases, *wanted]))
        self._recipes = {r.key: r for r in [*bases, *wanted]}

    def results(self) -> list[Result]:
        """What the study holds of the wanted recipes, baseline first."""
        return [found for key in self._keys if (found := self.engine.find(self._recipes[key])) is not None]

    def live(self) -> list[Result]:
        """Partial results of what is being measured."""
        return list(self._live.values())

    def run(self, task: Task) -> list[Result]:
        """Measures what is missing."""
        known = {r.recipe.key for r in self.results() if r.status == "ok"}
        todo = [r for r in self._recipes.values() if self.again or r.key not in known]
        if todo:
            self.on_change()
            self.engine.measure(todo, on_progress=lambda p: self._progress(task, p), on_result=self._arrived,
                                cancel=task.cancel)
        self._live.clear()
        if task.cancel.is_set():
            self.on_change()
            raise Cancelled("cancelled")
        return self.results()

    def _progress(self, task: Task, progress: Any) -> None:
        task.progress(progress.fraction, progress.line, progress.remaining_s)
        if progress.partial is not None:
            fresh = progress.partial.recipe.key not in self._live
            self._live[progress.partial.recipe.key] = progress.partial
            if fresh or progress.stage == "measure":
                self._changed()

    def _arrived(self, result: Result) -> None:
        self._live.pop(result.recipe.key, None)
        self.on_change()

    def _changed(self) -> None:
        self.on_change()


def _specs(specs: Any) -> str:
    return ", ".join(f"{s.name} {s.dtype} {list(s.shape)}".replace("None", "any").replace("'", "") for s in specs)
