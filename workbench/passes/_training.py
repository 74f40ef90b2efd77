"""What the passes that train share: settings, fine-tuning with live curves, early stop and the best weights kept.

It takes the Keras module as an argument: current Keras and legacy Keras never meet in one process.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .. import feeds
from ..errors import InputError, NotApplicable
from ..model import Model, TensorSpec
from ..settings import SettingsBase, setting
from . import _keras_loss
from .base import PassContext

_TELL_S = 0.5  # between two lines inside an epoch
_FEWEST = 8  # samples below which nothing can be learnt and checked


@dataclass(frozen=True)
class TrainingSettings(SettingsBase):
    """How a model is fine-tuned. A pass derives its own settings from this class and adds its fields."""

    epochs: int = setting(4, "Passes over the training samples: more take longer and recover more accuracy", low=1,
                          high=200)
    learning_rate: float = setting(1e-3, "Step size of Adam: too large forgets what was learnt, too small changes "
                                   "nothing in few epochs", low=1e-6, high=0.1)
    batch_size: int = setting(64, "Samples in one training step: larger is quicker for each sample, with fewer steps",
                              low=1, high=4096, advanced=True)
    decay: str = setting("cosine", "Of the step size: cosine: falls to almost nothing by the last epoch and ends "
                         "on steadier weights; none: stays", choices=("cosine", "none"), advanced=True)
    patience: int = setting(3, "Stops early after so many epochs without a better validation loss; 0 never does", low=0,
                            high=100, advanced=True)
    max_samples: int = setting(10_000, "Most training samples used: fewer are quicker, more recover more accuracy",
                               low=_FEWEST, high=1_000_000, advanced=True)
    max_minutes: float = setting(15.0, "Training stops after so many minutes; what is best until then is kept",
                                 low=0.05, high=600.0, advanced=True)
    validation: float = setting(0.1, "Share of the training samples that is kept back to choose the best epoch by",
                                low=0.02, high=0.5, advanced=True)
    seed: int = setting(0, "Seed of the shuffling and of random starts", low=0, high=2**31 - 1, advanced=True)


class Curves(NamedTuple):
    """How the training went; plain lists, one entry an epoch. Travels live as a dict of the same names.

    Attributes:
        epoch: 0 is the model before fine-tuning, judged on the validation part only.
        loss: mean over the epoch's batches; None for epoch 0.
        accuracy: on the training batches; None where there is no such measure.
        val_loss: on the validation part.
        val_accuracy: share of right answers on the validation part; where there are no labels, the share of samples
            with the original's answer.
        seconds: since the training began.
        epochs: how many are planned.
        measure: what the accuracy is: 'accuracy', 'agreement with the original' or ''.
    """

    epoch: list[int]
    loss: list[float | None]
    accuracy: list[float | None]
    val_loss: list[float | None]
    val_accuracy: list[float | None]
    seconds: list[float]
    epochs: int
    measure: str


class Fitted(NamedTuple):
    """What :func:`fit` did; the weights of the best epoch are in the model.

    Attributes:
        curves: for ``details["training"]``.
        best: number of the epoch whose weights were kept.
        notes: for ``PassResult.notes``.
    """

    curves: dict[str, Any]
    best: int
    notes: tuple[str, ...]


class Lessons(NamedTuple):
    """Samples to learn from and to choose by: inputs in the model's order, targets for each output."""

    inputs: list[np.ndarray]
    targets: list[np.ndarray]
    val_inputs: list[np.ndarray]
    val_targets: list[np.ndarray]
    goal: _keras_loss.Goal


