"""Figures of affine quantization: the numbers over the grid that stands for them, and what each loses."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ...teaching import affine
from .base import BLUE, MUTED, ORANGE, figure

_BINS, _POINTS = 90, 1200


def grid(values: np.ndarray, of: affine.Affine, low: float, high: float, what: str) -> go.Figure:
    """Histogram with the range's ends as lines that can be dragged, above the error of each number.

    Args:
        values: the numbers that are quantized.
        of: the grid for the range.
        low: lower end as it was asked for.
        high: upper end.
        what: what the numbers are, e.g. 'activations of layer 1'.
    """
    head = figure(f"Where should the range of the {what} end?",
                  "drag the lines: a wide range rounds coarsely, a narrow one clips", height=430, left=64, bottom=46)
    made = make_subplots(2, 1, shared_xaxes=True, vertical_spacing=0.1, row_heights=[0.62, 0.38])
    made.update_layout(head.layout)
    counts, edges = np.histogram(values, _BINS)
    centres = (edges[1:] + edges[:-1]) / 2
    inside = (centres >= of.low) & (centres <= of.high)
    for keep, hue, name in ((inside, BLUE, "inside"), (~inside, ORANGE, "clipped")):
        made.add_bar(x=centres[keep], y=counts[keep], width=edges[1] - edges[0], name=name,
                     marker=dict(color=hue, line=dict(width=0)), row=1, col=1,
                     hovertemplate=f"%{{x:.3f}}: %{{y}} numbers, {name}<extra></extra>")
    pad = 0.06 * float(np.ptp(values))
    span = [float(values.min()) - pad, float(values.max()) + pad]
    x = np.linspace(*span, _POINTS)
    error = affine.dequantize(affine.quantize(x, of), of) - x
    made.add_scatter(x=x, y=error, mode="lines", line=dict(color=ORANGE, width=1.2), hovertemplate="%{x:.3f} becomes "
                     "%{customdata:.3f}<extra></extra>", customdata=x + error, row=2, col=1)
    edge = 2.5 * of.scale
    made.update_layout(
        barmode="overlay", bargap=0,
        xaxis=dict(range=span, fixedrange=True), xaxis2=dict(range=span, fixedrange=True, title=dict(text="value")),
        yaxis=dict(title=dict(text="numbers"), fixedrange=True),
        yaxis2=dict(title=dict(text="error x′ − x"), fixedrange=True, range=[-edge, edge]),
        shapes=[dict(type="line", x0=v, x1=v, yref="paper", y0=0.42, y1=1, editable=True,
                     line=dict(color=MUTED, width=3)) for v in (low, high)])
    return made


WIDTHS = tuple(range(2, 13))


def best(values: np.ndarray, symmetric: bool) -> tuple[float, ...]:
    """Signal to noise in dB for each of :data:`WIDTHS`, with the range of least error."""
    return tuple(affine.damage(values, affine.fit(*affine.best_range(values, b, symmetric, 24), b, symmetric)).sqnr_db
                 for b in WIDTHS)


def bits(values: np.ndarray, low: float, high: float, symmetric: bool, best_db: tuple[float, ...]) -> go.Figure:
    """Signal to noise by number of bits, for this range and for the best one (see :func:`best`)."""
    made = figure("Each bit is worth 6 dB, until clipping takes over", "signal to quantization noise, dB",
                  x="bits", height=270, right=150)
    mine = [affine.damage(values, affine.fit(low, high, b, symmetric)).sqnr_db for b in WIDTHS]
    for name, y, hue, shift in (("this range", mine, BLUE, -8), ("range with least error", best_db, ORANGE, 8)):
        made.add_scatter(x=WIDTHS, y=y, mode="lines+markers", line=dict(color=hue, width=1.8), marker=dict(size=6),
                         name=name, hovertemplate=f"{name}<br>%{{x}} bits: %{{y:.1f}} dB<extra></extra>")
        made.add_annotation(x=WIDTHS[-1], y=y[-1], text=name, showarrow=False, xanchor="left", xshift=8, yshift=shift,
                            font=dict(color=hue))
    made.update_layout(xaxis=dict(dtick=1, range=[WIDTHS[0] - 0.4, WIDTHS[-1] + 0.4]))
    return made
