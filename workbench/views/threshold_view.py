"""A threshold's slider: precision, recall, F1 and the confusion matrix follow it, from stored scores."""

from __future__ import annotations

import ipywidgets

from ..pipeline import Outcome, Scores, at, best_threshold, curve
from ..pipeline.thresholds import Rate
from .figures import _escape
from .pipeline_figures import threshold_figure
from .widgets.figure import Card, line

_ALL = "all classes, with 'no answer'"


class ThresholdView(Card):
    """Stored scores under a threshold; nothing is run.

    Args:
        scores: see :func:`workbench.pipeline.scores_of`.
        threshold: to begin with.
        positive: name of the positive class, '' for all classes; two classes take the second as the positive one.
    """

    def __init__(self, scores: Scores, threshold: float = 0.5, positive: str | None = None) -> None:
        self.scores = scores
        names = scores.class_names
        first = positive if positive is not None else names[1] if len(names) == 2 else ""
        self.which = ipywidgets.Dropdown(
            options=[(_ALL, -1), *((n, i) for i, n in enumerate(names))], value=names.index(first) if first else -1,
            description="Positive class", style={"description_width": "auto"}, layout={"width": "22em"})
        self.slider = ipywidgets.FloatSlider(value=threshold, min=0, max=1, step=0.005, readout_format=".3f",
                                             description="Threshold", continuous_update=True,
                                             style={"description_width": "auto"}, layout={"width": "26em"})
        self.button = ipywidgets.Button(description="Highest F1", layout={"width": "auto"})
        self.answer = line()
        self._curve = curve(scores, self._positive)
        super().__init__(lambda view: threshold_figure(self.outcome, self._curve, view),
                         above=(self.answer, ipywidgets.HBox([self.which, self.slider, self.button])), height=380)
        self.which.observe(lambda _: self._chose(), "value")
        self.slider.observe(lambda _: self._moved(), "value")
        self.button.on_click(lambda _: setattr(self.slider, "value", best_threshold(scores, self._positive)))
        self._tell()

    @property
    def outcome(self) -> Outcome:
        """What the threshold gives."""
        return at(self.scores, self.slider.value, self._positive)

    @property
    def _positive(self) -> int | None:
        return None if self.which.value < 0 else self.which.value

    def _chose(self) -> None:
        self._curve = curve(self.scores, self._positive)
        self._moved()

    def _moved(self) -> None:
        self._tell()
        self.redraw()

    def _tell(self) -> None:
        found = self.outcome
        what = "answered" if self._positive is None else f"called {found.columns[0]}"
        self.answer.value = _escape(
            f"At {found.threshold:.3f}, {found.answered:,} of {found.samples:,} samples are {what}: precision "
            f"{_rate(found.precision)}, recall {_rate(found.recall)}, F1 "
            f"{'undefined' if found.f1 is None else f'{found.f1:.3f}'}.")


def _rate(rate: Rate) -> str:
    if rate.value is None:
        return "undefined"
    return f"{rate.value:.3f} ({rate.low:.3f} to {rate.high:.3f})"
