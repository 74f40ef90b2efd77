"""What a Keras model is trained towards: labels where there are some, else the answers of the model as it was."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

_MEASURED = ("accuracy", "agreement")


class Goal(NamedTuple):
    """What each output learns.

    Attributes:
        kinds: one an output: 'labels' or 'binary' (from probabilities), 'label logits', 'binary logits' (before the
            softmax or sigmoid), 'distribution' (the original's probabilities) or 'values' (its numbers).
        measure: what the accuracy in the curves is, '' for none.
        note: for people; '' with labels.
    """

    kinds: tuple[str, ...]
    measure: str
    note: str


def targets(teacher: Any, inputs: list[np.ndarray], labels: np.ndarray | None) -> tuple[Goal, list[np.ndarray]]:
    """The goal of each output, and its targets for all samples.

    Args:
        teacher: the model before it was changed; its answers tell probabilities from other numbers.
        inputs: in the network's order, samples along axis 0.
        labels: int64 [samples] for the first output, or None.
    """
    answers = teacher.predict(shaped(inputs), batch_size=256, verbose=0)
    answers = [np.asarray(a) for a in (answers if isinstance(answers, list | tuple) else [answers])]
    kinds = [("distribution" if is_distribution(a) else "values") for a in answers]
    found = list(answers)
    if labels is not None and answers[0].ndim == 2:
        kinds[0], found[0] = _for_labels(answers[0]), labels
    if kinds[0] not in ("distribution", "values"):
        others = "; other outputs keep the original's answers" if len(kinds) > 1 else ""
        return Goal(tuple(kinds), "accuracy", others.removeprefix("; ")), found
    classes = answers[0].ndim == 2 and answers[0].shape[1] > 1
    note = "there are no labels: fine-tuned towards the original's own answers (self-distillation)"
    return Goal(tuple(kinds), "agreement with the original" if classes else "", note), found


def is_distribution(answers: np.ndarray) -> bool:
    """Whether rows are probabilities over classes: none below 0, and each sums to 1."""
    return bool(answers.ndim == 2 and answers.shape[1] > 1 and answers.min() >= -1e-5
                and np.abs(answers.sum(axis=1) - 1).max() < 1e-2)


def compile_for(keras: Any, network: Any, goal: Goal, rate: float) -> None:
    """Compiles a network with Adam for its goal."""
    losses = [_loss(keras, kind) for kind in goal.kinds]
    watched: list[Any] = [None] * len(losses)
    if goal.measure:
        watched[0] = _metric(keras, goal.kinds[0])
    single = len(losses) == 1
    network.compile(keras.optimizers.Adam(rate), loss=losses[0] if single else losses,
                    metrics=[m for m in watched if m] if single else [[m] if m else [] for m in watched])


def measured(logs: dict[str, float], prefix: str) -> float | None:
    """Accuracy or agreement in Keras' logs, None where there is none. ``prefix`` is '' or 'val_'."""
    for name, value in logs.items():
        if name.startswith("val_") == (prefix == "val_") and name.endswith(_MEASURED):
            return float(value)
    return None


def shaped(arrays: list[np.ndarray]) -> Any:
    """One array as it is, several as a list: what ``fit`` and ``predict`` take."""
    return arrays[0] if len(arrays) == 1 else arrays


def _for_labels(answers: np.ndarray) -> str:
    if answers.shape[1] == 1:
        return "binary" if answers.min() >= 0 and answers.max() <= 1 else "binary logits"
    return "labels" if is_distribution(answers) else "label logits"


def _loss(keras: Any, kind: str) -> Any:
    logits = kind.endswith("logits")
    if kind.startswith("binary"):
        return keras.losses.BinaryCrossentropy(from_logits=logits)
    if kind.startswith("label"):
        return keras.losses.SparseCategoricalCrossentropy(from_logits=logits)
    return keras.losses.KLDivergence() if kind == "distribution" else keras.losses.MeanSquaredError()


def _metric(keras: Any, kind: str) -> Any:
    if kind.startswith("binary"):
        return keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0 if kind.endswith("logits") else 0.5)
    if kind.startswith("label"):
        return keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    return keras.metrics.CategoricalAccuracy(name="agreement")
