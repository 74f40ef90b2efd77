"""What the tune pane tells, from trials and outcomes; no browser, no measuring."""

from dataclasses import replace

import pytest

from tests.test_study import BASE, FAST, result
from workbench import recipe as recipes
from workbench.engine import Progress
from workbench.search import Attempt, Goal, Outcome, Trial
from workbench.views.tuning import Tuning

BASELINE = replace(result("base", BASE), ratio=1.0)


def outcome(**changes):
    values = dict(best=result(), baseline=BASELINE, contenders=(BASELINE, result()), trials=(), met=True, unmet={},
                  binding=(), nearest=(), ruled_out={"openvino bf16": "no bfloat16"}, stopped="done", seconds=12.0,
                  goal=Goal(max_drop=1.0))
    return Outcome(**{**values, **changes})


@pytest.fixture
def tuning():
    made = Tuning(labelled=True, threads=2)
    made.start()
    return made


def test_tells_what_is_tried_and_why_and_when_it_ends(tuning):
    tuning.attempt = Attempt(FAST, "INT8 with calibration", "screen", 200.0)
    state = tuning.state(running=True)
    assert state["now"] == "Trying INT8 static on ONNX Runtime" and state["why"] == "INT8 with calibration"
    assert state["running"] and state["ends_ms"] > 0
    told = tuning.progress(Progress(FAST.key, "measure", "round 3", 0.9, 2.0))
    assert told.line == "tuning, ORT INT8 static: round 3" and told.fraction < 0.1 and told.remaining_s > 290


def test_lists_what_was_tried_newest_first_with_the_reason(tuning):
    failed = replace(result("f", recipes.make("onnx-int8-dynamic", runtime="onnxruntime", threads=1)), status="failed",
                     reason="nothing to quantize", median_s=None)
    tuning.trials = [Trial(0, "the original", BASELINE, BASELINE, 1.0),
                     Trial(1, "known", result(), result(), 2.0, True),
                     Trial(2, "slow", replace(result("g", FAST)), result(), 3.0, False, {"max_drop": "falls 5 points"}),
                     Trial(3, "known", failed, result(), 4.0)]
    tuning.best = result()
    rows = tuning.tried()
    assert [r["number"] for r in rows] == [4, 3, 2, 1]
    assert [r["status"] for r in rows] == ["failed", "missed", "met", "met"]
    assert rows[0]["note"] == "nothing to quantize" and rows[1]["note"] == "falls 5 points"
    assert rows[2]["note"] == "from the study" and rows[2]["is_best"] and not rows[3]["is_best"]
    assert rows[0]["name"].endswith("1 thread") and rows[3]["name"] == "ORT float32"


def test_a_recommendation_and_an_unmet_goal_read_differently(tuning):
    tuning.outcome = outcome()
    good = tuning.state(running=False)
    assert good["tone"] == "plain" and "as fast as the original" in good["told"]
    assert good["left_out"] == ["Not tried, openvino bf16: no bfloat16"]
    tuning.outcome = outcome(met=False, unmet={"latency_s": "1.00 ms, wanted 1.00 µs"}, binding=("latency_s",),
                             nearest=(result(), BASELINE))
    bad = tuning.state(running=False)
    assert bad["tone"] == "failed" and bad["told"].startswith("The goal is not met (1.00 ms, wanted 1.00 µs)")
    assert bad["reasons"][0] == "In the way: latency, ms" and bad["reasons"][1].startswith("Nearest: INT8 static")


def test_a_cancelled_search_says_that_nothing_was_confirmed():
    assert outcome(confirmed=False, stopped="cancelled").sentence.endswith(
        "Not confirmed on samples that the search did not use.")
    keep = outcome(best=BASELINE)
    assert keep.sentence.startswith("Keep the original") and "surely faster" in keep.sentence
    missed = outcome(best=BASELINE, met=False, unmet={"formats": "is keras, allowed: onnx"})
    assert missed.sentence.startswith("The goal is not met (is keras, allowed: onnx)") and "Keep" not in missed.sentence
