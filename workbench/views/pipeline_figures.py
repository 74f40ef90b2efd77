"""Figures of a served model: time by stage, what a threshold does, and how it went over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from .. import units
from ..pipeline import Curve, Outcome, Point, StageTimes
from ..pipeline.serve import HAND_OVER
from . import theme
from .figures import View, _escape

LINES = (("precision", "#0072B2", "solid"), ("recall", "#D55E00", "dash"), ("F1", "#009E73", "solid"))


def stages_height(found: StageTimes) -> int:
    """Pixels that the figure takes."""
    return 60 + 30 * (len(found.stages) - 1)


def stages_figure(found: StageTimes, view: View = View()) -> go.Figure:
    """A bar a stage with its interval and its share of the latency; the hand-over, no part of it, is left out."""
    names = [n for n in found.stages if n != HAND_OVER]
    rows = [found.stages[n] for n in names]
    texts = [f"{units.duration(e.value)} · {e.value / found.latency.value:.0%}" for e in rows]
    hover = [f"<b>{_escape(n)}</b><br>{units.duration(e.value)} ({units.duration(e.low)} to {units.duration(e.high)})"
             for n, e in zip(names, rows, strict=True)]
    hue, plain = theme.color("float32"), theme.MUTED[view.mode]
    bars = dict(type="data", symmetric=False, array=[(e.high - e.value) * 1e3 for e in rows],
                arrayminus=[(e.value - e.low) * 1e3 for e in rows], color=plain, thickness=1.2, width=3)
    ends = [e.high * 1e3 for e in rows]
    figure = go.Figure([
        go.Bar(y=names, x=[e.value * 1e3 for e in rows], orientation="h", error_x=bars, customdata=hover,
               hovertemplate="%{customdata}<extra></extra>",
               marker=dict(color=hue)),
        go.Scatter(y=names, x=ends, mode="text", text=[f"  {t}" for t in texts], textposition="middle right",
                   hoverinfo="skip", textfont=dict(size=view.font_size - 2), cliponaxis=False)])
    figure.update_layout(
        template=theme.template(view.mode, view.font_size), width=view.width, height=view.height, dragmode=False,
        margin=dict(l=round(0.52 * view.font_size * max(map(len, names))) + 18, r=20, t=14, b=38), bargap=0.35,
        xaxis=dict(title="ms a request", fixedrange=True, rangemode="tozero", range=[0, 1.45 * max(ends)]),
        yaxis=dict(autorange="reversed", fixedrange=True, showgrid=False, ticks="", showline=False,
                   tickfont=dict(size=view.font_size - 1, color=theme.INK[view.mode])))
    return figure


def threshold_figure(found: Outcome, over: Curve, view: View = View()) -> go.Figure:
    """Left: precision, recall and F1 over thresholds with the chosen one. Right: the confusion matrix there."""
    traces: list[Any] = []
    for (name, hue, dash), values in zip(LINES, (over.precision, over.recall, over.f1), strict=True):
        traces.append(go.Scatter(x=over.thresholds, y=values, mode="lines", line=dict(color=hue, width=2, dash=dash),
                                 name=name, hovertemplate=f"{name} %{{y:.3f}} at %{{x:.2f}}<extra></extra>"))
    share = found.matrix / np.maximum(found.matrix.sum(1, keepdims=True), 1)
    ground = theme.GROUND[view.mode]
    hover = [[f"{int(n):,} samples of {_escape(row)} answered {_escape(col)}" for n, col in
              zip(line, found.columns, strict=True)] for line, row in zip(found.matrix, found.rows, strict=True)]
    traces.append(go.Heatmap(z=share, xaxis="x2", yaxis="y2", showscale=False, xgap=1, ygap=1, zmin=0, zmax=1,
                             colorscale=[[0, ground], [1, "#0072B2"]], customdata=hover,
                             hovertemplate="%{customdata}<extra></extra>"))
    figure = go.Figure(traces)
    figure.add_shape(type="line", x0=found.threshold, x1=found.threshold, yref="paper", y0=0, y1=1,
                     line=dict(width=1.4, color=theme.INK[view.mode], dash="2px,3px"))
    small = dict(fixedrange=True, showgrid=False, ticks="", showline=False,
                 tickfont=dict(size=view.font_size - 3, color=theme.MUTED[view.mode]))
    figure.update_layout(
        template=theme.template(view.mode, view.font_size), width=view.width, height=view.height, dragmode=False,
        margin=dict(l=44, r=14, t=30, b=44),
        xaxis=dict(title="threshold", domain=[0, .44], range=[0, 1], fixedrange=True),
        yaxis=dict(range=[0, 1.02], fixedrange=True),
        xaxis2=dict(small, domain=[.62, 1], tickvals=list(range(len(found.columns))), ticktext=_short(found.columns),
                    side="bottom", tickangle=-40 if len(found.columns) > 4 else 0),
        yaxis2=dict(small, anchor="x2", tickvals=list(range(len(found.rows))), ticktext=list(found.rows),
                    autorange="reversed"),
        annotations=[*_ends(found, over, view), *_counts(found, share, view)])
    return figure


def _ends(found: Outcome, over: Curve, view: View) -> list[dict[str, Any]]:
    """Names of the lines in their colours, with the value at the threshold, and the matrix's title."""
    values = (found.precision.value, found.recall.value, found.f1)
    parts = [f"<span style='color:{hue}'>{name} {'–' if v is None else f'{v:.3f}'}</span>"
             for (name, hue, _), v in zip(LINES, values, strict=True)]
    font = dict(size=view.font_size - 1, color=theme.MUTED[view.mode])
    common = dict(xref="paper", yref="paper", y=1, yanchor="bottom", xanchor="left", showarrow=False, font=font)
    return [dict(common, x=0, yshift=5, text="&nbsp;&nbsp;".join(parts)),
            dict(common, x=.62, yshift=5, text="true class ↓ · answered →")]


