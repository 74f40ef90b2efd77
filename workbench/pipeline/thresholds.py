"""What a probability threshold does to precision, recall, F1 and the confusion matrix. Pure functions of scores."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..errors import InputError
from ..measure.stats import proportion_interval

POINTS = 201


class Scores(NamedTuple):
    """Stored scores of a classifier on labelled samples.

    Attributes:
        probabilities: float32 [samples, classes], rows without NaN.
        labels: int [samples].
        class_names: one a class.
        name: of the variant.
    """

    probabilities: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    name: str

    @classmethod
    def of(cls, probabilities: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...] | None = None,
           name: str = "") -> Scores:
        """Checks and cleans: a row with NaN answers nothing at any threshold above 0.

        Raises:
            InputError: shapes do not fit, or a label lies outside the classes.
        """
        p, y = np.asarray(probabilities, np.float32), np.asarray(labels)
        if p.ndim != 2 or p.shape[1] < 2 or y.shape != p.shape[:1] or not len(y):
            raise InputError(f"scores {list(p.shape)} and labels {list(y.shape)} do not fit: they are "
                             "[samples, classes] and [samples]")
        if y.min() < 0 or y.max() >= p.shape[1]:
            raise InputError(f"label {int(y.max())} lies outside the {p.shape[1]} classes of the output")
        p = np.where(np.isfinite(p).all(1, keepdims=True), p, 0)
        names = tuple(class_names or map(str, range(p.shape[1])))[:p.shape[1]]
        return cls(p, y.astype(np.int64), names, name)


class Rate(NamedTuple):
    """A share with its 95 % interval (Wilson); ``value`` None where nothing was to be counted."""

    value: float | None
    low: float = 0.0
    high: float = 1.0

    @classmethod
    def of(cls, hits: int, n: int) -> Rate:
        """Hits of n."""
        return cls(hits / n, *proportion_interval(hits, n)) if n else cls(None)


class Outcome(NamedTuple):
    """What one threshold gives.

    Attributes:
        threshold: 0..1.
        precision: right answers of all (positive) answers.
        recall: right answers of all (positive) samples.
        f1: their harmonic mean, or None where there is no precision.
        matrix: counts [true, answered]; rows and columns as named.
        rows: names of the true classes.
        columns: names of the answers; 'no answer' last where there is such a thing.
        answered: samples that got an answer (of the positive class, where one is chosen).
        samples: all.
    """

    threshold: float
    precision: Rate
    recall: Rate
    f1: float | None
    matrix: np.ndarray
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    answered: int
    samples: int


class Curve(NamedTuple):
    """Precision, recall and F1 over thresholds; NaN where undefined."""

    thresholds: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray


def at(scores: Scores, threshold: float, positive: int | None = None) -> Outcome:
    """The outcome at a threshold.

    Args:
        scores: stored scores.
        threshold: with a positive class, a sample is called positive when that class reaches it; without one, the
            most probable class is answered when it reaches it, else nothing.
        positive: index of the positive class; None for all classes, with 'no answer'.

    Raises:
        InputError: the threshold or the class is out of range.
    """
    _check(scores, threshold, positive)
    p, y = scores.probabilities, scores.labels
    if positive is not None:
        called, true = p[:, positive] >= threshold, y == positive
        hit = int((called & true).sum())
        matrix = np.array([[hit, int((~called & true).sum())],
                           [int((called & ~true).sum()), int((~called & ~true).sum())]])
        names = (scores.class_names[positive], "rest")
        return _outcome(threshold, hit, int(called.sum()), int(true.sum()), matrix, names, names, len(y))
    best = p.argmax(1)
    top = p[np.arange(len(p)), best]
    answered = (top >= threshold) & (top > 0)
    classes = p.shape[1]
    column = np.where(answered, best, classes)
    matrix = np.bincount(y * (classes + 1) + column, minlength=classes * (classes + 1)).reshape(classes, classes + 1)
    hit = int((answered & (best == y)).sum())
    return _outcome(threshold, hit, int(answered.sum()), len(y), matrix, scores.class_names,
                    (*scores.class_names, "no answer"), len(y))


def curve(scores: Scores, positive: int | None = None, points: int = POINTS) -> Curve:
    """Precision, recall and F1 at evenly spaced thresholds, by one sort.

    Raises:
        InputError: the class is out of range.
    """
    _check(scores, 0.0, positive)
    p, y = scores.probabilities, scores.labels
    if positive is not None:
        score, right, wanted = p[:, positive], y == positive, int((y == positive).sum())
    else:
        best = p.argmax(1)
        score, right, wanted = p[np.arange(len(p)), best], best == y, len(y)
    order = np.argsort(score)
    score, hits = score[order], np.concatenate([np.cumsum(right[order][::-1])[::-1], [0]])
    thresholds = np.linspace(0, 1, points)
    first = np.searchsorted(score, thresholds.astype(np.float32), side="left")
    if positive is None:
        first = np.maximum(first, np.searchsorted(score, 0, side="right"))
    called, hit = len(score) - first, hits[first]
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(called > 0, hit / called, np.nan)
        recall = hit / wanted if wanted else np.full(points, np.nan)
        f1 = 2 * hit / (called + wanted) if wanted else np.full(points, np.nan)
    return Curve(thresholds, precision, recall, f1)


def best_threshold(scores: Scores, positive: int | None = None) -> float:
    """The lowest threshold of the curve with the highest F1."""
    found = curve(scores, positive)
    return float(found.thresholds[int(np.nanargmax(np.where(np.isnan(found.f1), -1, found.f1)))])


def _outcome(threshold: float, hit: int, called: int, wanted: int, matrix: np.ndarray, rows: tuple[str, ...],
             columns: tuple[str, ...], samples: int) -> Outcome:
    f1 = 2 * hit / (called + wanted) if called and wanted else None
    return Outcome(threshold, Rate.of(hit, called), Rate.of(hit, wanted), f1, matrix, rows, columns, called, samples)


def _check(scores: Scores, threshold: float, positive: int | None) -> None:
    if not 0 <= threshold <= 1:
        raise InputError(f"the threshold is {threshold}; allowed: 0 to 1")
    if positive is not None and not 0 <= positive < scores.probabilities.shape[1]:
        raise InputError(f"class {positive} is out of range; there are 0 to {scores.probabilities.shape[1] - 1}")
