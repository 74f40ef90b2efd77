"""The ranking of mixed INT8 as plain tuples, and as a figure: what INT8 does to each node alone beside its time."""

from __future__ import annotations

import math
from typing import NamedTuple

import plotly.graph_objects as go

from .. import units
from ..sensitivity import Ranking
from . import theme
from .figures import View

MOST_ROWS = 24
_FLOOR = 1e-7  # damage below this is nothing that could be seen
_ROW, _FRAME = 21, 92  # pixels
_DECISIONS = {"int8": ("#D55E00", "INT8"), "float": ("#0072B2", "float")}


class NodeRow(NamedTuple):
    """One node.

    Attributes:
        name: in the graph.
        op: operator.
        damage: 1 - mean cosine of the outputs when only this node is INT8.
        weight_damage: the same with only its weights rounded.
        activation_damage: the same with only its activations rounded.
        float_s: seconds a run in the float model.
        int8_s: the same in INT8.
        decision: 'float' or 'int8'.
        why: 'ranking', 'asked' or ''.
    """

    name: str
    op: str
    damage: float
    weight_damage: float
    activation_damage: float
    float_s: float
    int8_s: float
    decision: str
    why: str


class Sensitivity(NamedTuple):
    """What the figure shows; the most damaging node first.

    Attributes:
        rows: all nodes.
        metric: what fidelity is measured in.
        target: asked for.
        fidelity: with the decisions as they are in the variant that was built.
        fidelity_all_int8: with everything in INT8.
        target_met: with a margin.
    """

    rows: tuple[NodeRow, ...]
    metric: str
    target: float
    fidelity: float
    fidelity_all_int8: float
    target_met: bool


def sensitivity(ranking: Ranking) -> Sensitivity:
    """A ranking as the figure and the table need it."""
    rows = tuple(NodeRow(r.name, r.op, r.damage, r.weight_damage, r.activation_damage, r.float_s, r.int8_s,
                         "float" if r.kept_float else "int8", r.why) for r in ranking.rows)
    return Sensitivity(rows, ranking.metric, ranking.target, ranking.fidelity, ranking.fidelity_all_int8,
                       ranking.target_met)


def sentence(shown: Sensitivity) -> str:
    """The finding in plain words."""
    kept = [r for r in shown.rows if r.decision == "float"]
    if not shown.rows:
        return "No node can be INT8."
    head = f"{shown.metric} is {shown.fidelity_all_int8:.4f} with everything in INT8"
    if not kept:
        worst = shown.rows[0]
        return f"{head}; {worst.name} hurts most, {amount(worst.damage)} of it alone."
    total = sum(r.float_s for r in shown.rows) or 1.0
    nodes = "1 node" if len(kept) == 1 else f"{len(kept)} nodes"
    return (f"{head}, and {shown.fidelity:.4f} with {nodes} of {len(shown.rows)} in float, "
            f"which take {sum(r.float_s for r in kept) / total:.0%} of the float model's time.")


def amount(damage: float) -> str:
    """A loss of cosine: '0.0123', '3e-05' or '0'."""
    return "0" if damage < _FLOOR else f"{damage:.4f}" if damage >= 0.001 else f"{damage:.0e}"


def height_of(shown: Sensitivity) -> int:
    """Pixels that the figure takes."""
    return _FRAME + _ROW * max(3, min(MOST_ROWS, len(shown.rows)))


def sensitivity_figure(shown: Sensitivity, view: View = View()) -> go.Figure:
    """Damage of each node alone (whole, weights only, activations only) on a log scale, beside its time in both types.

    Args:
        shown: of :func:`sensitivity`; at most :data:`MOST_ROWS` nodes are drawn, the worst ones.
        view: size and theme.
    """
    rows = shown.rows[:MOST_ROWS]
    places = list(range(len(rows)))
    hues = [_DECISIONS[r.decision][0] for r in rows]
    low, high = _range(rows)
    figure = go.Figure([
        *_stems(rows, view), _marks(rows, "activation_damage", "activations only", "diamond-open", hues, 7),
        _marks(rows, "weight_damage", "weights only", "square-open", hues, 7),
        _marks(rows, "damage", "whole node", "circle", hues, 10),
        *(_times(rows, name, label, filled, hues) for name, label, filled in (
            ("float_s", "in float", False), ("int8_s", "in INT8", True)))])
    longest = max([r.float_s for r in rows] + [r.int8_s for r in rows] + [1e-9]) * 1e3
    axis = dict(fixedrange=True, side="top")
    names = [_short(r.name, view) for r in rows]
    figure.update_layout(
        template=theme.template(view.mode, view.font_size), width=view.width, height=view.height, barmode="overlay",
        dragmode=False, hovermode="closest", bargap=0.45,
        margin=dict(l=round(0.52 * view.font_size * max([12, *map(len, names)])) + 14, r=18, t=66, b=26),
        xaxis=dict(axis, type="log", range=[low, high], domain=[0, .64], dtick=1, exponentformat="power",
                   title=dict(text="damage alone, 1 − cosine (log)", standoff=2)),
        xaxis2=dict(axis, anchor="y", range=[0, 1.08 * longest], domain=[.70, 1], nticks=4,
                    title=dict(text="time of the node, ms", standoff=2)),
        yaxis=dict(tickvals=places, ticktext=names, range=[len(rows) - 0.4, -0.6], fixedrange=True, showline=False,
                   ticks="", tickfont=dict(size=view.font_size - 2, color=theme.INK[view.mode])),
        annotations=_key(shown, view))
    return figure


