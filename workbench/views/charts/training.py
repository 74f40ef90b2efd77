"""Figures of notebook 09: how two optimizers learn, one weight under the glass, scores with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ...teaching.mlp import Scores
from ...teaching.optimizers import Run
from .base import BLUE, GREEN, INK, MUTED, ORANGE, apart, figure, label, log_range, log_ticks


def losses(runs: Mapping[str, Run]) -> go.Figure:
    """Training loss (line) and held-out loss (dots) of optimizers, by step, log scale; at most two runs."""
    made = figure("Which optimizer gets down faster?", "cross-entropy, log scale; line: training, dotted: held out",
                  x="step", height=330, right=190, log_y=True)
    ends = []
    for (name, run), hue in zip(runs.items(), (BLUE, ORANGE), strict=False):
        keep = np.isfinite(run.losses) & (run.losses > 0)
        steps = np.arange(len(run.losses))
        made.add_scatter(x=steps[keep], y=run.losses[keep], mode="lines", line=dict(color=hue, width=2), name=name,
                         hovertemplate=f"{name}<br>step %{{x}}: %{{y:.4f}}<extra></extra>")
        if len(run.held_out):
            fresh = np.flatnonzero(keep & np.diff(run.held_out, prepend=np.nan).astype(bool))  # taken, not repeated
            made.add_scatter(x=steps[fresh], y=run.held_out[fresh], mode="lines", hoverinfo="skip",
                             line=dict(color=hue, width=1.4, dash="2px,3px"), name=f"{name}, held out")
        text = f"{name}: {run.losses[-1]:.3f}" if keep[-1] else f"{name}: diverged"
        ends.append((text, hue, len(run.losses) - 1, run.losses[keep][-1]))
    values = [v for run in runs.values() for v in (*run.losses, *run.held_out) if np.isfinite(v) and 0 < v < 20]
    made.layout.yaxis.range = log_range(values, 0.06)
    made.layout.xaxis.range = [0, max(len(run.losses) for run in runs.values()) - 1]
    low, high = made.layout.yaxis.range
    made.layout.yaxis.tickvals, made.layout.yaxis.ticktext = log_ticks(10**low, 10**high)
    heights = apart([float(np.clip(np.log10(y), low, high)) for *_, y in ends], (high - low) * 0.09)
    for (text, hue, x, _), height in zip(ends, heights, strict=True):
        made.add_annotation(**label(x, height, text, hue))
    return made


def one_weight(run: Run, corrected: bool, first: int = 40) -> go.Figure:
    """Gradient, its running mean and the step of one weight in the first steps of Adam."""
    n = min(first, len(run.gradient))
    steps = np.arange(1, n + 1)
    made = figure("One weight in the first steps of Adam",
                  "gradient and its running mean m (left axis), what is taken off the weight (bars, right axis)",
                  x="step", y="gradient", height=300, right=70)
    made.add_bar(x=steps, y=run.update[:n], yaxis="y2", marker=dict(color=GREEN, opacity=0.45), name="update",
                 hovertemplate="step %{x}<br>update %{y:.5f}<extra></extra>")
    made.add_scatter(x=steps, y=run.gradient[:n], mode="lines", line=dict(color=BLUE, width=1.6), name="gradient",
                     hovertemplate="step %{x}<br>gradient %{y:.5f}<extra></extra>")
    made.add_scatter(x=steps, y=run.mean[:n], mode="lines", line=dict(color=ORANGE, width=2), name="m",
                     hovertemplate="step %{x}<br>m %{y:.5f}<extra></extra>")
    reach = 1.15 * max(1e-12, np.abs([*run.gradient[:n], *run.mean[:n]]).max())
    top = 1.15 * max(1e-12, np.abs(run.update[:n]).max())
    word = "m / (1 − β₁ᵗ)" if corrected else "m, not corrected"
    made.update_layout(
        yaxis=dict(range=[-reach, reach], overlaying="y2", nticks=6), bargap=0.35,
        yaxis2=dict(nticks=6, side="right", range=[-top, top], showgrid=False, fixedrange=True,
                    title=dict(text="update", standoff=8)),
        annotations=[dict(text=f"<span style='color:{BLUE}'>━ gradient</span>&nbsp;&nbsp;&nbsp;"
                               f"<span style='color:{ORANGE}'>━ {word}</span>&nbsp;&nbsp;&nbsp;"
                               f"<span style='color:{GREEN}'>▮ update</span>",
                          xref="paper", yref="paper", x=1, y=1, xanchor="right", yanchor="bottom", showarrow=False)])
    return made


def scores(rows: Mapping[str, Scores], claimed: Mapping[str, float]) -> go.Figure:
    """Accuracy, recall and F1 with 95 % intervals, beside what was claimed without any.

    Args:
        rows: name of a model -> its scores on held-out samples.
        claimed: 'accuracy', 'recall', 'f1' -> share.
    """
    metrics = ("accuracy", "recall", "f1")
    made = figure("Accuracy, recall and F1 are estimates", "on held-out samples, %, with 95 % intervals", height=300,
                  left=90, x="%", right=130)
    names = list(rows)
    for index, (name, found) in enumerate(rows.items()):
        values = [getattr(found, m) for m in metrics]
        y = [i - 0.13 * (len(names) - 1) + 0.26 * index for i in range(3)]
        hue = (BLUE, ORANGE)[index % 2]
        made.add_scatter(
            x=[100 * v[0] for v in values], y=y, mode="markers", name=name, marker=dict(color=hue, size=9),
            error_x=dict(type="data", symmetric=False, array=[100 * (v[2] - v[0]) for v in values],
                         arrayminus=[100 * (v[0] - v[1]) for v in values], color=hue, thickness=1.6, width=4),
            customdata=[[100 * v[1], 100 * v[2]] for v in values],
            hovertemplate=f"{name}<br>%{{x:.1f}} % (%{{customdata[0]:.1f}} to %{{customdata[1]:.1f}})<extra></extra>")
        made.add_annotation(**label(100 * values[0][2], y[0], name, hue))
    made.add_scatter(x=[100 * claimed[m] for m in metrics], y=[0, 1, 2], mode="markers", name="claimed",
                     marker=dict(symbol="line-ns-open", size=30, color=MUTED, line=dict(width=2)),
                     hovertemplate="claimed: %{x:.0f} %, no interval given<extra></extra>")
    made.add_annotation(**label(100 * claimed["recall"], 1, "claimed, no interval", MUTED))
    shown = [100 * v for found in rows.values() for m in metrics for v in getattr(found, m)]
    low = min([*shown, *(100 * v for v in claimed.values())])
    made.update_layout(yaxis=dict(tickvals=[0, 1, 2], ticktext=["accuracy", "recall", "F1"], range=[2.6, -0.5],
                                  showgrid=False), xaxis=dict(range=[low - 1.5, max(shown) + 1]))
    return made


def agreement(name: str, mine: np.ndarray, theirs: np.ndarray) -> go.Figure:
    """Each gradient by hand against the framework's; on the line they are equal."""
    made = figure(f"Derived by hand, and by {name}", "one dot a weight or bias: gradient of the loss",
                  x="derived by hand", y=name, height=340, right=30)
    reach = 1.1 * float(max(np.abs(mine).max(), np.abs(theirs).max(), 1e-12))
    made.add_scatter(x=[-reach, reach], y=[-reach, reach], mode="lines", hoverinfo="skip",
                     line=dict(color=MUTED, width=1, dash="2px,3px"))
    made.add_scattergl(x=mine, y=theirs, mode="markers", marker=dict(color=BLUE, size=5, opacity=0.55),
                       hovertemplate="%{x:.3e} by hand<br>%{y:.3e}<extra></extra>")
    worst = float(np.abs(mine - theirs).max())
    made.update_layout(xaxis=dict(range=[-reach, reach]), yaxis=dict(range=[-reach, reach]))
    made.add_annotation(xref="paper", yref="paper", x=0.03, y=0.95, xanchor="left", yanchor="top", showarrow=False,
                        text=f"largest difference {worst:.1e}", font=dict(color=INK))
    return made


def step_rows(run: Run, step: int) -> list[tuple[str, str]]:
    """The watched weight's numbers at one step, as names and text."""
    rows: list[tuple[str, Any]] = [("gradient g", run.gradient[step])]
    if len(run.mean):
        rows += [("mean m (corrected)", run.mean[step]), ("square v (corrected)", run.square[step])]
    rows.append(("taken off the weight", run.update[step]))
    return [(name, f"{value:+.3e}") for name, value in rows]
