"""Where the trials of a search run: a lab takes orders and gives results. This one is the machine itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple, Protocol

from .. import variant
from ..datasets import Dataset
from ..engine import Engine, Progress
from ..measure import Plan
from ..model import Model
from ..recipe import Recipe
from ..results import Result
from ..study import Study
from .space import Point


class Order(NamedTuple):
    """Something to measure.

    Attributes:
        recipes: complete; the baseline is measured with them in any case.
        plan: how strictly.
        why: for the log.
        stage: 'screen', 'full' or 'final'.
        point: place in the space, None for the baseline and the last measurement.
    """

    recipes: tuple[Recipe, ...]
    plan: Plan
    why: str
    stage: str = "screen"
    point: Point | None = None


class Delivery(NamedTuple):
    """What came of an order; without results when it was cancelled or its worker was lost for good."""

    order: Order
    results: list[Result]


class Lab(Protocol):
    """Takes orders, at most ``slots`` at a time; every result is in the study before it is delivered."""

    slots: int
    baseline: Recipe

    def find(self, recipe: Recipe) -> Result | None:
        """The stored result of a recipe on the samples of the search, or None."""
        ...

    def start(self, order: Order, cancel: threading.Event) -> None:
        """Begins an order."""
        ...

    def wait(self) -> Delivery:
        """Blocks until one of the started orders is done."""
        ...

    def close(self) -> None:
        """Ends what runs."""
        ...


class LocalLab:
    """This machine: one order at a time, which runs while it is waited for.

    Args:
        model: the original.
        sides: data of the search, and of the last measurement.
        study: where results go.
        on_progress: called while an order runs.
    """

    slots = 1

    def __init__(self, model: Model, sides: tuple[Dataset, Dataset], study: Study,
                 on_progress: Callable[[Progress], None]) -> None:
        self._model, self._sides, self._study, self._tell = model, sides, study, on_progress
        self._engine = Engine(model, sides[0], study)
        self._final = False
        variant.prewarm(model)  # a slow import of a pass's framework goes on while the original is loaded
        self.baseline = self._engine.baseline
        self._next: tuple[Order, threading.Event] | None = None

    def find(self, recipe: Recipe) -> Result | None:
        """See :class:`Lab`."""
        return self._engine.find(recipe)

    def start(self, order: Order, cancel: threading.Event) -> None:
        """See :class:`Lab`."""
        self._next = (order, cancel)

    def wait(self) -> Delivery:
        """See :class:`Lab`."""
        order, cancel = self._next
        if (order.stage == "final") != self._final:  # other samples: the workers of the search hold the wrong ones
            self._engine.close()
            self._final = not self._final
            self._engine = Engine(self._model, self._sides[self._final], self._study)
        self._engine.plan = order.plan
        return Delivery(order, self._engine.measure(list(order.recipes), on_progress=self._tell, cancel=cancel))

    def close(self) -> None:
        """See :class:`Lab`."""
        self._engine.close()