def _counts(found: Outcome, share: np.ndarray, view: View) -> list[dict[str, Any]]:
    if found.matrix.size > 300:
        return []
    return [dict(x=j, y=i, xref="x2", yref="y2", text=f"{int(n):,}", showarrow=False,
                 font=dict(size=view.font_size - 3,
                           color="#ffffff" if share[i, j] > 0.55 else theme.INK[view.mode]))
            for i, line in enumerate(found.matrix) for j, n in enumerate(line) if n]


def _short(names: tuple[str, ...]) -> list[str]:
    return [n if len(n) <= 12 else n[:11] + "…" for n in names]


def monitor_figure(points: Sequence[Point], view: View = View(), until: float | None = None) -> go.Figure:
    """Three aligned plots over time: latency (median, p90), throughput, resident memory.

    Args:
        points: of a monitor.
        view: size and theme.
        until: draw up to this time only, on the axis of the whole recording.
    """
    shown = [p for p in points if until is None or p.t <= until]
    t = [p.t for p in shown]
    series = (("request, ms", [p.latency_s * 1e3 for p in shown], "#0072B2"),
              ("samples a second", [p.throughput_per_s for p in shown], "#009E73"),
              ("memory, MB", [p.rss_bytes / 1e6 for p in shown], "#CC79A7"))
    figure = go.Figure()
    tails = [None if p.p90_s is None else p.p90_s * 1e3 for p in shown]
    figure.add_trace(go.Scatter(x=t, y=tails, mode="lines", line=dict(width=1, color=theme.fade("#0072B2", 0.45)),
                                hovertemplate="90 of 100 within %{y:.3g} ms<extra></extra>"))
    end = max([points[-1].t if points else 0.0, 5.0])
    layout: dict[str, Any] = {}
    notes = []
    for i, (title, values, hue) in enumerate(series):
        suffix = "" if i == 0 else str(i + 1)
        domain = [1 - (i + 1) / 3 + 0.05, 1 - i / 3 - 0.07]
        figure.add_trace(go.Scatter(x=t, y=values, mode="lines", yaxis=f"y{suffix}", line=dict(width=1.8, color=hue),
                                    hovertemplate="%{y:.4g} at %{x:.1f} s<extra></extra>"))
        layout[f"yaxis{suffix}"] = dict(domain=domain, fixedrange=True, range=_range(values, tails if i == 0 else []))
        now = f": {units.significant(values[-1])}" if values else ""
        notes.append(dict(xref="paper", yref="paper", x=0, y=domain[1], xanchor="left", yanchor="bottom",
                          showarrow=False, text=f"<span style='color:{hue}'>{title}{now}</span>",
                          font=dict(size=view.font_size - 1)))
    figure.update_layout(
        template=theme.template(view.mode, view.font_size), width=view.width, height=view.height, dragmode=False,
        margin=dict(l=58, r=18, t=10, b=40), annotations=notes, **layout,
        xaxis=dict(title="seconds since the start", fixedrange=True, range=[0, 1.02 * end], anchor="y3"))
    return figure


def _range(values: list[float], more: list[float | None]) -> list[float]:
    """From zero, with room for the label above; memory that hardly moves must look flat."""
    top = max([*values, *(v for v in more if v is not None)], default=1.0)
    return [0, 1.15 * top or 1.0]
