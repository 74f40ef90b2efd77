"""Figures of training passes: curves, and size against what the zeros and the clusters save."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from ... import units
from ...results import Result
from .. import frames, theme
from .base import BLUE, INK, MUTED, ORANGE, RULE, SERIES, apart, escape, figure, label


def curves(runs: Mapping[str, Mapping[str, Any]]) -> go.Figure:
    """Validation accuracy by epoch, or the loss where there is no such measure; epoch 0 is before fine-tuning.

    Args:
        runs: name -> curves as a training pass tells them (:class:`workbench.passes._training.Curves`).
    """
    measured = [r for r in runs.values() if any(v is not None for v in r.get("val_accuracy", ()))]
    field = "val_accuracy" if measured else "val_loss"
    scale, unit = (100.0, "%") if measured else (1.0, "")
    what = next((r.get("measure") for r in measured if r.get("measure")), "validation loss")
    made = figure("How the training recovered", f"{what} on the samples kept back{', %' if measured else ''}; "
                  "epoch 0 is before fine-tuning", x="epoch", height=310, right=210)
    ends = []
    for (name, run), hue in zip(runs.items(), SERIES, strict=False):
        pairs = [(e, scale * v) for e, v in zip(run["epoch"], run[field], strict=False) if v is not None]
        if not pairs:
            continue
        made.add_scatter(x=[e for e, _ in pairs], y=[v for _, v in pairs], mode="lines+markers", name=name,
                         line=dict(color=hue, width=1.8), marker=dict(size=7),
                         hovertemplate=f"{escape(name)}<br>epoch %{{x}}: %{{y:.2f}} {unit}<extra></extra>")
        ends.append((*pairs[-1], name, hue))
    if not ends:
        return made
    values = [v for trace in made.data for v in trace.y]
    room = max(0.5 if measured else 0.01, 0.08 * (max(values) - min(values)))
    low, high = min(values) - room, max(values) + room
    heights = apart([e[1] for e in ends], 0.085 * (high - low))
    for (x, value, name, hue), y in zip(ends, heights, strict=True):
        made.add_annotation(**label(x, y, f"{escape(name)} {value:.1f}{' %' if unit else ''}", hue))
    made.update_layout(yaxis=dict(range=[low, high]), xaxis=dict(dtick=1 if max(e[0] for e in ends) < 12 else None,
                                                               range=[-0.15, max(e[0] for e in ends) + 0.15]))
    return made


def sizes(results: Sequence[Result], names: Mapping[str, str]) -> go.Figure:
    """Artefact on disk and after gzip: zeros and repeated values only save what is compressed."""
    rows = [r for r in results if r.size_bytes]
    titles = [names.get(r.recipe.key) or frames.name_of(r.recipe, r.recipe.threads) for r in rows]
    made = figure("What is smaller on disk, and what only compresses better",
                  "kB; outline: the file, filled: the same after gzip", x="kB", height=110 + 40 * max(2, len(rows)),
                  left=230, right=160)
    disk, packed = [r.size_bytes / 1e3 for r in rows], [(r.compressed_bytes or 0) / 1e3 for r in rows]
    hues = [theme.color(frames.precision_of(r.recipe)) for r in rows]
    made.add_bar(y=titles, x=packed, orientation="h", marker=dict(color=hues, line=dict(width=0)),
                 hovertemplate="%{y}: %{x:.0f} kB after gzip<extra></extra>")
    made.add_bar(y=titles, x=disk, orientation="h",
                 marker=dict(color="rgba(0,0,0,0)", line=dict(color=hues, width=1.6)),
                 hovertemplate="%{y}: %{x:.0f} kB on disk<extra></extra>")
    for r, title in zip(rows, titles, strict=True):
        made.add_annotation(x=max(r.size_bytes, r.compressed_bytes or 0) / 1e3, y=title, showarrow=False,
                            xanchor="left", xshift=6, font=dict(color=INK),
                            text=f"{units.size(r.size_bytes)}, gzip {units.size(r.compressed_bytes or 0)}")
    made.update_layout(barmode="overlay", yaxis=dict(autorange="reversed", showgrid=False, ticks=""))
    made.update_xaxes(range=[0, 1.05 * max([*disk, *packed, 1.0])])
    return made


def answer(image: Any, rows: Sequence[tuple[str, float]], truth: str = "") -> go.Figure:
    """One request and its answer: the image, where there is one, beside the most probable classes.

    Args:
        image: [height, width] grey values, or None.
        rows: (class, probability), most probable first.
        truth: the label, '' when unknown.
    """
    told = f"label: {truth}" if truth else "no label"
    made = figure(f"The model says {rows[0][0]} ({100 * rows[0][1]:.0f} %)", told, height=290,
                  left=16 if image is not None else 150, right=60)
    hues = [BLUE if name == truth else ORANGE if truth and i == 0 else RULE for i, (name, _) in enumerate(rows)]
    made.add_bar(y=[n for n, _ in rows], x=[100 * p for _, p in rows], orientation="h", xaxis="x2", yaxis="y2",
                 marker=dict(color=hues, line=dict(width=0)), text=[f"{100 * p:.1f} %" for _, p in rows],
                 textposition="outside", cliponaxis=False, hovertemplate="%{y}: %{x:.2f} %<extra></extra>")
    made.update_layout(
        xaxis=dict(visible=False, domain=[0, 0.26], fixedrange=True),
        yaxis=dict(visible=False, autorange="reversed", scaleanchor="x", fixedrange=True),
        xaxis2=dict(domain=[0.46 if image is not None else 0, 1], anchor="y2", range=[0, 108], fixedrange=True,
                    title=dict(text="probability, %"), tickfont=dict(color=MUTED)),
        yaxis2=dict(anchor="x2", autorange="reversed", fixedrange=True, showgrid=False, ticks=""))
    if image is not None:
        made.add_heatmap(z=image, showscale=False, colorscale=[[0, "#000000"], [1, "#ffffff"]], hoverinfo="skip")
    return made
