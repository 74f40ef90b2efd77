"""The one place that knows colours, shapes and type; widgets read CSS variables, figures read templates.

Colour says precision (Okabe and Ito's colour-blind-safe set), shape says runtime, fill says verdict: never colour
alone.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import plotly.graph_objects as go

STATIC = Path(__file__).parent / "static"
FONT = '"Segoe UI", "Helvetica Neue", Roboto, "Noto Sans", "Liberation Sans", Arial, sans-serif'
FONT_SIZES = (13, 20)  # the lab, a room

# Okabe & Ito, https://jfly.uni-koeln.de/color/
PRECISION_COLORS = {
    "float32": "#0072B2", "float16": "#56B4E9", "int8": "#D55E00", "mixed": "#CC79A7", "int4": "#E69F00",
    "unknown": "#009E73",
}
PRECISION_TITLES = {
    "float32": "float32", "float16": "float16", "int8": "INT8", "mixed": "mixed", "int4": "INT4", "unknown": "other",
}
RUNTIME_SHAPES = {
    "onnxruntime": "circle", "litert": "square", "tensorflow": "diamond", "torch": "triangle-up",
    "openvino": "hexagon2", "": "circle",
}
OTHER_SHAPE = "cross"
SHAPE_GLYPHS = {
    "circle": "●", "square": "■", "diamond": "◆", "triangle-up": "▲", "hexagon2": "⬢", "cross": "✚",
}
VERDICT_GLYPHS = {"faster": "▲", "slower": "▼", "undecided": "≈", "": ""}

INK = {"light": "#1f2328", "dark": "#e6e6e6"}
MUTED = {"light": "#5c6570", "dark": "#a5adb8"}
GRID = {"light": "#e7e9ec", "dark": "#2e3238"}
RULE = {"light": "#b9bfc7", "dark": "#565d66"}
GROUND = {"light": "#ffffff", "dark": "#212121"}
BAD = {"light": "#b3261e", "dark": "#ff8a80"}


def shape(runtime: str) -> str:
    """plotly marker symbol of a runtime."""
    return RUNTIME_SHAPES.get(runtime, OTHER_SHAPE)


def color(precision: str) -> str:
    """Hex colour of a precision."""
    return PRECISION_COLORS.get(precision, PRECISION_COLORS["unknown"])


def fade(hex_color: str, alpha: float) -> str:
    """'#0072B2' -> 'rgba(0,114,178,0.3)'."""
    red, green, blue = (int(hex_color[i:i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"


@cache
def template(mode: str, font_size: int = FONT_SIZES[0]) -> go.layout.Template:
    """Our plotly template for 'light' or 'dark'; grounds are transparent, so the page's own shows through."""
    axis = dict(
        gridcolor=GRID[mode], linecolor=RULE[mode], zeroline=False, showline=True, ticks="outside", ticklen=4,
        tickcolor=RULE[mode], tickfont=dict(size=font_size - 2, color=MUTED[mode]),
        title=dict(font=dict(size=font_size - 1, color=MUTED[mode])),
    )
    hover = dict(bgcolor=GROUND[mode], bordercolor=RULE[mode], align="left",
                 font=dict(color=INK[mode], size=font_size - 1, family=FONT))
    return go.layout.Template(layout=dict(
        paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", colorway=list(PRECISION_COLORS.values()),
        font=dict(family=FONT, size=font_size, color=INK[mode]), xaxis=axis, yaxis=axis, hoverlabel=hover,
        margin=dict(l=52, r=16, t=28, b=44), showlegend=False,
    ))


@cache
def css() -> str:
    """Style sheet of all widgets; colours follow JupyterLab's variables, with fallbacks where there are none."""
    sheet = (STATIC / "workbench.css").read_text("utf-8").replace("var(--wb-fonts)", FONT)
    marks = (f".wb-mark-{name} {{ color: {hue}; }}" for name, hue in PRECISION_COLORS.items())
    return "\n".join([sheet, *marks])


@cache
def esm(name: str) -> str:
    """Script of a widget (an ES module), the shared helper in front: nothing is loaded from elsewhere."""
    return (STATIC / "dom.js").read_text("utf-8") + "\n" + (STATIC / f"{name}.js").read_text("utf-8")
