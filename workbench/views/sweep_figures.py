"""A sweep as a heat map: rows are runtime and threads, columns the batch; colour is throughput, the ring the choice."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import plotly.graph_objects as go

from .. import units
from ..sweeps import Cell, Sweep
from . import theme
from .figures import View, _escape, _wrap
from .frames import short_runtime

HUE = "#0072B2"
ROW_PX = 27


class HeatCell(NamedTuple):
    """One rectangle.

    Attributes:
        row: index.
        column: index.
        state: 'ok', 'failed', 'barred' (cannot run here) or 'open' (not measured).
        shade: 0..1 by the logarithm of the throughput, None unless 'ok'.
        inside: within the budget.
        text: what stands in it.
        hover: the card beside the pointer.
    """

    row: int
    column: int
    state: str
    shade: float | None
    inside: bool
    text: str
    hover: str


class HeatMap(NamedTuple):
    """A sweep ready to draw.

    Attributes:
        rows: runtime and threads, '' device where it is the CPU.
        gaps: rows above which another runtime begins.
        columns: batch sizes.
        cells: in any order.
        best: (row, column) of the choice, or None.
        quickest: (row, column) of the lowest latency, or None.
        is_random: inputs are random; the figure says so.
    """

    rows: tuple[str, ...]
    gaps: tuple[int, ...]
    columns: tuple[int, ...]
    cells: tuple[HeatCell, ...]
    best: tuple[int, int] | None
    quickest: tuple[int, int] | None
    is_random: bool


def heat_map(sweep: Sweep, budget_s: float = math.inf) -> HeatMap:
    """What a sweep shows under a latency budget; nothing is measured."""
    keys = list(dict.fromkeys((c.recipe.runtime, c.recipe.device, c.recipe.threads) for c in sweep.cells))
    order = list(dict.fromkeys(k[:2] for k in keys))
    keys.sort(key=lambda k: (order.index(k[:2]), k[2]))
    columns = sorted({c.recipe.batch for c in sweep.cells})
    rates = [math.log(c.throughput_per_s) for c in sweep.cells if c.measured]
    low, high = (min(rates), max(rates)) if rates else (0.0, 1.0)

    def place(c: Cell | None) -> tuple[int, int] | None:
        if c is None:
            return None
        r = c.recipe
        return keys.index((r.runtime, r.device, r.threads)), columns.index(r.batch)

    cells = []
    for c in sweep.cells:
        shade = (math.log(c.throughput_per_s) - low) / ((high - low) or 1.0) if c.measured else None
        state = "ok" if c.measured else "open" if not c.reason else "failed" if c.result else "barred"
        cells.append(HeatCell(*place(c), state, shade, c.measured and c.latency_s <= budget_s, _text(c, state),
                              _hover(c, state)))
    gaps = tuple(i for i in range(1, len(keys)) if keys[i][:2] != keys[i - 1][:2])
    return HeatMap(tuple(_row(k) for k in keys), gaps, tuple(columns), tuple(cells), place(sweep.best(budget_s)),
                   place(sweep.quickest()), sweep.is_random)


def height_of(found: HeatMap) -> int:
    """Pixels that the figure takes."""
    return 58 + ROW_PX * max(2, len(found.rows))


def heat_figure(found: HeatMap, view: View = View()) -> go.Figure:
    """The heat map; a cell out of the budget is pale, one without a number says why on hover."""
    tall, wide = len(found.rows), len(found.columns)
    grid: list[list[float | None]] = [[None] * wide for _ in range(tall)]
    hover: list[list[str]] = [[""] * wide for _ in range(tall)]
    for c in found.cells:
        grid[c.row][c.column] = _tone(c)
        hover[c.row][c.column] = c.hover
    ground = theme.GROUND[view.mode]
    figure = go.Figure(go.Heatmap(
        z=grid, customdata=hover, hovertemplate="%{customdata}<extra></extra>", xgap=3, ygap=3, showscale=False,
        zmin=0, zmax=1, colorscale=[[0, ground], [1, HUE]]))
    edge = dict(xref="x", yref="y", type="rect", line=dict(width=2.5, color=theme.INK[view.mode]))
    if found.best:
        row, column = found.best
        figure.add_shape(edge, x0=column - .49, x1=column + .49, y0=row - .46, y1=row + .46)
    for gap in found.gaps:
        figure.add_shape(type="line", xref="paper", x0=-0.2, x1=1, y0=gap - .5, y1=gap - .5,
                         line=dict(width=1, color=theme.RULE[view.mode]))
    size = view.font_size
    figure.update_layout(
        template=theme.template(view.mode, size), width=view.width, height=view.height, dragmode=False,
        margin=dict(l=round(11 * size), r=12, t=round(2.2 * size), b=round(1.6 * size)),
        annotations=_texts(found, view),
        xaxis=dict(side="top", tickvals=list(range(wide)), ticktext=[f"batch {b}" for b in found.columns], ticks="",
                   fixedrange=True, showgrid=False, showline=False, range=[-.5, wide - .5]),
        yaxis=dict(tickvals=list(range(tall)), ticktext=list(found.rows), ticks="", fixedrange=True, showgrid=False,
                   showline=False, range=[tall - .5, -.5], tickfont=dict(size=size - 1, color=theme.INK[view.mode])))
    return figure


def _tone(c: HeatCell) -> float | None:
    if c.state != "ok":
        return 0.04
    return 0.08 if not c.inside else 0.16 + 0.72 * c.shade


def _texts(found: HeatMap, view: View) -> list[dict[str, Any]]:
    """Numbers in the cells, the key below, and the word about random inputs."""
    texts = []
    for c in found.cells:
        ink = theme.INK[view.mode] if c.state == "ok" and c.inside else theme.MUTED[view.mode]
        if c.state in ("failed", "barred"):
            ink = theme.BAD[view.mode] if c.state == "failed" else theme.MUTED[view.mode]
        elif c.inside and view.mode == "light" and c.shade > 0.5:
            ink = "#ffffff"
        text = f"<b>{c.text}</b>" if (c.row, c.column) == found.best else c.text
        font = dict(size=view.font_size - 2, color=ink)
        texts.append(dict(x=c.column, y=c.row, text=text, showarrow=False, font=font))
    small = dict(size=view.font_size - 2, color=theme.MUTED[view.mode])
    key = "darker: more samples a second · pale: over the budget · ring: the choice"
    texts.append(dict(xref="paper", yref="paper", x=1, y=0, xanchor="right", yanchor="top", yshift=-4, text=key,
                      showarrow=False, font=small))
    if found.is_random:
        texts.append(dict(xref="paper", yref="paper", x=0.5, y=0.5, text="RANDOM INPUTS", textangle=-12, opacity=0.16,
                          showarrow=False, font=dict(size=3 * view.font_size, color=theme.INK[view.mode])))
    return texts


def _row(key: tuple[str, str, int]) -> str:
    runtime, device, threads = key
    where = f" {device.upper()}" if device != "cpu" else ""
    return f"{short_runtime(runtime)}{where} · {threads} thread{'' if threads == 1 else 's'}"


def _text(c: Cell, state: str) -> str:
    if state == "ok":
        return f"{units.duration(c.result.median_s)} · {units.rate(c.throughput_per_s)}"
    return {"failed": "✕ failed", "barred": "– cannot run", "open": "not measured"}[state]


def _hover(c: Cell, state: str) -> str:
    title = f"<b>{_escape(c.recipe.label)}</b>"
    if state == "open":
        return f"{title}<br>not measured yet"
    if state != "ok":
        return f"{title}<br>{_escape(_wrap(c.reason))}"
    r = c.result
    low, high = r.interval_s
    lines = [title, f"{units.duration(r.median_s)} ({units.duration(low)} to {units.duration(high)}) for "
                    f"{c.recipe.batch} sample{'' if c.recipe.batch == 1 else 's'}",
             f"{units.rate(c.throughput_per_s)} ({units.rate(c.recipe.batch / high)} to "
             f"{units.rate(c.recipe.batch / low)})"]
    if r.percentiles_s.get("p99"):
        lines.append(f"99 of 100 runs within {units.duration(r.percentiles_s['p99'])}")
    if r.fidelity:
        lines.append(f"{r.fidelity.metric_name} {r.fidelity.metric:.4f}")
    return "<br>".join(lines)