def lessons(context: PassContext, specs: tuple[TensorSpec, ...], teacher: Any, settings: TrainingSettings) -> Lessons:
    """Training samples with what the model shall answer to them.

    With labels, the first output learns those and every further one keeps the answers of ``teacher``; without, all do.

    Args:
        context: of the pass.
        specs: inputs of the network in its own order.
        teacher: the Keras model as it is before anything was changed.
        settings: the share that is kept back, and the seed.

    Raises:
        InputError: there are too few samples.
        NotApplicable: the model has a fixed batch.
    """
    if not context.training:
        raise InputError("there are no training samples: choose a data set with some, or give a training file")
    if any(isinstance(s.shape[0], int) for s in specs if s.shape):
        raise NotApplicable(f"its batch is fixed to {specs[0].shape[0]}: save the model with a free batch to train it")
    arrays = feeds.bind(context.training, specs)
    inputs = [np.asarray(arrays[s.name])[:settings.max_samples] for s in specs]
    count = len(inputs[0])
    if count < _FEWEST:
        raise InputError(f"{count} training samples are too few: give at least {_FEWEST}, better some thousands")
    labels = None if context.training_labels is None else context.training_labels[:count]
    context.progress(0.05, f"asking the original for its answers to {count:,} samples")
    goal, targets = _keras_loss.targets(teacher, inputs, labels)
    order = np.random.default_rng(settings.seed).permutation(count)
    held = max(1, round(count * settings.validation))
    back, kept = order[:held], order[held:]
    return Lessons([a[kept] for a in inputs], [t[kept] for t in targets], [a[back] for a in inputs],
                   [t[back] for t in targets], goal)


def fit(keras: Any, network: Any, taught: Lessons, settings: TrainingSettings, context: PassContext, *,
        callbacks: Sequence[Any] = (), first_keepable: int = 1, span: tuple[float, float] = (0.1, 0.9),
        compile_with: Callable[[Any], None] | None = None) -> Fitted:
    """Fine-tunes a Keras model in place and leaves the weights of its best epoch in it.

    Args:
        keras: the module, ``keras`` or ``tf_keras``, that ``network`` is made of.
        network: the model to train; it is compiled here.
        taught: from :func:`lessons`.
        settings: of the pass.
        context: of the pass; its progress gets lines and curves.
        callbacks: further Keras callbacks, e.g. those that a pruning schedule needs.
        first_keepable: first epoch whose weights may be kept, e.g. the one that ends a pruning schedule; the early
            stop counts from there.
        span: the part of the pass's progress that the training is.
        compile_with: compiles the network where the loss of the goal is not the one wanted.

    Raises:
        NotApplicable: the loss is not a number.
    """
    keras.utils.set_random_seed(settings.seed)
    _compile(keras, network, taught, settings, compile_with)
    kind = type("Watch", (_Watch, keras.callbacks.Callback), {})
    watch = kind(settings, context, taught.goal.measure, first_keepable, span)
    inputs, targets = _keras_loss.shaped(taught.inputs), _keras_loss.shaped(taught.targets)
    held = (_keras_loss.shaped(taught.val_inputs), _keras_loss.shaped(taught.val_targets))
    watch.start(network.evaluate(*held, batch_size=256, verbose=0, return_dict=True))
    network.fit(inputs, targets, batch_size=settings.batch_size, epochs=settings.epochs, shuffle=True, verbose=0,
                validation_data=held, validation_batch_size=256,
                callbacks=[*callbacks, *_decay(keras, settings), watch])
    watch.restore()
    return Fitted(watch.curves(), watch.best, watch.notes(len(taught.inputs[0]), taught.goal))


def _decay(keras: Any, settings: TrainingSettings) -> list[Any]:
    """The cosine schedule, one step size an epoch: https://arxiv.org/abs/1608.03983, without restarts."""
    if settings.decay == "none":
        return []
    return [keras.callbacks.LearningRateScheduler(
        lambda epoch, rate: settings.learning_rate * 0.5 * (1 + math.cos(math.pi * epoch / settings.epochs)))]


def _compile(keras: Any, network: Any, taught: Lessons, settings: TrainingSettings,
             compile_with: Callable[[Any], None] | None) -> None:
    if compile_with is not None:
        compile_with(network)
    else:
        _keras_loss.compile_for(keras, network, taught.goal, settings.learning_rate)


def evaluate(keras: Any, network: Any, taught: Lessons, settings: TrainingSettings, *,
             compile_with: Callable[[Any], None] | None = None) -> dict[str, float]:
    """'val_loss' and, where there is a measure, 'val_accuracy' of a model on the validation part."""
    _compile(keras, network, taught, settings, compile_with)
    logs = network.evaluate(_keras_loss.shaped(taught.val_inputs), _keras_loss.shaped(taught.val_targets),
                            batch_size=256, verbose=0, return_dict=True)
    accuracy = _keras_loss.measured(logs, "")
    return {"val_loss": float(logs["loss"])} | ({} if accuracy is None else {"val_accuracy": accuracy})


