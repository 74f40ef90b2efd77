"""plotly figures over frames. Traces and axes are always the same ones, so that a page can update a plot in place."""

from __future__ import annotations

import math
import textwrap
from typing import Any, NamedTuple

import plotly.graph_objects as go

from .. import units
from ..collection import no_collection
from . import labels, theme
from .frames import Point, Tradeoff, short_runtime

MARGIN = dict(l=54, r=18, t=26, b=40)
_TEXTS, _FAILURES = 40, 6  # most labels and crosses ever drawn
_MOST_BEHIND = 1000  # a page draws more points, with their bars, only in seconds
_STRIP = 1  # index of the trace of raw samples
Values = dict[str, Any]
_STEPS = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)


class View(NamedTuple):
    """How to draw: pixel size of the figure, theme and font size."""

    width: int = 640
    height: int = 360
    mode: str = "light"
    font_size: int = theme.FONT_SIZES[0]


@no_collection()
def tradeoff_figure(shown: Tradeoff, view: View = View(), *, selected: str = "",
                    samples: tuple[float, ...] = (), samples_of: str = "") -> go.Figure:
    """The trade-off plot.

    Args:
        shown: what to draw.
        view: size and theme.
        selected: recipe key of the variant with the ring.
        samples: raw latencies in seconds, drawn as a faint strip.
        samples_of: recipe key of the variant that they belong to; '' is the selected one.
    """
    timed = [p for p in shown.points if p.quality is not None]
    behind = _thinned(sorted((p for p in timed if _behind(p)), key=lambda p: p.standing != "tried"), selected)
    ahead = [p for p in timed if not _behind(p)]
    pending = [p for p in shown.points if p.quality is None]
    axes = _Axes(shown, view)
    hover = dict(hovertemplate="%{customdata}<extra></extra>", mode="markers")
    figure = go.Figure([
        go.Scatter(mode="lines", hoverinfo="skip", name="front", **_front(shown, view, axes)),
        go.Scatter(mode="markers", hoverinfo="skip", name="samples",
                   **_strip(shown.point(samples_of or selected), samples, axes)),
        go.Scatter(name="dominated", **hover, **_points(behind, view, axes, shown, bars=0.3)),
        go.Scatter(name="variants", **hover, **_points(ahead, view, axes, shown)),
        go.Scatter(name="fidelity pending", yaxis="y2", **hover, **_points(pending, view, axes, shown)),
        go.Scatter(mode="markers", hoverinfo="skip", name="selected", **_ring(timed, selected, view, axes)),
        go.Scatter(name="failed", xaxis="x2", yaxis="y2", **hover, **_failed(shown, view)),
    ])
    _layout(figure, shown, view, axes)
    figure.layout.annotations = _annotations(shown, view, axes, selected, figure.data[_STRIP].x)
    return figure


class _Axes:
    """Ranges that move in steps, so that a plot that grows does not jitter, and the way to pixels."""

    def __init__(self, shown: Tradeoff, view: View) -> None:
        self.scale = 100.0 if shown.quality_name == "accuracy" else 1.0
        self.largest = max((p.size_bytes for p in shown.points), default=0)
        margin = margins(view)
        self.width = max(60, view.width - margin["l"] - margin["r"])
        self.height = max(60, view.height - margin["t"] - margin["b"])
        spans = [v for p in shown.points for v in (*p.latency_interval_s, p.latency_s)] or [1e-3, 1e-2]
        self.x = _latency_range(min(spans) * 1e3, max(spans) * 1e3)
        values = [v * self.scale for p in shown.points if p.quality is not None
                  for v in (p.quality, *(p.quality_interval or ()))]
        self.y = _quality_range(values, self.scale)

    def diameter(self, p: Point) -> float:
        """Marker diameter in pixels."""
        return marker_size(p.size_bytes, self.largest)

    def bars(self, p: Point) -> list[labels.Box]:
        """Areas of the two interval bars, in pixels."""
        x, y = self.pixel(p)
        down, up = (v * self.scale / (self.y[1] - self.y[0]) * self.height for v in _spread(p))
        left, right = (self.pixel(p._replace(latency_s=v))[0] for v in p.latency_interval_s)
        return [labels.Box(x - 3, y - up, x + 3, y + down), labels.Box(left, y - 4, right, y + 4)]

    def pixel(self, p: Point) -> tuple[float, float]:
        """Centre of a point in pixels of the plotting area, y down."""
        low, high = self.x
        x = (math.log10(p.latency_s * 1e3) - low) / (high - low)
        bottom, top = self.y
        y = 0.0 if p.quality is None else (p.quality * self.scale - bottom) / (top - bottom)
        return x * self.width, (1 - y) * self.height


