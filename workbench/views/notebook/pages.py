"""Small HTML pieces of notebook cards. Everything that came from a file or a model is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

import ipywidgets

from .work import card

Cell = str | tuple[str, str]  # text, or (text, CSS class)


def said(text: str, *notes: str) -> str:
    """One strong sentence, and what to know about it."""
    return f"<div class='wb-said'>{escape(text)}</div>" + "".join(map(note, notes))


def note(text: str) -> str:
    """A quiet line."""
    return f"<div class='wb-quiet'>{escape(text)}</div>"


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Names and values in columns."""
    rows = (f"<div><dt>{escape(k)}</dt><dd title='{escape(v, quote=True)}'>{escape(v)}</dd></div>" for k, v in pairs)
    return f"<div class='wb-pane' style='padding:0'><dl class='wb-facts'>{''.join(rows)}</dl></div>"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[int] = (),
          strong: Iterable[int] = ()) -> str:
    """A plain table.

    Args:
        columns: titles.
        rows: text by column.
        right: indices of columns with numbers.
        strong: indices of rows that stand out.
    """
    numbers, bold = set(right), set(strong)

    def mark(i: int) -> str:
        return " class='wb-right'" if i in numbers else ""

    head = "".join(f"<th scope='col'{mark(i)}>{escape(c)}</th>" for i, c in enumerate(columns))
    body = "".join(
        f"<tr{' class=wb-strong' if n in bold else ''}>"
        + "".join(f"<td{mark(i)}>{escape(str(c))}</td>" for i, c in enumerate(row)) + "</tr>"
        for n, row in enumerate(rows))
    return f"<table class='wb-rows'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def html(*parts: str) -> ipywidgets.HTML:
    """The pieces as one widget."""
    return ipywidgets.HTML("".join(parts))


def shown(*parts: str | ipywidgets.Widget) -> ipywidgets.Box:
    """A card of HTML pieces and widgets, one below the other."""
    return card([html(p) if isinstance(p, str) else p for p in parts])
