"""Memory of a worker: resident size now and at its peak, and whether it grows from run to run."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

_STATUS = Path("/proc/self/status")
_LEAK_SHARE = 0.01  # of the resident size: growth below it over the whole observation is no leak
_LEAK_BYTES = 1 << 20
_LEAK_PER_RUN = 10.0  # bytes; less is 10 MB in a million runs, which no service notices
_MOST_POINTS = 500


def rss_bytes() -> int:
    """Resident set size of this process."""
    found = _status("VmRSS")
    if found is None:
        import psutil

        found = psutil.Process().memory_info().rss
    return found


def peak_rss_bytes() -> int:
    """Largest resident set size of this process since :func:`reset_peak`, or since its start (not on Linux)."""
    found = _status("VmHWM")
    if found is not None:
        return found
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def reset_peak() -> bool:
    """Starts the peak anew (Linux, see proc(5) 'clear_refs'); False where the system cannot."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _status(field: str) -> int | None:
    try:
        text = _STATUS.read_text()
    except OSError:
        return None
    for line in text.splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    return None


class LeakSlope(NamedTuple):
    """Growth of memory.

    Attributes:
        bytes_per_run: the slope.
        low: lower end of its 95 % interval.
        high: upper end.
        verdict: 'leak', 'steady' or 'undecided'.
    """

    bytes_per_run: float
    low: float
    high: float
    verdict: str


def leak_slope(rss: Sequence[float], *, runs_per_sample: int = 1, settle: float = 0.25) -> LeakSlope:
    """Whether memory grows with the number of runs.

    Slope by Theil and Sen with Sen's interval (Sen, JASA 63, 1968, pp. 1379-1389): steps of an allocator and single
    outliers do not bend it as they bend a least-squares line. A leak is a slope whose interval lies above zero and
    that grew memory by more than 1 % (and 1 MiB) over the observation; 'steady' when even its upper end stays below,
    unless the slope surely is above 10 bytes a run: then more runs would tell, and it is 'undecided'.

    Args:
        rss: resident bytes, sampled at even steps.
        runs_per_sample: runs between two samples.
        settle: share of the samples at the start that is left out, while pools and arenas fill.

    Raises:
        ValueError: fewer than 8 samples remain.
    """
    y = np.asarray(rss, dtype=float)[int(len(rss) * settle):]
    if len(y) < 8:
        raise ValueError("a slope of memory wants at least 8 samples after settling")
    step = max(1, math.ceil(len(y) / _MOST_POINTS))  # all pairs of 500 points are plenty, of 50,000 too many
    y = y[::step]
    x = np.arange(len(y)) * float(step * runs_per_sample)
    i, j = np.triu_indices(len(y), 1)
    slopes = np.sort((y[j] - y[i]) / (x[j] - x[i]))
    middle = float(np.median(slopes))
    reach = NormalDist().inv_cdf(0.975) * math.sqrt(_kendall_variance(y))
    rank = (len(slopes) - reach) / 2
    low = float(slopes[max(0, math.floor(rank))])
    high = float(slopes[min(len(slopes) - 1, math.ceil(len(slopes) - rank))])
    large = max(_LEAK_SHARE * float(np.median(y)), _LEAK_BYTES)
    span = x[-1]
    if low > 0 and middle * span > large:
        return LeakSlope(middle, low, high, "leak")
    return LeakSlope(middle, low, high, "steady" if high * span <= large and low <= _LEAK_PER_RUN else "undecided")


def _kendall_variance(y: np.ndarray) -> float:
    """Variance of Kendall's S for these values under no trend, corrected for ties."""
    n = len(y)
    ties = np.unique(y, return_counts=True)[1].astype(float)
    return (n * (n - 1) * (2 * n + 5) - float((ties * (ties - 1) * (2 * ties + 5)).sum())) / 18