def margins(view: View) -> dict[str, int]:
    """Margins for a font size."""
    factor = view.font_size / theme.FONT_SIZES[0]
    return {k: round(v * factor) for k, v in MARGIN.items()}


def marker_size(size_bytes: int, largest: int) -> float:
    """Diameter in pixels: the *area* is proportional to the artefact's size, the largest one being 20 wide."""
    return max(7.0, 20.0 * math.sqrt(size_bytes / largest)) if size_bytes and largest else 10.0


def _layout(figure: go.Figure, shown: Tradeoff, view: View, axes: _Axes) -> None:
    ticks = _ticks(*axes.x, max(3, axes.width // (4 * view.font_size)))
    step = _round_step((axes.y[1] - axes.y[0]) / max(2, axes.height // (3 * view.font_size)))
    levels = [step * n for n in range(math.ceil(axes.y[0] / step - 1e-9), math.floor(axes.scale / step + 1e-9) + 1)]
    hidden = dict(range=[0, 1], visible=False, fixedrange=True)
    figure.update_layout(
        template=theme.template(view.mode, view.font_size), margin=margins(view), width=view.width, height=view.height,
        hovermode="closest", dragmode=False, uirevision="same",
        xaxis=dict(type="log", fixedrange=True, range=axes.x, showgrid=bool(shown.points), tickvals=ticks,
                   ticktext=[_number(t) for t in ticks]),
        yaxis=dict(fixedrange=True, range=axes.y, showgrid=bool(shown.points), tickvals=levels,
                   tickformat=f".{max(0, -math.floor(math.log10(step)))}f"),
        xaxis2=dict(overlaying="x", **hidden), yaxis2=dict(overlaying="y", **hidden))
    base = shown.baseline
    if base:
        figure.add_shape(type="line", yref="paper", y0=0, y1=1, x0=base.latency_s * 1e3, x1=base.latency_s * 1e3,
                         layer="below", line=dict(color=theme.RULE[view.mode], width=1, dash="2px,3px"))


def _points(points: list[Point], view: View, axes: _Axes, shown: Tradeoff, bars: float = 0.85) -> Values:
    """Markers with interval bars of that opacity; a point without a quality stands on the lower edge."""
    paints = [_paint(p, view.mode) for p in points]
    bar = dict(type="data", visible=True, symmetric=False, thickness=1.2, width=3,
               color=theme.fade(theme.MUTED[view.mode], bars))
    spread = [_spread(p) for p in points]
    return {
        "x": [p.latency_s * 1e3 for p in points], "y": [(p.quality or 0.0) * axes.scale for p in points],
        "ids": [p.key for p in points],
        "customdata": [hover_text(p, shown) for p in points],
        "marker": dict(symbol=[theme.shape(p.runtime) for p in points], size=[axes.diameter(p) for p in points],
                       color=[ground for ground, _ in paints], opacity=1,
                       line=dict(width=1.8, color=[edge for _, edge in paints])),
        "error_x": dict(bar, array=[(p.latency_interval_s[1] - p.latency_s) * 1e3 for p in points],
                        arrayminus=[(p.latency_s - p.latency_interval_s[0]) * 1e3 for p in points]),
        "error_y": dict(bar, array=[up * axes.scale for _, up in spread],
                        arrayminus=[down * axes.scale for down, _ in spread]),
    }


def _thinned(behind: list[Point], selected: str) -> list[Point]:
    """Of thousands of variants that others beat, an even sample; all that compete are drawn anyway."""
    step = -(-len(behind) // _MOST_BEHIND)
    return behind if step <= 1 else [p for i, p in enumerate(behind) if i % step == 0 or p.key == selected]


def _spread(p: Point) -> tuple[float, float]:
    """Length of the quality's bar below and above the point."""
    if p.quality is None or p.quality_interval is None:
        return 0.0, 0.0
    return p.quality - p.quality_interval[0], p.quality_interval[1] - p.quality


def _behind(p: Point) -> bool:
    return p.standing in ("dominated", "tried") and not p.is_baseline


def _paint(p: Point, mode: str) -> tuple[str, str]:
    """Fill and edge: solid is decided (or the baseline), tinted is slower, hollow is undecided or live."""
    hue = theme.color(p.precision)
    if p.standing == "tried":
        return theme.fade(hue, 0.12), theme.fade(hue, 0.4)
    edge = theme.fade(hue, 0.55) if _behind(p) else hue
    if p.live or p.verdict == "undecided":
        return theme.GROUND[mode], edge
    if p.verdict == "slower":
        return theme.fade(hue, 0.25), edge
    return (theme.fade(hue, 0.55) if _behind(p) else hue), edge


def _front(shown: Tradeoff, view: View, axes: _Axes) -> Values:
    """The stepped line: from each point on, nothing faster was found that is as good."""
    return {"x": [latency * 1e3 for latency, _ in shown.front], "y": [q * axes.scale for _, q in shown.front],
            "line": dict(shape="hv", width=1.6, color=theme.fade(theme.MUTED[view.mode], 0.55))}


def _strip(p: Point | None, samples: tuple[float, ...], axes: _Axes) -> Values:
    if p is None or p.quality is None:
        return {"x": [], "y": []}
    low, high = (10**v for v in axes.x)
    thinned = (s * 1e3 for s in samples[:: max(1, len(samples) // 300)])
    inside = [s for s in thinned if low <= s <= high]
    return {"x": inside, "y": [p.quality * axes.scale] * len(inside),
            "marker": dict(symbol="line-ns-open", size=9, color=theme.fade(theme.color(p.precision), 0.25))}


def _ring(points: list[Point], selected: str, view: View, axes: _Axes) -> Values:
    found = [p for p in points if p.key == selected]
    return {"x": [p.latency_s * 1e3 for p in found], "y": [p.quality * axes.scale for p in found],
            "marker": dict(symbol="circle-open", size=[axes.diameter(p) + 11 for p in found],
                           color=theme.INK[view.mode], line=dict(width=2))}


def _failed(shown: Tradeoff, view: View) -> Values:
    """Crosses stacked in the lower right corner: slow and inaccurate is where no variant wants to be."""
    room = shown.failures[:_FAILURES]
    return {"x": [0.985] * len(room), "y": [_failed_height(i, view) for i in range(len(room))],
            "customdata": [f"<b>{_escape(f.name)}</b><br>failed: {_escape(_wrap(f.reason))}" for f in room],
            "ids": [f.key for f in room],
            "marker": dict(symbol="x-thin", size=9, line=dict(width=2, color=theme.BAD[view.mode]))}


def _failed_height(index: int, view: View) -> float:
    margin = margins(view)
    return (0.9 + 1.5 * index) * view.font_size / max(60, view.height - margin["t"] - margin["b"])


def _annotations(shown: Tradeoff, view: View, axes: _Axes, selected: str,
                 strip: tuple[float, ...]) -> list[dict[str, Any]]:
    small = dict(color=theme.MUTED[view.mode], size=view.font_size - 1)
    unit = "accuracy, %" if shown.quality_name == "accuracy" else f"{shown.quality_name} to the original"
    paper = dict(xref="paper", yref="paper", showarrow=False, font=small)
    what = "latency" if shown.batch == 1 else f"latency of {shown.batch} samples"
    left = -margins(view)["l"] + 10
    notes = [
        dict(paper, x=0, y=1, xanchor="left", yanchor="bottom", text=f"{unit} ↑", xshift=left, yshift=6),
        dict(paper, x=1, y=0, xanchor="right", yanchor="top", text=f"{what}, ms (log) →",
             yshift=-1.55 * view.font_size)]
    if shown.points and axes.width > 30 * view.font_size:
        notes.append(dict(paper, x=0, y=0, xanchor="left", yanchor="top", text=_key(shown), xshift=left,
                          yshift=-1.55 * view.font_size))
    if not shown.points and not shown.failures:
        notes.append(dict(paper, x=0.5, y=0.5, text="Nothing measured yet.<br>Measure times your selection "
                                                    "and the baseline, and draws both here."))
    beaten = sum(map(_behind, shown.points))
    if beaten > _MOST_BEHIND:
        notes.append(dict(paper, x=1, y=1, xanchor="right", yanchor="bottom", yshift=6,
                          text=f"of {units.count(beaten)} beaten variants a sample is drawn"))
    if shown.is_random:
        notes.append(dict(paper, x=0.5, y=0.5, text="RANDOM INPUTS", textangle=-18, opacity=0.16,
                          font=dict(size=3 * view.font_size, color=theme.INK[view.mode])))
    notes += [dict(paper, x=0.985, y=_failed_height(i, view), xanchor="right", yanchor="middle", xshift=-8,
                   text=f"{_escape(f.short)} failed")
              for i, f in enumerate(shown.failures[:_FAILURES])]
    return notes + _labels(shown, view, axes, selected, strip)


def _key(shown: Tradeoff) -> str:
    """Shapes and colours that are in use, as one line."""
    runtimes = dict.fromkeys(p.runtime for p in shown.points)
    precisions = dict.fromkeys(p.precision for p in shown.points)
    shapes = [f"{theme.SHAPE_GLYPHS[theme.shape(r)]} {short_runtime(r)}" for r in runtimes]
    hues = [f"<span style='color:{theme.color(p)}'>▬</span> {theme.PRECISION_TITLES[p]}" for p in precisions]
    return "&nbsp;&nbsp;".join([*shapes, *hues])


def _labels(shown: Tradeoff, view: View, axes: _Axes, selected: str, strip: tuple[float, ...]) -> list[dict[str, Any]]:
    named = [p for p in shown.points if p.standing != "tried" or p.key == selected]
    order = sorted(named, key=lambda p: (p.key != selected, not p.is_baseline, p.standing != "front"))[:_TEXTS]
    size = view.font_size - 1
    anchors = [labels.Anchor(*axes.pixel(p), axes.diameter(p) / 2 + (7 if p.key == selected else 1), _label(p),
                             p.standing != "dominated", p.key == selected)  # the selected one has a ring
               for p in order]
    busy = [bar for p in order for bar in axes.bars(p)]
    point = shown.point(selected)
    if point and len(strip) > 20:  # the bulk of the strip of raw samples
        ends = sorted(strip)[len(strip) // 20], sorted(strip)[-len(strip) // 20]
        left, right = (axes.pixel(point._replace(latency_s=v / 1e3))[0] for v in ends)
        busy.append(labels.Box(left, axes.pixel(point)[1] - 6, right, axes.pixel(point)[1] + 6))
    placed = labels.place(anchors, axes.width, axes.height, size, busy)
    found = []
    for p, anchor, spot in zip(order, anchors, placed, strict=True):
        if not spot.fits:
            continue
        strong = p.key == selected or p.is_baseline
        ink = theme.INK if strong or p.standing != "dominated" else theme.MUTED
        text = f"<b>{_escape(anchor.text)}</b>" if p.key == selected else _escape(anchor.text)
        middle = ((spot.box.left + spot.box.right) / 2, (spot.box.top + spot.box.bottom) / 2)
        found.append(dict(
            xref="paper", yref="paper", text=text, borderpad=0, font=dict(size=size, color=ink[view.mode]),
            x=anchor.x / axes.width, y=1 - anchor.y / axes.height, ax=middle[0] - anchor.x, ay=middle[1] - anchor.y,
            showarrow=True, arrowhead=0, arrowwidth=0.8 if spot.far else 0.1,
            arrowcolor=theme.RULE[view.mode] if spot.far else "rgba(0,0,0,0)", standoff=anchor.radius))
    return found


def _label(p: Point) -> str:
    if p.is_baseline:
        return f"{p.short} · baseline"
    glyph = {"slower": " ▼", "undecided": " ≈"}.get(p.verdict, "")
    return p.short + (" …" if p.live else glyph)


def hover_text(p: Point, shown: Tradeoff) -> str:
    """The card beside the pointer."""
    low, high = p.latency_interval_s
    lines = [f"<b>{_escape(p.name)}</b>",
             f"{units.duration(p.latency_s)}  ({units.duration(low)} to {units.duration(high)})"]
    if p.speedup is not None and p.speedup_interval:
        a, b = p.speedup_interval
        span = f"{units.times(a)} to {units.times(b)}"
        lines.append(f"{units.times(p.speedup)} the baseline's speed ({span}): {p.verdict}")
    if p.quality is None:
        lines.append("fidelity not known yet" if p.live else "fidelity could not be checked")
    elif shown.quality_name == "accuracy":
        lines.append(f"accuracy {100 * p.quality:.1f} %")
    else:
        lines.append(f"{shown.quality_name} {p.quality:.5f}")
    if p.size_bytes:
        zipped = f", {units.size(p.compressed_bytes)} compressed" if p.compressed_bytes else ""
        lines.append(f"{units.size(p.size_bytes)} on disk{zipped}")
    if p.standing == "tried":
        lines.append("tried while tuning: a short measurement")
    return "<br>".join(lines)


def _wrap(text: str) -> str:
    """Breaks a sentence for a hover card."""
    return "\n".join(textwrap.wrap(text, 60))


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\n", "<br>")


def _latency_range(low: float, high: float) -> tuple[float, float]:
    """log10 of the range in ms, with room for labels, on steps of 0.1."""
    a, b = math.log10(low), math.log10(high)
    room = max(0.12, 0.14 * (b - a))
    return math.floor(10 * (a - room)) / 10, math.ceil(10 * (b + 2 * room)) / 10


def _quality_range(values: list[float], scale: float) -> tuple[float, float]:
    """A range on round steps and never narrower than noise deserves: 2 points, or 0.002 of cosine."""
    if not values:
        return (0.0, scale)
    low, high, least = min(values), max(values), 0.02 * scale if scale > 1 else 0.002
    room = max(0.18 * (high - low), (least - (high - low)) / 2)
    step = 10 ** math.floor(math.log10(max(high - low, least))) / 2
    return math.floor((low - room) / step) * step, math.ceil((high + room) / step) * step


def _round_step(least: float) -> float:
    """The next 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= least * 0.999)


def _ticks(low: float, high: float, most: int) -> list[float]:
    """Round latencies inside a log range: 1, 2, 5 a decade, finer where the range is short."""
    for steps in (_STEPS, (1, 1.5, 2, 3, 4, 5, 7), (1, 2, 5), (1, 3), (1,)):
        found = [s * 10.0**e for e in range(math.floor(low), math.ceil(high) + 1) for s in steps]
        inside = [round(t, 9) for t in found if low <= math.log10(t) <= high]
        if len(inside) <= most:
            return inside
    return inside


def _number(value: float) -> str:
    return f"{value:.12g}"
