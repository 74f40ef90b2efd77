"""``workbench.show(found)``: the figure that belongs to a finding, in a notebook cell, following the page's theme."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets

from .. import units
from ..errors import InputError
from ..leaks import LeakCheck
from ..loads import LoadTest
from ..pipeline import Monitor, Recording, Scores, StageTimes
from ..pipeline.serve import HAND_OVER
from ..results import Result
from ..sensitivity import Ranking
from ..sweeps import Sweep
from ..where import TimeSpent
from . import pipeline_figures as served
from . import resource_figures as resources
from .figures import _escape
from .monitor_view import MonitorView, ReplayView
from .sensitivity_view import SensitivityView
from .sweep_view import SweepView
from .threshold_view import ThresholdView
from .widgets.figure import Card, line


def show(found: Any) -> ipywidgets.Widget:
    """A view of what a function of the workbench returned; as the last line of a cell it shows itself.

    Args:
        found: a Sweep, LeakCheck, LoadTest, TimeSpent, a pipeline's StageTimes, Scores, Monitor or Recording, a
            Ranking of mixed INT8, or results (of ``Engine.results()``), whose memory is drawn.

    Raises:
        InputError: there is no view of such a thing.
    """
    for kind, make in _VIEWS:
        if isinstance(found, kind):
            return make(found)
    if isinstance(found, list | tuple) and found and all(isinstance(r, Result) for r in found):
        return _memory(found)
    names = ", ".join(kind.__name__ for kind, _ in _VIEWS)
    raise InputError(f"there is no view of {type(found).__name__}; there are views of {names} and lists of results")


def _leak(found: LeakCheck) -> Card:
    advice = "".join(f"<li>{_escape(text)}</li>" for text in found.advice)
    below = (line(f"What helps:<ul>{advice}</ul>"),) if advice else ()
    return Card(lambda view: resources.leak_figure(found, view), above=(line(_escape(found.sentence)),), below=below)


def _load(found: LoadTest) -> Card:
    return Card(lambda view: resources.load_figure(found, view), above=(line(_escape(found.sentence)),))


def _memory(found: list[Result]) -> Card:
    rows = resources.memory_rows(found)
    return Card(lambda view: resources.memory_figure(rows, view), height=resources.memory_height(rows))


def _stages(found: StageTimes) -> Card:
    e, way = found.latency, found.stages[HAND_OVER]
    text = (f"{found.name}: {units.duration(e.value)} a request ({units.duration(e.low)} to {units.duration(e.high)}), "
            f"{found.requests} requests. The way to the worker process and back, {units.duration(way.value)}, is not "
            "part of it: serving in one process has none.")
    return Card(lambda view: served.stages_figure(found, view), above=(line(_escape(text)),),
                height=served.stages_height(found))


def _spent(found: TimeSpent) -> ipywidgets.Widget:
    from .charts import nodes
    from .widgets.chart import Chart

    parts = [Chart(nodes.node_times(found.profile, found.recipe.label))]
    if found.roofline is not None:
        parts.append(Chart(nodes.roof(found.roofline, found.limits)))
    return ipywidgets.VBox([line(_escape(found.sentence)), *parts])


_VIEWS: tuple[tuple[type, Callable[[Any], ipywidgets.Widget]], ...] = (
    (Sweep, SweepView), (LeakCheck, _leak), (LoadTest, _load), (StageTimes, _stages), (Scores, ThresholdView),
    (Monitor, MonitorView), (Recording, ReplayView), (Ranking, SensitivityView),
    (TimeSpent, _spent))
