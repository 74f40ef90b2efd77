"""A pipeline's monitor in a notebook: live while it serves, and replayed from its log."""

from __future__ import annotations

import threading
from typing import Any

import ipywidgets

from .. import units
from ..pipeline import Monitor, Point, Recording
from ..pipeline.serve import HAND_OVER
from .figures import _escape
from .marshal import Marshal
from .pipeline_figures import monitor_figure
from .widgets.figure import Card, line

_TICK_S = 0.1


class MonitorView(Card):
    """Latency, throughput and memory while a pipeline serves.

    Args:
        monitor: not started; the button (or :meth:`start`) starts it.
    """

    def __init__(self, monitor: Monitor) -> None:
        self.monitor, self._marshal = monitor, Marshal()
        self._points: list[Point] = []
        self.button = ipywidgets.Button(description="Start", layout={"width": "auto"})
        self.answer = line(_escape(f"{monitor.pipeline.name}: ready; the log goes to {monitor.log.name}"))
        super().__init__(lambda view: monitor_figure(self._points, view),
                         above=(self.answer, ipywidgets.HBox([self.button])), height=400)
        self.button.on_click(lambda _: self.stop() if self.monitor.running else self.start())
        monitor.on_point = lambda point: self._marshal(self._arrived, point)

    def start(self, seconds: float | None = None) -> None:
        """Begins to serve, in the background."""
        self._points = []
        self.button.description = "Stop"
        self.monitor.start(seconds)
        threading.Thread(target=self._until_over, daemon=True, name="monitor-view").start()

    def stop(self) -> None:
        """Ends after the request in hand."""
        self.monitor.stop()

    def _until_over(self) -> None:
        self.monitor.wait()
        self._marshal(self._over)

    def _arrived(self, point: Point) -> None:
        self._points.append(point)
        self.answer.value = _escape(summary(self.monitor.pipeline.name, self._points))
        self.redraw()

    def _over(self) -> None:
        self.button.description = "Start"
        if self.monitor.error:
            self.answer.value = f"<span class='wb-failed'>{_escape(self.monitor.error)}</span>"


class ReplayView(Card):
    """A monitor's log, played again.

    Args:
        recording: see :func:`workbench.pipeline.read`.
        speed: seconds of the log in a second.
    """

    def __init__(self, recording: Recording, speed: float = 1.0) -> None:
        self.recording, self.speed = recording, speed
        end = recording.points[-1].t if recording.points else 0.0
        steps = max(1, round(end / _TICK_S))
        self.play = ipywidgets.Play(min=0, max=steps, value=steps, step=1, interval=max(20, round(100 / speed)))
        self.slider = ipywidgets.IntSlider(min=0, max=steps, value=steps, readout=False, description="Time",
                                           style={"description_width": "auto"}, layout={"width": "26em"})
        ipywidgets.jslink((self.play, "value"), (self.slider, "value"))
        self.answer = line()
        super().__init__(lambda view: monitor_figure(self.recording.points, view, self.until),
                         above=(self.answer, ipywidgets.HBox([self.play, self.slider])), height=400)
        self.slider.observe(lambda _: self._moved(), "value")
        self._tell()

    @property
    def until(self) -> float:
        """Seconds of the log that are shown."""
        return _TICK_S * self.slider.value + _TICK_S

    def _moved(self) -> None:
        self._tell()
        self.redraw()

    def _tell(self) -> None:
        about, points = self.recording.about, [p for p in self.recording.points if p.t <= self.until]
        ended = f"; ended: {self.recording.ended}" if self.recording.ended else "; the log was cut off"
        told = summary(str(about.get("name")), points)
        self.answer.value = _escape(f"{told} Recorded {about.get('created')}{ended}.")


def summary(name: str, points: list[Point]) -> str:
    """The state in one line."""
    if not points:
        return f"{name}: nothing served yet."
    last: Any = points[-1]
    stages = max((n for n in last.stages_s if n != HAND_OVER), key=last.stages_s.get)
    return (f"{name}: {sum(p.requests for p in points):,} requests in {points[-1].t:.0f} s, now "
            f"{units.duration(last.latency_s)} a request, {units.rate(last.throughput_per_s)}, "
            f"{units.size(last.rss_bytes)}; longest stage: {stages}.")
