"""A crash, a hang, an error, a full memory: each is a result with a reason, and the others go on."""

import os
import signal
import threading
from dataclasses import replace

import pytest

from workbench.errors import InputError
from workbench.measure import WorkerPool, measure
from workbench.runtimes import registry

from .common import PLAN, POSIX_ONLY, feeds, only, workers_of


@pytest.mark.parametrize(("mode", "reason"), [
    ("wrong", "RuntimeError: bad kernel"),
    ("memory", "out of memory"),
    ("exit-open", "the worker ended while loading the model (exit code 3): fatal: the license server is closed"),
    ("late", "RuntimeError: the thirteenth run"),
    pytest.param("crash", "the worker crashed while running (SIGSEGV)", marks=POSIX_ONLY),
])
def test_a_failure_has_a_reason_and_the_others_go_on(odd, mode, reason):
    found = measure([odd("a"), odd("bad", mode)], feeds(), evaluation=[], plan=PLAN)
    assert found["bad"].status == "failed" and found["bad"].reason == reason
    assert found["a"].status == "ok" and len(found["a"].rounds) >= PLAN.rounds_min


def test_a_failed_baseline_does_not_stop_the_others(odd):
    found = measure([odd("bad", "wrong"), odd("a")], feeds(), evaluation=[], plan=PLAN)
    assert found["bad"].status == "failed" and found["a"].status == "ok" and found["a"].rounds


@pytest.mark.parametrize(("mode", "doing"), [("hang-open", "loading the model"), ("hang", "running"),
                                             ("hold", "running")])
def test_a_hang_is_ended_and_told(odd, mode, doing):
    if mode == "hold" and os.name != "posix":
        pytest.skip("C's sleep")
    with WorkerPool() as pool:
        m = only(odd("a", mode), plan=replace(PLAN, load_timeout_s=5.0, run_timeout_s=0.5), pool=pool)
        assert m.status == "failed" and f"s while {doing}; the worker was ended" in m.reason
        assert workers_of(pool) == []


@POSIX_ONLY
@pytest.mark.parametrize(("number", "told"), [(signal.SIGKILL, "as the system does when memory runs out"),
                                              (signal.SIGABRT, "SIGABRT")])
def test_a_worker_killed_while_timing_is_a_failure_of_its_candidate(matmul, number, told):
    killed = []

    def kill(update):
        if update.stage == "measure" and not killed:
            killed.append(next(pid for pid in workers_of(pool) if pid not in known))
            os.kill(killed[0], number)

    with WorkerPool() as pool:
        only(matmul("a"), pool=pool)
        known = workers_of(pool)
        plan = replace(PLAN, rounds_min=100, rounds_max=100)
        found = measure([matmul("a"), matmul("b", 2.0)], feeds(), evaluation=[], plan=plan, pool=pool, on_update=kill)
    assert killed and found["a"].status == "ok"
    assert found["b"].status == "failed" and told in found["b"].reason and "while running" in found["b"].reason


def test_a_damaged_file_is_one_line(matmul, tmp_path):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(matmul("a").path.read_bytes()[:50])
    m = only(matmul("a")._replace(path=broken))
    assert m.status == "failed" and "broken.onnx" in m.reason and "\n" not in m.reason
    assert "Traceback" not in m.reason


def test_a_missing_runtime_is_a_failure_with_the_install_line(matmul, monkeypatch):
    row = registry.info("onnxruntime")
    absent = replace(row, name="absent", package="no_such_package", install="pip install it")
    monkeypatch.setattr(registry, "RUNTIMES", (*registry.RUNTIMES, absent))
    m = only(matmul("a")._replace(runtime="absent"))
    assert m.status == "failed" and "pip install it" in m.reason


def test_no_inputs_is_bad_input(matmul):
    with pytest.raises(InputError, match="no input"):
        measure([matmul("a")], [], evaluation=[], plan=PLAN)


def test_threads_that_never_rest_are_told(odd):
    m = only(odd("a", "spin"))
    assert any("busy between runs" in line for line in m.environment["warnings"])


@pytest.mark.parametrize("mode", ["hang-open", "hang"])
def test_cancel_ends_a_hanging_worker(odd, mode):
    cancel = threading.Event()
    threading.Timer(0.5, cancel.set).start()
    found = measure([odd("a", mode), odd("b")], feeds(), evaluation=[], plan=PLAN, cancel=cancel)
    assert {m.status for m in found.values()} == {"cancelled"}


def test_cancel_keeps_what_was_timed_and_keeps_workers_warm(matmul):
    cancel = threading.Event()

    def stop(update):
        if update.stage == "measure":
            cancel.set()

    with WorkerPool() as pool:
        plan = replace(PLAN, rounds_max=400)
        found = measure([matmul("a"), matmul("b", 2.0)], feeds(), evaluation=feeds(), plan=plan, pool=pool,
                        on_update=stop, cancel=cancel)
        assert {m.status for m in found.values()} == {m.stopped for m in found.values()} == {"cancelled"}
        assert all(len(m.rounds) >= 3 and m.outputs_path is None for m in found.values())
        before = set(workers_of(pool))
        assert len(before) == 2
        assert only(matmul("a"), pool=pool).status == "ok"
        assert set(workers_of(pool)) == before
        assert only(matmul("a"), pool=pool, cancel=cancel).status == "cancelled"
