"""The search on a real Dask scheduler with two workers on this machine; one of them is killed in the middle."""

import json
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from workbench import datasets
from workbench import model as models
from workbench.errors import InputError
from workbench.export import bundle
from workbench.search import Goal, tune
from workbench.search.ranking import finished
from workbench.study import Study

distributed = pytest.importorskip("distributed", reason="CLUSTER TESTS SKIPPED: pip install distributed")
QUIET = {"DASK_LOGGING__DISTRIBUTED": "error"}


class Cluster:
    """A scheduler and workers, each a process of its own."""

    def __init__(self, folder):
        self._folder, self._made = folder, []
        self._file = folder / "scheduler.json"
        made = self._start("scheduler", "--port", "0", "--host", "127.0.0.1", "--no-dashboard", "--scheduler-file",
                           str(self._file))
        self.address = self._said(made)
        self.workers = []

    def add(self, *options):
        made = self._start("worker", self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard", *options)
        self.workers.append(made)
        return made

    def _start(self, what, *options):
        env = {**os.environ, **QUIET, "WORKBENCH_QUICK": "1"}
        log = (self._folder / f"{what}{len(self._made)}.log").open("w+")
        made = subprocess.Popen([sys.executable, "-m", f"distributed.cli.dask_{what}", *options], stdout=log,
                                stderr=subprocess.STDOUT, env=env, cwd=self._folder)
        made.log = log.name
        self._made.append(made)
        return made

    def _said(self, process):
        for _ in range(600):
            assert process.poll() is None, open(process.log).read()[-2000:]
            if self._file.exists():
                return json.loads(self._file.read_text())["address"]
            time.sleep(0.1)
        raise AssertionError(open(process.log).read()[-2000:])

    def close(self):
        for process in reversed(self._made):
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    made = Cluster(tmp_path_factory.mktemp("dask"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A convolutional ONNX model of a second or less a trial, with samples."""
    from tests.pass_parts import conv_net

    folder = tmp_path_factory.mktemp("model")
    model = models.load(conv_net(folder / "small.onnx"))
    rng = np.random.default_rng(0)
    shape = [d if isinstance(d, int) else 1 for d in model.inputs[0].shape]
    np.savez(folder / "d.npz", **{model.inputs[0].name: rng.normal(size=(96, *shape[1:])).astype("f4")})
    return model, datasets.load(folder / "d.npz", model)


def test_no_scheduler_and_no_timing_resource_are_one_line(cluster, small, monkeypatch):
    monkeypatch.setattr("workbench.search.cluster._CONNECT_S", 2.0)
    with pytest.raises(InputError, match="no Dask scheduler answers"):
        tune(*small, Goal(), cluster="tcp://127.0.0.1:9")
    with pytest.raises(InputError, match="no workers.*--resources timing=1"):
        tune(*small, Goal(), cluster=cluster.address)


@pytest.mark.slow
def test_trials_go_on_when_a_worker_is_killed(cluster, small, tmp_path):
    for _ in range(2):
        cluster.add("--resources", "timing=1")
    with distributed.Client(cluster.address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
        study, best, killed = Study(tmp_path / "s.sqlite"), [], threading.Event()
        addresses = {client.submit(os.getpid, workers=[a], pure=False).result(): a
                     for a in client.scheduler_info(n_workers=-1)["workers"]}

        def on_trial(trial):
            if not killed.is_set():
                killed.set()
                busy = [pid for pid, a in addresses.items() if client.processing().get(a)]
                victim = next(w for w in cluster.workers if w.pid == (busy or list(addresses))[0])
                victim.kill()

        found = tune(*small, Goal(fidelity=0.9, runtimes=("onnxruntime",), threads=1), minutes=0.5, study=study,
                     cluster=client, on_trial=on_trial, on_best=best.append)
        assert killed.is_set() and len(client.scheduler_info(n_workers=-1)["workers"]) == 1
        tried = [t.result for t in found.trials]
        assert len(tried) >= 2 and not any("lost" in r.reason for r in tried)
        assert {r.machine for r in tried} == {found.machine} and found.best.environment["cpu_model"]
        assert all(study.rounds(r.run_id) for r in tried if r.status == "ok")
        keys = {r.recipe.key for r in tried if finished(r)}
        assert keys
        again = tune(*small, Goal(fidelity=0.9, runtimes=("onnxruntime",), threads=1), minutes=0.1, study=study,
                     cluster=client)
        assert all(t.reused for t in again.trials if t.result.recipe.key in keys)
        held = client.run(lambda dask_worker: sum(n.startswith("workbench-") for n in dask_worker.plugins))
        assert all(count == 2 for count in held.values())  # the model and its samples, each once
    assert best and all(os.path.exists(r.artefact) for r in best)
    assert (bundle.write(found.best, small[0], tmp_path / "bundle", study, outcome=found) / "predict.py").exists()
