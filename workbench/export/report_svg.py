"""The report's plots as SVG of our own: small, sharp at any size, readable without scripts, light and dark.

Colours that change with the ground are CSS variables of the page; :func:`standalone` writes them out for a file.
Geometry, ranges and label places are those of the dashboard's figure.
"""

from __future__ import annotations

import math
from html import escape

from markupsafe import Markup

from ..views import figures, labels, theme
from ..views.figures import View
from ..views.frames import Point, Tradeoff, short_runtime
from ..views.sentences import headline

WIDTH, HEIGHT = 780, 410
_LABELS = 14  # most direct labels
_CROWD = 9  # points; of more, only those on the front are named
_INKS = {"ink": theme.INK, "muted": theme.MUTED, "grid": theme.GRID, "rule": theme.RULE, "ground": theme.GROUND}
_SHAPES = {
    "square": "M-.86-.86H.86V.86H-.86Z", "diamond": "M0-1.2 1.2 0 0 1.2-1.2 0Z", "triangle-up": "M0-1.15 1.05.8H-1.05Z",
    "hexagon2": "M0-1.05.92-.52V.52L0 1.05-.92.52V-.52Z",
    "cross": "M-.38-1.05H.38V-.38H1.05V.38H.38V1.05H-.38V.38H-1.05V-.38H-.38Z",
    "circle": "M-1 0A1 1 0 1 1 1 0 1 1 0 1 1-1 0Z",
}


def tradeoff(shown: Tradeoff, *, tried: tuple[Point, ...] = (), selected: str = "", width: int = WIDTH,
             height: int = HEIGHT, font_size: float = 13) -> Markup:
    """The trade-off plot.

    Args:
        shown: what to draw.
        tried: points of a search that were not measured again.
        selected: recipe key of the recommended variant.
        width: of the drawing; it scales to the place that a page gives it.
        height: of the same.
        font_size: in the drawing's own units.
    """
    view = View(width, height, "light", font_size)
    return Markup(_Plot(shown, view, selected, tried).draw())


def strip(low: float, value: float, high: float, ends: tuple[float, float], precision: str, verdict: str) -> Markup:
    """A speed-up with its interval on a log axis from ``ends[0]`` to ``ends[1]``, for a cell of the table."""
    width, height = 150, 18
    a, b = math.log(ends[0]), math.log(ends[1])

    def x(ratio: float) -> float:
        return 4 + (width - 8) * (math.log(ratio) - a) / (b - a)

    hue, fill = theme.color(precision), _fill(precision, verdict)
    return Markup(
        f'<svg class="strip" viewBox="0 0 {width} {height}" role="img" aria-hidden="true">'
        f'<path d="M{x(1):.1f} 0V{height}" stroke="var(--rule)" stroke-dasharray="2 2"/>'
        f'<path d="M{x(low):.1f} 9H{x(high):.1f}M{x(low):.1f} 5.5v7M{x(high):.1f} 5.5v7" stroke="var(--muted)" '
        f'stroke-width="1.3"/>'
        f'<circle cx="{x(value):.1f}" cy="9" r="4.2" fill="{fill}" stroke="{hue}" stroke-width="1.8"/></svg>')


def ends(shown: Tradeoff) -> tuple[float, float]:
    """Range of the strips: all intervals and 1x."""
    values = [v for p in shown.points for v in (p.speedup_interval or ())] + [1.0]
    low, high = min(values), max(values)
    room = 1.06 if high / low < 1.5 else 1.15
    return low / room, high * room


def mark(runtime: str, precision: str, verdict: str = "faster", size: float = 13) -> Markup:
    """The symbol of a variant, for tables."""
    return Markup(f'<svg class="mark-icon" viewBox="-9 -9 18 18" width="{size}" height="{size}" aria-hidden="true">'
                  f'{_symbol(runtime, precision, verdict, 0, 0, 6.4)}</svg>')


def standalone(svg: str, mode: str) -> str:
    """A file of its own: colours written out, a ground behind, text in the page's fonts."""
    for name, inks in _INKS.items():
        svg = svg.replace(f"var(--{name})", inks[mode])
    head, rest = svg.split(">", 1)
    font = theme.FONT.replace('"', "'")
    return (f'<?xml version="1.0" encoding="UTF-8"?>\n{head} xmlns="http://www.w3.org/2000/svg" font-family="{font}">'
            f'<rect width="100%" height="100%" fill="{theme.GROUND[mode]}"/>{rest}\n')


