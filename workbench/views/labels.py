"""Places direct labels beside points so that they do not cover each other. Pure geometry, pixels in and out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# Widths of the font size, about those of the system sans fonts.
_CAPITAL, _NARROW, _OTHER = 0.7, 0.26, 0.54
GAP = 4  # pixels between a marker and its label
_FAR = 5  # rows of text above and below that a label may move away, then joined by a thin line


class Anchor(NamedTuple):
    """A point that wants a label: centre and marker radius in pixels (y down).

    ``may_move`` lets the label go some rows away, with a line, where there is no room beside the point.
    """

    x: float
    y: float
    radius: float
    text: str
    may_move: bool = True
    bold: bool = False


class Box(NamedTuple):
    """A rectangle in pixels, y down."""

    left: float
    top: float
    right: float
    bottom: float


class Placed(NamedTuple):
    """Where a label went, whether it found room (else it is left out), and whether it needs a line to its point."""

    box: Box
    fits: bool
    far: bool


def place(anchors: list[Anchor], width: float, height: float, font_size: float,
          avoid: Sequence[Box] = ()) -> list[Placed]:
    """Greedy placement, in order of importance.

    Args:
        anchors: points, most important first.
        width: of the plotting area, pixels.
        height: of the same.
        font_size: pixels.
        avoid: other areas to keep free, e.g. interval bars.
    """
    markers = [Box(a.x - a.radius, a.y - a.radius, a.x + a.radius, a.y + a.radius) for a in anchors]
    bars, frame = _table(avoid), Box(0, 0, width, height)
    taken: list[Box] = []
    placed: list[Placed] = []
    for anchor in anchors:
        reluctance, far, boxes = zip(*_candidates(anchor, font_size), strict=True)
        crowding = _crowding(boxes, _table([*taken, *markers]), frame)
        crossed = _shared(_table(boxes), bars)
        costs = 3 * crowding + 2 * crossed + np.array(reluctance) * font_size**2
        best = int(np.argmin(costs))
        # One of little importance goes only where it covers nothing at all.
        covered = crowding[best] + (0.0 if anchor.may_move else crossed[best])
        box = boxes[best]
        fits = bool(covered < 0.12 * (box.right - box.left) * (box.bottom - box.top))
        if fits:
            taken.append(box)
        placed.append(Placed(box, fits, far[best]))
    return placed


def text_width(text: str, font_size: float) -> float:
    """About how wide a line of text is, in pixels."""
    shares = [_CAPITAL if c.isupper() else _NARROW if c in "ijlt.,:;·| " else _OTHER for c in text]
    return font_size * sum(shares)


def _candidates(a: Anchor, font_size: float) -> list[tuple[float, bool, Box]]:
    """(reluctance, far, box): right is liked best, then left, above, below, the corners, then rows further off."""
    w, h = text_width(a.text, font_size) * (1.08 if a.bold else 1), font_size * 1.3
    side, above, below = a.radius + GAP, a.y - a.radius - 1 - h, a.y + a.radius + 1
    near = [(a.x + side, a.y - h / 2), (a.x - side - w, a.y - h / 2), (a.x - w / 2, above), (a.x - w / 2, below),
            (a.x + 2, above), (a.x + 2, below), (a.x - 2 - w, above), (a.x - 2 - w, below)]
    found = [(0.15 * rank, False, Box(x, y, x + w, y + h)) for rank, (x, y) in enumerate(near)]
    for row in range(1, _FAR + 1) if a.may_move else ():
        for y in (above - row * h, below + row * h):
            for rank, x in enumerate((a.x + 6, a.x - w - 6, a.x + 24, a.x - w - 24)):
                found.append((1.5 + 0.6 * row + 0.15 * rank, True, Box(x, y, x + w, y + h)))
    return found


def _table(boxes: Sequence[Box]) -> np.ndarray:
    """Boxes as rows of left, top, right, bottom."""
    return np.array(boxes, dtype=float).reshape(-1, 4)


def _shared(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Area that each box shares with all others together, square pixels."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.maximum(high - low, 0.0).prod(axis=2).sum(axis=1)


def _crowding(boxes: Sequence[Box], others: np.ndarray, frame: Box) -> np.ndarray:
    """Area that is outside the frame, or on other labels and markers."""
    table = _table(boxes)
    area = (table[:, 2:] - table[:, :2]).prod(axis=1)
    return area - _shared(table, _table([frame])) + _shared(table, others)
