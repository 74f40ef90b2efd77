"""Figures of graphs and profiles: operators by step, time by node, the roof, damage against time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from ... import units
from ...passes._sensitivity import NodeDamage
from ...profile import Profile
from ...profile.roofline import UNKNOWN, Limits, Roofline
from .. import theme
from .base import BLUE, INK, MUTED, ORANGE, RULE, SERIES, SKY, YELLOW, escape, figure, log_range, log_ticks

_TOP, _BAR, _KINDS = 14, 26, 6
_HALF = ("float16", "bfloat16", "fp16", "bf16", "f16")


def operators(steps: Mapping[str, Mapping[str, int]]) -> go.Figure:
    """Nodes of each step by operator, as stacked bars.

    Args:
        steps: name of a step -> operator -> number of nodes, in order.
    """
    total = Counter({op: 0 for counts in steps.values() for op in counts})
    for counts in steps.values():
        total.update(counts)
    kinds = [op for op, _ in total.most_common(_KINDS)]
    names = list(steps)
    made = figure("What each pass does to the number of nodes", "nodes by operator", x="nodes",
                  height=110 + 44 * len(names), left=190, right=110)
    most = max(sum(c.values()) for c in steps.values())
    for op, hue in zip([*kinds, "others"], (*SERIES, RULE), strict=False):
        values = [c.get(op, 0) if op != "others" else sum(n for k, n in c.items() if k not in kinds)
                  for c in steps.values()]
        texts = [f"{op} {n}" if n * 640 / most > 7 * len(f"{op} {n}") else "" for n in values]
        made.add_bar(y=names, x=values, orientation="h", name=op, text=texts, **_segment(hue),
                     hovertemplate=f"{escape(op)}: %{{x}} nodes<extra></extra>")
    first = sum(next(iter(steps.values())).values())
    for name, counts in steps.items():
        n = sum(counts.values())
        change = f" ({n - first:+d})".replace("-", "−") if n != first else ""
        made.add_annotation(x=n, y=name, text=f"<b>{n}</b>{change}", showarrow=False, xanchor="left", xshift=6)
    made.update_layout(barmode="stack", yaxis=dict(autorange="reversed", showgrid=False, ticks=""),
                       xaxis=dict(range=[0, 1.02 * most]))
    _key(made, kinds)
    return made


def node_times(found: Profile, title: str) -> go.Figure:
    """The slowest nodes with their spread; colour is what they compute in, where the runtime tells."""
    rows = found.rows[:_TOP]
    low, high = found.end_to_end_spread_s
    rest = found.rows[_TOP:]
    told = f"; {len(rest)} more nodes take {sum(r.share for r in rest):.0%}" if rest else ""
    made = figure(title, f"median of one run by node with the 5th to 95th percentile; the whole run takes "
                  f"{units.duration(found.end_to_end_s)} ({units.duration(low)} to {units.duration(high)}){told}",
                  x="µs" if found.end_to_end_s < 2e-3 else "ms", height=100 + _BAR * max(3, len(rows)), left=290,
                  right=90)
    factor = 1e6 if found.end_to_end_s < 2e-3 else 1e3
    names = [_unique(r.name, r.op, i) for i, r in enumerate(rows)]
    values = [r.median_s * factor for r in rows]
    made.add_bar(
        y=names, x=values, orientation="h", marker=dict(color=[_hue(r.precision) for r in rows], line=dict(width=0)),
        error_x=dict(type="data", symmetric=False, color=MUTED, thickness=1.2, width=3,
                     array=[max(0, r.spread_s[1] - r.median_s) * factor for r in rows],
                     arrayminus=[max(0, r.median_s - r.spread_s[0]) * factor for r in rows]),
        customdata=[[r.op, f"{r.share:.1%}", r.kernel or "–", r.precision or "–"] for r in rows],
        hovertemplate="%{y}<br>%{customdata[0]}, %{customdata[3]}<br>%{customdata[1]} of all nodes<br>"
                      "kernel: %{customdata[2]}<extra></extra>")
    reach = 1.12 * max(r.spread_s[1] * factor for r in rows)
    for name, r in zip(names, rows, strict=True):
        made.add_annotation(x=max(r.median_s, r.spread_s[1]) * factor, y=name, text=f"{r.share:.0%}", showarrow=False,
                            xanchor="left", xshift=8, font=dict(color=MUTED))
    made.update_layout(yaxis=dict(autorange="reversed", showgrid=False, ticks=""), xaxis=dict(range=[0, reach]))
    return made


def shares(profiles: Mapping[str, Profile]) -> go.Figure:
    """Time by operator of several variants, as stacked bars on one scale.

    The bars are the run without a profile, divided as the profile says: shares can be trusted where times cannot.
    """
    total: Counter[str] = Counter()
    for p in profiles.values():
        for row in p.rows:
            total[row.op] += row.share * p.end_to_end_s
    kinds = [op for op, _ in total.most_common(_KINDS)]
    names = list(profiles)
    made = figure("Where the time goes", "one run without a profile, ms, divided by operator as the profile says",
                  x="ms", height=110 + 46 * len(names), left=220, right=90)
    most = max(p.end_to_end_s for p in profiles.values()) * 1e3
    for op, hue in zip([*kinds, "others"], (*SERIES, RULE), strict=False):
        values = [1e3 * p.end_to_end_s * sum(r.share for r in p.rows if (r.op == op if op != "others" else
                                                                         r.op not in kinds))
                  for p in profiles.values()]
        texts = [op if v * 640 / most > 7.5 * len(op) else "" for v in values]
        made.add_bar(y=names, x=values, orientation="h", name=op, text=texts, **_segment(hue),
                     hovertemplate=f"{escape(op)}: %{{x:.3f}} ms<extra></extra>")
    for name, p in profiles.items():
        made.add_annotation(x=1e3 * p.end_to_end_s, y=name, text=f"<b>{units.duration(p.end_to_end_s)}</b>",
                            showarrow=False, xanchor="left", xshift=6)
    made.update_layout(barmode="stack", yaxis=dict(autorange="reversed", showgrid=False, ticks=""),
                       xaxis=dict(range=[0, 1.02 * most]))
    _key(made, kinds)
    return made


def roof(found: Roofline, of: Limits) -> go.Figure:
    """Williams, Waterman, Patterson's roofline: how near each node comes to what this machine can do."""
    rows = [r for r in found.rows if r.bound.kind != UNKNOWN and r.operations > 0 and r.bytes > 0 and r.median_s > 0]
    made = figure("How near do the nodes come to this machine's limits?",
                  f"operations a second against operations a byte, both log; the dot's area is its time; "
                  f"{of.threads} threads", x="operations a byte", y="Gop/s", height=420, right=40, log_x=True,
                  log_y=True)
    if not rows:
        return made
    x = [r.operations / r.bytes for r in rows]
    y = [r.operations / r.median_s / 1e9 for r in rows]
    left, right = min(x) / 3, max(*x, of.float32 / of.bandwidth[-1][1]) * 3
    steps = [left * (right / left) ** (i / 60) for i in range(61)]
    memory = {"cache": max(rate for _, rate in of.bandwidth), "memory": of.bandwidth[-1][1]}
    for (name, rate), hue in zip(memory.items(), (RULE, MUTED), strict=True):
        made.add_scatter(x=steps, y=[min(of.float32, s * rate) / 1e9 for s in steps], mode="lines", hoverinfo="skip",
                         line=dict(color=hue, width=1.6), name=name)
        made.add_annotation(x=math.log10(left), y=math.log10(left * rate / 1e9), text=f"{name} {units.size(rate)}/s",
                            showarrow=False, xanchor="left", yanchor="top", xshift=16, font=dict(color=MUTED))
    made.add_annotation(x=math.log10(right), y=math.log10(of.float32 / 1e9), showarrow=False,
                        text=f"float32 peak {of.float32 / 1e9:.0f} Gop/s", xanchor="right", yanchor="bottom",
                        yshift=4, font=dict(color=MUTED))
    longest = max(r.median_s for r in rows)
    made.add_scatter(
        x=x, y=y, mode="markers", marker=dict(color=BLUE, opacity=0.8, line=dict(width=1, color="#ffffff"),
                                              size=[max(7, 30 * math.sqrt(r.median_s / longest)) for r in rows]),
        customdata=[[escape(r.name), r.op, units.duration(r.median_s), r.bound.kind, f"{r.percent:.0f}"] for r in rows],
        hovertemplate="%{customdata[0]}<br>%{customdata[1]}, %{customdata[2]}<br>%{customdata[4]} % of the "
                      "%{customdata[3]} limit<extra></extra>")
    taken: list[tuple[float, float]] = []
    for i in sorted(range(len(rows)), key=lambda i: -rows[i].median_s)[:6]:
        at = (math.log10(x[i]), math.log10(y[i]))
        if any(abs(at[0] - a) < 0.45 and abs(at[1] - b) < 0.16 for a, b in taken):
            continue  # its dot still tells on hover
        taken.append(at)
        made.add_annotation(x=at[0], y=at[1], text=f"{rows[i].op} {rows[i].percent:.0f} %", showarrow=False,
                            yanchor="top", yshift=-max(5, 15 * math.sqrt(rows[i].median_s / longest)))
    made.update_layout(xaxis=dict(range=log_range([left, right], 0.0)),
                       yaxis=dict(range=log_range([*y, of.float32 / 1e9, left * memory["memory"] / 1e9], 0.08)))
    for axis in (made.layout.xaxis, made.layout.yaxis):
        axis.tickvals, axis.ticktext = log_ticks(10 ** axis.range[0], 10 ** axis.range[1])
    return made


