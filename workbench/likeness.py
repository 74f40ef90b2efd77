"""How alike two sets of numbers are where a cosine cannot tell, and which values are no numbers; numpy only."""

from __future__ import annotations

import numpy as np

_STEADY = 0.1  # standard deviation over root mean square below which numbers hardly vary
_HUGE = 6e4  # stands for infinity in float16, whose largest number is 65504


def kept_variance(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """What each sample contributes to R², the coefficient of determination: their mean is R², before clipping.

    ``1 - (ours - theirs)² / variance of theirs``, where the standard deviation counts as at least a tenth of the root
    mean square: numbers that hardly vary would make every rounding look fatal.

    Args:
        ours: [n], one number a sample.
        theirs: [n], the reference's.

    Returns:
        [n], -1..1; 0 where a value is not a number that the reference means.
    """
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    bad, meant = not_numbers(a, b)
    a, b = np.where(bad | meant, 0.0, a), np.where(bad | meant, 0.0, b)
    known = b[~(bad | meant)]
    scale = max(float(known.std()), _STEADY * float(np.sqrt((known**2).mean()))) if known.size else 0.0
    error = np.abs(a - b)
    share = np.where(error == 0, 1.0, -1.0) if scale == 0 else 1.0 - (error / scale) ** 2
    return np.where(bad, 0.0, share.clip(-1.0, 1.0))


def not_numbers(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Elementwise: broken values, and infinities that both sides mean ('impossible' classes are often -inf)."""
    agreed = np.isinf(b) & (np.sign(a) == np.sign(b)) & (np.abs(a) >= _HUGE)
    return ~(np.isfinite(a) & np.isfinite(b)) & ~agreed | np.isinf(b) & ~agreed, agreed
