"""What all figures share: a title that says the finding, units on the axes, direct labels, room to breathe."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import plotly.graph_objects as go

from .. import theme

INK, MUTED, RULE, BAD, GROUND = (t["light"] for t in (theme.INK, theme.MUTED, theme.RULE, theme.BAD, theme.GROUND))
BLUE, ORANGE, GREEN, PINK, YELLOW, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
SERIES = (BLUE, ORANGE, GREEN, PINK, YELLOW, SKY)
_STEPS = ((1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8), (1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,))


def figure(title: str, subtitle: str = "", *, x: str = "", y: str = "", height: int = 330, left: int = 64,
           right: int = 28, bottom: int = 50, log_x: bool = False, log_y: bool = False) -> go.Figure:
    """An empty figure with its frame.

    Args:
        title: the finding or the question, in plain words.
        subtitle: what is drawn, with the unit of y.
        x: title of the x axis, with its unit.
        y: the same for y; '' where the subtitle says it.
        height: in pixels; the width follows the page.
        left: margin in pixels, for names.
        right: the same, for labels at line ends.
        bottom: the same, for ticks and the axis title.
        log_x: logarithmic x axis.
        log_y: logarithmic y axis.
    """
    made = go.Figure()
    below = f"<br><span style='color:{MUTED}'>{escape(subtitle)}</span>" if subtitle else ""
    head = f"<b>{escape(title)}</b>{below}"
    made.update_layout(
        template=None, height=height, margin=dict(l=left, r=right, t=64 if subtitle else 44, b=bottom),
        title=dict(text=head, x=0, xref="container", xanchor="left", y=1, yref="container", yanchor="top",
                   pad=dict(l=8, t=20), font=dict(size=14)),
        hovermode="closest", dragmode=False, showlegend=False, bargap=0.28,
        xaxis=dict(title=dict(text=x, standoff=8), fixedrange=True, type="log" if log_x else None),
        yaxis=dict(title=dict(text=y, standoff=8), fixedrange=True, type="log" if log_y else None))
    return made


def label(x: Any, y: Any, text: str, color: str = INK, **more: Any) -> dict[str, Any]:
    """A direct label at a place of the data."""
    return dict(dict(x=x, y=y, text=text, showarrow=False, xanchor="left", xshift=6, font=dict(color=color)), **more)


def intervals(low: Iterable[float], value: Iterable[float], high: Iterable[float], **more: Any) -> dict[str, Any]:
    """Asymmetric interval bars for ``error_x`` or ``error_y``; a missing end has no bar."""
    rows = list(zip(low, value, high, strict=True))
    return dict(dict(type="data", symmetric=False, thickness=1.3, width=3, color=MUTED,
                     array=[max(0.0, h - v) for _, v, h in rows], arrayminus=[max(0.0, v - a) for a, v, _ in rows]),
                **more)


def rule(made: go.Figure, *, x: float | None = None, y: float | None = None, text: str = "") -> None:
    """A thin reference line with its name."""
    line = dict(color=MUTED, width=1, dash="2px,3px")
    if x is not None:
        made.add_shape(type="line", x0=x, x1=x, yref="paper", y0=0, y1=1, line=line, layer="below")
        if text:
            at = math.log10(x) if made.layout.xaxis.type == "log" else x
            made.add_annotation(x=at, yref="paper", y=1, text=text, showarrow=False, xanchor="left", xshift=4,
                                yanchor="top", font=dict(color=MUTED))
    if y is not None:
        made.add_shape(type="line", y0=y, y1=y, xref="paper", x0=0, x1=1, line=line, layer="below")
        if text:
            at = math.log10(y) if made.layout.yaxis.type == "log" else y
            made.add_annotation(y=at, xref="paper", x=0, text=text, showarrow=False, xanchor="left", xshift=4,
                                yanchor="bottom", font=dict(color=MUTED))


def log_ticks(low: float, high: float, most: int = 7) -> tuple[list[float], list[str]]:
    """Round values inside a range, fewer a decade where it is long; values and their text."""
    low, high = min(low, high), max(low, high)
    for steps in _STEPS:
        found = [s * 10.0**e for e in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
                 for s in steps if low * 0.999 <= s * 10.0**e <= high * 1.001]
        if len(found) <= most:
            break
    return found, [f"{v:.12g}" for v in found]


def log_range(values: Sequence[float], room: float = 0.12) -> list[float]:
    """log10 of the range of positive values, with room on both sides."""
    low, high = math.log10(min(values)), math.log10(max(values))
    pad = max(0.05, room * (high - low))
    return [low - pad, high + pad]


def apart(values: Sequence[float], least: float) -> list[float]:
    """Moves values on a line as little as needed so that neighbours lie at least ``least`` apart; keeps their order."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    placed: list[list[float]] = []  # blocks of [sum of centres, count]
    for rank, index in enumerate(order):
        placed.append([values[index] - rank * least, 1])
        while len(placed) > 1 and placed[-2][0] / placed[-2][1] > placed[-1][0] / placed[-1][1]:
            total, count = placed.pop()
            placed[-1] = [placed[-1][0] + total, placed[-1][1] + count]
    flat = [total / count for total, count in placed for _ in range(int(count))]
    found = [0.0] * len(values)
    for rank, index in enumerate(order):
        found[index] = flat[rank] + rank * least
    return found


def escape(text: str) -> str:
    """Text that plotly takes literally."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def watermark(made: go.Figure, is_random: bool) -> go.Figure:
    """Says across the figure that the inputs were made up."""
    if is_random:
        made.add_annotation(text="RANDOM INPUTS", xref="paper", yref="paper", x=0.5, y=0.5, showarrow=False,
                            textangle=-16, opacity=0.16, font=dict(size=38, color=INK))
    return made
