"""Brings the style sheet and reports what only the page knows: theme and the plot's size in pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anywidget
import traitlets as t

from .. import theme
from .base import script


class Probe(anywidget.AnyWidget):
    """Invisible. ``seen`` holds mode ('light' or 'dark'), and the plot's width and height in pixels.

    Args:
        on_change: called with ``seen`` whenever the page changed.
    """

    _esm = script("probe")
    _css = theme.css()
    seen = t.Dict().tag(sync=True)

    def __init__(self, on_change: Callable[[dict[str, Any]], None]) -> None:
        super().__init__()
        self.observe(lambda change: on_change(change["new"]), "seen")
