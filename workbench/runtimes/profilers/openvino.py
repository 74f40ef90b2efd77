"""OpenVINO's performance counters, read after each run."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from .. import _openvino
from ..base import SessionRequest
from . import NodeEvent


def refused(settings: Any) -> str | None:
    """It tells with every setting."""
    return None


def open_profiler(request: SessionRequest) -> OpenVinoProfiler:
    """The session as it is measured, and the same model compiled with counters."""
    return OpenVinoProfiler(request)


class OpenVinoProfiler:
    """See :class:`workbench.runtimes.profilers.Profiler`."""

    def __init__(self, request: SessionRequest) -> None:
        self.session = _openvino.open_session(request)
        self._profiled = _openvino.open_session(request, counters=True)
        self._nodes = {n["name"]: n for n in _openvino.executed_nodes(self._profiled.compiled)}
        self._told: list[list[tuple[str, str, str, float]]] = []

    def run(self, feeds: dict[str, np.ndarray]) -> float:
        """One profiled run; the counters are read after the clock has stopped."""
        begin = time.perf_counter()
        self._profiled.run(feeds)
        seconds = time.perf_counter() - begin
        self._told.append([
            (i.node_name, i.node_type, i.exec_type, i.real_time.total_seconds())
            for i in self._profiled.request.get_profiling_info() if i.status.name == "EXECUTED"])
        return seconds

    def events(self) -> list[NodeEvent]:
        """Every executed node of every run; OpenVINO counts in whole microseconds."""
        found = []
        for run, nodes in enumerate(self._told):
            for name, kind, kernel, seconds in nodes:
                node = self._nodes.get(name, {})
                found.append(NodeEvent(run, name, kind, seconds, node.get("origins", ()), node.get("precision", ""),
                                       kernel))
        return found

    def notes(self) -> list[str]:
        """What the counters leave out."""
        return ["OpenVINO counts in whole microseconds: nodes below one read 0"]
