"""Intervals cover the truth, verdicts are symmetric, floors follow their formula."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.measure import stats
from workbench.measure.memory import leak_slope

SIMULATIONS = 200
times = st.floats(1e-6, 10.0)
rounds_of = st.lists(st.lists(times, min_size=1, max_size=5), min_size=2, max_size=12)


def noisy_rounds(rng, median_s, *, rounds=20, runs=10, drift=None, noise=0.05):
    """Log-normal runs around a median; ``drift`` multiplies whole rounds; one run in ten is hit by something else."""
    drift = np.ones(rounds) if drift is None else drift
    body = np.exp(noise * rng.standard_normal((rounds, runs)))
    hit = np.where(rng.random((rounds, runs)) < 0.1, 1 + rng.exponential(1.0, (rounds, runs)), 1.0)
    return median_s * drift[:, None] * body * hit


def true_median(noise=0.05):
    return float(np.median(noisy_rounds(np.random.default_rng(99), 1.0, rounds=1000, runs=200, noise=noise)))


def shaken(rng, rounds):
    """A machine whose speed wanders by a quarter: neighbouring rounds alike."""
    steps = np.zeros(rounds)
    for i in range(1, rounds):
        steps[i] = 0.9 * steps[i - 1] + 0.1 * rng.standard_normal()
    return np.exp(steps)


@pytest.mark.parametrize("rounds", [3, 5, 20, 60])
def test_median_interval_covers_the_truth(rounds):
    truth, covered = 0.002 * true_median(), 0
    for seed in range(SIMULATIONS):
        found = stats.median_interval(noisy_rounds(np.random.default_rng(seed), 0.002, rounds=rounds))
        assert found.low <= found.value <= found.high
        covered += found.low <= truth <= found.high
    assert covered >= 0.9 * SIMULATIONS


@pytest.mark.parametrize("rounds", [3, 5, 20, 60])
def test_ratio_interval_covers_the_truth_on_a_machine_that_drifts(rounds):
    covered = 0
    for seed in range(SIMULATIONS):
        rng = np.random.default_rng(seed)
        drift = shaken(rng, rounds)
        fast = noisy_rounds(rng, 0.002, rounds=rounds, drift=drift)
        slow = noisy_rounds(rng, 0.003, rounds=rounds, drift=drift, runs=7)
        found = stats.ratio_interval(slow, fast)
        covered += found.low <= 1.5 <= found.high
    assert covered >= 0.9 * SIMULATIONS


def test_pairing_by_round_is_what_makes_the_ratio_narrow():
    rng = np.random.default_rng(0)
    drift = shaken(rng, 40)
    a, b = noisy_rounds(rng, 1.0, rounds=40, drift=drift), noisy_rounds(rng, 1.0, rounds=40, drift=drift)
    paired = stats.ratio_interval(a, b).half_width
    assert stats.ratio_interval(a, rng.permutation(b)).half_width > 2 * paired


def test_more_rounds_give_narrower_intervals_and_few_give_honest_ones():
    rng = np.random.default_rng(0)
    all_rounds = noisy_rounds(rng, 1.0, rounds=320)
    widths = [stats.median_interval(all_rounds[:n]).half_width for n in (3, 20, 80, 320)]
    assert widths == sorted(widths, reverse=True)
    assert widths[1] / widths[3] == pytest.approx(4, rel=0.5)  # root of 16
    one = stats.median_interval([[1.0, 1.1]])
    assert (one.low, one.high, one.half_width) == (0.0, math.inf, math.inf)


def test_slow_drift_widens_the_interval_of_a_median():
    rng = np.random.default_rng(3)
    steady = noisy_rounds(rng, 1.0, rounds=100)
    drift = shaken(rng, 100)
    ordered = noisy_rounds(rng, 1.0, rounds=100, drift=drift)
    assert stats.median_interval(ordered).half_width > 3 * stats.median_interval(steady).half_width
    assert stats.median_interval(ordered).half_width > 1.5 * stats.median_interval(rng.permutation(ordered)).half_width


@given(rounds_of, rounds_of)
@settings(max_examples=30, deadline=None)
def test_swapping_the_sides_inverts_ratio_interval_and_verdict(a, b):
    ab, ba = stats.ratio_interval(a, b), stats.ratio_interval(b, a)
    assert ab.value == pytest.approx(1 / ba.value)
    if ab.high < 1e300 and ba.high < 1e300:
        assert ab.low == pytest.approx(1 / ba.high) and ab.high == pytest.approx(1 / ba.low)
        opposite = {"faster": "slower", "slower": "faster", "undecided": "undecided"}
        assert stats.verdict(ba.interval, 0.02) == opposite[stats.verdict(ab.interval, 0.02)]


@given(rounds_of, st.sampled_from([2.0**-10, 0.5, 4.0, 2.0**12]))
@settings(max_examples=30, deadline=None)
def test_units_do_not_matter(rounds, scale):
    plain, scaled = stats.median_interval(rounds), stats.median_interval([[scale * s for s in r] for r in rounds])
    assert scaled.value == pytest.approx(scale * plain.value)
    assert scaled.low == pytest.approx(scale * plain.low)
    assert stats.ratio_interval([[scale * s for s in r] for r in rounds], rounds).value == pytest.approx(scale)


@given(rounds_of)
@settings(max_examples=20, deadline=None)
def test_a_thing_compared_with_itself_is_undecided(rounds):
    found = stats.ratio_interval(rounds, rounds)
    assert found == (1.0, 1.0, 1.0)
    assert stats.verdict(found.interval, 0.0) == "undecided"


def test_the_seed_makes_it_repeatable():
    rounds = noisy_rounds(np.random.default_rng(0), 1.0)
    assert stats.median_interval(rounds, seed=1) == stats.median_interval(rounds, seed=1)
    assert stats.median_interval(rounds, seed=1) != stats.median_interval(rounds, seed=2)


def test_surplus_rounds_of_one_side_are_left_out():
    rng = np.random.default_rng(0)
    a, b = noisy_rounds(rng, 1.0, rounds=30), noisy_rounds(rng, 1.0, rounds=20)
    assert stats.ratio_interval(a, b) == stats.ratio_interval(a[:20], b)


@pytest.mark.parametrize("bad", [[], [[]], [[1.0], []], [[0.0]], [[1.0], [-1.0]]])
def test_bad_rounds_are_refused(bad):
    with pytest.raises(ValueError, match="positive time"):
        stats.median_interval(bad)


@pytest.mark.parametrize(("interval", "word"), [
    ((0.80, 0.97), "faster"), ((0.80, 0.99), "undecided"), ((0.9, 1.1), "undecided"), ((1.01, 1.2), "undecided"),
    ((1.03, 1.2), "slower"), ((0.0, math.inf), "undecided"), ((1 / 1.02, 1.02), "undecided")])
def test_verdict(interval, word):
    assert stats.verdict(interval, 0.02) == word


def test_student_t_agrees_with_scipy():
    t = pytest.importorskip("scipy.stats").t
    for freedom in (1, 2, 3, 4, 5, 10, 19, 100, 399):
        assert stats.student_t(freedom) == pytest.approx(t.ppf(0.975, freedom), rel=0.005)


# --- percentiles


def test_sample_floor_is_mlperfs():
    assert stats.sample_floor(90) == 64
    assert stats.sample_floor(99) == 662


@pytest.mark.parametrize("percentile", [50, 75, 90, 95, 99, 99.9])
def test_sample_floor_is_the_smallest_that_meets_the_rule(percentile):
    p = percentile / 100

    def chance(n):  # of at most one run beyond the percentile
        return sum(math.comb(n, k) * (1 - p) ** k * p ** (n - k) for k in (0, 1))

    floor = stats.sample_floor(percentile)
    assert chance(floor) <= 0.01 < chance(floor - 1)


def test_percentiles_below_their_floor_are_not_told():
    runs = np.linspace(1, 2, 101)
    assert stats.percentiles(runs) == {"p90": pytest.approx(1.9), "p95": None, "p99": None}
    assert stats.percentiles(np.linspace(0, 100, 662))["p99"] == pytest.approx(99.0)
    assert stats.percentiles(runs[:63]) == {"p90": None, "p95": None, "p99": None}
    assert stats.percentiles([], wanted=(99.9,)) == {"p99.9": None}


# --- accuracy


def test_wilson_agrees_with_scipy():
    binomtest = pytest.importorskip("scipy.stats").binomtest
    for successes, n in ((0, 10), (1, 10), (5, 10), (10, 10), (912, 1000)):
        wilson = binomtest(successes, n).proportion_ci(method="wilson")
        assert stats.proportion_interval(successes, n) == pytest.approx((wilson.low, wilson.high), abs=1e-9)
    with pytest.raises(ValueError, match="no proportion"):
        stats.proportion_interval(3, 2)


def test_paired_delta_interval_covers_the_truth():
    rng, n, covered = np.random.default_rng(0), 300, 0
    truth = 0.1 * 0.2 - 0.9 * 0.05
    for _ in range(SIMULATIONS):
        reference = rng.random(n) < 0.9
        flip = rng.random(n)
        variant = np.where(reference, flip > 0.05, flip < 0.2)
        low, high = stats.paired_delta_interval(variant, reference)
        covered += low <= truth <= high
    assert covered >= 0.9 * SIMULATIONS


def test_paired_delta_interval_solves_tangos_equation():
    """Against a maximum-likelihood fit by brute force: the score at both ends is the normal quantile."""
    gained, lost, n = 12, 2, 50
    variant = [True] * gained + [False] * lost + [True] * 36
    reference = [False] * gained + [True] * lost + [True] * 36
    for delta, sign in zip(stats.paired_delta_interval(variant, reference), (1, -1), strict=True):
        q = np.linspace(max(0.0, -delta) + 1e-9, (1 - delta) / 2 - 1e-9, 2_000_001)  # P(lost); P(gained) = q + delta
        likelihood = (gained * np.log(q + delta) + lost * np.log(q) + (n - gained - lost) * np.log(1 - 2 * q - delta))
        best = q[np.argmax(likelihood)]
        score = (gained - lost - n * delta) / math.sqrt(n * (2 * best + delta * (1 - delta)))
        assert score == pytest.approx(sign * 1.959964, abs=1e-3)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=200))
@settings(max_examples=100, deadline=None)
def test_paired_delta_interval_holds_the_difference_and_is_antisymmetric(pairs):
    a, b = [p[0] for p in pairs], [p[1] for p in pairs]
    low, high = stats.paired_delta_interval(a, b)
    assert -1 <= low <= (sum(a) - sum(b)) / len(a) <= high <= 1
    assert stats.paired_delta_interval(b, a) == pytest.approx((-high, -low), abs=1e-9)


def test_no_change_is_not_certainty():
    low, high = stats.paired_delta_interval([True] * 50, [True] * 50)
    assert low == pytest.approx(-high) and 0.03 < high < 0.1


def test_mean_interval():
    rng, covered = np.random.default_rng(0), 0
    for seed in range(60):
        low, high = stats.mean_interval(rng.beta(8, 2, 100), seed=seed)
        covered += low <= 0.8 <= high
    assert covered >= 0.9 * 60
    with pytest.raises(ValueError, match="no values"):
        stats.mean_interval([])


# --- memory


def resident(rng, per_run, *, samples=200, runs_per_sample=10, base=300e6):
    """Resident size in whole pages: a pool that fills at first, noise, now and then a step up and down."""
    runs = np.arange(samples) * runs_per_sample
    filling = 20e6 * (1 - np.exp(-runs / 50))
    steps = 2e6 * (rng.random(samples) < 0.05)
    return np.round((base + filling + steps + rng.normal(0, 50e3, samples) + per_run * runs) / 4096) * 4096


def test_a_leak_is_found_and_its_slope_covered():
    for seed in range(20):
        found = leak_slope(resident(np.random.default_rng(seed), 10_000), runs_per_sample=10)
        assert found.verdict == "leak"
        assert found.low <= found.bytes_per_run <= found.high
        assert found.bytes_per_run == pytest.approx(10_000, rel=0.1)


def test_steady_memory_is_no_leak():
    verdicts = [leak_slope(resident(np.random.default_rng(seed), 0), runs_per_sample=10).verdict for seed in range(20)]
    assert verdicts.count("leak") == 0 and verdicts.count("steady") >= 18


def test_memory_that_does_not_move_at_all_is_steady():
    assert leak_slope([1e8] * 50) == (0.0, 0.0, 0.0, "steady")
    with pytest.raises(ValueError, match="at least 8"):
        leak_slope([1e8] * 9)


def test_long_series_are_thinned():
    found = leak_slope(1e8 + 1000.0 * np.arange(20_000))
    assert found.verdict == "leak" and found.bytes_per_run == pytest.approx(1000)
