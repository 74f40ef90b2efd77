"""Nothing of ours works beside a timing: passes in the background rest, and go on afterwards."""

import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from workbench import model as models
from workbench import recipe, variant
from workbench.cache import Cache
from workbench.measure import WorkerPool
from workbench.passes import hush, wire
from workbench.passes.process import PassWorker

from . import pass_parts as parts

QUIET = {"title": "ORT graph", "progress": lambda fraction, line: None}
STOPPED = psutil.STATUS_STOPPED


@pytest.fixture
def conv(tmp_path):
    return models.load(parts.conv_net(tmp_path / "conv.onnx"))


@pytest.fixture
def worker():
    made = PassWorker("onnx")
    yield made
    made.close()


def request(model, folder):
    folder.mkdir()
    return {"pass": "onnx-graph-level", "settings": {}, "model": wire.model_to_dict(model), "workdir": str(folder),
            "calibration": "", "seed": 0}


def test_a_pass_rests_while_something_is_timed_and_goes_on(worker, conv, tmp_path):
    worker.apply(request(conv, tmp_path / "a"), **QUIET)
    lines, made = [], []

    def work():
        made.append(worker.apply(request(conv, tmp_path / "b"), title="ORT graph",
                                 progress=lambda fraction, line: lines.append(line)))

    thread = threading.Thread(target=work)
    with hush.resting():
        assert psutil.Process(worker.pid).status() == STOPPED
        thread.start()
        thread.join(1.0)
        assert thread.is_alive() and lines == ["waits until the measurement is over"]
    thread.join(60)
    assert made[0]["format"] == "onnx"


def test_a_worker_that_starts_meanwhile_rests_too_and_two_timings_are_waited_for(worker):
    with hush.resting():
        other = threading.Thread(target=worker.warm)
        other.start()
        other.join(30)
        assert psutil.Process(worker.pid).status() == STOPPED
        with hush.resting():
            pass
        assert psutil.Process(worker.pid).status() == STOPPED
    assert psutil.Process(worker.pid).status() != STOPPED


def test_whoever_times_may_ask_for_a_pass(conv, tmp_path):
    with hush.resting():
        built = variant.build(conv, recipe.make("onnx-graph-level", runtime=""), None, cache=Cache(tmp_path / "cache"))
        assert built.model.format == "onnx"
        assert psutil.Process(variant._worker("onnx").pid).status() == STOPPED


def test_cancelling_a_pass_that_rests_ends_it(worker, conv, tmp_path):
    worker.apply(request(conv, tmp_path / "a"), **QUIET)
    with hush.resting():
        pid = worker.pid
        worker.close()
        assert not psutil.pid_exists(pid)


def test_only_a_timing_makes_them_rest(worker):
    worker.warm()
    with WorkerPool(hush=hush.resting) as pool:
        with pool.exclusive():
            assert psutil.Process(worker.pid).status() == STOPPED
        with pool.exclusive(quiet=False):
            assert psutil.Process(worker.pid).status() != STOPPED


def test_two_that_want_the_same_artefact_make_it_once(conv, tmp_path, monkeypatch):
    made, real = [], PassWorker.apply

    def slow(self, request, **options):
        made.append(request["pass"])
        time.sleep(0.5)
        return real(self, request, **options)

    monkeypatch.setattr(PassWorker, "apply", slow)
    asked, found = recipe.make("onnx-graph-level", runtime=""), []

    def work():
        found.append(variant.build(conv, asked, None, cache=Cache(tmp_path / "c")))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert made == ["onnx-graph-level"] and len({v.model.path for v in found}) == 1 and len(found) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="Linux ends a worker with its parent")
def test_a_worker_that_rests_does_not_outlive_a_killed_kernel():
    code = ("import time\nfrom workbench.passes import hush\nfrom workbench.passes.process import PassWorker\n"
            "worker = PassWorker('onnx')\nworker.warm()\ntime.sleep(1)\n"
            "with hush.resting():\n    print(worker.pid, flush=True)\n    time.sleep(60)\n")
    kernel = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    pid = int(kernel.stdout.readline())
    assert psutil.Process(pid).status() == STOPPED
    os.kill(kernel.pid, signal.SIGKILL)
    kernel.wait()
    deadline = time.monotonic() + 20
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)
