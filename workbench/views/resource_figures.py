"""Figures of what a variant costs beside time: memory over runs, memory and size by variant, throughput under load."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import plotly.graph_objects as go

from .. import units
from ..leaks import LeakCheck
from ..loads import LoadTest
from ..results import Result
from . import theme
from .figures import View, _escape
from .frames import precision_of, short_name

MB = 1e6


class MemoryRow(NamedTuple):
    """What one variant takes: bytes above the empty worker (framework imported), bytes on disk, seconds to load."""

    name: str
    precision: str
    peak_bytes: float | None
    steady_bytes: float | None
    size_bytes: float
    load_s: float | None


def memory_rows(results: Iterable[Result]) -> tuple[MemoryRow, ...]:
    """Measured variants, the smallest peak first."""
    good = [r for r in results if r.status == "ok" and r.memory]
    usual = next((r.recipe.threads for r in good if r.is_baseline), 0)
    rows = [MemoryRow(short_name(r.recipe, usual) + (f" · batch {r.recipe.batch}" if r.recipe.batch > 1 else ""),
                      precision_of(r.recipe), r.memory.get("rss_peak_bytes"), r.memory.get("rss_steady_bytes"),
                      r.size_bytes, r.memory.get("load_s")) for r in good]
    return tuple(sorted(rows, key=lambda row: row.peak_bytes or 0.0))


def memory_height(rows: tuple[MemoryRow, ...]) -> int:
    """Pixels that the figure takes."""
    return 70 + 30 * max(2, len(rows))


def memory_figure(rows: tuple[MemoryRow, ...], view: View = View()) -> go.Figure:
    """Three aligned columns of bars: memory (steady filled, peak as outline), artefact, load time."""
    names = [r.name for r in rows]
    hues = [theme.color(r.precision) for r in rows]
    label = dict(textposition="outside", cliponaxis=False, textfont=dict(size=view.font_size - 2))
    common: dict[str, Any] = dict(y=names, orientation="h", **label)
    steady, peak = [(r.steady_bytes or 0) / MB for r in rows], [(r.peak_bytes or 0) / MB for r in rows]
    texts = [f"{units.size(r.steady_bytes or 0)}, peak {units.size(r.peak_bytes or 0)}" for r in rows]
    figure = go.Figure([
        go.Bar(x=steady, marker=dict(color=hues), y=names, orientation="h", hoverinfo="skip"),
        go.Bar(x=peak, text=texts, marker=dict(color="rgba(0,0,0,0)", line=dict(width=1.4, color=hues)),
               hovertemplate="%{text}<extra>above the worker without the model</extra>", **common),
        go.Bar(x=[r.size_bytes / MB for r in rows], text=[units.size(r.size_bytes) for r in rows], xaxis="x2",
               marker=dict(color=hues), hovertemplate="%{text}<extra>artefact on disk</extra>", **common),
        go.Bar(x=[(r.load_s or 0) * 1e3 for r in rows], text=[units.duration(r.load_s) for r in rows], xaxis="x3",
               marker=dict(color=hues), hovertemplate="%{text}<extra>load time, framework imported</extra>", **common)])
    axis = dict(fixedrange=True, rangemode="tozero", showgrid=False, showticklabels=False, ticks="", showline=False)
    figure.update_layout(
        template=theme.template(view.mode, view.font_size), width=view.width, height=view.height, barmode="overlay",
        margin=dict(l=round(0.52 * view.font_size * max(map(len, names), default=9)) + 14, r=20, t=34, b=14),
        dragmode=False, bargap=0.35,
        xaxis=dict(axis, domain=[0, .36], range=[0, 1.9 * max([*peak, 1e-9])]),
        xaxis2=dict(axis, domain=[.42, .67], range=[0, 1.6 * max([*(r.size_bytes / MB for r in rows), 1e-9])]),
        xaxis3=dict(axis, domain=[.73, .98], range=[0, 1.6 * max([*((r.load_s or 0) * 1e3 for r in rows), 1e-9])]),
        yaxis=dict(fixedrange=True, autorange="reversed", showgrid=False, ticks="", showline=False,
                   tickfont=dict(size=view.font_size - 1, color=theme.INK[view.mode])),
        annotations=[dict(xref="paper", yref="paper", x=x, y=1, xanchor="left", yanchor="bottom", showarrow=False,
                          text=text, yshift=6, font=dict(size=view.font_size - 1, color=theme.MUTED[view.mode]))
                     for x, text in ((0, "memory: steady (filled), peak (outline)"), (.42, "artefact"),
                                     (.73, "load time"))])
    return figure


def leak_figure(found: LeakCheck, view: View = View()) -> go.Figure:
    """Resident memory over runs, with the fitted slope and its interval as a band."""
    grown, slope = found.growth, found.slope
    runs = [grown.runs_per_sample * (i + 1) for i in range(len(grown.rss_bytes))]
    rss = [b / MB for b in grown.rss_bytes]
    settle = len(rss) // 4
    hue = theme.BAD[view.mode] if slope.verdict == "leak" else theme.color("float32")
    x0, x1 = runs[settle], runs[-1]
    middle = (x0 + x1) / 2
    centre = sorted(rss[settle:])[len(rss[settle:]) // 2]

    def at(x: float, per_run: float) -> float:
        return centre + per_run * (x - middle) / MB

    band_x = [x0, middle, x1, x1, middle, x0]
    band_y = [at(x0, slope.high), centre, at(x1, slope.high), at(x1, slope.low), centre, at(x0, slope.low)]
    figure = go.Figure([
        go.Scatter(x=band_x, y=band_y, fill="toself", fillcolor=theme.fade(hue, 0.16), line=dict(width=0),
                   hoverinfo="skip", mode="lines"),
        go.Scatter(x=runs, y=rss, mode="markers", marker=dict(size=5, color=theme.MUTED[view.mode]),
                   hovertemplate="%{y:.1f} MB after %{x:,} runs<extra></extra>"),
        go.Scatter(x=[x0, x1], y=[at(x0, slope.bytes_per_run), at(x1, slope.bytes_per_run)], mode="lines",
                   line=dict(color=hue, width=2), hoverinfo="skip")])
    span = max(max(rss) - min(rss), 0.02 * max(rss))  # a flat line must look flat
    low = (max(rss) + min(rss)) / 2 - 0.75 * span
    figure.update_layout(
        template=theme.template(view.mode, view.font_size), width=view.width, height=view.height, dragmode=False,
        margin=dict(l=58, r=18, t=30, b=44),
        xaxis=dict(title="runs", fixedrange=True, rangemode="tozero", tickformat=",d"),
        yaxis=dict(fixedrange=True, range=[low, low + 1.5 * span]),
        annotations=[_note("resident memory of the worker, MB", 0, 1, "left", "bottom", view, yshift=6),
                     _note(f"{slope.verdict}: {slope.bytes_per_run:,.1f} B a run ({slope.low:,.1f} to "
                           f"{slope.high:,.1f})", 1, 1, "right", "bottom", view, yshift=6, color=hue)])
    return figure


def load_figure(found: LoadTest, view: View = View()) -> go.Figure:
    """Throughput against requests in flight, each with its interval; the median request's latency as a label."""
    levels = found.levels
    x = [str(n.clients) for n in levels]
    y = [n.throughput.value for n in levels]
    hover = [f"<b>{n.clients} in flight</b><br>{units.rate(n.throughput.value)} ({units.rate(n.throughput.low)} to "
             f"{units.rate(n.throughput.high)})<br>median request {units.duration(n.latency.value)}"
             + (f"<br>{units.times(n.gain.value)} one client ({units.times(n.gain.low)} to {units.times(n.gain.high)})"
                if n.gain else "") for n in levels]
    hue = theme.color(precision_of(found.recipe))
    bars = dict(type="data", symmetric=False, array=[n.throughput.high - n.throughput.value for n in levels],
                arrayminus=[n.throughput.value - n.throughput.low for n in levels], thickness=1.4, width=5,
                color=theme.MUTED[view.mode])
    linear = [y[0] * n.clients for n in levels]
    figure = go.Figure([
        go.Scatter(x=x, y=linear, mode="lines", hoverinfo="skip",
                   line=dict(color=theme.RULE[view.mode], width=1, dash="2px,3px")),
        go.Scatter(x=x, y=y, mode="lines+markers", error_y=bars, customdata=hover,
                   hovertemplate="%{customdata}<extra></extra>", line=dict(color=hue, width=1.6),
                   marker=dict(size=10, color=hue, symbol=theme.shape(found.recipe.runtime)))])
    top = max(n.throughput.high for n in levels)
    said = [f"{units.rate(n.throughput.value)} · {units.duration(n.latency.value)}" for n in levels]
    font = dict(size=view.font_size - 2, color=theme.INK[view.mode])
    texts = [dict(x=i, y=n.throughput.value, text=said[i], showarrow=False, xanchor="left", yanchor="top", xshift=8,
                  yshift=-6, font=font) for i, n in enumerate(levels)]
    figure.update_layout(
        template=theme.template(view.mode, view.font_size), width=view.width, height=view.height, dragmode=False,
        margin=dict(l=64, r=18, t=30, b=44),
        xaxis=dict(title="requests in flight", type="category", fixedrange=True, range=[-.3, len(x) - .2]),
        yaxis=dict(fixedrange=True, range=[0, 1.12 * max(top, max(y))], showgrid=True, tickformat="~s"),
        annotations=[_note("samples a second ↑ · dotted: as many times one client", 0, 1, "left", "bottom", view,
                           yshift=6), *texts])
    if found.is_random:
        figure.add_annotation(_note("RANDOM INPUTS", 0.5, 0.5, "center", "middle", view, opacity=0.16, textangle=-12,
                                    font=dict(size=3 * view.font_size)))
    return figure


def _note(text: str, x: float, y: float, xanchor: str, yanchor: str, view: View, color: str = "",
          **more: Any) -> dict[str, Any]:
    font = dict(size=view.font_size - 1, color=color or theme.MUTED[view.mode])
    return {**dict(xref="paper", yref="paper", x=x, y=y, xanchor=xanchor, yanchor=yanchor, showarrow=False,
                   text=_escape(text), font=font), **more}