def input_specs(network: Any, model: Model) -> tuple[TensorSpec, ...]:
    """The model's inputs in the order in which the network takes its tensors."""
    by_name = {s.name: s for s in model.inputs}
    names = [t.name.split(":")[0] for t in network.inputs]
    return tuple(by_name[n] for n in names) if set(names) == set(by_name) else model.inputs


class _Watch:
    """Half of a Keras callback, the other half is ``Callback`` of either Keras: curves, progress, the best weights,
    early stop, time limit, NaN.
    """

    def __init__(self, settings: TrainingSettings, context: PassContext, measure: str, first: int,
                 span: tuple[float, float]) -> None:
        super().__init__()
        self.settings, self.context, self.first, self.span = settings, context, first, span
        self.best, self.best_loss, self.best_weights, self.stopped = 0, math.inf, None, ""
        self.rows: list[tuple] = []
        self.began = self.told = time.monotonic()
        self.epoch, self.measure, self.so_far = 0, measure, ""

    def start(self, logs: dict[str, float]) -> None:
        self.rows.append((0, None, None, _number(logs["loss"]), _keras_loss.measured(logs, ""), 0.0))
        self.began = time.monotonic()
        self._tell(0.0, "epoch 1 of " + str(self.settings.epochs))

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss):
            raise NotApplicable(f"the loss became {loss} in epoch {self.epoch + 1}: set a lower learning rate")
        now, steps = time.monotonic(), self.params.get("steps") or batch + 1
        if now - self.began > 60 * self.settings.max_minutes:
            self.stopped = f"stopped after {self.settings.max_minutes:g} minutes in epoch {self.epoch + 1}"
            self.model.stop_training = True
        if now - self.told > _TELL_S:
            done = (self.epoch + (batch + 1) / steps) / self.settings.epochs
            self._tell(done, f"epoch {self.epoch + 1} of {self.settings.epochs}{self.so_far}")  # one text an epoch

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        number, loss, val_loss = epoch + 1, float(logs["loss"]), float(logs["val_loss"])
        right, val_right = _keras_loss.measured(logs, ""), _keras_loss.measured(logs, "val_")
        self.rows.append((number, _number(loss), right, _number(val_loss), val_right,
                          time.monotonic() - self.began))
        if number >= self.first and (val_loss < self.best_loss or self.best_weights is None):
            self.best, self.best_loss, self.best_weights = number, val_loss, self.model.get_weights()
        elif self.settings.patience and number - max(self.best, self.first) >= self.settings.patience > 0:
            if number < self.settings.epochs:
                self.stopped = f"stopped early after epoch {number} of {self.settings.epochs}"
            self.model.stop_training = True
        shown = "" if val_right is None else f" · val. {self.measure.split()[0]} {100 * val_right:.1f} %"
        self._tell(number / self.settings.epochs,
                   f"epoch {number} of {self.settings.epochs} · loss {loss:.3g}{shown}")
        self.so_far = f" · so far loss {loss:.3g}{shown}"

    def restore(self) -> None:
        if self.best_weights is not None:
            self.model.set_weights(self.best_weights)
        else:
            self.best = self.rows[-1][0]

    def curves(self) -> dict[str, Any]:
        columns = [list(column) for column in zip(*self.rows, strict=True)]
        return Curves(*columns, self.settings.epochs, self.measure)._asdict()

    def notes(self, count: int, goal: Any) -> tuple[str, ...]:
        before, after = self.rows[0], next(r for r in self.rows if r[0] == self.best)
        shown = (f"validation {self.measure} {100 * before[4]:.1f} % before, {100 * after[4]:.1f} % after"
                 if before[4] is not None and after[4] is not None else
                 f"validation loss {before[3]:.3g} before, {after[3]:.3g} after")
        lines = [f"fine-tuned on {count:,} samples, weights of epoch {self.best} kept: {shown}"]
        return (*lines, *filter(None, [self.stopped, goal.note]))

    def _tell(self, fraction: float, line: str) -> None:
        low, high = self.span
        self.told = time.monotonic()
        self.context.progress(low + (high - low) * fraction, line, self.curves())


def _number(value: float) -> float | None:
    """A finite number, else None: the curves travel as JSON."""
    return float(value) if math.isfinite(value) else None
