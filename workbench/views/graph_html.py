"""The graph pair as one HTML file that works anywhere, and as a picture."""

from __future__ import annotations

import base64
import re
import uuid
from html import escape
from typing import Any

from . import graph_bundle, graph_pack, graph_still

MOST_BYTES = 24_000_000  # of packed data: above it a page would choke on its own weight
_STYLE = """
body { margin: 0; color: #1f2328; background: #fff; font: 13px/1.4 "Segoe UI", "Helvetica Neue", Roboto, sans-serif }
@media (prefers-color-scheme: dark) { body { color: #e6e6e6; background: #111; } }
.graphdiff-still { padding: 12px; }
.graphdiff-still img { width: 100%; max-width: 1240px; height: auto; background: #fff; }
"""


def to_html(payload: dict[str, Any], *, title: str = "") -> str:
    """A self-contained interactive page: script and data inside, a still and a table for readers without scripts.

    Args:
        payload: see :mod:`workbench.views.graph_view`.
        title: of the page; default the payload's.
    """
    columns = graph_pack.columns(payload)
    heading = escape(title or columns["title"] or "Graph before and after")
    return (f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{heading}</title>\n'
            f"<style>{_STYLE}.graphdiff {{ height: 100vh; }}</style>\n</head>\n<body>\n"
            f"{fragment_of(columns, {'page': True})}\n</body>\n</html>\n")


def fragment(payload: dict[str, Any], *, height: int = 560, theme: str = "auto", heat: str = "") -> str:
    """The same as a piece of a page, for the output of a notebook cell.

    Args:
        payload: see :mod:`workbench.views.graph_view`.
        height: of the view in pixels.
        theme: 'auto', 'light' or 'dark'.
        heat: '' or the metric that colours the nodes.
    """
    return fragment_of(graph_pack.columns(payload), {"height": int(height), "theme": _word(theme), "heat": _word(heat)})


def to_png(payload: dict[str, Any]) -> bytes:
    """The collapsed pair with its counts and most frequent changes, as PNG."""
    return graph_still.png(graph_pack.columns(payload))


def still_html(columns: dict[str, Any], picture: bytes | None = None) -> str:
    """What a reader sees whose scripts do not run: counts, picture, changes. Every name is escaped.

    Args:
        columns: see :func:`workbench.views.graph_pack.columns`.
        picture: PNG, drawn when not given.
    """
    picture = picture or graph_still.png(columns)
    counts = ", ".join(f"{n:,} {name}" for name, n in columns["counts"].items() if n or name == "unexplained")
    sizes = " → ".join(f"{columns[s]['title']} ({columns[s]['count']:,} nodes)" for s in ("before", "after"))
    changes = graph_still.kinds_of_change(columns)
    rows = "".join(f"<tr><td>{escape(status)}</td><td>{escape(text)}</td><td>{n:,}</td></tr>"
                   for status, text, n in changes[:40])
    source = "data:image/png;base64," + base64.b64encode(picture).decode()
    more = f"<p>and {len(changes) - 40} more kinds of change</p>" if len(changes) > 40 else ""
    line = f"{escape(sizes)}: {escape(counts)}"
    return (f'<div class="graphdiff-still"><p><b>{escape(columns["title"])}</b><br>{line}</p>'
            f'<img src="{source}" alt="{line}" style="max-width: 100%">'
            f"<table><thead><tr><th>status</th><th>change</th><th>count</th></tr></thead><tbody>{rows}</tbody></table>"
            f"{more}</div>")


def fragment_of(columns: dict[str, Any], options: dict[str, Any], picture: bytes | None = None) -> str:
    """A piece of a page from packed columns.

    Args:
        columns: see :func:`workbench.views.graph_pack.columns`.
        options: for the script: height, theme, heat, page (whether it fills the window).
        picture: the still as PNG, drawn when not given.
    """
    packed = graph_pack.deflate(columns)
    still = still_html(columns, picture)
    if len(packed) > MOST_BYTES:
        return f"<div>{still}<p>The interactive view of so large a graph is left out of this file.</p></div>"
    name = f"graphdiff-{uuid.uuid4().hex}"
    script = graph_bundle.page_script(name, base64.b64encode(packed).decode(), options)
    if re.search(r"</script|<!--", script, re.IGNORECASE):  # cannot be: base64 and our own source hold neither
        raise AssertionError("the script would end early")
    return f'<div id="{name}" class="graphdiff" data-graphdiff>{still}</div>\n<script type="module">\n{script}</script>'


def _word(text: str) -> str:
    return re.sub(r"[^a-z_]", "", str(text))
