"""The trade-off plot in the page, updated in place with ``Plotly.react``.

Not a ``plotly.FigureWidget``: its script of 5 MB is the widget's module, and anywidget drops every later message of a
widget whose module takes more than 2 s to start, which a busy machine with 2 cores does. Here the module is tiny and
plotly's library travels as compressed data, from the installed package, so that nothing is loaded from elsewhere.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from functools import cache
from typing import Any

import traitlets as t
from plotly.offline import get_plotlyjs

from .. import figures
from ..frames import Tradeoff
from .base import Pane, script


@cache
def _library() -> bytes:
    return gzip.compress(get_plotlyjs().encode(), 1)


class TradeoffPlot(Pane):
    """Sends ``select`` (key of a clicked point) and ``hover`` (key, '' when the pointer leaves).

    Args:
        on_select: called with the recipe key of a clicked point.
        samples: gives the raw latencies of a recipe key, in seconds, for the faint strip.
        on_drawn: called when the page has drawn the plot for the first time.
    """

    _esm = script("plot")
    library = t.Bytes().tag(sync=True)
    spec = t.Dict().tag(sync=True)

    def __init__(self, on_select: Callable[[str], None], samples: Callable[[str], tuple[float, ...]],
                 on_drawn: Callable[[], None] = lambda: None) -> None:
        super().__init__(self._receive_event, library=_library())
        self.view = figures.View()
        self._on_select, self._samples, self._on_drawn = on_select, samples, on_drawn
        self._shown: Tradeoff | None = None
        self._selected, self._hovered = "", ""

    def draw(self, shown: Tradeoff, selected: str) -> None:
        """Shows a trade-off; nothing is sent when nothing changed."""
        if (shown, selected) != (self._shown, self._selected):
            self._shown, self._selected, self._hovered = shown, selected, ""
            self._push()

    def resize(self, **changes: Any) -> None:
        """Takes what the page or the user changed of the :class:`figures.View`."""
        view = self.view._replace(**changes)
        if view != self.view:
            self.view = view
            self._push()

    def _push(self) -> None:
        if self._shown is None:
            return
        of = self._hovered or self._selected
        figure = figures.tradeoff_figure(self._shown, self.view, selected=self._selected, samples=self._samples(of),
                                         samples_of=of)
        self.spec = figure.to_dict()

    def _receive_event(self, message: dict[str, Any], _buffers: Any) -> None:
        key = str(message.get("key", ""))
        if message["type"] == "drawn":
            self._on_drawn()
        elif message["type"] == "select":
            self._on_select(key)
        elif message["type"] == "hover" and key != self._hovered:
            self._hovered = key
            self._push()
