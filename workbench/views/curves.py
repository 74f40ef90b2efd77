"""Training curves as inline SVG, live while a pass trains and afterwards beside what the pass did."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from .theme import PRECISION_COLORS

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 300, 120, 8, 96, 22, 18
_TRAINING, _HELD = PRECISION_COLORS["float16"], PRECISION_COLORS["int8"]

Points = list[tuple[int, float]]


def training(curves: dict[str, Any], title: str = "") -> str:
    """Loss and, where there is one, accuracy by epoch; epoch 0 is the model before fine-tuning.

    Args:
        curves: a ``workbench.passes._training.Curves`` as a dict; '' when it holds nothing to draw yet.
        title: of the pass, for people.
    """
    epochs = curves.get("epoch") or []
    if len(epochs) < 2:
        return ""
    last = max(int(curves.get("epochs") or 0), epochs[-1]) if curves.get("live") else epochs[-1]
    drawn = [_panel("loss", curves, "loss", "val_loss", last, "{:.3g}", 1.0)]
    if any(v is not None for v in curves.get("val_accuracy") or ()):
        drawn.insert(0, _panel(str(curves.get("measure") or "accuracy"), curves, "accuracy", "val_accuracy", last,
                               "{:.1f} %", 100.0))
    seconds = (curves.get("seconds") or [0.0])[-1]
    said = f"{escape(title)}: {epochs[-1]} of {curves.get('epochs', epochs[-1])} epochs in {seconds:.0f} s"
    head = f"<div class='wb-dim'>{said}</div>" if title else ""
    return f"{head}<div style='display:flex;flex-wrap:wrap;gap:8px 24px'>{''.join(drawn)}</div>"


def _panel(title: str, curves: dict[str, Any], trained: str, held: str, last: int, form: str, scale: float) -> str:
    lines = [("training", _TRAINING, _points(curves, trained, scale)),
             ("validation", _HELD, _points(curves, held, scale))]
    lines = [line for line in lines if line[2]]
    values = [v for _, _, points in lines for _, v in points]
    if not values:
        return ""
    low, high = min(values), max(values)
    room = (high - low) * 0.08 or abs(high) * 0.02 or 1.0
    low, high = low - room, high + room

    def place(epoch: int, value: float) -> tuple[float, float]:
        return (_LEFT + (_WIDTH - _LEFT - _RIGHT) * epoch / max(last, 1),
                _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - (value - low) / (high - low)))

    ends = _apart([place(*points[-1])[1] for _, _, points in lines])
    marks = "".join(_line(name, hue, [place(*p) for p in points], y, form.format(points[-1][1]))
                    for (name, hue, points), y in zip(lines, ends, strict=True))
    axis = (f"<path d='M{_LEFT} {_HEIGHT - _BOTTOM}H{_WIDTH - _RIGHT}' stroke='currentColor' stroke-opacity='.25'/>"
            f"<text x='{_LEFT}' y='{_HEIGHT - 4}'>epoch 0</text>"
            f"<text x='{_WIDTH - _RIGHT}' y='{_HEIGHT - 4}' text-anchor='end'>{last}</text>")
    said = "; ".join(f"{name} {form.format(points[-1][1])}" for name, _, points in lines)
    return (f"<svg viewBox='0 0 {_WIDTH} {_HEIGHT}' width='{_WIDTH}' role='img' font-size='11' fill='currentColor' "
            f"aria-label='{escape(title)} by epoch: {said}'><text x='{_LEFT}' y='12' font-weight='600'>{escape(title)}"
            f"</text>{axis}{marks}</svg>")


def _line(name: str, hue: str, places: Sequence[tuple[float, float]], label_y: float, value: str) -> str:
    dashed = " stroke-dasharray='4 3'" if name == "training" else ""
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    dots = "".join(f"<circle cx='{x:.1f}' cy='{y:.1f}' r='2.4' fill='{hue}'/>" for x, y in places)
    x = places[-1][0]
    return (f"<path d='{path}' fill='none' stroke='{hue}' stroke-width='1.8'{dashed}/>{dots}"
            f"<text x='{x + 7:.1f}' y='{label_y + 4:.1f}'>{name} {value}</text>")


def _points(curves: dict[str, Any], name: str, scale: float) -> Points:
    pairs = zip(curves.get("epoch") or (), curves.get(name) or (), strict=False)
    return [(int(e), scale * v) for e, v in pairs if v is not None]


def _apart(heights: list[float], least: float = 13.0) -> list[float]:
    """Label heights that do not lie on each other, in the same order."""
    if len(heights) == 2 and abs(heights[0] - heights[1]) < least:
        middle, sign = sum(heights) / 2, 1 if heights[0] >= heights[1] else -1
        return [middle + sign * least / 2, middle - sign * least / 2]
    return heights
