"""Any plotly figure in the page, updated in place; and the frame of a view that has a notebook cell to itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets
import plotly.graph_objects as go
import traitlets as t

from .. import figures
from .base import Pane, script
from .plot import _library
from .probe import Probe


class FigurePane(Pane):
    """A plotly figure; nothing is sent when it did not change."""

    _esm = script("plot")
    library = t.Bytes().tag(sync=True)
    spec = t.Dict().tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(library=_library(), **traits)

    def draw(self, figure: go.Figure) -> None:
        """Shows a figure in place of the last one."""
        self.spec = figure.to_dict()


class Card(ipywidgets.VBox):
    """A view in a cell of its own: controls, one figure that follows the page's width and theme, lines below it.

    Args:
        figure: makes the figure for a size and theme.
        above: widgets above the figure.
        below: widgets below it.
        height: of the figure in pixels.
    """

    def __init__(self, figure: Callable[[figures.View], go.Figure], *, above: tuple[ipywidgets.Widget, ...] = (),
                 below: tuple[ipywidgets.Widget, ...] = (), height: int = 340) -> None:
        self._figure = figure
        self.view = figures.View(width=820, height=height)
        self.pane = FigurePane(layout={"height": f"{height}px", "width": "100%"})
        super().__init__([*above, self.pane, *below, Probe(self._seen)])
        self.add_class("wb-root")
        self.add_class("wb-card")
        self.redraw()

    def redraw(self) -> None:
        """Draws the figure anew, after what it shows has changed."""
        self.pane.draw(self._figure(self.view))

    def resize(self, height: int) -> None:
        """Another height for the figure, in pixels."""
        self.pane.layout.height = f"{height}px"
        self.view = self.view._replace(height=height)
        self.redraw()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The widget for a live notebook; its lines of text for one that is opened again or exported."""
        found = super()._repr_mimebundle_(**kwargs)
        if found is None:
            return found
        data, metadata = found if isinstance(found, tuple) else (found, {})
        lines = "".join(f"<p>{c.value}</p>" for c in self.children if isinstance(c, ipywidgets.HTML) and c.value)
        return {**data, "text/html": f"<div>{lines}<p><i>Run the cell to see the figure.</i></p></div>"}, metadata

    def _seen(self, seen: dict[str, Any]) -> None:
        view = self.view._replace(mode=seen["mode"], width=int(seen["width"]))
        if view != self.view:
            self.view = view
            self.redraw()


def line(text: str = "") -> ipywidgets.HTML:
    """A line of text (escaped by the caller) below or above a figure."""
    found = ipywidgets.HTML(text)
    found.add_class("wb-card-line")
    return found
