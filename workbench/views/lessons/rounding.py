"""Affine quantization under the hand: drag the ends of the range, choose the bits, see what is lost."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...teaching import affine, mlp
from ..charts import rounding
from ..notebook import pages
from ..widgets.chart import Chart
from . import controls
from .case import Case

_MOST, _CURVE = 20_000, 3_000  # numbers that are drawn, and those behind the curve of bits


class RoundingLesson:
    """A histogram whose range can be dragged, the arithmetic in numbers, and bits against noise.

    Args:
        case: supplies weights and activations of the bundled model.
        values: own numbers, name -> array; replaces those of the case.
    """

    def __init__(self, case: Case | None = None, values: dict[str, np.ndarray] | None = None) -> None:
        self.values = values or _of(case)
        names = list(self.values)
        self.what = controls.choice("numbers", names, names[0])
        self.bits = controls.slider("bits", 8, 2, 12, 1, whole=True, live=True)
        self.symmetric = controls.check("symmetric (zero point 0)", False)
        self.low = controls.slider("lower end", 0.0, -1.0, 1.0, 0.01, live=True)
        self.high = controls.slider("upper end", 1.0, -1.0, 1.0, 0.01, live=True)
        self._still, self._best = False, {}
        edits = {"edits": {"shapePosition": True}}
        self.chart, self.noise, self.numbers = Chart(on_drag=self._dragged, config=edits), Chart(), pages.html("")
        self.root = pages.shown(controls.row(self.what, self.bits, self.symmetric), controls.row(self.low, self.high),
                                self.chart, self.numbers, self.noise)
        self.what.observe(lambda _: self._take(), "value")
        for control in (self.bits, self.symmetric, self.low, self.high):
            control.observe(self._changed, "value")
        self._take()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return self.root._repr_mimebundle_(**kwargs)

    @property
    def grid(self) -> affine.Affine:
        """The grid at the present settings."""
        return affine.fit(self.low.value, self.high.value, self.bits.value, self.symmetric.value)

    def _take(self) -> None:
        """Other numbers: the sliders span them, the range starts at their ends."""
        x = self.values[self.what.value]
        low, high = float(np.min(x)), float(np.max(x))
        step = (high - low) / 400
        self._still = True
        for control, value in ((self.low, low), (self.high, high)):
            control.min, control.max = -1e9, 1e9  # never a moment in which the minimum is above the maximum
            control.min, control.max, control.step = low - 20 * step, high + 20 * step, step
            control.value = value
        self._still = False
        self._changed()

    def _dragged(self, change: dict[str, Any]) -> None:
        for index, control in enumerate((self.low, self.high)):
            for end in ("x0", "x1"):
                if f"shapes[{index}].{end}" in change:
                    control.value = min(control.max, max(control.min, float(change[f"shapes[{index}].{end}"])))

    def _changed(self, _: Any = None) -> None:
        if self._still:
            return
        x = self.values[self.what.value]
        if self.high.value - self.low.value < self.low.step:
            self.numbers.value = pages.note("The lower end must lie below the upper one.")
            return
        grid = self.grid
        self.chart.draw(rounding.grid(x, grid, self.low.value, self.high.value, self.what.value))
        few, symmetric = x[:_CURVE], self.symmetric.value
        key = (self.what.value, symmetric)
        if key not in self._best:
            self._best[key] = rounding.best(few, symmetric)
        self.noise.draw(rounding.bits(few, self.low.value, self.high.value, symmetric, self._best[key]))
        found = affine.damage(x, grid)
        self.numbers.value = pages.facts([
            ("scale = (high − low) / steps", f"{grid.scale:.6g}"), ("zero point", str(grid.zero_point)),
            ("integers used", f"{found.levels:,} of {grid.highest - grid.lowest + 1:,}"),
            ("clipped", f"{100 * found.clipped:.2f} %"), ("rounding error, mean square", f"{found.rounding:.3e}"),
            ("theory: scale² / 12", f"{found.theory:.3e}"), ("clipping error, mean square", f"{found.clipping:.3e}"),
            ("signal to noise", f"{found.sqnr_db:.1f} dB")])


def _of(case: Case) -> dict[str, np.ndarray]:
    """Activations and weights of the bundled model."""
    trace = mlp.forward(case.bundled, case.held)
    found = {f"sums of layer {i}": z for i, z in enumerate(trace.sums, start=1)}
    found |= {f"weights of layer {i}": w for i, (w, _) in enumerate(case.bundled, start=1)}
    rng = np.random.default_rng(0)
    flat = {name: values.ravel() for name, values in found.items()}
    return {name: v if v.size <= _MOST else rng.choice(v, _MOST, replace=False) for name, v in flat.items()}
