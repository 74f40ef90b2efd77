"""The table of variants: numbers become text here, at the edge."""

from __future__ import annotations

from typing import Any

import traitlets as t

from ... import units
from .. import sentences, theme
from ..frames import Row, Tradeoff
from .base import Pane, script

MOST_ROWS = 500  # a page takes seconds for more


class VariantTable(Pane):
    """Rows of variants. Sends ``select`` (key) and ``why`` (key)."""

    _esm = script("table")
    columns = t.List().tag(sync=True)
    rows = t.List().tag(sync=True)
    selected = t.Unicode().tag(sync=True)
    empty = t.Unicode("Variants appear here as they are measured.").tag(sync=True)
    footnote = t.Unicode().tag(sync=True)

    def draw(self, rows: tuple[Row, ...], shown: Tradeoff, selected: str) -> None:
        """Shows the rows of a trade-off."""
        kept = rows if len(rows) <= MOST_ROWS else [r for i, r in enumerate(rows) if i < MOST_ROWS or r.key == selected
                                                    or r.is_baseline]
        self.show(columns=columns(shown), rows=[row(r, shown) for r in kept], selected=selected,
                  footnote=" ".join([*_left_out(len(rows) - len(kept)), footnote(shown)]).strip())


def columns(shown: Tradeoff) -> list[dict[str, Any]]:
    """Titles, with what each means; intervals go without one."""
    labelled = shown.quality_name == "accuracy"
    third = {"id": "quality", "title": "accuracy, %" if labelled else shown.quality_name,
             "hint": "On the evaluation samples, and the change in points" if labelled
             else "Mean similarity to the original's output; 1 is equal"}
    return [
        {"id": "name", "title": "Variant", "hint": ""},
        {"id": "median", "title": "median", "hint": "Median latency of one run"},
        {"id": "speed", "title": "vs base",
         "hint": "Speed against the baseline, with its 95 % interval: 2x takes half the time"},
        {"id": "interval", "title": "", "label": "95 % interval of the speed"},
        third,
        {"id": "delta", "title": "", "label": "change in points"},
        {"id": "size", "title": "size", "hint": "The file on disk"},
        {"id": "packed", "title": "zipped", "hint": "The file as a download holds it: what zeros and shared weights "
                                                    "gain, which make no dense kernel faster"},
    ]


def row(r: Row, shown: Tradeoff) -> dict[str, Any]:
    """One row as the script draws it: text to show, numbers to sort by."""
    return {
        "key": r.key, "name": r.short, "title": r.name, "status": r.status, "reason": r.reason,
        "precision": r.precision, "is_baseline": r.is_baseline, "standing": r.standing, "verdict": r.verdict,
        "mark": theme.SHAPE_GLYPHS[theme.shape(r.runtime)],
        "glyph": theme.VERDICT_GLYPHS.get(r.verdict, ""),
        "cells": {"median": units.duration(r.median_s), "speed": _speed(r), "interval": _interval(r),
                  "quality": _quality(r, shown), "delta": "" if r.delta is None else units.points(r.delta),
                  "size": _size(r.size_bytes), "packed": _size(r.compressed_bytes)},
        "sort": {"name": r.short, "median": r.median_s, "speed": r.speedup, "quality": r.quality,
                 "size": r.size_bytes or None, "packed": r.compressed_bytes or None},
    }


def footnote(shown: Tradeoff) -> str:
    """What is not in the table."""
    if not shown.others:
        return ""
    what = "variant" if shown.others == 1 else "variants"
    return f"{shown.others} {what} measured at another batch size: choose it on the left."


def _left_out(count: int) -> list[str]:
    return [f"{units.count(count)} slower variants are in the study only."] if count else []


def _size(n_bytes: int) -> str:
    return units.size(n_bytes) if n_bytes else "–"


def _speed(r: Row) -> str:
    return "1x" if r.is_baseline else "–" if r.speedup is None else units.times(r.speedup)


def _interval(r: Row) -> str:
    return sentences.span(*r.speedup_interval).replace(" to ", "–") if r.speedup_interval else ""


def _quality(r: Row, shown: Tradeoff) -> str:
    if r.quality is None:
        return "–"
    return f"{100 * r.quality:.1f}" if shown.quality_name == "accuracy" else f"{r.quality:.4f}"
