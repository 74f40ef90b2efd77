"""Sliders that look and read alike: a name before, the value behind, reachable by keyboard."""

from __future__ import annotations

from typing import Any

import ipywidgets as w

_WIDE = {"width": "26em"}
_STYLE = {"description_width": "9.5em"}


def slider(name: str, value: float, low: float, high: float, step: float, *, whole: bool = False, live: bool = False,
           form: str = "") -> Any:
    """A linear slider; ``live`` answers while it is dragged."""
    kind = w.IntSlider if whole else w.FloatSlider
    more = {"readout_format": form} if form else {}
    return kind(value=value, min=low, max=high, step=step, description=name, continuous_update=live, layout=_WIDE,
                style=_STYLE, **more)


def log_slider(name: str, value: float, low: int, high: int) -> w.FloatLogSlider:
    """A slider over powers of ten from ``10**low`` to ``10**high``."""
    return w.FloatLogSlider(value=value, base=10, min=low, max=high, step=0.05, description=name, readout_format=".3g",
                            continuous_update=False, layout=_WIDE, style=_STYLE)


def check(name: str, value: bool) -> w.Checkbox:
    """A checkbox with its name behind."""
    return w.Checkbox(value=value, description=name, indent=False, layout={"width": "auto"})


def choice(name: str, options: list[Any], value: Any) -> w.Dropdown:
    """A list to choose from."""
    return w.Dropdown(options=options, value=value, description=name, layout=_WIDE, style=_STYLE)


def row(*controls: w.Widget) -> w.Box:
    """Controls side by side, wrapped where the page is narrow."""
    made = w.Box(controls)
    made.add_class("wb-controls")
    return made