def damage(rows: Sequence[NodeDamage]) -> go.Figure:
    """How much INT8 hurts each node, against the time it takes: what to keep in float lies above and left."""
    known = [r for r in rows if r.damage > 0]
    made = figure("Which nodes does INT8 hurt, and what would keeping them in float cost?",
                  "damage: 1 − mean cosine to the float outputs when only this node is INT8 (log)",
                  x="share of the float model's time, %", height=400, right=120, log_y=True)
    if not known:
        made.add_annotation(text="INT8 changes nothing measurable", xref="paper", yref="paper", x=0.5, y=0.5,
                            showarrow=False)
        return made
    for kept, hue, name in ((False, ORANGE, "INT8"), (True, BLUE, "kept in float")):
        some = [r for r in known if r.kept_float == kept]
        made.add_scatter(
            x=[100 * r.time_share for r in some], y=[r.damage for r in some], mode="markers", name=name,
            marker=dict(color=hue, size=11, symbol="diamond" if kept else "circle",
                        line=dict(width=1, color="#ffffff")),
            customdata=[[escape(r.name), r.op, f"{r.weight_damage:.1e}", f"{r.activation_damage:.1e}"] for r in some],
            hovertemplate="%{customdata[0]}<br>%{customdata[1]}, " + name + "<br>damage %{y:.1e}<br>weights "
                          "%{customdata[2]}, activations %{customdata[3]}<extra></extra>")
    limits = log_range([r.damage for r in known], 0.1)
    taken: list[tuple[float, float]] = []
    for r in sorted(known, key=lambda r: -r.damage)[:8]:
        at = (100 * r.time_share, math.log10(r.damage))
        if any(abs(at[0] - a) < 12 and abs(at[1] - b) < 0.07 * (limits[1] - limits[0]) for a, b in taken):
            continue
        taken.append(at)
        made.add_annotation(x=at[0], y=at[1], text=escape(_short(r.name)), showarrow=False, xanchor="left", xshift=9,
                            font=dict(color=BLUE if r.kept_float else INK))
    most = max(100 * r.time_share for r in known)
    made.update_layout(yaxis=dict(range=limits), xaxis=dict(range=[-0.03 * most - 0.5, 1.15 * most + 1]))
    made.layout.yaxis.tickvals, made.layout.yaxis.ticktext = _powers(*limits)
    if any(r.kept_float for r in known):
        made.add_annotation(text=f"<span style='color:{BLUE}'>◆ kept in float</span>&nbsp;&nbsp;"
                                 f"<span style='color:{ORANGE}'>● INT8</span>", xref="paper", yref="paper", x=1, y=1,
                            xanchor="right", yanchor="bottom", showarrow=False)
    return made


