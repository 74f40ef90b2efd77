"""Statistics of measuring: intervals, verdicts, percentiles. Pure functions of numbers; numpy only.

A *round* is a short block of runs. Runs of one round resemble each other (same clock, same neighbours on the machine),
so the round, not the run, is what is resampled; rounds close in time resemble each other too, so blocks of rounds are
resampled as well and the wider answer counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist, median
from typing import NamedTuple

import numpy as np

CONFIDENCE = 0.95
RESAMPLES = 500  # a standard error from 500 resamples is itself known to 3 %
TRIM = 0.2
_Z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)

Rounds = Sequence[Sequence[float]]


class Estimate(NamedTuple):
    """A number with its 95 % interval; ``low`` is 0 and ``high`` infinite while one round is all there is."""

    value: float
    low: float
    high: float

    @property
    def interval(self) -> tuple[float, float]:
        """(low, high)."""
        return self.low, self.high

    @property
    def half_width(self) -> float:
        """Half the interval's length over the value: 0.03 reads '+-3 %'."""
        return (self.high - self.low) / (2 * self.value) if self.value > 0 else math.inf


def block_medians(rounds: Rounds) -> np.ndarray:
    """Median of each round, in order.

    Raises:
        ValueError: no round, an empty one, or a time that is not positive.
    """
    medians = np.array([median(r) if len(r) else 0.0 for r in rounds], dtype=float)
    if not len(medians) or not (medians > 0).all():
        raise ValueError("every round must hold at least one positive time")
    return medians


def median_interval(rounds: Rounds, *, seed: int = 0) -> Estimate:
    """Median of all runs, with a bootstrap interval that respects rounds.

    The interval is the median times ``exp(+-t * se)``: ``se`` is the bootstrap standard error of the median of the
    rounds' medians on the log scale (see :func:`_standard_error`), ``t`` is Student's for rounds - 1.

    Args:
        rounds: seconds, one sequence a round.
        seed: of the bootstrap.

    Raises:
        ValueError: no runs, or a time that is not positive.
    """
    logs = np.log(block_medians(rounds))
    middle = float(np.median(np.concatenate([np.asarray(r, dtype=float) for r in rounds])))
    return _around(math.log(middle), logs, _median, seed)


def ratio_interval(rounds: Rounds, baseline: Rounds, *, seed: int = 0) -> Estimate:
    """Ratio of medians, ``rounds`` over ``baseline``, paired by round; below 1 is faster than the baseline.

    Round i of both ran side by side, so what slowed the machine then slowed both: the ratio is taken within rounds.
    The estimate is the 20 % trimmed mean of the rounds' log ratios of medians (robust to rounds that were hit on one
    side only, and more efficient than their median: Wilcox, Introduction to Robust Estimation, ch. 3). The interval is
    as in :func:`median_interval`. Swapping the two arguments gives exactly the inverse.

    Args:
        rounds: seconds of the variant, one sequence a round.
        baseline: seconds of the baseline; surplus rounds of either side are left out.
        seed: of the bootstrap.

    Raises:
        ValueError: no runs on one side, or a time that is not positive.
    """
    n = min(len(rounds), len(baseline))
    logs = np.log(block_medians(rounds[:n])) - np.log(block_medians(baseline[:n]))
    return _around(float(_trimmed_mean(logs)), logs, _trimmed_mean, seed)


def verdict(interval: tuple[float, float], margin: float) -> str:
    """'faster', 'slower' or 'undecided' for the interval of a ratio to the baseline.

    Two processes that run the same thing differ by a per cent or two because their memory lies differently; ``margin``
    is that difference, and a ratio within ``1/(1+margin) .. 1+margin`` is no difference. An interval that touches the
    band is undecided.
    """
    low, high = interval
    if high < 1 / (1 + margin):
        return "faster"
    if low > 1 + margin:
        return "slower"
    return "undecided"


def _around(centre: float, logs: np.ndarray, location: Callable[[np.ndarray], np.ndarray], seed: int) -> Estimate:
    if len(logs) < 2:
        return Estimate(math.exp(centre), 0.0, math.inf)
    # exp of more than 700 overflows; such a width says 'unknown' just as well
    width = min(student_t(len(logs) - 1) * _standard_error(logs, location, seed), 700.0)
    return Estimate(math.exp(centre), math.exp(centre - width), math.exp(min(centre + width, 700.0)))


