"""The trade-off plot in the page: refilled in place, never rebuilt."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets

from .. import figures
from ..frames import Tradeoff


class TradeoffPlot:
    """Owns the figure widget.

    Args:
        on_select: called with the recipe key of a clicked point.
        samples: gives the raw latencies of a recipe key, in seconds, for the faint strip.
    """

    def __init__(self, on_select: Callable[[str], None], samples: Callable[[str], tuple[float, ...]]) -> None:
        self.view = figures.View()
        self.figure = figures.tradeoff_figure(self.view)
        self.widget = ipywidgets.Box([self.figure])
        self.widget.add_class("wb-plot")
        self._on_select, self._samples = on_select, samples
        self._shown: Tradeoff | None = None
        self._selected = ""
        self._hovered = ""
        for trace in (figures.POINTS, figures.PENDING, figures.FAILED):
            self.figure.data[trace].on_click(self._click)
        self.figure.data[figures.POINTS].on_hover(self._hover)
        self.figure.data[figures.POINTS].on_unhover(self._leave)

    def draw(self, shown: Tradeoff, selected: str) -> None:
        """Shows a trade-off; nothing is sent when nothing changed."""
        if (shown, selected) == (self._shown, self._selected):
            return
        self._shown, self._selected, self._hovered = shown, selected, ""
        self._fill()

    def resize(self, mode: str, width: int, height: int, font_size: int) -> None:
        """Takes what the page reports."""
        view = figures.View(width, height, mode, font_size)
        if view != self.view:
            self.view = view
            self._fill()

    def _fill(self) -> None:
        if self._shown is not None:
            figures.fill(self.figure, self._shown, self.view, selected=self._selected,
                         samples=self._samples(self._selected))

    def _hover(self, trace, points, _state) -> None:
        if points.point_inds:
            self._hovered = str(trace.ids[points.point_inds[0]])
            self._strip()

    def _leave(self, _trace, _points, _state) -> None:
        if self._hovered:
            self._hovered = ""
            self._strip()

    def _strip(self) -> None:
        """The raw samples of the variant under the pointer, else of the selected one."""
        key = self._hovered or self._selected
        figures.strip(self.figure, self._shown, self.view, key, self._samples(key))

    def _click(self, trace, points, _state) -> None:
        if points.point_inds:
            self._on_select(str(trace.ids[points.point_inds[0]]))
