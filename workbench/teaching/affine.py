"""Affine quantization: a real number stands for an integer times a scale, after a zero point.

    q = clip(round(x / scale) + zero_point, lowest, highest),   x' = scale * (q - zero_point)

Source: Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference,
CVPR 2018, equation 1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..errors import InputError


class Affine(NamedTuple):
    """A grid of integers over a range of real numbers.

    Attributes:
        scale: width of one step.
        zero_point: the integer that stands for 0.
        lowest: smallest integer.
        highest: largest integer.
    """

    scale: float
    zero_point: int
    lowest: int
    highest: int

    @property
    def low(self) -> float:
        """Smallest real number on the grid."""
        return self.scale * (self.lowest - self.zero_point)

    @property
    def high(self) -> float:
        """Largest real number on the grid."""
        return self.scale * (self.highest - self.zero_point)


class Damage(NamedTuple):
    """What quantization does to some numbers.

    Attributes:
        rounding: mean squared error of the numbers inside the range.
        clipping: mean squared error that the clipped numbers add (both are shares of the same mean).
        clipped: share of the numbers outside the range, 0..1.
        theory: scale^2 / 12, the rounding error of evenly spread numbers.
        sqnr_db: power of the numbers over power of the error, dB; inf when nothing changed.
        levels: integers that are used.
    """

    rounding: float
    clipping: float
    clipped: float
    theory: float
    sqnr_db: float
    levels: int


def fit(low: float, high: float, bits: int = 8, symmetric: bool = False) -> Affine:
    """The grid for a range; 0 is always on it, because padding and ReLU need it exactly.

    Args:
        low: smallest real number wanted.
        high: largest one.
        bits: of the integers, 2 to 16; signed.
        symmetric: zero point 0, as fast kernels want weights; the range is then widened to the larger side.

    Raises:
        InputError: the range is empty, or the bits are out of range.
    """
    if not 2 <= bits <= 16:
        raise InputError(f"'bits' is {bits}; allowed: 2 to 16")
    if not low < high:
        raise InputError(f"the range {low:g} to {high:g} is empty: choose a lower end below the upper one")
    lowest, highest = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    if symmetric:
        return Affine(max(abs(low), abs(high)) / highest, 0, -highest, highest)
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / (highest - lowest)
    zero = int(np.clip(round(lowest - low / scale), lowest, highest))
    return Affine(scale, zero, lowest, highest)


def quantize(x: np.ndarray, grid: Affine) -> np.ndarray:
    """Integers for real numbers; halves are rounded to the even neighbour, as processors do."""
    return np.clip(np.rint(np.asarray(x) / grid.scale) + grid.zero_point, grid.lowest, grid.highest).astype(np.int32)


def dequantize(q: np.ndarray, grid: Affine) -> np.ndarray:
    """The real numbers that integers stand for."""
    return grid.scale * (np.asarray(q, dtype=np.float64) - grid.zero_point)


def damage(x: np.ndarray, grid: Affine) -> Damage:
    """How far numbers move, split in rounding and clipping."""
    x = np.asarray(x, dtype=np.float64).ravel()
    q = quantize(x, grid)
    squared = (x - dequantize(q, grid)) ** 2
    half = grid.scale / 2
    outside = (x < grid.low - half) | (x > grid.high + half)
    total = squared.mean()
    sqnr = float("inf") if total == 0 else 10 * np.log10((x**2).mean() / total)
    return Damage(float(squared[~outside].sum() / x.size), float(squared[outside].sum() / x.size),
                  float(outside.mean()), grid.scale**2 / 12, float(sqnr), int(np.unique(q).size))


def best_range(x: np.ndarray, bits: int = 8, symmetric: bool = False, tries: int = 60) -> tuple[float, float]:
    """The share of the largest range that gives the least squared error, looked for on a line.

    Clipping a few outliers makes all steps smaller: below some share that costs more than it gains.
    """
    low, high = float(np.min(x)), float(np.max(x))
    shares = np.linspace(1.0, 0.05, tries)
    errors = [sum(damage(x, fit(low * s, high * s, bits, symmetric))[:2]) for s in shares]
    share = shares[int(np.argmin(errors))]
    return low * share, high * share