def _range(rows: tuple[NodeRow, ...]) -> tuple[float, float]:
    """log10 of what is drawn, four decades at most: smaller damage sits at the left edge."""
    values = [max(v, _FLOOR) for r in rows for v in (r.damage, r.weight_damage, r.activation_damage)] or [1e-3, 1e-2]
    high = math.log10(max(values))
    return max(math.floor(math.log10(min(values))), math.ceil(high) - 4) - 0.12, high + 0.15


def _at(rows: tuple[NodeRow, ...], damage: float) -> float:
    """Where a damage is drawn."""
    return max(damage, 10 ** (_range(rows)[0] + 0.05))


def _stems(rows: tuple[NodeRow, ...], view: View) -> list[go.Scatter]:
    low = 10 ** _range(rows)[0]
    x, y = [], []
    for i, r in enumerate(rows):
        x += [low, _at(rows, r.damage), None]
        y += [i, i, None]
    return [go.Scatter(x=x, y=y, mode="lines", hoverinfo="skip", line=dict(color=theme.GRID[view.mode], width=2))]


def _marks(rows: tuple[NodeRow, ...], field: str, label: str, symbol: str, hues: list[str], size: int) -> go.Scatter:
    texts = [f"<b>{r.name}</b> ({r.op})<br>{label}: {amount(getattr(r, field))}<br>{_decision(r)}" for r in rows]
    return go.Scatter(x=[_at(rows, getattr(r, field)) for r in rows], y=list(range(len(rows))), mode="markers",
                      marker=dict(symbol=symbol, size=size, color=hues, line=dict(width=1.3, color=hues)), name=label,
                      customdata=texts, hovertemplate="%{customdata}<extra></extra>", ids=[r.name for r in rows])


def _times(rows: tuple[NodeRow, ...], field: str, label: str, filled: bool, hues: list[str]) -> go.Bar:
    texts = [f"<b>{r.name}</b><br>{label} {units.duration(getattr(r, field))}" for r in rows]
    style = dict(color=theme.PRECISION_COLORS["int8"]) if filled else dict(
        color="rgba(0,0,0,0)", line=dict(color=theme.PRECISION_COLORS["float32"], width=1.4))
    return go.Bar(x=[getattr(r, field) * 1e3 for r in rows], y=list(range(len(rows))), orientation="h", xaxis="x2",
                  name=label, marker=style, width=0.34 if filled else 0.62, customdata=texts,
                  hovertemplate="%{customdata}<extra></extra>")


def _decision(r: NodeRow) -> str:
    if r.decision == "int8":
        return "INT8"
    return "float, as asked" if r.why == "asked" else "float"


def _short(name: str, view: View) -> str:
    """The end of a name tells more than its beginning."""
    most = max(14, view.width // 32)
    return name if len(name) <= most else "…" + name[1 - most:]


def _key(shown: Sensitivity, view: View) -> list[dict]:
    ink, muted = theme.INK[view.mode], theme.MUTED[view.mode]
    orange, blue = (_DECISIONS[d][0] for d in ("int8", "float"))
    parts = [(0.0, f"<span style='color:{orange}'>●</span> INT8  <span style='color:{blue}'>●</span> kept in float  "
                   f"<span style='color:{muted}'>□ weights only  ◇ activations only</span>"),
             (0.70, f"<span style='color:{blue}'>▯</span> in float  <span style='color:{orange}'>▮</span> in INT8")]
    made = [dict(xref="paper", yref="paper", x=x, y=1, xanchor="left", yanchor="bottom", yshift=42, text=text,
                 showarrow=False, font=dict(size=view.font_size - 2, color=ink)) for x, text in parts]
    more = len(shown.rows) - MOST_ROWS
    if more > 0:
        made.append(dict(xref="paper", yref="paper", x=0, y=0, xanchor="left", yanchor="top", yshift=-4,
                         text=f"and {more} nodes that hurt less", showarrow=False,
                         font=dict(size=view.font_size - 2, color=muted)))
    return made
