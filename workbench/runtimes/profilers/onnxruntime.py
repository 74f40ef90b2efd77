"""ONNX Runtime's own profile, with the runs kept apart. Format: Chrome trace events."""

from __future__ import annotations

import json
import shutil
import time
from bisect import bisect_right
from pathlib import Path
from typing import Any

import numpy as np

from .. import _onnxruntime
from ..base import SessionRequest
from . import NodeEvent, self_times, temporary

_KERNEL = "_kernel_time"


def refused(settings: Any) -> str | None:
    """It tells with every setting."""
    return None


def open_profiler(request: SessionRequest) -> OrtProfiler:
    """Two sessions with the same options, one of which keeps a profile."""
    return OrtProfiler(request)


class OrtProfiler:
    """See :class:`workbench.runtimes.profilers.Profiler`."""

    def __init__(self, request: SessionRequest) -> None:
        import onnxruntime as ort

        self.session = _onnxruntime.open_session(request)
        options = _onnxruntime._options(ort, request)
        self._folder = temporary("ort")
        options.enable_profiling = True
        options.profile_file_prefix = str(self._folder / "profile")
        provider = self.session.describe()["providers"][0]
        self._profiled = ort.InferenceSession(str(request.path), options,
                                              providers=_onnxruntime._provider_list(provider), enable_fallback=0)
        self._names = [s.name for s in self.session.outputs]

    def run(self, feeds: dict[str, np.ndarray]) -> float:
        """One profiled run."""
        begin = time.perf_counter()
        self._profiled.run(self._names, feeds)
        return time.perf_counter() - begin

    def events(self) -> list[NodeEvent]:
        """Kernel times by run; nodes with a body count without it."""
        try:
            told = json.loads(Path(self._profiled.end_profiling()).read_text("utf-8"))
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
        return read(told)

    def notes(self) -> list[str]:
        """Nothing beyond the common rules."""
        return []


def read(told: list[dict[str, Any]]) -> list[NodeEvent]:
    """Node events of a profile, by run."""
    starts = sorted(e["ts"] for e in told if e.get("cat") == "Session" and e["name"] == "model_run")
    threads: dict[int, list[tuple[float, float, dict]]] = {}
    for event in told:
        if event.get("cat") == "Node" and event["name"].endswith(_KERNEL):
            threads.setdefault(event["tid"], []).append((event["ts"], event["ts"] + event["dur"], event))
    found = []
    for spans in threads.values():
        for event, own in self_times(spans):
            arguments = event["args"]
            name = event["name"].removesuffix(_KERNEL)
            found.append(NodeEvent(
                bisect_right(starts, event["ts"]) - 1, name or arguments["op_name"], arguments["op_name"], own * 1e-6,
                (), _precision(arguments), arguments.get("provider", "")))
    return found


def _precision(arguments: dict[str, Any]) -> str:
    """Type of the first output that the profile names."""
    for entry in arguments.get("output_type_shape", ()):
        return next(iter(entry), "")
    return ""