def _width(text: str) -> float:
    """About how wide a text is, in font sizes."""
    return sum(0.27 if c in "iltfjrI1 .:," else 0.68 if c.isupper() else 0.56 for c in text)


def _fill(precision: str, verdict: str) -> str:
    """Solid is faster or the baseline, tinted slower, hollow undecided."""
    if verdict == "undecided":
        return "var(--ground)"
    return theme.fade(theme.color(precision), 0.28) if verdict == "slower" else theme.color(precision)


def _symbol(runtime: str, precision: str, verdict: str, x: float, y: float, radius: float) -> str:
    path = _SHAPES[theme.shape(runtime)]
    return (f'<path d="{path}" transform="translate({x:.1f} {y:.1f}) scale({radius:.2f})" '
            f'fill="{_fill(precision, verdict)}" stroke="{theme.color(precision)}" stroke-width="{1.8 / radius:.3f}"/>')


class _Plot:
    """One drawing; pixels are those of its viewBox."""

    def __init__(self, shown: Tradeoff, view: View, selected: str, tried: tuple[Point, ...]) -> None:
        self.shown, self.view, self.selected = shown, view, selected
        self.tried = [p for p in tried if p.quality is not None]
        self.axes = figures._Axes(shown._replace(points=(*shown.points, *tried)), view)
        self.margin = figures.margins(view)
        self.left, self.top = self.margin["l"], self.margin["t"]
        self.right, self.bottom = self.left + self.axes.width, self.top + self.axes.height
        self.points = [p for p in shown.points if p.quality is not None]

    def draw(self) -> str:
        view = self.view
        data = (f'data-left="{self.left}" data-top="{self.top}" data-right="{self.right}" data-bottom="{self.bottom}" '
                f'data-x0="{self.axes.x[0]!r}" data-x1="{self.axes.x[1]!r}" data-y0="{self.axes.y[0]!r}" '
                f'data-y1="{self.axes.y[1]!r}" data-scale="{self.axes.scale:g}"')
        marks = [self._mark(p) for p in sorted(self.points, key=lambda p: p.key == self.selected)]
        return (f'<svg class="tradeoff" viewBox="0 0 {view.width} {view.height}" font-size="{view.font_size}" '
                f'{data} role="group" aria-label="{escape(self._label(), quote=True)}">'
                f'{self._grid()}{self._watermark()}{self._limit()}{self._front()}{self._faint()}{"".join(marks)}'
                f'{self._ring()}{self._texts()}{self._captions()}</svg>')

    def _label(self) -> str:
        names = ", ".join(p.short for p in self.points)
        return f"Trade-off of latency and {self.shown.quality_name}: {names}"

    def _xy(self, p: Point) -> tuple[float, float]:
        x, y = self.axes.pixel(p)
        return x + self.left, y + self.top

    def _grid(self) -> str:
        view, axes = self.view, self.axes
        parts = []
        xs = figures._ticks(*axes.x, max(3, int(axes.width // (4 * view.font_size))))
        step = figures._round_step((axes.y[1] - axes.y[0]) / max(2, axes.height // (3 * view.font_size)))
        digits = max(0, -math.floor(math.log10(step)))
        small = view.font_size - 1
        for value in xs:
            x = self.left + axes.width * (math.log10(value) - axes.x[0]) / (axes.x[1] - axes.x[0])
            parts.append(f'<path d="M{x:.1f} {self.top}V{self.bottom}" stroke="var(--grid)"/>'
                         f'<text class="tick" x="{x:.1f}" y="{self.bottom + 1.35 * view.font_size:.1f}" '
                         f'text-anchor="middle" fill="var(--muted)" font-size="{small}">{value:.12g}</text>')
        for i in range(math.ceil(axes.y[0] / step - 1e-9), math.floor(axes.y[1] / step + 1e-9) + 1):
            y = self.bottom - axes.height * (i * step - axes.y[0]) / (axes.y[1] - axes.y[0])
            parts.append(f'<path d="M{self.left} {y:.1f}H{self.right}" stroke="var(--grid)"/>'
                         f'<text class="tick" x="{self.left - 7}" y="{y + 0.36 * small:.1f}" text-anchor="end" '
                         f'fill="var(--muted)" font-size="{small}">{i * step:.{digits}f}</text>')
        parts.append(f'<path d="M{self.left} {self.top}V{self.bottom}H{self.right}" fill="none" stroke="var(--rule)"/>')
        base = self.shown.baseline
        if base is not None:
            x = self._xy(base)[0]
            parts.append(f'<path d="M{x:.1f} {self.top}V{self.bottom}" stroke="var(--rule)" stroke-dasharray="2 3"/>')
        return "".join(parts)

    def _watermark(self) -> str:
        if not self.shown.is_random:
            return ""
        x, y = (self.left + self.right) / 2, (self.top + self.bottom) / 2
        return (f'<text x="{x}" y="{y}" text-anchor="middle" font-size="{3 * self.view.font_size}" fill="var(--ink)" '
                f'opacity=".13" transform="rotate(-14 {x} {y})">RANDOM INPUTS</text>')

    def _limit(self) -> str:
        """What lies beyond the budget; a script moves it."""
        return ('<g class="limit" visibility="hidden"><rect class="beyond" fill="var(--ink)" opacity=".07"/>'
                '<path class="edge" stroke="var(--ink)" stroke-width="1.4" stroke-dasharray="5 3"/></g>')

    def _front(self) -> str:
        """From each point on, nothing faster was found that is as good."""
        places = [self._xy(p) for p in self.points if (p.latency_s, p.quality) in self.shown.front]
        if len(places) < 2:
            return ""
        path = "M{:.1f} {:.1f}".format(*places[0]) + "".join(f"H{x:.1f}V{y:.1f}" for x, y in places[1:])
        return f'<path d="{path}" fill="none" stroke="var(--muted)" stroke-width="1.6" opacity=".6"/>'

    def _faint(self) -> str:
        """What a search tried and did not measure again."""
        marks = [_symbol(p.runtime, p.precision, "slower", *self._xy(p), 3.4) for p in self.tried]
        return f'<g opacity=".55" pointer-events="none">{"".join(marks)}</g>' if marks else ""

    def _mark(self, p: Point) -> str:
        x, y = self._xy(p)
        behind = p.standing == "dominated" and not p.is_baseline
        low, high = (self._xy(p._replace(latency_s=v))[0] for v in p.latency_interval_s)
        bars = f"M{low:.1f} {y:.1f}H{high:.1f}M{low:.1f} {y - 3:.1f}v6M{high:.1f} {y - 3:.1f}v6"
        if p.quality_interval:
            down, up = (self._xy(p._replace(quality=v))[1] for v in p.quality_interval)
            bars += f"M{x:.1f} {down:.1f}V{up:.1f}M{x - 3:.1f} {down:.1f}h6M{x - 3:.1f} {up:.1f}h6"
        told = headline(self.shown, p.key, p.name).text
        return (f'<g class="mark" data-key="{p.key}" data-x="{x:.1f}" data-y="{y:.1f}" '
                f'data-r="{self.axes.diameter(p) / 2:.1f}" tabindex="0" role="button" '
                f'aria-label="{escape(told, quote=True)}" opacity="{0.6 if behind else 1}">'
                f'<path d="{bars}" stroke="var(--muted)" stroke-width="1.2" opacity="{0.5 if behind else 0.85}"/>'
                f'{_symbol(p.runtime, p.precision, p.verdict, x, y, self.axes.diameter(p) / 2)}'
                f'<circle class="hit" cx="{x:.1f}" cy="{y:.1f}" r="15" fill="transparent"/></g>')

    def _ring(self) -> str:
        p = next((p for p in self.points if p.key == self.selected), None)
        x, y = self._xy(p) if p else (0, 0)
        radius = self.axes.diameter(p) / 2 + 6 if p else 0
        return (f'<circle class="ring" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="none" stroke="var(--ink)" '
                f'stroke-width="2" pointer-events="none"/>')

    def _texts(self) -> str:
        """Direct labels, the most important first, joined by a thin line where they had to move away."""
        order = sorted(self.points, key=lambda p: (p.key != self.selected, not p.is_baseline, p.standing != "front"))
        if len(order) > _CROWD:
            order = [p for p in order if p.standing == "front" or p.key == self.selected or p.is_baseline]
        order = order[:_LABELS]
        size = self.view.font_size - 0.5
        anchors = [labels.Anchor(*self.axes.pixel(p), self.axes.diameter(p) / 2 + (7 if p.key == self.selected else 1),
                                 figures._label(p), p.standing != "dominated") for p in order]
        busy = [bar for p in order for bar in self.axes.bars(p)]
        busy += [self._around(p) for p in self.points if p not in order]
        placed = labels.place(anchors, self.axes.width, self.axes.height, size, busy)
        parts = []
        for p, anchor, spot in zip(order, anchors, placed, strict=True):
            if spot.fits:
                parts.append(self._text(p, anchor, spot, size))
        return f'<g pointer-events="none">{"".join(parts)}</g>'

    def _around(self, p: Point) -> labels.Box:
        """The area of a point that has no label of its own."""
        (x, y), r = self.axes.pixel(p), self.axes.diameter(p) / 2 + 2
        return labels.Box(x - r, y - r, x + r, y + r)

    def _text(self, p: Point, anchor: labels.Anchor, spot: labels.Placed, size: float) -> str:
        box = spot.box
        chosen = p.key == self.selected
        middle = (box.left + box.right) / 2
        off = middle - anchor.x
        side = "start" if off > anchor.radius else "end" if off < -anchor.radius else "middle"
        x = {"start": box.left, "end": box.right, "middle": middle}[side] + self.left
        y = (box.top + box.bottom) / 2 + 0.35 * size + self.top
        line = ""
        if spot.far:
            near = min(max(anchor.x, box.left), box.right)
            edge = box.bottom if box.bottom < anchor.y else box.top
            line = (f'<path d="M{anchor.x + self.left:.1f} {anchor.y + self.top:.1f}L{near + self.left:.1f} '
                    f'{edge + self.top:.1f}" stroke="var(--rule)" stroke-width=".9"/>')
        strong = chosen or p.is_baseline
        ink = "ink" if strong or p.standing != "dominated" else "muted"
        return (f'{line}<text x="{x:.1f}" y="{y:.1f}" text-anchor="{side}" font-size="{size}" fill="var(--{ink})" '
                f'font-weight="{650 if chosen else 400}" paint-order="stroke" '
                f'stroke="var(--ground)" stroke-width="3" stroke-linejoin="round">{escape(anchor.text)}</text>')

    def _captions(self) -> str:
        """Axis titles, and the shapes and colours that are in use."""
        shown, size = self.shown, self.view.font_size - 0.5
        unit = "accuracy, %" if shown.quality_name == "accuracy" else f"{shown.quality_name} to the original"
        what = "latency of one run" if shown.batch == 1 else f"latency of one run of {shown.batch} samples"
        y = self.view.height - 0.35 * size
        words = (f'<text x="4" y="{1.1 * size:.1f}" fill="var(--muted)" font-size="{size}">{escape(unit)} ↑</text>'
                 f'<text x="{self.right}" y="{y:.1f}" text-anchor="end" fill="var(--muted)" font-size="{size}">'
                 f'{what}, ms (log) →</text>')
        return words + self._key(4, y, size)

    def _key(self, x: float, y: float, size: float) -> str:
        parts: list[str] = []

        def add(symbol: str, text: str) -> None:
            nonlocal x
            parts.append(f'{symbol}<text x="{x + 0.85 * size:.1f}" y="{y:.1f}" fill="var(--muted)" '
                         f'font-size="{size - 0.5}">{escape(text)}</text>')
            x += (0.85 + 0.9) * size + _width(text) * (size - 0.5)

        for runtime in dict.fromkeys(p.runtime for p in self.points):
            path = _SHAPES[theme.shape(runtime)]
            add(f'<path d="{path}" transform="translate({x + 0.3 * size:.1f} {y - 0.33 * size:.1f}) '
                f'scale({0.32 * size:.2f})" fill="var(--muted)"/>', short_runtime(runtime))
        for precision in dict.fromkeys(p.precision for p in self.points):
            bar = (f'<rect x="{x:.1f}" y="{y - 0.55 * size:.1f}" width="{0.65 * size:.1f}" '
                   f'height="{0.45 * size:.1f}" rx="1" fill="{theme.color(precision)}"/>')
            add(bar, theme.PRECISION_TITLES[precision])
        if self.tried:
            add(f'<circle cx="{x + 0.3 * size:.1f}" cy="{y - 0.33 * size:.1f}" r="{0.22 * size:.1f}" '
                'fill="var(--muted)" opacity=".45"/>', "tried in the search")
        verdicts = {p.verdict for p in self.points if not p.is_baseline}
        if verdicts - {"faster"}:
            parts_of = [t for v, t in (("faster", "filled: faster"), ("slower", "tinted: slower"),
                                       ("undecided", "hollow: undecided")) if v in verdicts]
            add("", ", ".join(parts_of))
        return "".join(parts)