def _segment(hue: str) -> dict[str, Any]:
    """One colour of a stacked bar, with its name inside."""
    return dict(marker=dict(color=hue, line=dict(width=0)), textposition="inside", insidetextanchor="middle",
                textangle=0, constraintext="none",
                textfont=dict(color=INK if hue in (RULE, YELLOW, SKY) else "#ffffff", size=11))


def _key(made: go.Figure, kinds: Sequence[str]) -> None:
    """Names of the colours in one line, for the segments that are too narrow for theirs."""
    text = "&nbsp;&nbsp;".join(f"<span style='color:{hue}'>▮</span> {escape(op)}"
                               for op, hue in zip(kinds, SERIES, strict=False))
    made.add_annotation(text=text, xref="paper", yref="paper", x=1, y=1, xanchor="right", yanchor="bottom",
                        showarrow=False, font=dict(color=MUTED))


def _powers(low: float, high: float) -> tuple[list[float], list[str]]:
    powers = range(math.floor(low), math.ceil(high) + 1)
    return [10.0**p for p in powers], [f"10<sup>{p}</sup>".replace("-", "−") for p in powers]


def _hue(precision: str) -> str:
    name = precision.lower()
    key = "int8" if "8" in name and "int" in name or name in ("i8", "u8") else "float16" if name in _HALF else "float32"
    return theme.color(key if name else "unknown")


def _short(name: str) -> str:
    return name if len(name) <= 26 else f"…{name[-25:]}"


def _unique(name: str, op: str, index: int) -> str:
    """A row's title: operator, then the end of its name; invisible marks keep equal ones apart."""
    tail = name if len(name) <= 30 else f"…{name[-29:]}"
    return f"{escape(op[:16])} · {escape(tail)}" + "\u200b" * index

