"""The normal course of a measurement, with real ONNX Runtime sessions in real workers."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from workbench.measure import WorkerPool, measure, stats

from .common import PLAN, feeds, only


def test_a_distant_ratio_may_be_wider():
    plan = replace(PLAN, target=0.03, distant=0.05)
    far, near = [(0.1, 0.125, 0.104), (5.0, 5.5, 0.0805)], [(1.6, 1.7, 0.03), (0.97, 1.03, 0.03), (0.2, 9, 0.03)]
    for low, high, wanted in far + near:
        assert plan.wanted(stats.Estimate((low + high) / 2, low, high)) == pytest.approx(wanted, abs=1e-4)
    assert plan.wanted(None) == 0.03


def test_onnxruntime_end_to_end(matmul):
    asked = feeds(5, seed=1)
    found = measure([matmul("a"), matmul("b", 3.0)], feeds(), evaluation=asked, plan=PLAN)
    for id, factor in (("a", 1), ("b", 3)):
        m = found[id]
        assert (m.status, m.reason, m.stopped) == ("ok", "", "time")
        assert len(m.rounds) == len(m.positions) == PLAN.rounds_max
        assert min(map(len, m.rounds)) >= PLAN.block_min_runs
        assert len(m.warmup_s) >= PLAN.warmup_min_runs and min(m.warmup_s) > 0
        assert len(m.refill_s) >= len(m.rounds)
        assert m.memory["load_s"] > 0 and m.memory["import_s"] > 0 and m.memory["rss_baseline_bytes"] > 1e6
        assert m.memory["rss_peak_bytes"] >= 0 and m.describe["runtime"] == "onnxruntime"
        assert m.environment["cpu_model"] and m.environment["noise"]["wall_s"] > 0
        assert m.environment["seed"] == PLAN.seed and isinstance(m.environment["warnings"], list)
        with np.load(m.outputs_path) as outputs:
            np.testing.assert_allclose(outputs["y"], factor * np.concatenate([f["x"] for f in asked]))


def test_the_framework_stays_out_of_this_process():
    code = "import sys, workbench.measure; print({'onnxruntime', 'tensorflow', 'psutil', 'onnx'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


def test_order_is_shuffled_from_the_seed_and_recorded(matmul):
    def positions(seed):
        plan = replace(PLAN, seed=seed, rounds_min=12, rounds_max=12)
        found = measure([matmul("a"), matmul("b"), matmul("c")], feeds(), evaluation=[], plan=plan)
        return [found[k].positions for k in "abc"]

    first = positions(1)
    assert all(sorted(places) == [0, 1, 2] for places in zip(*first, strict=True))
    assert len(set(zip(*first, strict=True))) > 2
    assert positions(1) == first and positions(2) != first


def test_it_stops_when_narrow_and_says_so(matmul):
    plan = replace(PLAN, target=1e9)
    found = measure([matmul("a"), matmul("b")], feeds(), evaluation=[], plan=plan)
    assert [m.stopped for m in found.values()] == ["narrow", "narrow"]
    assert [len(m.rounds) for m in found.values()] == [plan.rounds_min, plan.rounds_min]


def test_the_baseline_goes_on_while_another_does(matmul, odd):
    plan = replace(PLAN, rounds_max=12, target=0.3)
    with WorkerPool(slow_down={"slow": 5.0}) as pool:
        candidates = [matmul("a"), odd("x", "late"), matmul("slow", 2.0)]
        found = measure(candidates, feeds(), evaluation=[], plan=plan, pool=pool)
    assert found["x"].status == "failed"
    assert len(found["a"].rounds) == len(found["slow"].rounds) >= plan.rounds_min


def test_injected_slowness_is_found(matmul):
    plan = replace(PLAN, rounds_min=20, rounds_max=60)
    with WorkerPool(slow_down={"b": 4.0}) as pool:
        found = measure([matmul("a"), matmul("b")], feeds(), evaluation=[], plan=plan, pool=pool)
    ratio = stats.ratio_interval(found["b"].rounds, found["a"].rounds)
    assert stats.verdict(ratio.interval, plan.margin) == "slower" and ratio.value > 2


def test_a_slow_model_gets_single_runs_and_ends(odd):
    plan = replace(PLAN, rounds_min=20, rounds_max=400, max_s=0.5, warmup_max_s=0.5)
    m = only(odd("a", "slow"), plan=plan)
    assert (m.status, m.stopped) == ("ok", "time")
    assert [len(r) for r in m.rounds] == [1, 1, 1] and len(m.warmup_s) >= 1 and m.refill_s == []
    estimate = stats.median_interval(m.rounds)
    assert estimate.low < estimate.value < estimate.high


def test_a_slow_model_answers_fewer_questions(odd):
    plan = replace(PLAN, max_s=0.1, warmup_max_s=0.1, fidelity_max_s=0.5)
    m = only(odd("a", "slow"), plan=plan, evaluation=feeds(20))
    with np.load(m.outputs_path) as outputs:
        np.testing.assert_array_equal(outputs["y"], 2 * np.concatenate([f["x"] for f in feeds(20)[:16]]))


def test_inputs_vary_and_are_bound_beforehand(odd):
    m = only(odd("a", threads=1), evaluation=feeds(3))
    assert m.describe["distinct"] == 7  # all feeds were used, under the session's own name and dtype
    with np.load(m.outputs_path) as outputs:
        assert outputs["y"].dtype == "float64"
        np.testing.assert_array_equal(outputs["y"], 2 * np.concatenate([f["x"] for f in feeds(3)]))
        assert outputs["sum"].shape == (3,)  # no batch axis: one entry a run
        assert outputs["ragged"].shape[0] == 3


def test_environment_and_cores_are_set_in_the_worker(odd):
    m = only(odd("a", threads=1))
    assert m.describe["threads"] == "1"
    if hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) > 1:
        assert len(m.describe["cores"]) == 1


def test_prints_and_reads_of_a_framework_do_not_disturb(odd):
    m = only(odd("a", "noise"), evaluation=feeds(2))
    assert (m.status, m.reason) == ("ok", "")


def test_updates_tell_stage_share_and_live_numbers(matmul):
    updates = []
    plan = replace(PLAN, rounds_min=60, rounds_max=60, block_s=0.01)
    measure([matmul("a"), matmul("b")], feeds(), evaluation=feeds(), plan=plan, on_update=updates.append)
    stages = list(dict.fromkeys(u.stage for u in updates))
    assert stages == ["load", "warm-up", "measure", "fidelity"]
    fractions = [u.fraction for u in updates]
    assert fractions == sorted(fractions) and 0 <= fractions[0] and fractions[-1] <= 1
    timing = [u for u in updates if u.stage == "measure"]
    assert all(u.remaining_s >= 0 and "round" in u.line and "→" in u.line for u in timing)
    live = timing[-1].candidates
    assert live["a"].ratio is None and live["b"].ratio.low <= live["b"].ratio.value <= live["b"].ratio.high
    assert live["b"].samples >= live["b"].rounds >= 3 and live["b"].median.value > 0
