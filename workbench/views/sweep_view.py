"""A sweep in a notebook: the heat map, a latency budget that re-picks the best cell at once, and a live measurement."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import ipywidgets

from .. import sources, sweeps, units
from ..engine import Engine
from ..errors import Cancelled, WorkbenchError
from ..loads import load_test
from ..recipe import Recipe
from ..study import Study
from ..sweeps import SCENARIOS, Cell, Scenario, Sweep
from .figures import _escape
from .marshal import Marshal
from .sweep_figures import heat_figure, heat_map, height_of
from .widgets.figure import Card, line

_OWN, _NONE = "own budget", "no budget"


def sweep_view(model: Any, data: Any = None, study: Any = None, **grid: Any) -> SweepView:
    """A view that measures a sweep in the background and shows what the study knows at once.

    Args:
        model: as in :func:`workbench.sweep`; so are ``data`` and ``study``.
        grid: ``threads``, ``batch``, ``runtimes``, ``devices``, ``recipe`` of :func:`workbench.sweep`.

    Raises:
        WorkbenchError: the model, the data or the grid cannot be used.
    """
    if not isinstance(model, Engine):
        found, name = sources.open_model(model)
        kept = study if isinstance(study, Study) else Study(study or ":memory:")
        model = Engine(found, sources.open_data(data, found, name), kept)
    known = sweeps.cells(model, **grid)
    complete = all(c.result or c.reason for c in known)
    return SweepView(Sweep(model.model.name, known, complete, model.dataset.is_random), engine=model, grid=grid)


class SweepView(Card):
    """A sweep with its latency budget; moving the slider measures nothing.

    Args:
        sweep: what to show.
        engine: measures the open cells when asked; without one there is no such button.
        grid: of the sweep, for the engine.
    """

    def __init__(self, sweep: Sweep, *, engine: Engine | None = None, grid: dict[str, Any] | None = None) -> None:
        self.sweep, self._engine, self._grid = sweep, engine, grid or {}
        self._marshal, self._cancel = Marshal(), threading.Event()
        self._thread: threading.Thread | None = None
        self.scenario = ipywidgets.Dropdown(
            options=[_NONE, *map(_title, SCENARIOS), _OWN],
            description="Latency budget", style={"description_width": "auto"}, layout={"width": "24em"})
        self.slider = ipywidgets.FloatLogSlider(
            value=10**3.7, base=10, min=-2, max=3.7, step=0.01, readout=False, description="ms", continuous_update=True,
            style={"description_width": "auto"}, layout={"width": "22em"})
        self._budget_line = ipywidgets.HTML()
        self.button = ipywidgets.Button(layout={"width": "auto"})
        self.load_button = ipywidgets.Button(
            description="Serve several clients", layout={"width": "auto"},
            tooltip="Throughput of the choice with 1, 2 and 4 requests in flight, beside its single stream")
        self.answer, self._status, self.loaded = line(), ipywidgets.HTML(), line()
        self._setting = False
        measuring = [self.button, self.load_button, self._status] if engine else []
        above = [self.scenario, self.slider, self._budget_line, *measuring]
        super().__init__(lambda view: heat_figure(heat_map(self.sweep, self.budget_s), view),
                         above=(self.answer, ipywidgets.HBox(above)), below=(self.loaded,),
                         height=height_of(heat_map(sweep)))
        self.scenario.observe(lambda _: self._chose(), "value")
        self.slider.observe(lambda _: self._moved(), "value")
        self.button.on_click(lambda _: self.stop() if self._thread else self.start())
        self.load_button.on_click(lambda _: self.load())
        self._tell()
        self._draw_button()

    @property
    def budget_s(self) -> float:
        """The latency budget in seconds; infinite for none."""
        if self.scenario.value == _NONE:
            return math.inf
        chosen = next((s for s in SCENARIOS if self.scenario.value == _title(s)), None)
        return chosen.budget_s if chosen else self.slider.value / 1e3  # the slider stands on steps of its own

    def set_budget(self, budget_s: float) -> None:
        """Sets a budget in seconds, as the slider does."""
        self.slider.value = 1e3 * budget_s

    @property
    def best(self) -> Cell | None:
        """The cell with the highest throughput within the budget."""
        return self.sweep.best(self.budget_s)

    def start(self) -> None:
        """Measures the open cells in the background, best guess first."""
        if self._engine is None or self._thread is not None:
            return
        self._begin(self._sweep)

    def load(self) -> None:
        """Puts the choice under the load of 1, 2 and 4 clients, in the background."""
        if self._engine is not None and self._thread is None and self.best is not None:
            self._begin(self._load, self.best.recipe)

    def _begin(self, work: Callable[..., None], *args: Any) -> None:
        self._cancel = threading.Event()
        self._thread = threading.Thread(target=self._guarded, args=(work, *args, self._cancel), daemon=True,
                                        name="sweep")
        self._thread.start()
        self._draw_button()

    def stop(self) -> None:
        """Stops the measurement; finished cells are kept."""
        self._cancel.set()

    def wait(self) -> None:
        """Blocks until the measurement is over (in a script)."""
        while self._thread is not None and self._thread.is_alive():
            self._thread.join(0.1)

    def close_engine(self) -> None:
        """Ends the worker processes."""
        self.stop()
        if self._engine is not None:
            self._engine.close()

    # --- the budget

    def _chose(self) -> None:
        found = [s for s in SCENARIOS if self.scenario.value == _title(s)]
        if found and not self._setting:
            self._setting = True
            self.slider.value = 1e3 * found[0].budget_s
            self._setting = False
        self._tell()
        self.redraw()

    def _moved(self) -> None:
        if not self._setting:
            self._setting = True
            near = [s for s in SCENARIOS if math.isclose(1e3 * s.budget_s, self.slider.value, rel_tol=0.012)]
            self.scenario.value = _title(near[0]) if near else _OWN
            self._setting = False
        else:
            return
        self._tell()
        self.redraw()

    def _tell(self) -> None:
        limited = math.isfinite(self.budget_s)
        self._budget_line.value = f"<b>{units.duration(self.budget_s)}</b>" if limited else ""
        self.answer.value = _escape(sentence(self.sweep, self.budget_s))

    # --- measuring

    def _draw_button(self) -> None:
        left = sum(1 for c in self.sweep.cells if c.result is None and not c.reason)
        idle = f"Measure {left} cell{'s' if left > 1 else ''}" if left else "All measured"
        self.button.description = "Cancel" if self._thread else idle
        self.button.disabled = not left and not self._thread
        self.load_button.disabled = self._thread is not None or self.best is None

    def _sweep(self, cancel: threading.Event) -> None:
        sweeps.sweep(self._engine, **self._grid, cancel=cancel,
                     on_cell=lambda cell, done, total: self._marshal(self._arrived, cell, done, total),
                     on_progress=lambda p: self._marshal(self._progressed, p.line) if not p.partial else None)

    def _load(self, recipe: Recipe, cancel: threading.Event) -> None:
        found = load_test(self._engine, recipe, cancel=cancel,
                          on_line=lambda text: self._marshal(self._progressed, text))
        self._marshal(lambda: setattr(self.loaded, "value", _escape(found.sentence)))

    def _guarded(self, work: Callable[..., None], *args: Any) -> None:
        said = ""
        try:
            work(*args)
        except Cancelled:
            pass
        except WorkbenchError as error:
            said = str(error)
        except Exception as error:  # a defect must show where the click was
            said = f"unexpected {type(error).__name__}: {error}"
        self._marshal(self._finished, said)

    def _progressed(self, text: str) -> None:
        self._status.value = f"<span class='wb-dim'>{_escape(text)}</span>"

    def _arrived(self, cell: Cell, done: int, total: int) -> None:
        cells = tuple(cell if c.recipe.key == cell.recipe.key else c for c in self.sweep.cells)
        self.sweep = self.sweep._replace(cells=cells)
        self._status.value = f"<span class='wb-dim'>{done} of {total} cells</span>"
        self._tell()
        self.redraw()

    def _finished(self, said: str) -> None:
        self._thread = None
        cancelled = self._cancel.is_set()
        self.sweep = self.sweep._replace(complete=all(c.result or c.reason for c in self.sweep.cells))
        text = f"<span class='wb-failed'>{_escape(said)}</span>" if said else ""
        self._status.value = text or ("<span class='wb-dim'>stopped; what was finished is kept</span>" if cancelled
                                      else "")
        self._tell()
        self._draw_button()


def _title(scenario: Scenario) -> str:
    return f"{scenario.name} ({units.duration(scenario.budget_s)})"


def sentence(sweep: Sweep, budget_s: float) -> str:
    """The answer in plain words."""
    measured = sum(c.measured for c in sweep.cells)
    if not measured:
        return "Nothing measured yet."
    head = f"Within {units.duration(budget_s)}" if math.isfinite(budget_s) else "Without a budget"
    best, quickest = sweep.best(budget_s), sweep.quickest()
    if best is None:
        return (f"{head} no measured cell answers: the quickest is {quickest.recipe.label} with "
                f"{units.duration(quickest.result.median_s)}.")
    low, high = best.result.interval_s
    text = (f"{head}: {best.recipe.label} serves most, {units.rate(best.throughput_per_s)} at "
            f"{units.duration(best.result.median_s)} ({units.duration(low)} to {units.duration(high)}).")
    if quickest is not None and quickest is not best:
        text += f" Lowest latency: {quickest.recipe.label}, {units.duration(quickest.result.median_s)}."
    return text
