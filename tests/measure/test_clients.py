"""Concurrent requests: every client is counted, waiting overlaps, what cannot be shared is refused."""

import threading
import time

import pytest

from workbench.errors import InputError, WorkerError
from workbench.measure import Plan
from workbench.measure.clients import closed_loop, under_load

from .common import feeds


def test_a_closed_loop_counts_what_each_client_got():
    seen = []

    def run(feed):
        seen.append(threading.get_ident())
        time.sleep(0.002)

    found = closed_loop([run] * 3, [{"x": 1}, {"x": 2}], 0.05)
    assert len(set(seen)) == 3 and sum(found["counts"]) == len(seen)
    assert all(n >= 1 and s >= 0.04 for n, s in zip(found["counts"], found["seconds"], strict=True))
    with pytest.raises(ZeroDivisionError):
        closed_loop([run, lambda feed: 1 / 0], [{}], 0.05)


def test_sleeping_requests_overlap_and_the_gain_is_found(odd, monkeypatch):
    """A session that waits (0.3 s a request) serves three clients in the time of one."""
    monkeypatch.setattr("workbench.measure.clients.RUNS_A_WINDOW", 2)
    monkeypatch.setattr("workbench.measure.clients.ROUNDS_MIN", 2)
    plan = Plan(block_s=0.01, warmup_max_s=0.5, max_s=0.1)
    one, three = under_load(odd("a", "slow"), feeds(), clients=(3,), plan=plan)
    assert one.clients == 1 and one.gain is None and three.gain.low > 2
    assert three.throughput.value > 2 * one.throughput.value
    assert three.latency.value == pytest.approx(0.3, rel=0.5)


def test_real_sessions_serve_several_clients(matmul):
    plan = Plan(block_s=0.005, warmup_max_s=0.5, max_s=1.0)
    for shared in (False, True):
        one, two = under_load(matmul("m"), feeds(), clients=(2,), shared=shared, plan=plan)
        assert one.requests > 10 and two.requests > 10
        assert one.throughput.low < one.throughput.value < one.throughput.high
        assert two.gain.low <= two.gain.value <= two.gain.high and two.latency.value > 0


def test_what_cannot_be_shared_is_refused(odd, matmul):
    with pytest.raises(WorkerError, match="give each client its own"):
        under_load(odd("a"), feeds(), clients=(2,), shared=True, plan=Plan.default())
    with pytest.raises(InputError, match="whole numbers from 1 to 64"):
        under_load(matmul("m"), feeds(), clients=(0,))
    with pytest.raises(WorkerError, match="the thirteenth run"):
        under_load(odd("a", "late"), feeds(), clients=(2,), plan=Plan.default())
