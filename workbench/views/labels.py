"""Places direct labels beside points so that they do not cover each other. Pure geometry, pixels in and out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

CHAR_WIDTH = 0.51  # of the font size: about the average of the system sans fonts
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


class Box(NamedTuple):
    """A rectangle in pixels, y down."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: Box) -> float:
        """Shared area in square pixels."""
        left, top, right, bottom = self
        a, b, c, d = other
        width = (right if right < c else c) - (left if left > a else a)
        if width <= 0:
            return 0.0
        height = (bottom if bottom < d else d) - (top if top > b else b)
        return width * height if height > 0 else 0.0


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
    frame = Box(0, 0, width, height)
    taken: list[Box] = []
    placed: list[Placed] = []
    for anchor in anchors:
        options = [(_cost(box, taken, markers, avoid, frame) + reluctance * font_size**2, far, box)
                   for reluctance, far, box in _candidates(anchor, font_size)]
        _, far, box = min(options, key=lambda option: option[0])
        covered = _crowding(box, taken, markers, frame)
        if not anchor.may_move:  # of little importance: only where it covers nothing at all
            covered += sum(box.overlap(a) for a in avoid)
        fits = covered < 0.12 * (box.right - box.left) * (box.bottom - box.top)
        if fits:
            taken.append(box)
        placed.append(Placed(box, fits, far))
    return placed


def _candidates(a: Anchor, font_size: float) -> list[tuple[float, bool, Box]]:
    """(reluctance, far, box): right is liked best, then left, above, below, the corners, then rows further off."""
    w, h = len(a.text) * font_size * CHAR_WIDTH, font_size * 1.3
    side, above, below = a.radius + GAP, a.y - a.radius - 1 - h, a.y + a.radius + 1
    near = [(a.x + side, a.y - h / 2), (a.x - side - w, a.y - h / 2), (a.x - w / 2, above), (a.x - w / 2, below),
            (a.x + 2, above), (a.x + 2, below), (a.x - 2 - w, above), (a.x - 2 - w, below)]
    found = [(0.15 * rank, False, Box(x, y, x + w, y + h)) for rank, (x, y) in enumerate(near)]
    for row in range(1, _FAR + 1) if a.may_move else ():
        for y in (above - row * h, below + row * h):
            for rank, x in enumerate((a.x + 6, a.x - w - 6, a.x + 24, a.x - w - 24)):
                found.append((1.5 + 0.6 * row + 0.15 * rank, True, Box(x, y, x + w, y + h)))
    return found


def _cost(box: Box, taken: list[Box], markers: list[Box], avoid: Sequence[Box], frame: Box) -> float:
    return 3 * _crowding(box, taken, markers, frame) + 2 * sum(box.overlap(a) for a in avoid)


def _crowding(box: Box, taken: list[Box], markers: list[Box], frame: Box) -> float:
    """Area that is outside the frame, or on other labels and markers."""
    area = (box.right - box.left) * (box.bottom - box.top)
    return area - box.overlap(frame) + sum(box.overlap(t) for t in taken) + sum(box.overlap(m) for m in markers)
