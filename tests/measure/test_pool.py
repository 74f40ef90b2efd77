"""Workers are kept, used again, replaced and never left behind."""

import os
import signal
import subprocess
import sys
import threading

import numpy as np
import psutil
import pytest

from workbench.measure import WorkerPool, measure

from .common import PLAN, POSIX_ONLY, feeds, gone, only, workers_of


def test_idle_workers_are_used_again(matmul):
    with WorkerPool(keep=2) as pool:
        first = only(matmul("a"), pool=pool, evaluation=feeds(2))
        one = workers_of(pool)
        again = only(matmul("other id"), pool=pool, evaluation=feeds(2))
        assert workers_of(pool) == one
        assert again.memory["load_s"] == first.memory["load_s"] and again.outputs_path == first.outputs_path
        only(matmul("b", graph_level="basic"), pool=pool)
        only(matmul("c", graph_level="disabled"), pool=pool)
        assert len(workers_of(pool)) == 2 and one[0] not in workers_of(pool)
        assert gone(one[0])
    assert first.outputs_path.exists()  # the caller reads it after the pool is closed


def test_a_changed_artefact_is_loaded_anew(matmul, tmp_path):
    mine = matmul("a")._replace(path=tmp_path / "m.onnx")
    with WorkerPool() as pool:
        for factor in (1.0, 3.0):
            mine.path.write_bytes(matmul("b", factor).path.read_bytes())
            os.utime(mine.path, ns=(0, int(factor * 1e9)))
            with np.load(only(mine, pool=pool, evaluation=feeds(1)).outputs_path) as outputs:
                np.testing.assert_allclose(outputs["y"], factor * feeds(1)[0]["x"])


def test_a_dead_idle_worker_is_replaced(matmul):
    with WorkerPool() as pool:
        only(matmul("a"), pool=pool)
        psutil.Process(workers_of(pool)[0]).kill()
        assert only(matmul("a"), pool=pool).status == "ok"


def test_prewarm_loads_in_the_background_and_forgives(matmul, odd):
    with WorkerPool() as pool:
        pool.prewarm(odd("bad", "wrong"), feeds()).join()
        assert workers_of(pool) == []
        pool.prewarm(matmul("a"), feeds()).join()
        warm = workers_of(pool)
        assert len(warm) == 1 and only(matmul("a"), pool=pool).status == "ok" and workers_of(pool) == warm


def test_prewarm_answers_the_questions_that_the_measurement_will_ask(matmul):
    with WorkerPool() as pool:
        pool.prewarm(matmul("a"), feeds(), feeds(), PLAN).join()
        before = {p: p.stat().st_mtime_ns for p in pool.outputs.path("x").parent.iterdir()}
        found = only(matmul("a"), pool=pool, evaluation=feeds())
        assert found.status == "ok" and found.outputs_path in before
        assert found.outputs_path.stat().st_mtime_ns == before[found.outputs_path], "answered once"


def test_prewarm_leaves_many_questions_to_the_measurement(matmul, monkeypatch):
    monkeypatch.setattr("workbench.measure.pool.PREWARM_ANSWERS_S", 0.0)
    with WorkerPool() as pool:
        pool.prewarm(matmul("a"), feeds(), feeds(), PLAN).join()
        assert not list(pool.outputs.path("x").parent.iterdir())
        assert only(matmul("a"), pool=pool, evaluation=feeds()).outputs_path.exists()


def test_one_measurement_at_a_time(matmul):
    with WorkerPool() as pool:
        inside, found = [], []

        def update(name):
            return lambda u: inside.append(name) if not u.line.startswith("waiting") else None

        threads = [threading.Thread(target=lambda n=n: found.append(
            measure([matmul("a")], feeds(), evaluation=[], plan=PLAN, pool=pool, on_update=update(n))))
            for n in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == 3 and all(m["a"].status == "ok" for m in found)
    changes = sum(a != b for a, b in zip(inside, inside[1:], strict=False))
    assert changes == 2  # never one call's update between two of another


def test_closing_ends_all_and_a_closed_pool_says_so(matmul):
    pool = WorkerPool()
    only(matmul("a"), pool=pool)
    pids = workers_of(pool)
    pool.close()
    assert pids and all(gone(pid) for pid in pids)
    assert "closed" in only(matmul("a"), pool=pool).reason


KERNEL = """
import os, signal, sys, time
from pathlib import Path
import numpy as np
from sitecustomize import Settings
from workbench.measure import Candidate, WorkerPool
from workbench.model import ModelFormat, TensorSpec
pool = WorkerPool()
candidate = Candidate("a", Path(__file__), ModelFormat.ONNX, (), "odd", Settings(sys.argv[1]), 1, "cpu")
warming = pool.prewarm(candidate, [{"x": np.ones((1, 4), "float32")}])
if sys.argv[1]:
    while not any(w._doing == "block" for w in list(pool._all)):
        time.sleep(0.01)
    time.sleep(0.3)
else:
    warming.join()
worker = list(pool._all)[0]
time.sleep(0.3)
print(worker.pid, worker.alive, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@POSIX_ONLY
@pytest.mark.parametrize("mode", ["", pytest.param("hold", marks=pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux ends a process whose interpreter is held by native code"))])
def test_a_killed_kernel_leaves_no_worker(odd, tmp_path, mode):
    script = tmp_path / "kernel.py"
    script.write_text(KERNEL)
    done = subprocess.run([sys.executable, str(script), mode], stdout=subprocess.PIPE, text=True)
    pid, alive = done.stdout.splitlines()[-1].split()
    assert done.returncode == -signal.SIGKILL and alive == "True"
    assert gone(int(pid))


@POSIX_ONLY
def test_an_interrupt_of_the_notebook_does_not_reach_workers(matmul):
    with WorkerPool() as pool:
        only(matmul("a"), pool=pool)
        pid = workers_of(pool)[0]
        assert os.getsid(pid) == pid
        os.kill(pid, signal.SIGINT)
        only(matmul("a"), pool=pool)
        assert workers_of(pool) == [pid]
