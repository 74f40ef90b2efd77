"""Gradient descent and Adam on the 1,000 x 10 case, with the rates and betas under sliders."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ...teaching import mlp
from ...teaching.optimizers import Adam, Descent, Run, train
from ..charts import training
from ..notebook import pages
from ..widgets.chart import Chart
from . import controls
from .case import CLAIMED, Case

STEPS = 200
_EVERY = 8  # the held-out loss is only taken at every n-th step, so that a slider answers at once


class DescentLesson:
    """Losses of both optimizers, one weight step by step, and the scores of what was learnt.

    Args:
        case: samples and a start.
        steps: full-batch steps.
        watch: place of the weight that is followed in the flat vector; None takes the one with the largest gradient.
    """

    def __init__(self, case: Case, steps: int = STEPS, watch: int | None = None) -> None:
        self.case = case
        first = mlp.flatten(mlp.gradients(case.start, case.x, case.labels))
        self.watch = int(np.abs(first).argmax()) if watch is None else watch
        self._train = lru_cache(32)(self._run)
        self.rate = controls.log_slider("descent: rate", 0.2, -3, 1)
        self.adam_rate = controls.log_slider("Adam: rate", 0.01, -4, 0)
        self.beta1 = controls.slider("Adam: β₁", 0.9, 0.0, 0.99, 0.01)
        self.beta2 = controls.slider("Adam: β₂", 0.999, 0.9, 0.9999, 0.0005, form=".4f")
        self.correct = controls.check("bias correction", True)
        self.steps = controls.slider("steps", steps, 20, 400, 20, whole=True)
        self.step = controls.slider("look at step", 1, 1, 40, 1, whole=True, live=True)
        self.curves, self.weight, self.numbers = Chart(), Chart(), pages.html("")
        self.root = pages.shown(
            controls.row(self.rate, self.steps), controls.row(self.adam_rate, self.beta1, self.beta2, self.correct),
            self.curves, self.weight, controls.row(self.step), self.numbers)
        for control in (self.rate, self.adam_rate, self.beta1, self.beta2, self.correct, self.steps):
            control.observe(self._changed, "value")
        self.step.observe(lambda _: self._numbers(), "value")
        self._changed()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return self.root._repr_mimebundle_(**kwargs)

    @property
    def runs(self) -> dict[str, Run]:
        """Both trainings at the present settings."""
        adam = Adam(self.adam_rate.value, self.beta1.value, self.beta2.value, correct=self.correct.value)
        return {"gradient descent": self._train(Descent(self.rate.value), self.steps.value),
                "Adam": self._train(adam, self.steps.value)}

    def scores(self) -> dict[str, mlp.Scores]:
        """Held-out scores of what both have learnt."""
        found = {}
        for name, run in self.runs.items():
            p = mlp.forward(mlp.unflatten(run.weights, self.case.start), self.case.held).probabilities
            found[name] = mlp.scores(p.argmax(axis=1), self.case.held_labels)
        return found

    def scores_chart(self) -> Any:
        """Accuracy, recall and F1 of Adam's and the bundled model beside what was claimed; follows the sliders."""
        chart = Chart()

        def draw(_: Any = None) -> None:
            p = mlp.forward(self.case.bundled, self.case.held).probabilities
            bundled = mlp.scores(p.argmax(axis=1), self.case.held_labels)
            rows = {"bundled model": bundled, "Adam, above": self.scores()["Adam"]}
            chart.draw(training.scores(rows, CLAIMED))

        for control in (self.adam_rate, self.beta1, self.beta2, self.correct, self.steps):
            control.observe(draw, "value")
        draw()
        return pages.shown(chart)

    def _run(self, optimizer: Descent | Adam, steps: int) -> Run:
        case = self.case
        with np.errstate(all="ignore"):  # a rate that is too high diverges; the plot says so
            return train(case.start, case.x, case.labels, optimizer, steps, held=(case.held, case.held_labels),
                         watch=self.watch, every=_EVERY)

    def _changed(self, _: Any = None) -> None:
        runs = self.runs
        self.curves.draw(training.losses(runs))
        self.weight.draw(training.one_weight(runs["Adam"], self.correct.value))
        self._numbers()

    def _numbers(self) -> None:
        at = min(self.step.value, self.steps.value) - 1
        cells = [training.step_rows(run, at) for run in self.runs.values()]
        both = dict(cells[0])
        rows = [(name, both.get(name, "–"), value) for name, value in cells[1]]
        self.numbers.value = (pages.note(f"The same weight at step {at + 1}, before the step is taken:")
                              + pages.table(("", "gradient descent", "Adam"), rows, right=(1, 2)))
