"""The evidence below the plot: tabs whose panes are refilled in place."""

from __future__ import annotations

import ipywidgets

TITLES = ("Graph before/after", "Where time goes", "Accuracy detail", "Machine & method", "Log",
          "Tune")
GRAPH, TIME, ACCURACY, MACHINE, LOG, TUNE = range(6)


class Tabs:
    """Owns the tabs.

    Args:
        graph: widget of the first one (see ``views.graph_pane``).
        time: widget of the second one (see ``views.profile_pane``).
        tune: widget of the last one; those between hold HTML.
    """

    def __init__(self, graph: ipywidgets.Widget, time: ipywidgets.Widget, tune: ipywidgets.Widget) -> None:
        self._panes = [ipywidgets.HTML() for _ in TITLES[2:-1]]
        self.widget = ipywidgets.Tab([graph, time, *self._panes, tune], titles=TITLES, selected_index=GRAPH)
        self.widget.add_class("wb-tabs")

    def fill(self, tab: int, html: str) -> None:
        """Sets the content of one pane (escaped HTML, from ``views.panes``)."""
        if self._panes[tab - 2].value != html:
            self._panes[tab - 2].value = html

    def open(self, tab: int) -> None:
        """Brings a tab to the front."""
        self.widget.selected_index = tab
