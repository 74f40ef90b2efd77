"""TensorFlow's profiler: host events of the executor, of eager execution and of XLA's kernels."""

from __future__ import annotations

import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from .. import _tensorflow
from ..base import SessionRequest
from . import NodeEvent, self_times, temporary

_RUN = "workbench_run"
_NODE = re.compile(r"^([\w.][\w.\-/]*):(\w+)$")  # 'functional/conv2d/Relu:_FusedConv2D'
_EAGER = re.compile(r"^EagerLocalExecute: (\w+)$")
_PLUMBING = ("_EagerConst",)


def refused(settings: Any) -> str | None:
    """predict builds a data pipeline each time, whose threads hide the nodes."""
    if settings is not None and settings.mode == "predict":
        return ("mode 'predict' spends its time in Keras' own pipeline, which TensorFlow does not tell by node: "
                "profile mode function or eager")
    return None


def open_profiler(request: SessionRequest) -> TfProfiler:
    """The session, profiled while it runs."""
    return TfProfiler(request)


class _Span(NamedTuple):
    start: float
    end: float
    name: str
    op: str


class TfProfiler:
    """See :class:`workbench.runtimes.profilers.Profiler`."""

    def __init__(self, request: SessionRequest) -> None:
        import tensorflow as tf

        self.session = _tensorflow.open_session(request)
        self._profiler, self._mode = tf.profiler.experimental, request.settings.mode
        self._options = self._profiler.ProfilerOptions(host_tracer_level=2, python_tracer_level=0,
                                                       device_tracer_level=1 if request.device == "gpu" else 0)
        self._folders: list[Any] = []

    def run(self, feeds: dict[str, np.ndarray]) -> float:
        """One run inside a profile of its own, which is written to disk after the clock has stopped."""
        self._folders.append(temporary("tf"))
        self._profiler.start(str(self._folders[-1]), options=self._options)
        try:
            begin = time.perf_counter()
            self.session.run(feeds)
            return time.perf_counter() - begin
        finally:
            self._profiler.stop()

    def events(self) -> list[NodeEvent]:
        """Nodes of every run."""
        found = []
        try:
            for run, folder in enumerate(self._folders):
                spans = list(_read(folder, self._mode))
                found += [NodeEvent(run, s.name, s.op, own * 1e-12) for s, own in spans]
        finally:
            for folder in self._folders:
                shutil.rmtree(folder, ignore_errors=True)
        return found

    def notes(self) -> list[str]:
        """What the names are."""
        if self._mode == "xla":
            return ["XLA runs kernels of its own making: the names are those of its compiled module"]
        if self._mode == "eager":
            return ["eager execution knows operations, not layers: they are numbered as they run"]
        return []


def _read(folder: Any, mode: str) -> Iterator[tuple[_Span, float]]:
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    for file in folder.rglob("*.xplane.pb"):
        space = xplane_pb2.XSpace()
        space.ParseFromString(file.read_bytes())
        seen: Counter = Counter()
        for plane in space.planes:
            if "CPU" not in plane.name and "GPU" not in plane.name:
                continue
            for line in plane.lines:
                yield from self_times(_spans(plane, line, mode, seen))


def _spans(plane: Any, line: Any, mode: str, seen: Counter) -> list[tuple[float, float, _Span]]:
    found = []
    for event in sorted(line.events, key=lambda e: e.offset_ps):
        label = plane.event_metadata[event.metadata_id].name
        named = _name(plane, event, label, mode, seen)
        if named is not None:
            start, end = event.offset_ps, event.offset_ps + event.duration_ps
            found.append((start, end, _Span(start, end, *named)))
    return found


def _name(plane: Any, event: Any, label: str, mode: str, seen: Counter) -> tuple[str, str] | None:
    """(name, op) of an event that is a node; None for the machinery around it."""
    if mode == "xla":
        stats = {plane.stat_metadata[s.metadata_id].name for s in event.stats}
        if "hlo_op" not in stats or label.startswith("end: "):
            return None
        return label, re.sub(r"[.\d]+$", "", label)
    if mode == "eager":
        match = _EAGER.match(label)
        if match is None or match[1] in _PLUMBING or match[1].startswith("__inference"):
            return None
        seen[match[1]] += 1
        return f"{match[1]} #{seen[match[1]]}", match[1]
    match = _NODE.match(label)
    if match is None or match[1].startswith("__inference") or match[2] == match[1]:
        return None
    return match[1], match[2].lstrip("_")
