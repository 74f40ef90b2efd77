"""Any figure of ours in a notebook: drawn offline, in the page's theme and width, updated in place."""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable
from functools import cache
from typing import Any

import anywidget
import plotly.graph_objects as go
import traitlets as t

from .. import theme
from .base import Pane, script
from .plot import _library

WIDEST = 1000  # pixels; a wider figure is harder to read, not easier
SHEET = theme.css() + "\n" + (theme.STATIC / "chart.css").read_text("utf-8")
_FONT = {"size": theme.FONT_SIZES[0]}
_open: weakref.WeakSet[Chart] = weakref.WeakSet()


class Library(anywidget.AnyWidget):
    """Holds plotly's script, compressed, once for all figures of a kernel."""

    _esm = "export default { render() {} }"
    packed = t.Bytes().tag(sync=True)


class Style(anywidget.AnyWidget):
    """Invisible: brings the style sheet to cards without a figure."""

    _esm = script("style")
    _css = SHEET
    large = t.Bool(False).tag(sync=True)


class Chart(Pane):
    """A plotly figure; sends ``select`` (id of a clicked point) and ``drag`` (what moved).

    Args:
        figure: drawn for a light ground; the page exchanges the inks on a dark one.
        label: what a screen reader says.
        on_select: called with the id of a clicked point; traces that can be chosen have ``ids``.
        on_drag: called with plotly's change when a shape was dragged.
        config: of plotly, e.g. ``{'edits': {'shapePosition': True}}``.
    """

    _esm = script("chart")
    _css = SHEET
    holder = t.Unicode().tag(sync=True)
    spec = t.Dict().tag(sync=True)
    templates = t.Dict().tag(sync=True)
    inks = t.List().tag(sync=True)
    label = t.Unicode().tag(sync=True)
    widest = t.Int(WIDEST).tag(sync=True)

    def __init__(self, figure: go.Figure | None = None, *, label: str = "",
                 on_select: Callable[[str], None] | None = None,
                 on_drag: Callable[[dict[str, Any]], None] | None = None, config: dict[str, Any] | None = None) -> None:
        super().__init__(self._receive_event, holder=_holder().model_id, templates=templates(_FONT["size"]),
                         inks=_inks())
        self._on_select, self._on_drag, self._config = on_select, on_drag, config or {}
        self.figure: go.Figure | None = None
        _open.add(self)
        if figure is not None:
            self.draw(figure, label)

    def draw(self, figure: go.Figure, label: str = "") -> None:
        """Shows a figure in the same place."""
        self.figure = figure
        plain = json.loads(figure.to_json())
        plain["layout"].pop("template", None)
        self.show(spec={"data": plain["data"], "layout": plain["layout"], "config": self._config},
                  label=label or title_of(figure))

    def _receive_event(self, message: dict[str, Any], _buffers: Any) -> None:
        if message["type"] == "select" and self._on_select:
            self._on_select(str(message.get("key", "")))
        elif message["type"] == "drag" and self._on_drag:
            self._on_drag(dict(message.get("change") or {}))


def large_text(on: bool = True) -> None:
    """Larger type in all cards and figures of this kernel, those on the page included: for a projector."""
    _FONT["size"] = theme.FONT_SIZES[int(on)]
    style().large = bool(on)
    for chart in list(_open):
        chart.templates = templates(_FONT["size"])


def title_of(figure: go.Figure) -> str:
    """The title as plain words."""
    text = figure.layout.title.text or "figure"
    while "<" in text and ">" in text:
        start = text.index("<")
        text = text[:start] + " " + text[text.index(">", start) + 1:]
    return " ".join(text.split())


@cache
def templates(size: int) -> dict[str, Any]:
    """Both of our templates as plain values."""
    return {mode: json.loads(json.dumps(theme.template(mode, size).to_plotly_json(), default=list))
            for mode in ("light", "dark")}


@cache
def style() -> Style:
    """One for all cards of a kernel."""
    return Style()


@cache
def _holder() -> Library:
    return Library(packed=_library())


@cache
def _inks() -> list[list[str]]:
    """Pairs of a light ground's ink and its counterpart, in both spellings that figures use."""
    found = []
    for table in (theme.INK, theme.MUTED, theme.GRID, theme.RULE, theme.GROUND, theme.BAD):
        light, dark = table["light"], table["dark"]
        found.append([light, dark])
        found.append([theme.fade(light, 1).removesuffix("1)"), theme.fade(dark, 1).removesuffix("1)")])
    found.append(["#0072B2", "#3d9be0"])  # text of this hue is hard to read on a dark ground
    return found
