"""Measurements of several processes on one machine take turns."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from workbench.errors import Cancelled
from workbench.measure import WorkerPool, turn

HOLDS = """
import time
from workbench.measure import turn
with turn.machine():
    print("mine", flush=True)
    time.sleep(60)
"""
TAKES = """
import time
from workbench.measure import turn
for _ in range(5):
    with turn.machine():
        begin = time.monotonic()
        time.sleep(0.05)
        print(begin, time.monotonic(), flush=True)
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path))


def start(code):
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


@pytest.fixture
def holder():
    process = start(HOLDS)
    assert process.stdout.readline() == "mine\n"
    yield process
    process.kill()
    process.wait()


def test_two_processes_never_time_at_once():
    running = [start(TAKES), start(TAKES)]
    lines = [line for p in running for line in p.communicate(timeout=120)[0].splitlines()]
    spans = sorted(tuple(map(float, line.split())) for line in lines)
    assert len(spans) == 10
    assert all(end <= begin for (_, end), (begin, _) in zip(spans, spans[1:], strict=False))


def test_whoever_waits_is_told_for_whom_and_can_stop(holder):
    lines, cancel = [], threading.Event()
    threading.Timer(0.5, cancel.set).start()
    with WorkerPool() as pool, pytest.raises(Cancelled):
        with pool.exclusive(cancel, lines.append):
            pytest.fail("two at once")
    assert lines == [f"waiting for another notebook or command (process {holder.pid}), "
                     "which is measuring on this machine"]
    assert not pool.working


def test_a_search_that_takes_one_turn_after_the_other_lets_others_in_between():
    running = start(TAKES.replace("range(5)", "range(10**6)").replace("0.05", "0.02"))
    try:
        running.stdout.readline()
        before = time.monotonic()
        for _ in range(20):
            with turn.machine():
                time.sleep(0.02)
    finally:
        running.kill()
    mine = sum(float(line.split()[0]) > before for line in running.communicate()[0].splitlines())
    assert mine <= 45  # turn and turn about, but for a moment's stall; without a door about 200


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_a_process_that_is_killed_gives_its_turn_back(holder):
    threading.Timer(0.5, lambda: os.kill(holder.pid, signal.SIGKILL)).start()
    began = time.monotonic()
    with turn.machine():
        assert holder.wait(timeout=30) == -signal.SIGKILL
        assert time.monotonic() - began > 0.4


def test_two_workbenches_of_one_kernel_take_turns_too():
    lines, cancel = [], threading.Event()
    with WorkerPool() as one, WorkerPool() as other, one.exclusive():
        threading.Timer(0.5, cancel.set).start()
        with pytest.raises(Cancelled), other.exclusive(cancel, lines.append):
            pytest.fail("two at once")
    assert "another workbench of this kernel" in lines[0]


def test_where_nothing_can_be_locked_nobody_waits(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "file" / "cache"))
    with turn.machine(), turn.machine():
        pass
