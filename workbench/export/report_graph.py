"""The recommended variant's graph, before and after, as a page of its own inside the report."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from ..errors import WorkbenchError
from ..model import Model
from ..results import Result
from ..views import graph_html, graph_pack, graph_pairs, graph_still
from ..views.graph_pairs import Pair

MOST_NODES = 20_000  # of both graphs; above it the picture alone stays within the report's size


class GraphPart(NamedTuple):
    """What the report shows.

    Attributes:
        page: self-contained HTML, '' when there is none.
        picture: PNG of the collapsed pair, b'' when there is none.
        line: counts of changes, or the reason why nothing is shown.
        title: of the pair.
    """

    page: str
    picture: bytes
    line: str
    title: str = ""


def part(result: Result, original: Model | None) -> GraphPart:
    """The most telling pair that can be read: the original and what runs, else the first that works."""
    if original is None:
        return GraphPart("", b"", "The graphs are not shown: the original model's file is no longer where it was.")
    if result.is_baseline and not result.stages:
        return GraphPart("", b"", "The original runs as it is: its graph was not changed.")
    found = graph_pairs.pairs(result, original)
    whole = [p for p in found if p.before is original and not p.runtime]
    reason = "no reader for its format"
    for pair in dict.fromkeys([*whole[-1:], *found]):
        try:
            return _read(pair)
        except WorkbenchError as error:
            reason = str(error)
    return GraphPart("", b"", f"The graphs are not shown: {reason}.")


@lru_cache(maxsize=8)  # a meeting, its slides and its report show the same pair
def _read(pair: Pair) -> GraphPart:
    payload = graph_pairs.payload(pair)
    columns = graph_pack.columns(payload)
    counts = ", ".join(f"{n:,} {name}" for name, n in columns["counts"].items() if n)
    sizes = " → ".join(f"{columns[s]['count']:,}" for s in ("before", "after"))
    small = sum(columns[s]["count"] for s in ("before", "after")) <= MOST_NODES
    page = graph_html.to_html(payload, title=pair.title) if small else ""
    return GraphPart(page, graph_still.png(columns), f"{sizes} nodes: {counts}.", pair.title)