def _standard_error(values: np.ndarray, location: Callable[[np.ndarray], np.ndarray], seed: int) -> float:
    """Bootstrap standard error of ``location(values)`` for values in order of time.

    The larger of two: resampling single values, and resampling runs of sqrt(n) neighbours (circular block bootstrap,
    Politis and Romano 1992), which sees what drifts slowly but is too narrow for few values.
    """
    n = len(values)
    rng = np.random.default_rng(seed)
    errors = []
    for length in {1, round(math.sqrt(n))}:
        starts = rng.integers(0, n, (RESAMPLES, -(-n // length)))
        index = (starts[:, :, None] + np.arange(length)).reshape(RESAMPLES, -1)[:, :n] % n
        small_sample = n / (n - length)  # a resample varies around its own mean: less than the truth does
        errors.append(float(location(values[index]).std()) * math.sqrt(small_sample))
    return max(errors)


def _median(values: np.ndarray) -> np.ndarray:
    return np.median(values, axis=-1)


def _trimmed_mean(values: np.ndarray) -> np.ndarray:
    n = values.shape[-1]
    cut = int(TRIM * n)
    return np.sort(values, axis=-1)[..., cut:n - cut].mean(axis=-1)


def student_t(freedom: int, probability: float = 0.5 + CONFIDENCE / 2) -> float:
    """Quantile of Student's t.

    Exact for 1 and 2 degrees of freedom, else the expansion in Abramowitz and Stegun 26.7.5 (error below 0.5 % of
    the 97.5 % point from 3 degrees on).
    """
    if freedom == 1:
        return math.tan(math.pi * (probability - 0.5))
    if freedom == 2:
        a = 2 * probability - 1
        return a * math.sqrt(2 / (1 - a * a))
    z = NormalDist().inv_cdf(probability)
    g1 = (z**3 + z) / 4
    g2 = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    g3 = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    g4 = (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160
    return z + g1 / freedom + g2 / freedom**2 + g3 / freedom**3 + g4 / freedom**4


# --- percentiles -------------------------------------------------------------------------------------------------


def sample_floor(percentile: float, confidence: float = 0.99) -> int:
    """Fewest runs from which a percentile means something, after MLPerf's early-stopping rule.

    The rule (MLPerf Inference rules, appendix 'Early Stopping Criterion'; LoadGen `early_stopping.cc`) wants enough
    queries that, were the true share below the reported time less than ``percentile``, seeing at most one slower
    query would have a probability of at most 1 - confidence: ``P(Binomial(n, 1-p) <= 1) <= 1 - confidence``.

    Args:
        percentile: 0 < percentile < 100.
        confidence: of the statement.

    Returns:
        64 for the 90th, 662 for the 99th percentile at 99 %.
    """
    p = percentile / 100
    if not 0 < p < 1:
        raise ValueError("a percentile lies between 0 and 100, both excluded")

    def chance(n: int) -> float:
        return p**n + n * (1 - p) * p ** (n - 1)

    low, high = 1, 2
    while chance(high) > 1 - confidence:
        low, high = high, high * 2
    while high - low > 1:  # chance() falls with n
        middle = (low + high) // 2
        low, high = (middle, high) if chance(middle) > 1 - confidence else (low, middle)
    return high


def percentiles(runs: Sequence[float], wanted: Sequence[float] = (90, 95, 99)) -> dict[str, float | None]:
    """Percentiles of the runs of all rounds: ``{'p90': seconds}``; None where :func:`sample_floor` is not reached."""
    x = np.asarray(runs, dtype=float)
    return {f"p{q:g}": float(np.percentile(x, q)) if len(x) >= sample_floor(q) else None for q in wanted}


# --- accuracy ----------------------------------------------------------------------------------------------------


def proportion_interval(successes: int, n: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927, the score interval; sound for small n and near 0 and 1).

    Raises:
        ValueError: no sample, or more successes than samples.
    """
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"{successes} successes of {n} is no proportion")
    p, z2 = successes / n, _Z**2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return (0.0 if successes == 0 else max(0.0, centre - half)), (1.0 if successes == n else min(1.0, centre + half))


def paired_delta_interval(correct: Sequence[bool], reference: Sequence[bool]) -> tuple[float, float]:
    """95 % interval of the difference of two accuracies on the same samples, variant minus reference.

    Only samples on which the two differ carry information. Tango's score interval (Statistics in Medicine 17, 1998,
    pp. 891-908), which holds its level for few changes, none included.

    Args:
        correct: per sample, whether the variant is right.
        reference: the same for the reference.

    Raises:
        ValueError: no samples, or not the same number.
    """
    a, b = np.asarray(correct, dtype=bool), np.asarray(reference, dtype=bool)
    if a.shape != b.shape or a.ndim != 1 or not len(a):
        raise ValueError("both sides need the same samples, at least one")
    n, gained, lost = len(a), int((a & ~b).sum()), int((~a & b).sum())
    middle = (gained - lost) / n
    low = _root(lambda d: _tango_score(d, gained, lost, n) - _Z, -1.0, middle)
    high = _root(lambda d: _tango_score(d, gained, lost, n) + _Z, middle, 1.0)
    return low, high


def _tango_score(delta: float, gained: int, lost: int, n: int) -> float:
    """Score statistic for a true difference of ``delta``; falls as ``delta`` grows."""
    a = 2 * n
    b = (2 * n - gained + lost) * delta - gained - lost
    c = -lost * delta * (1 - delta)
    q = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)  # restricted estimate of P(lost)
    variance = n * (2 * q + delta * (1 - delta))
    distance = gained - lost - n * delta
    return distance / math.sqrt(variance) if variance > 1e-12 else math.copysign(math.inf, distance or -delta)


def _root(falling: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling function crosses zero; the end of the range when it does not."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return (low + high) / 2


def mean_interval(values: Sequence[float], *, seed: int = 0) -> tuple[float, float]:
    """95 % percentile-bootstrap interval of the mean of independent values, e.g. a cosine per sample.

    Raises:
        ValueError: no values.
    """
    x = np.asarray(values, dtype=float)
    if not len(x):
        raise ValueError("the mean of no values has no interval")
    rng = np.random.default_rng(seed)
    means = [x[rng.integers(0, len(x), len(x))].mean() for _ in range(2 * RESAMPLES)]
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(means, [tail, 100 - tail])
    return float(low), float(high)
