"""Boxes of a detector: cleaning, overlap, non-maximum suppression. Pure numpy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Boxes(NamedTuple):
    """Candidate objects of one sample.

    Attributes:
        corners: float [n, 4], (x1, y1, x2, y2) in pixels.
        scores: float [n].
        classes: int [n].
    """

    corners: np.ndarray
    scores: np.ndarray
    classes: np.ndarray

    def take(self, keep: np.ndarray) -> Boxes:
        """Those at these places, in this order."""
        return Boxes(self.corners[keep], self.scores[keep], self.classes[keep])


def from_centres(centres: np.ndarray) -> np.ndarray:
    """(x, y, width, height) [n, 4] to (x1, y1, x2, y2)."""
    half = centres[:, 2:] / 2
    return np.concatenate([centres[:, :2] - half, centres[:, :2] + half], axis=1)


def clean_boxes(found: Boxes, threshold: float = 0.0) -> Boxes:
    """Without boxes that are not finite, have no area, score below the threshold, or repeat another exactly.

    Of equal boxes of one class the best-scored stays. The order is kept.
    """
    corners = found.corners
    fine = np.isfinite(corners).all(1) & np.isfinite(found.scores) & (found.scores >= threshold)
    with np.errstate(invalid="ignore"):
        fine &= (corners[:, 2] > corners[:, 0]) & (corners[:, 3] > corners[:, 1])
    kept = found.take(np.flatnonzero(fine))
    if len(kept.scores) < 2:
        return kept
    best_first = np.argsort(-kept.scores, kind="stable")
    keys = np.column_stack([kept.corners, kept.classes])[best_first]
    _, first = np.unique(keys, axis=0, return_index=True)
    return kept.take(np.sort(best_first[first]))


def overlap(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of one box [4] with others [n, 4]; 0 where both are empty."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    union = np.prod(box[2:] - box[:2]) + np.prod(others[:, 2:] - others[:, :2], axis=1) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def suppress(found: Boxes, *, iou: float = 0.5, most: int = 100) -> Boxes:
    """Greedy non-maximum suppression within each class, best score first (as ONNX NonMaxSuppression has it).

    Args:
        found: finite boxes.
        iou: a box goes when its overlap with a better one that stays is *above* this.
        most: boxes kept a class.

    Returns:
        what stays, best score first over all classes; ties keep their order.
    """
    stay: list[int] = []
    order = np.argsort(-found.scores, kind="stable")
    for kind in np.unique(found.classes):
        left, kept = order[found.classes[order] == kind], 0
        while len(left) and kept < most:
            best, rest = left[0], left[1:]
            stay.append(int(best))
            kept += 1
            left = rest[overlap(found.corners[best], found.corners[rest]) <= iou]
    place = np.empty(len(order), int)
    place[order] = np.arange(len(order))
    return found.take(np.array(sorted(stay, key=lambda i: place[i]), dtype=int))
