"""A pipeline under watch: latency, throughput and memory while it serves, kept as JSON lines that can be replayed.

The log's first line says what ran and where, each further one holds a short span of time, the last one says that it
ended. A log that was cut off (a crash, a full disk) is read up to its last whole line.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError, WorkbenchError
from ..measure import environment, stats
from .serve import Pipeline

SPAN_S = 0.25
VERSION = 1


class Point(NamedTuple):
    """A span of time.

    Attributes:
        t: its end, in seconds since the start.
        requests: served in it.
        latency_s: median of a request, hand-over left out.
        p90_s: 90th percentile, or None with too few requests.
        throughput_per_s: samples that one stream serves a second, hand-over left out.
        rss_bytes: resident memory of the worker at its end.
        stages_s: by stage, median.
    """

    t: float
    requests: int
    latency_s: float
    p90_s: float | None
    throughput_per_s: float
    rss_bytes: int
    stages_s: dict[str, float]


class Recording(NamedTuple):
    """A log: what ran ('name', 'model', 'machine', 'created'), the points, and how it ended ('' when cut off)."""

    about: dict[str, Any]
    points: tuple[Point, ...]
    ended: str


class Monitor:
    """Serves requests in the background and tells how it goes.

    Args:
        pipeline: an open one; it stays open.
        log: file of JSON lines to write; an existing one is replaced.
        samples: requests, taken in turn; None takes held-out samples of the pipeline's data.
        span_s: length of a span.
        on_point: called from the serving thread with each :class:`Point`.

    Raises:
        InputError: there is nothing to serve, or the log cannot be written.
    """

    def __init__(self, pipeline: Pipeline, log: str | Path, samples: Iterable[Any] | None = None, *,
                 span_s: float = SPAN_S, on_point: Callable[[Point], None] | None = None) -> None:
        self.pipeline, self.log, self.on_point = pipeline, Path(log), on_point or (lambda point: None)
        self.samples = list(pipeline.samples() if samples is None else samples)
        if not self.samples:
            raise InputError("there is nothing to serve: give at least one sample")
        self.points: list[Point] = []
        self.error = ""
        self._span_s, self._stop = span_s, threading.Event()
        self._thread: threading.Thread | None = None
        try:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            self.log.touch()
        except OSError as error:
            raise InputError(f"cannot write the log {self.log}: {error.strerror}; name another file") from None

    @property
    def running(self) -> bool:
        """Whether it serves."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def about(self) -> dict[str, Any]:
        """The first line of the log."""
        machine = environment.machine_id(environment.fingerprint())
        return {"kind": "start", "version": VERSION, "name": self.pipeline.name, "model": self.pipeline.model.name,
                "machine": machine, "batch": self.pipeline.recipe.batch,
                "created": datetime.now(UTC).isoformat(timespec="seconds")}

    def start(self, seconds: float | None = None) -> Monitor:
        """Begins to serve; ends by itself after ``seconds``, if given.

        Raises:
            InputError: it runs already.
        """
        if self.running:
            raise InputError("the monitor runs already: stop it first")
        self.points, self.error = [], ""
        self._stop.clear()
        self._thread = threading.Thread(target=self._serve, args=(seconds,), daemon=True, name="monitor")
        self._thread.start()
        return self

    def stop(self) -> None:
        """Ends after the request in hand, and waits for the last line of the log."""
        self._stop.set()
        self.wait()

    def wait(self) -> None:
        """Blocks until it has ended."""
        while self.running and self._thread is not threading.current_thread():
            self._thread.join(0.1)

    def _serve(self, seconds: float | None) -> None:
        with self.log.open("w", encoding="utf-8") as file:
            def write(line: dict[str, Any]) -> None:
                file.write(json.dumps(line) + "\n")
                file.flush()

            write(self.about)
            begin = time.perf_counter()
            try:
                self._spans(begin, seconds, write)
            except WorkbenchError as error:
                self.error = str(error)
            why = self.error or ("stopped" if self._stop.is_set() else "time")
            write({"kind": "end", "why": why, "t": time.perf_counter() - begin})

    def _spans(self, begin: float, seconds: float | None, write: Callable[[dict[str, Any]], None]) -> None:
        answers, opened = [], begin
        for sample in cycle(self.samples):
            now = time.perf_counter()
            over = self._stop.is_set() or (seconds is not None and now - begin >= seconds)
            if answers and (over or now - opened >= self._span_s):
                point = _point(answers, now - begin, self.pipeline.recipe.batch)
                self.points.append(point)
                write({"kind": "point", **point._asdict()})
                self.on_point(point)
                answers, opened = [], now
            if over:
                return
            answers.append(self.pipeline(sample))


def read(path: str | Path) -> Recording:
    """Reads a log.

    Raises:
        InputError: there is no such file, or it is no log of a monitor.
    """
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise InputError(f"cannot read the log {path}: {reason}") from None
    found = []
    for line in lines:
        try:
            found.append(json.loads(line))
        except ValueError:
            break  # cut off in the middle
    if not found or not isinstance(found[0], dict) or found[0].get("kind") != "start":
        raise InputError(f"{path} is no log of a pipeline monitor: give the file that Monitor(..., log=...) wrote")
    if found[0].get("version") != VERSION:
        raise InputError(f"{path} is a log of version {found[0].get('version')}; this workbench reads {VERSION}")
    try:
        points = tuple(Point(**{k: v for k, v in entry.items() if k != "kind"})
                       for entry in found if entry.get("kind") == "point")
    except (TypeError, AttributeError):
        raise InputError(f"{path} holds a damaged line: it was changed after it was written") from None
    ended = next((e.get("why", "") for e in found if e.get("kind") == "end"), "")
    return Recording(found[0], points, ended)


def _point(answers: list[Any], t: float, batch: int) -> Point:
    latencies = [a.latency_s for a in answers]
    stages = {name: float(np.median([a.seconds[name] for a in answers])) for name in answers[0].seconds}
    return Point(t, len(answers), float(np.median(latencies)), stats.percentiles(latencies, (90,))["p90"],
                 batch * len(answers) / sum(latencies), answers[-1].rss_bytes, stages)
