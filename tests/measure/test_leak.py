"""A planted leak is found with its size, a clean session and a bounded cache are cleared."""

import threading

import pytest

from workbench.errors import Cancelled, InputError, WorkerError
from workbench.leaks import LeakCheck, advice
from workbench.measure.leak import Growth, growth
from workbench.measure.memory import LeakSlope, leak_slope
from workbench.recipe import make
from workbench.views import resource_figures
from workbench.views.show import show

from .common import feeds


def test_a_planted_leak_is_found_with_its_size(odd):
    heard = []
    found = growth(odd("a", "leak"), feeds(), runs=1500, on_sample=lambda *told: heard.append(told))
    assert found.slope.verdict == "leak" and found.slope.low <= 20_000 * 1.1 and found.slope.high >= 20_000 * 0.9
    assert found.slope.bytes_per_run == pytest.approx(20_000, rel=0.25)
    assert found.runs == 1500 and found.stopped == "" and found.describe["distinct"] == len(feeds())
    assert heard[-1] == (1500, 1500, found.rss_bytes[-1])


@pytest.mark.parametrize("mode", ["", "fill"])
def test_a_clean_session_and_a_bounded_cache_are_cleared(odd, mode):
    assert growth(odd("a", mode), feeds(), runs=3000).slope.verdict == "steady"


def test_a_real_session_is_cleared(matmul):
    assert growth(matmul("m"), feeds(), runs=3000).slope.verdict == "steady"


def test_a_small_sure_growth_is_not_cleared():
    """1 kB a run over 300 runs is little memory, but no proof of none."""
    assert leak_slope([6e8 + 5e3 * i for i in range(60)], runs_per_sample=5).verdict == "undecided"
    assert leak_slope([6e8 + 20 * i for i in range(60)], runs_per_sample=5).verdict == "steady"


def test_time_cuts_the_runs_and_is_said(odd):
    found = growth(odd("a", "wait"), feeds(), runs=100_000, max_s=0.5)
    assert found.stopped == "time" and 16 <= len(found.rss_bytes) and found.runs < 100_000


def test_failures_are_one_line(odd):
    with pytest.raises(InputError, match="at least 200 runs"):
        growth(odd("a"), feeds(), runs=10)
    with pytest.raises(WorkerError, match="the thirteenth run"):
        growth(odd("a", "late"), feeds())
    cancel = threading.Event()
    with pytest.raises(Cancelled):
        growth(odd("a"), feeds(), runs=100_000, cancel=cancel, on_sample=lambda *told: cancel.set())


# --- what is said and drawn ---------------------------------------------------------------------------------------


def check(verdict, slope=12_000.0, runtime="tensorflow", shapes=False):
    found = LeakSlope(slope, slope * 0.9, slope * 1.1, verdict)
    grown = Growth(tuple(int(1e8 + slope * 50 * i) for i in range(60)), 50, found, 2.0, "", {})
    return LeakCheck("TF", make(runtime=runtime), grown, shapes, advice(found, runtime, shapes))


def test_advice_fits_the_runtime_and_is_given_only_for_a_leak():
    lines = " ".join(check("leak", shapes=True).advice)
    for words in ("tf.function", "input_signature", "clear_session", "Bound every cache", "several shapes", "close it"):
        assert words in lines
    assert "arena" in " ".join(check("leak", runtime="onnxruntime").advice)
    assert check("steady").advice == () and check("undecided").advice == ()


@pytest.mark.parametrize("verdict, words", [("leak", "leaks: memory grew by 12.0 kB a run"), ("steady", "is steady"),
                                            ("undecided", "check more runs")])
def test_the_verdict_is_a_sentence_and_a_figure(verdict, words):
    found = check(verdict)
    assert words in found.sentence and "3,000 runs" in found.sentence
    drawn = resource_figures.leak_figure(found)
    fitted = drawn.data[2]
    assert (fitted.y[1] - fitted.y[0]) * 1e6 == pytest.approx(12_000 * (fitted.x[1] - fitted.x[0]), rel=1e-6)
    assert verdict in drawn.layout.annotations[1].text and len(drawn.data[1].x) == 60
    words = " ".join(c.value for c in show(found).children if hasattr(c, "value"))
    assert ("What helps" in words) == (verdict == "leak")
