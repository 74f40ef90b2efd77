"""The seed's table as HTML of its own: no widget, no script, follows the page's colours."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from .. import units
from . import theme

if TYPE_CHECKING:
    from ..seed import SeedRow, SeedTable

_HEADS = (("Technique", ""), ("accuracy, %", "on held-out images, with its 95 % interval"),
          ("change, points", "paired with the original, with its 95 % interval"),
          ("latency", "median of one run, with its 95 % interval"),
          ("vs original", "speed beside the original in TensorFlow"),
          ("vs LiteRT float", "speed beside the same network in the same runtime: what the technique did"),
          ("on disk", "the file"), ("compressed", "as a download holds it"),
          ("claimed", "what the first version of this project said"))
_STYLE = """
.wb-seed { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px; margin: 0.4em 0; }
.wb-seed th, .wb-seed td { padding: 0.28em 0.8em 0.28em 0; text-align: right; white-space: nowrap; vertical-align: top;
  border: 0; border-bottom: 1px solid color-mix(in srgb, currentColor 16%, transparent); background: none; }
.wb-seed th { font-weight: 500; opacity: 0.72; border-bottom-color: color-mix(in srgb, currentColor 35%, transparent); }
.wb-seed th:first-child, .wb-seed td:first-child, .wb-seed .wb-reason { text-align: left; }
.wb-seed .wb-reason { white-space: normal; max-width: 44em; }
.wb-seed small { opacity: 0.68; font-size: 0.86em; }
.wb-seed-note { opacity: 0.72; font-size: 12px; max-width: 76em; line-height: 1.45; margin: 0.2em 0; }
"""
_EMPTY = "<td>–</td>"


def html(table: SeedTable) -> str:
    """The table with what a reader must know below it. Text from files is escaped."""
    head = "".join(f"<th scope='col' title='{escape(hint, quote=True)}'>{escape(title)}</th>" for title, hint in _HEADS)
    body = "".join(_row(row) for row in table.rows)
    notes = (f"{table.model} on {table.data}, batch {table.batch}, {table.machine}: all variants in one interleaved "
             "run, 95 % intervals.",
             "The claims of 10.5, 5.2 and 4.8 s named neither the work nor the machine, so only their ratios can be "
             "compared: 2.0x for quantization and 2.2x for pruning.")
    random = "<p class='wb-seed-note'><b>RANDOM INPUTS: not real data</b></p>" if table.data == "random" else ""
    return (f"<style>{_STYLE}</style><table class='wb-seed'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
            + random + "".join(f"<p class='wb-seed-note'>{escape(n)}</p>" for n in notes))


def _row(row: SeedRow) -> str:
    first = f"<td title='{escape(row.technique.expect, quote=True)}'>{escape(row.technique.title)}</td>"
    if row.result is None:
        span = len(_HEADS) - 2
        return f"<tr>{first}<td class='wb-reason' colspan='{span}'>{escape(row.reason)}</td>{_claim(row)}</tr>"
    r = row.result
    low, high = r.interval_s
    latency = f"<td>{units.duration(r.median_s)} {_small(units.duration(low), units.duration(high))}</td>"
    cells = (*_accuracy(row), latency,
             _EMPTY if r.is_baseline else _speed(r.ratio, r.ratio_interval, r.verdict),
             _speed(row.ratio.value, row.ratio.interval, row.verdict) if row.ratio else _EMPTY,
             f"<td>{units.size(r.size_bytes)}</td>", f"<td>{units.size(r.compressed_bytes)}</td>")
    return f"<tr>{first}{''.join(cells)}{_claim(row)}</tr>"


def _accuracy(row: SeedRow) -> tuple[str, str]:
    f = row.result.fidelity
    if f is None:
        return _EMPTY, _EMPTY
    scale = 100 if f.metric_name == "accuracy" else 1
    digits = 1 if scale == 100 else 4
    low, high = (f"{scale * v:.{digits}f}" for v in f.metric_interval)
    own = f"<td>{scale * f.metric:.{digits}f} {_small(low, high)}</td>"
    if row.result.is_baseline or scale == 1:
        return own, _EMPTY
    return own, f"<td>{units.points(f.delta)} {_small(*map(units.points, f.delta_interval))}</td>"


def _speed(ratio: float, interval: tuple[float, float], verdict: str) -> str:
    low, high = (units.times(1 / v) if v > 0 else "–" for v in reversed(interval))
    glyph = theme.VERDICT_GLYPHS.get(verdict, "")
    return f"<td>{units.times(1 / ratio)} {_small(low, high)} {glyph}&nbsp;{escape(verdict)}</td>"


def _small(low: str, high: str) -> str:
    return f"<small>{escape(low)} to {escape(high)}</small>"


def _claim(row: SeedRow) -> str:
    if row.claim_s is None:
        return _EMPTY
    speed = f" <small>{units.times(row.claimed_speedup)}</small>" if row.technique.key != "original" else ""
    return f"<td>{row.claim_s:g} s{speed}</td>"
