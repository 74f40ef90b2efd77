"""What a data set is to everybody else: two lots of samples, labels where there are some, a hash."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ..errors import InputError


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples of all inputs of one model.

    Attributes:
        rows: by input name, arrays of the input's rank with samples along axis 0.
        entries: by input name, arrays of one rank more; each entry along axis 0 is one whole input.
        constants: by input name, arrays that go unchanged into every feed.
        labels: int64 [samples], or None.
        order: names of the inputs in the model's order.
        fixed_batch: the only batch that the model takes, or None where it takes any.
    """

    rows: dict[str, np.ndarray]
    entries: dict[str, np.ndarray] = field(default_factory=dict)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    labels: np.ndarray | None = None
    order: tuple[str, ...] = ()
    fixed_batch: int | None = None

    def __len__(self) -> int:
        varying = {**self.rows, **self.entries}
        return min((len(a) for a in varying.values()), default=1)

    def feeds(self, batch: int = 1, limit: int = 0) -> list[dict[str, np.ndarray]]:
        """Whole feeds in sample order; feed ``i`` holds samples ``i * batch`` to ``(i + 1) * batch - 1``.

        Args:
            batch: samples in one feed. The last, incomplete batch is dropped.
            limit: most samples to use, 0 for all.

        Returns:
            input name -> array, views of the samples where possible.

        Raises:
            InputError: the model or the data cannot make such a batch; says which can.
        """
        problem = self.batch_problem(batch)
        if problem:
            raise InputError(problem)
        count = min(len(self), limit) if limit else len(self)
        return [self._feed(start, batch) for start in range(0, count - batch + 1, batch)]

    def batch_problem(self, batch: int) -> str | None:
        """One line why this batch cannot be fed, or None when it can."""
        if batch < 1:
            return f"the batch is {batch}; it must be at least 1"
        if batch > 1 and self.entries:
            name = next(iter(self.entries))
            return f"each entry of '{name}' is one whole input, so only batch 1 can be fed: choose batch 1"
        if self.fixed_batch not in (None, batch):
            return (f"the model's batch is fixed to {self.fixed_batch}: choose batch {self.fixed_batch}, "
                    "or export the model with a free first axis")
        if batch > len(self):
            return f"batch {batch} is more than the {len(self)} samples: choose a smaller batch or give more data"
        return None

    def take(self, indices: np.ndarray) -> Samples:
        """The samples at these places, in this order."""
        return Samples(
            {n: a[indices] for n, a in self.rows.items()}, {n: a[indices] for n, a in self.entries.items()},
            self.constants, None if self.labels is None else self.labels[indices], self.order, self.fixed_batch)

    def _feed(self, start: int, batch: int) -> dict[str, np.ndarray]:
        feed = {n: a[start:start + batch] for n, a in self.rows.items()}
        feed |= {n: a[start, ...] for n, a in self.entries.items()}
        feed |= self.constants
        return {n: feed[n] for n in self.order or feed}


@dataclass(frozen=True, eq=False)
class Dataset:
    """Calibration, training and evaluation samples of one model; evaluation shares no sample with the others.

    Attributes:
        name: short name for people.
        sha256: hash of calibration and evaluation as the model sees them, labels included; 'random' for random
            inputs. Training samples count in the artefacts that are made with them.
        class_names: name of each label, or None.
        task: 'classification' where the evaluation samples have labels, else None.
        is_random: True for made-up inputs; views watermark what was measured with them.
        calibration: samples that passes may look at, or None when there are too few to split.
        evaluation: samples that only judge.
        notes: what a reader must know, one line each: scaling, resizing, what was left out.
        read_training: reads the training part; None where the data has none.
    """

    name: str
    sha256: str
    class_names: tuple[str, ...] | None
    task: str | None
    is_random: bool
    calibration: Samples | None
    evaluation: Samples
    notes: tuple[str, ...] = ()
    read_training: Callable[[], Samples] | None = field(default=None, repr=False)

    @cached_property
    def training(self) -> Samples | None:
        """Samples to learn from, with labels where there are some; read when first asked for.

        The calibration samples stand in where the data has no training part.
        """
        return self.read_training() if self.read_training else self.calibration

    @property
    def training_note(self) -> str:
        """What a reader must know about the training samples; '' when there is nothing to say."""
        if self.read_training or self.calibration is None:
            return ""
        return (f"trained on the {len(self.calibration):,} calibration samples, as the data has no training part: give "
                "one for better results")


@dataclass(frozen=True, eq=False)
class Raw:
    """What a file reader found, before it is fitted to a model's inputs.

    Attributes:
        arrays: by the names that the file uses.
        labels: whole numbers, one a sample, or None.
        class_names: name of each label, or None.
        notes: one line each.
    """

    arrays: dict[str, np.ndarray]
    labels: np.ndarray | None = None
    class_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
