"""The graph tab. Simple for now: the stages of the selected variant with what each pass says it did."""

from __future__ import annotations

import ipywidgets

from ..results import Result
from . import panes


class GraphPane:
    """The widget of the first tab. A richer drawing replaces this class and keeps :meth:`show`."""

    def __init__(self) -> None:
        self.widget = ipywidgets.HTML()

    def show(self, result: Result | None, model_line: str) -> None:
        """Shows how the variant was made.

        Args:
            result: the selected variant, or None when it was not measured.
            model_line: one line on the original, e.g. '12 nodes · 215 k parameters · 0.9 MB'.
        """
        html = panes.stages(result, model_line)
        if self.widget.value != html:
            self.widget.value = html
