"""Sweeps: which threads, batch, runtime and device serve a model within a latency budget? The best guess comes first.

Cells are measured through the engine, all runtimes of one batch and thread count side by side with the baseline, and
kept in its study: a sweep that was stopped goes on where it was, and a latency budget is answered without measuring.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from . import sources
from .engine import Engine, Progress
from .errors import InputError
from .measure import Plan, environment
from .recipe import Recipe
from .results import Result
from .runtimes import registry

MOST_CELLS = 400
BATCHES = (1, 8, 32)


class Scenario(NamedTuple):
    """A use with the latency that it allows for one answer."""

    name: str
    budget_s: float


# The budgets of the question that this workbench answers: what is fast enough depends on the use.
SCENARIOS = (Scenario("video, 30 frames a second", 0.033), Scenario("game, 60 frames a second", 0.016),
             Scenario("driving", 0.010), Scenario("trading", 0.005), Scenario("dialogue", 1.0),
             Scenario("medical imaging", 2.0))


class Cell(NamedTuple):
    """One way to run the model.

    Attributes:
        recipe: complete; names runtime, device, threads and batch.
        result: what was measured, or None while it was not.
        reason: why there is no number: cannot run here, or failed; '' otherwise.
        reused: the result was in the study already.
    """

    recipe: Recipe
    result: Result | None = None
    reason: str = ""
    reused: bool = False

    @property
    def measured(self) -> bool:
        """Whether there is a latency."""
        return self.result is not None and self.result.status == "ok" and self.result.median_s is not None

    @property
    def latency_s(self) -> float:
        """Upper end of the 95 % interval of the median latency: what a budget is held against."""
        return (self.result.interval_s or (0.0, self.result.median_s))[1]

    @property
    def throughput_per_s(self) -> float:
        """Samples a second, one stream."""
        return self.result.throughput_per_s


class Sweep(NamedTuple):
    """All cells of a sweep.

    Attributes:
        model: its name.
        cells: in the order in which they were wanted.
        complete: False after a cancel.
        is_random: measured with random inputs; views say so.
    """

    model: str
    cells: tuple[Cell, ...]
    complete: bool
    is_random: bool

    def best(self, budget_s: float = math.inf) -> Cell | None:
        """The cell with the highest throughput whose latency is within a budget; None when none is."""
        inside = [c for c in self.cells if c.measured and c.latency_s <= budget_s]
        return max(inside, key=lambda c: c.throughput_per_s, default=None)

    def quickest(self) -> Cell | None:
        """The cell with the lowest latency; None before anything was measured."""
        return min((c for c in self.cells if c.measured), key=lambda c: c.result.median_s, default=None)


OnCell = Callable[[Cell, int, int], None]


def sweep(model: Any, data: Any = None, *, threads: Sequence[int] = (), batch: Sequence[int] = BATCHES,
          runtimes: Sequence[str] = (), devices: Sequence[str] = ("cpu",), recipe: Recipe | None = None,
          study: Any = None, plan: Plan | None = None, again: bool = False, on_cell: OnCell | None = None,
          on_progress: Callable[[Progress], None] | None = None, cancel: threading.Event | None = None) -> Sweep:
    """Measures threads x batch x runtime x device.

    Args:
        model: an :class:`Engine`, a bundled name, a path, a Model or a live model.
        data: data set, its name or path; None for the model's own, else random inputs.
        threads: counts; empty takes 1 and all physical cores.
        batch: sizes.
        runtimes: registry names; empty takes every installed one that runs this model.
        devices: 'cpu', 'gpu'.
        recipe: passes (and runtime settings, for its own runtime) that all cells share; default: none.
        study: where results are kept; in memory when None. Cells that it holds are not measured again.
        plan: how strictly to measure; its time limit is for the runtimes of one batch and thread count together.
        again: measure known cells again, failures too.
        on_cell: called with (cell, number of finished cells, number of all cells), also for known ones.
        on_progress: as in :meth:`Engine.measure`; its fraction is of one group of cells.
        cancel: set it to stop within a fraction of a second; finished cells are kept.

    Raises:
        InputError: a setting is out of range, or the grid is too large.
        WorkbenchError: the model or the data cannot be used.
    """
    with sources.engine(model, data, study, plan=plan) as engine:
        grid = cells(engine, threads=threads, batch=batch, runtimes=runtimes, devices=devices, recipe=recipe)
        run = _Run(engine, grid, again, on_cell or (lambda cell, done, total: None), on_progress,
                   cancel or threading.Event())
        return run.run()


def cells(engine: Engine, *, threads: Sequence[int] = (), batch: Sequence[int] = BATCHES,
          runtimes: Sequence[str] = (), devices: Sequence[str] = ("cpu",),
          recipe: Recipe | None = None) -> tuple[Cell, ...]:
    """The grid in the order of measuring, with what the study knows and what cannot run; measures nothing.

    Raises:
        InputError: a setting is out of range, or the grid is too large.
    """
    base = recipe or Recipe()
    names = tuple(dict.fromkeys(runtimes)) or _able(engine, base)
    places = order(threads or {1, environment.physical_threads()}, batch, environment.physical_threads())
    if not names or not devices:
        raise InputError("no runtime here runs this model with these passes: choose other passes, or install a runtime")
    if len(places) * len(names) * len(devices) > MOST_CELLS:
        raise InputError(f"the sweep has {len(places) * len(names) * len(devices)} cells, at most {MOST_CELLS} are "
                         "measured: name fewer threads, batches or runtimes")
    made = [_recipe(base, name, device, count, size)
            for count, size in places for device in dict.fromkeys(devices) for name in names]
    return tuple(_known(engine, engine.complete(r)) for r in made)


def order(threads: Iterable[int], batches: Iterable[int], physical: int) -> list[tuple[int, int]]:
    """Pairs of (threads, batch), best guess first.

    As many threads as physical cores are guessed best, then fewer, then more; of the batches the smallest (lowest
    latency), then the largest (highest throughput), then those between.

    Raises:
        InputError: a count is not a whole number within bounds.
    """
    for name, values in (("threads", threads), ("batch", batches)):
        if not values or any(isinstance(v, bool) or not isinstance(v, int) or v < 1 for v in values):
            raise InputError(f"{name} of a sweep are whole numbers from 1, e.g. 1,2,4")
    counts = sorted(set(threads), key=lambda t: (t > physical, abs(math.log2(t / physical))))
    sizes = sorted(set(batches))
    sizes = [sizes[0], *sizes[:0:-1]]
    ranked = sorted((i + j, i, t, b) for i, t in enumerate(counts) for j, b in enumerate(sizes))
    return [(t, b) for _, _, t, b in ranked]


def _able(engine: Engine, base: Recipe) -> tuple[str, ...]:
    """Installed runtimes that run the model, if need be after a conversion."""
    rows = [r.name for r in registry.RUNTIMES if registry.missing(r.name) is None]
    return tuple(n for n in rows if engine.problem(_recipe(base, n, "cpu", 1, 1)) is None)


def _recipe(base: Recipe, runtime: str, device: str, threads: int, batch: int) -> Recipe:
    registry.info(runtime)
    settings = base.runtime_settings if base.runtime == runtime else None
    return replace(base, runtime=runtime, runtime_settings=settings, device=device, threads=threads, batch=batch)


def _known(engine: Engine, recipe: Recipe) -> Cell:
    """What is known of a cell without measuring."""
    reason = engine.problem(recipe) or engine.dataset.evaluation.batch_problem(recipe.batch) or ""
    result = None if reason else engine.find(recipe)
    if result is None or result.stopped == "cancelled" or result.status == "cancelled":
        return Cell(recipe, reason=reason)
    return Cell(recipe, result, result.reason if result.status != "ok" else "", reused=True)


class _Run:
    """One call of :func:`sweep`."""

    def __init__(self, engine: Engine, grid: tuple[Cell, ...], again: bool, on_cell: OnCell, on_progress: Any,
                 cancel: threading.Event) -> None:
        self.engine, self.on_cell, self.on_progress, self.cancel = engine, on_cell, on_progress, cancel
        self.found = {c.recipe.key: Cell(c.recipe) if again and c.result else c for c in grid}
        self.done: set[str] = set()

    def run(self) -> Sweep:
        open_cells = [c for c in self.found.values() if c.result is None and not c.reason]
        for cell in list(self.found.values()):
            if cell not in open_cells:
                self._tell(cell)
        groups: dict[tuple[int, int], list[Recipe]] = {}
        for cell in open_cells:
            groups.setdefault((cell.recipe.threads, cell.recipe.batch), []).append(cell.recipe)
        for group in groups.values():
            if self.cancel.is_set():
                break
            self.engine.measure(group, on_progress=self.on_progress, on_result=self._arrived, cancel=self.cancel)
        complete = all(c.result is not None or c.reason for c in self.found.values())
        return Sweep(self.engine.model.name, tuple(self.found.values()), complete, self.engine.dataset.is_random)

    def _arrived(self, result: Result) -> None:
        """A result of the grid; the baseline is one only where it is also a cell."""
        key = result.recipe.key
        if key not in self.found or result.stopped == "cancelled":
            return
        cell = Cell(self.found[key].recipe, result, result.reason if result.status != "ok" else "")
        self.found[key] = cell
        self._tell(cell)

    def _tell(self, cell: Cell) -> None:
        self.done.add(cell.recipe.key)
        self.on_cell(cell, len(self.done), len(self.found))
