"""Post-processing, step by step: each takes the last one's value and returns a new one. Pure numpy.

A step is a name and a function, so that a pipeline can time each: softmax, cleaning, threshold, top-k, labels; for
detectors decoding, cleaning, non-maximum suppression and labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError
from .boxes import Boxes, clean_boxes, suppress

NO_ANSWER = -1


class Step(NamedTuple):
    """A named function of the last step's value."""

    name: str
    run: Callable[[Any], Any]


class Prediction(NamedTuple):
    """One class of one sample: its index, its name ('' without names) and its probability."""

    index: int
    label: str
    score: float


class Detection(NamedTuple):
    """One object of one sample: class index and name, score, and corners (x1, y1, x2, y2) in the input's pixels."""

    index: int
    label: str
    score: float
    box: tuple[float, float, float, float]


class Ranked(NamedTuple):
    """Classes kept for each sample, best first; both [samples][kept]."""

    indices: list[np.ndarray]
    scores: list[np.ndarray]


def softmax(logits: np.ndarray, axis: int = -1) -> np.ndarray:
    """Probabilities of logits, computed from the largest down so that nothing overflows; float32 or float64."""
    x = np.asarray(logits)
    x = x.astype(np.float32) if x.dtype.kind != "f" or x.dtype.itemsize < 4 else x
    if not x.size:
        return x
    with np.errstate(invalid="ignore"):  # inf - inf is NaN, which clean_scores deals with
        e = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def are_probabilities(scores: np.ndarray) -> bool:
    """Whether rows lie in [0, 1] and add up to 1: a softmax on top of one would flatten it."""
    x = np.asarray(scores, np.float64)
    rows = x[np.isfinite(x).all(-1)]
    inside = rows.size > 0 and rows.min() > -1e-4 and rows.max() < 1.0001
    return bool(inside and np.abs(rows.sum(-1) - 1).max() < 0.02)


def probabilities(scores: np.ndarray) -> np.ndarray:
    """[samples, classes] as probabilities: as they are, or softmax of logits; one column p becomes (1 - p, p).

    Raises:
        InputError: the output is not one row of scores a sample.
    """
    x = np.asarray(scores)
    if x.ndim == 1:
        x = x[:, None]
    if x.ndim != 2 or x.dtype.kind not in "fiu":
        raise InputError(f"the output has shape {list(x.shape)}: a classifier's is [samples, classes]; name the output "
                         "that holds the scores")
    if x.shape[1] == 1:
        p = x.astype(np.float32)
        finite = p[np.isfinite(p)]
        inside = not finite.size or (finite.min() >= 0 and finite.max() <= 1)
        p = p if inside else 1 / (1 + np.exp(-np.clip(p, -60, 60)))
        return np.hstack([1 - p, p])
    return x.astype(np.float32) if are_probabilities(x) else softmax(x)


def clean_scores(scores: np.ndarray) -> np.ndarray:
    """Rows with NaN or infinity become rows of zeros, which no threshold above 0 lets pass."""
    broken = ~np.isfinite(scores).all(axis=-1)
    if not broken.any():
        return scores
    kept = scores.copy()
    kept[broken] = 0
    return kept


def top_k(scores: np.ndarray, k: int, threshold: float = 0.0) -> Ranked:
    """The k highest classes of each sample that reach the threshold; ties go to the lower index."""
    indices, values = [], []
    for row in scores:
        order = np.argsort(-row, kind="stable")[:k]
        order = order[(row[order] >= threshold) & (row[order] > 0)]
        indices.append(order)
        values.append(row[order])
    return Ranked(indices, values)


def named(index: int, names: Sequence[str] | None) -> str:
    """The name of a class; '' without names, the number where there is none for it."""
    if not names:
        return ""
    return names[index] if 0 <= index < len(names) else str(index)


def classify(names: Sequence[str] | None = None, *, k: int = 5, threshold: float = 0.0,
             output: str = "") -> tuple[Step, ...]:
    """Steps from a classifier's outputs to a list of :class:`Prediction` a sample.

    Args:
        names: of the classes.
        k: most classes a sample.
        threshold: least probability; a sample none of whose classes reaches it has an empty list.
        output: name of the output that holds the scores; '' takes the first.

    Raises:
        InputError: a setting is out of range.
    """
    if k < 1 or not 0 <= threshold <= 1:
        raise InputError("k is at least 1, a probability threshold lies between 0 and 1")

    def label(found: Ranked) -> list[list[Prediction]]:
        return [[Prediction(int(i), named(int(i), names), float(s)) for i, s in zip(row, scores, strict=True)]
                for row, scores in zip(found.indices, found.scores, strict=True)]

    return (Step("softmax", lambda outputs: probabilities(chosen(outputs, output))), Step("clean", clean_scores),
            Step("threshold and top-k", lambda scores: top_k(scores, k, threshold)), Step("labels", label))


def detect(decode: Callable[[dict[str, np.ndarray]], Boxes | list[Boxes]], names: Sequence[str] | None = None, *,
           threshold: float = 0.3, iou: float = 0.5, most: int = 100) -> tuple[Step, ...]:
    """Steps from a detector's outputs to a list of :class:`Detection` a sample.

    Args:
        decode: outputs -> boxes of each sample (what differs from detector to detector).
        names: of the classes.
        threshold: least score.
        iou: overlap above which the lower-scored box of the same class goes.
        most: boxes kept a class.

    Raises:
        InputError: a setting is out of range.
    """
    if not (0 <= threshold <= 1 and 0 <= iou <= 1 and most >= 1):
        raise InputError("a score threshold and an IoU lie between 0 and 1, and at least one box is kept")

    def decoded(outputs: dict[str, np.ndarray]) -> list[Boxes]:
        found = decode(outputs)
        return [found] if isinstance(found, Boxes) else list(found)

    def label(found: list[Boxes]) -> list[list[Detection]]:
        return [[Detection(int(c), named(int(c), names), float(s), tuple(float(v) for v in box))
                 for box, s, c in zip(*boxes, strict=True)] for boxes in found]

    return (Step("decode", decoded), Step("clean", lambda found: [clean_boxes(b, threshold) for b in found]),
            Step("suppress overlaps", lambda found: [suppress(b, iou=iou, most=most) for b in found]),
            Step("labels", label))


def chosen(outputs: dict[str, np.ndarray], name: str) -> np.ndarray:
    """One output by name; the first for ''.

    Raises:
        InputError: there is none of that name.
    """
    if name and name not in outputs:
        raise InputError(f"the model has no output '{name}'; it has: {', '.join(outputs)}")
    return outputs[name] if name else next(iter(outputs.values()))
