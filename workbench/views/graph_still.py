"""The first picture of a graph pair as a PNG, for mail, for print and for pages whose scripts do not run."""

from __future__ import annotations

import io
from collections import Counter
from functools import cache
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from . import graph_pack, graph_rows
from .graph_rows import Box, Picture

SCALE = 2
WIDTH, PANE, ROW, MARGIN = 1240, 400, 62, 16
BOX_WIDTH, BOX_HEIGHT = 176, 46
INK, MUTED, RULE, RAISED, EDGE = "#1f2328", "#5c6570", "#c4c9cf", "#f4f5f6", "#9aa2ab"
COLORS = {"kept": "#6a727c", "rewritten": "#1f78ad", "fused": "#0072b2", "folded": "#8a5f00", "merged": "#00704f",
          "eliminated": "#b34200", "inserted": "#96386b", "quantized": "#6b5d00", "unexplained": "#c00000"}
_FACES = {False: ("LiberationSans-Regular.ttf", "DejaVuSans.ttf", "arial.ttf", "Arial.ttf", "Helvetica.ttc"),
          True: ("LiberationSans-Bold.ttf", "DejaVuSans-Bold.ttf", "arialbd.ttf", "Arial Bold.ttf", "Helvetica.ttc")}


def png(columns: dict[str, Any]) -> bytes:
    """Draws the collapsed pair with its counts and its most frequent changes.

    Args:
        columns: see :func:`workbench.views.graph_pack.columns`.
    """
    shown = graph_rows.picture(columns)
    changes = kinds_of_change(columns)
    height = max(96 + ROW * len(shown.rows) + (24 if shown.hidden else 0), 120 + 20 * min(len(changes), 16))
    image = Image.new("RGB", (WIDTH * SCALE, height * SCALE), "white")
    pen = _Pen(ImageDraw.Draw(image))
    _head(pen, columns)
    for side, name in enumerate(("before", "after")):
        pen.text((MARGIN + side * PANE, 66), f"{name.title()}: {columns[name]['title']}", MUTED, room=PANE - 24)
        _side(pen, columns, shown, side)
    if shown.hidden:
        pen.text((MARGIN, height - 22), f"and {shown.hidden} more rows", MUTED)
    _changes(pen, changes)
    out = io.BytesIO()
    image.quantize(64, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(out, "PNG")
    return out.getvalue()


def kinds_of_change(columns: dict[str, Any]) -> list[tuple[str, str, int]]:
    """(status, 'Conv + Relu -> FusedConv', how often), what changed before what was kept, most frequent first."""
    strings, statuses, groups = columns["strings"], columns["statuses"], columns["groups"]
    counted: Counter[tuple[int, str]] = Counter()
    pairs = zip(graph_pack.members(columns, "before"), graph_pack.members(columns, "after"), strict=True)
    for (before, after), status in zip(pairs, groups["status"], strict=True):
        texts = [_runs([strings[columns[name]["op"][i]] for i in nodes[:40]])
                 for name, nodes in (("before", before), ("after", after))]
        kept = statuses[status] == "kept"
        counted[status, texts[0] if kept and texts[0] else " → ".join(t for t in texts if t)] += 1
    ordered = sorted(counted.items(), key=lambda item: (statuses[item[0][0]] == "kept", -item[1]))
    return [(statuses[status], text, n) for (status, text), n in ordered]


def _runs(ops: list[str]) -> str:
    """['Mul', 'Mul', 'Add'] -> '2 Mul + Add'."""
    parts: list[list[Any]] = []
    for op in ops:
        op = op.removeprefix("com.microsoft.")
        if parts and parts[-1][1] == op:
            parts[-1][0] += 1
        else:
            parts.append([1, op])
    return " + ".join(f"{n} {op}" if n > 1 else op for n, op in parts[:8]) + (" + …" if len(parts) > 8 else "")


def _head(pen: _Pen, columns: dict[str, Any]) -> None:
    pen.text((MARGIN, 12), columns["title"] or "Graph before and after", INK, 15, bold=True, room=WIDTH - 2 * MARGIN)
    x = MARGIN
    for name in columns["statuses"]:
        count = columns["counts"][name]
        if count or name == "unexplained":
            pen.glyph(name, (x + 6, 46), COLORS[name])
            x += 18 + pen.text((x + 16, 39), f"{count:,} {name}", INK) + 16


def _side(pen: _Pen, columns: dict[str, Any], shown: Picture, side: int) -> None:
    left = MARGIN + side * PANE
    places: dict[tuple[int, int], tuple[float, float, float]] = {}
    for r, row in enumerate(shown.rows):
        boxes = row[side]
        width = min(BOX_WIDTH, (PANE - 30) / max(1, len(boxes)) - 8)
        start = left + (PANE - 24 - len(boxes) * (width + 8) + 8) / 2
        for k in range(len(boxes)):
            places[r, k] = (start + k * (width + 8), 92 + r * ROW, width)
    for r0, c0, r1, c1 in shown.edges[side]:
        if (r0, c0) in places and (r1, c1) in places:
            (x0, y0, w0), (x1, y1, w1) = places[r0, c0], places[r1, c1]
            pen.line([(x0 + w0 / 2, y0 + BOX_HEIGHT), (x1 + w1 / 2, y1)], EDGE)
    for (r, k), (x, y, width) in places.items():
        _box(pen, columns, shown.rows[r][side][k], x, y, width)


def _box(pen: _Pen, columns: dict[str, Any], box: Box, x: float, y: float, width: float) -> None:
    title = box.title.removeprefix("com.microsoft.")
    if box.pill:
        y += BOX_HEIGHT - 26 if box.pill == "input" else 0
        pen.box((x + 16, y, x + width - 16, y + 26), "white", 13)
        pen.text((x + 28, y + 5), title, INK, room=width - 56)
        return
    pen.box((x, y, x + width, y + BOX_HEIGHT), RAISED, 7)
    pen.text((x + 8, y + 4), title, INK, bold=True, room=width - 14)
    pen.text((x + 8, y + 18), box.note, MUTED, 10, room=width - 14)
    at = x + 13
    for index, name in enumerate(columns["statuses"]):
        count = box.states[index]
        if count and name != "kept" and at < x + width - 30:
            pen.glyph(name, (at, y + 37), COLORS[name], 4)
            at += 10 + pen.text((at + 7, y + 31), str(count), COLORS[name], 10) + 8


def _changes(pen: _Pen, changes: list[tuple[str, str, int]]) -> None:
    left = MARGIN + 2 * PANE + 8
    pen.text((left, 66), "Changes", MUTED)
    for k, (status, text, count) in enumerate(changes[:16]):
        y = 92 + 20 * k
        pen.glyph(status, (left + 6, y + 7), COLORS[status])
        used = pen.text((left + 18, y), f"{count:,} ×", INK)
        pen.text((left + 24 + used, y), text, INK, room=WIDTH - MARGIN - left - 24 - used)
    if len(changes) > 16:
        pen.text((left, 92 + 20 * 16), f"and {len(changes) - 16} more kinds", MUTED)


@cache
def _font(size: int, bold: bool) -> Any:
    for face in _FACES[bold]:
        try:
            return ImageFont.truetype(face, size * SCALE)
        except OSError:
            continue
    return ImageFont.load_default(size * SCALE)


class _Pen:
    """Draws in unscaled units."""

    def __init__(self, draw: ImageDraw.ImageDraw) -> None:
        self.draw = draw

    def text(self, at: tuple[float, float], text: str, color: str, size: int = 12, *, bold: bool = False,
             room: float = 0) -> float:
        """Writes one line, shortened to ``room``; returns its width."""
        font = _font(size, bold)
        text = "".join(c if c.isprintable() else "·" for c in text[:300])
        if room and font.getlength(text) > room * SCALE:
            while text and font.getlength(text + "…") > room * SCALE:
                text = text[:-1]
            text += "…"
        self.draw.text((at[0] * SCALE, at[1] * SCALE), text, fill=color, font=font)
        return font.getlength(text) / SCALE

    def line(self, points: list[tuple[float, float]], color: str, width: float = 1) -> None:
        self.draw.line([(x * SCALE, y * SCALE) for x, y in points], fill=color, width=round(width * SCALE))

    def box(self, corners: tuple[float, ...], fill: str, radius: float) -> None:
        self.draw.rounded_rectangle([c * SCALE for c in corners], radius * SCALE, fill=fill, outline=RULE, width=SCALE)

    def ring(self, center: tuple[float, float], radius: float, color: str) -> None:
        x, y = center
        self.draw.ellipse([c * SCALE for c in (x - radius, y - radius, x + radius, y + radius)], outline=color, width=3)

    def glyph(self, status: str, center: tuple[float, float], color: str, r: float = 5) -> None:
        """The status as strokes, since fonts differ in what they hold."""
        x, y = center
        k = 0.62 * r
        if status in ("inserted", "eliminated"):
            self.ring(center, r, color)
            self.line([(x - k, y), (x + k, y)], color, 1.5)
            if status == "inserted":
                self.line([(x, y - k), (x, y + k)], color, 1.5)
        elif status == "fused":
            self.line([(x - r, y - k), (x - r, y + k), (x + r, y - k), (x + r, y + k), (x - r, y - k)], color, 1.5)
        elif status in ("kept", "merged"):
            for d in (-k, 0, k) if status == "merged" else (-k / 2, k / 2):
                self.line([(x - r, y + d), (x + r, y + d)], color, 1.5)
        elif status == "rewritten":
            for d in (-k / 1.8, k / 1.8):
                wave = [(x - r, y + d + 1), (x - r / 3, y + d - 1), (x + r / 3, y + d + 1), (x + r, y + d - 1)]
                self.line(wave, color, 1.5)
        elif status == "folded":
            self.line([(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r), (x - r, y - r)], color, 1.5)
            self.line([(x - 1, y), (x + 1, y)], color, 2)
        else:
            self.text((x - r / 1.5, y - 8), "q" if status == "quantized" else "?", color, bold=True)
