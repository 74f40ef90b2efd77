"""Figures of a search and of sweeps over one setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from ... import units
from ...results import Result
from ...search import Trial
from .. import frames, theme
from .base import (
    BAD,
    GROUND,
    INK,
    MUTED,
    SERIES,
    apart,
    escape,
    figure,
    intervals,
    label,
    log_range,
    log_ticks,
    watermark,
)


def progress(trials: Sequence[Trial], is_random: bool = False) -> go.Figure:
    """Every try of a search over time, and the best so far as a line."""
    made = figure("What the search tried", "median latency with 95 % interval, ms, log; filled meets the goal, hollow "
                  "does not; line: the best", x="seconds since the start", height=340, right=150, log_y=True)
    timed = [t for t in trials if t.result.median_s]
    if not timed:
        return made
    groups: dict[str, list[Trial]] = {}
    for t in timed:
        groups.setdefault(frames.precision_of(t.result.recipe), []).append(t)
    for precision, some in groups.items():
        y = [1e3 * t.result.median_s for t in some]
        made.add_scatter(
            x=[t.elapsed_s for t in some], y=y, mode="markers", ids=[t.result.recipe.key for t in some],
            marker=dict(color=theme.color(precision), size=9,
                        symbol=[theme.shape(t.result.recipe.runtime) + ("-open" if _misses(t) else "") for t in some]),
            error_y=intervals([1e3 * (t.result.interval_s or (t.result.median_s,) * 2)[0] for t in some], y,
                              [1e3 * (t.result.interval_s or (t.result.median_s,) * 2)[1] for t in some]),
            customdata=[[escape(t.result.recipe.label), escape("; ".join([t.why, *t.unmet.values()]))] for t in some],
            hovertemplate="%{customdata[0]}<br>%{y:.3f} ms<br>tried because: %{customdata[1]}<extra></extra>")
    best = [(t.elapsed_s, 1e3 * t.best.median_s) for t in trials if t.best and t.best.median_s]
    if best:
        made.add_scatter(x=[b[0] for b in best], y=[b[1] for b in best], mode="lines", hoverinfo="skip",
                         line=dict(color=MUTED, width=1.6, shape="hv"))
        last = next(t.best for t in reversed(trials) if t.best)
        made.add_annotation(**label(best[-1][0], _log(best[-1][1]), escape(frames.short_name(last.recipe))))
    lost = [t for t in trials if t.result.status == "failed"]
    low, high = log_range([1e3 * t.result.median_s for t in timed])
    if lost:
        edge = 10 ** (0.94 * high + 0.06 * low)
        made.add_scatter(x=[t.elapsed_s for t in lost], y=[edge] * len(lost), mode="markers",
                         marker=dict(symbol="x-thin", size=9, line=dict(width=2, color=BAD)),
                         customdata=[[escape(t.result.recipe.label), escape(t.result.reason)] for t in lost],
                         hovertemplate="%{customdata[0]}<br>failed: %{customdata[1]}<extra></extra>")
    most = max(t.elapsed_s for t in trials)
    made.update_layout(xaxis=dict(range=[0, 1.02 * most + 1]), yaxis=dict(range=[low, high]))
    made.layout.yaxis.tickvals, made.layout.yaxis.ticktext = log_ticks(10**low, 10**high)
    return watermark(made, is_random)


def _misses(trial: Trial) -> bool:
    return bool(trial.unmet) and not trial.result.is_baseline


def scaling(lines: Mapping[str, Sequence[Result]], over: str, title: str, subtitle: str, *,
            per_sample: bool = False, is_random: bool = False) -> go.Figure:
    """Latency over one setting, one line a variant.

    Args:
        lines: name -> results.
        over: 'threads' or 'batch' of the recipe.
        title: the question.
        subtitle: what is drawn.
        per_sample: divides by the batch.
        is_random: watermark.
    """
    made = figure(title, subtitle, x=over, height=340, right=170, log_x=over == "batch", log_y=True)
    ends, seen, values = [], set(), []
    for (name, results), hue in zip(lines.items(), SERIES, strict=False):
        good = sorted((r for r in results if r.median_s), key=lambda r: getattr(r.recipe, over))
        if not good:
            continue
        share = [r.recipe.batch if per_sample else 1 for r in good]
        x = [getattr(r.recipe, over) for r in good]
        y = [1e3 * r.median_s / s for r, s in zip(good, share, strict=True)]
        spans = [r.interval_s or (r.median_s, r.median_s) for r in good]
        low = [1e3 * a / s for (a, _), s in zip(spans, share, strict=True)]
        high = [1e3 * b / s for (_, b), s in zip(spans, share, strict=True)]
        made.add_scatter(x=x, y=y, mode="lines+markers", name=name, line=dict(color=hue, width=1.8),
                         marker=dict(size=8), ids=[r.recipe.key for r in good],
                         error_y=intervals(low, y, high, color=hue),
                         customdata=[units.duration(v / 1e3) for v in y],
                         hovertemplate=f"{escape(name)}<br>{over} %{{x}}: %{{customdata}}<extra></extra>")
        seen.update(x)
        values += [*low, *high]
        ends.append((x[-1], y[-1], name, hue))
    if not values:
        return made
    limits = log_range(values, 0.1)
    heights = apart([_log(e[1]) for e in ends], 0.075 * (limits[1] - limits[0]))
    for (x, _, name, hue), y in zip(ends, heights, strict=True):
        made.add_annotation(**label(_log(x) if over == "batch" else x, y, escape(name), hue, xshift=10))
    made.layout.yaxis.range = limits
    made.layout.yaxis.tickvals, made.layout.yaxis.ticktext = log_ticks(10 ** limits[0], 10 ** limits[1])
    edges = log_range(sorted(seen), 0.06) if over == "batch" else [min(seen) - 0.15, max(seen) + 0.15]
    made.update_layout(xaxis=dict(range=edges, tickvals=sorted(seen), ticktext=[str(v) for v in sorted(seen)]))
    return watermark(made, is_random)


def speedups(results: Sequence[Result], names: Mapping[str, str], title: str, is_random: bool = False) -> go.Figure:
    """Speed against the baseline with 95 % intervals, one row a variant, log; colour is the precision."""
    rows = [r for r in results if r.speedup and not r.is_baseline]
    made = figure(title, "speed against the baseline with 95 % interval (log); hollow: undecided",
                  x="times as fast", height=110 + 34 * max(2, len(rows)), left=230, right=150, log_x=True)
    if not rows:
        return made
    titles = [names.get(r.recipe.key) or frames.name_of(r.recipe, r.recipe.threads) for r in rows]
    spans = [r.speedup_interval or (r.speedup, r.speedup) for r in rows]
    hues = [theme.color(frames.precision_of(r.recipe)) for r in rows]
    made.add_scatter(
        x=[r.speedup for r in rows], y=titles, mode="markers", ids=[r.recipe.key for r in rows],
        error_x=intervals([a for a, _ in spans], [r.speedup for r in rows], [b for _, b in spans]),
        marker=dict(size=11, color=[GROUND if r.verdict == "undecided" else h for r, h in zip(rows, hues, strict=True)],
                    line=dict(color=hues, width=2), symbol=[theme.shape(r.recipe.runtime) for r in rows]),
        hovertemplate="%{y}: %{x:.2f} times as fast<extra></extra>")
    for r, name, (_, high) in zip(rows, titles, spans, strict=True):
        told = f"{units.times(r.speedup)} {theme.VERDICT_GLYPHS.get(r.verdict, '')}"
        labelled = r.fidelity and r.fidelity.metric_name == "accuracy"
        loss = f" · {units.points(r.fidelity.delta)} points" if labelled else ""
        made.add_annotation(x=_log(high), y=name, text=told + loss, showarrow=False, xanchor="left", xshift=9,
                            font=dict(color=INK))
    limits = log_range([v for span in spans for v in span] + [1.0], 0.08)
    made.add_shape(type="line", x0=1, x1=1, yref="paper", y0=0, y1=1, line=dict(color=MUTED, width=1, dash="2px,3px"))
    made.update_layout(xaxis=dict(range=limits), yaxis=dict(autorange="reversed", showgrid=False, ticks=""))
    made.layout.xaxis.tickvals, made.layout.xaxis.ticktext = log_ticks(10 ** limits[0], 10 ** limits[1])
    return watermark(made, is_random)


def _log(value: float) -> float:
    from math import log10

    return log10(value)
