"""The search on several Dask workers, in a notebook: a scheduler and workers of its own, or one that is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ... import units
from ...errors import MissingError, WorkerError
from ...search import Goal, Outcome
from ...search import tune as search
from .. import frames
from . import pages
from .searching import Live, tries
from .work import Task, Work

_START_S = 60.0


@contextmanager
def local(workers: int) -> Iterator[str]:
    """A scheduler and workers on this machine, ended with the block; yields the scheduler's address.

    Args:
        workers: processes, each with one ``timing`` resource.

    Raises:
        MissingError: Dask is not installed.
        WorkerError: the scheduler does not start.
    """
    if find_spec("distributed") is None:
        raise MissingError("Dask is not installed; install it with: pip install distributed")
    running: list[subprocess.Popen] = []
    with tempfile.TemporaryDirectory(prefix="workbench-dask-", ignore_cleanup_errors=True) as name:
        file = Path(name) / "scheduler.json"
        common = ["--scheduler-file", str(file), "--host", "127.0.0.1", "--no-dashboard"]

        def start(what: str, *options: str) -> None:
            running.append(subprocess.Popen([sys.executable, "-m", f"distributed.cli.dask_{what}", *common, *options],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=name,
                                            env={**os.environ, "PYTHONPATH": _path()}))

        with (Path(name) / "log").open("wb") as log:
            try:
                start("scheduler", "--port", "0")
                address = _address(file, running[0])
                for _ in range(workers):
                    start("worker", "--nworkers", "1", "--nthreads", "1", "--resources", "timing=1",
                          "--local-directory", name)
                yield address
            finally:
                for process in reversed(running):
                    process.terminate()
                for process in running:
                    try:
                        process.wait(10)
                    except subprocess.TimeoutExpired:
                        process.kill()
                        process.wait()


def tune(bench: Any, cluster: str | None = None, workers: int = 2, minutes: float = 2.0, **goal: Any) -> Work[Outcome]:
    """The search of :meth:`Bench.tune` on Dask workers.

    Args:
        bench: model, data and study.
        cluster: address of a scheduler; None starts one with ``workers`` on this machine.
        workers: how many, where none is given.
        minutes: time budget; the measuring plan may shorten it.
        **goal: of :class:`workbench.search.Goal`.
    """
    live = Live(bench, minutes)

    def run(task: Task) -> Outcome:
        def on(address: str) -> Outcome:
            return search(bench.model, bench.dataset, Goal(**goal), minutes=live.minutes, study=bench.study,
                          on_trial=lambda trial: live.note(trial, work), cancel=task.cancel, cluster=address)

        if cluster is not None:
            return on(cluster)
        task.progress(0.0, f"starting a scheduler and {workers} workers")
        with local(workers) as address:
            _wait_for(address, workers)
            return on(address)

    def show(found: Outcome):
        live.draw(found.trials)
        rows = [(frames.name_of(r.recipe), units.duration(r.median_s), units.times(r.speedup or 1.0),
                 units.size(r.size_bytes), r.machine) for o in (found, *found.others) for r in o.contenders]
        told = f"{tries(found)} in {units.duration(found.seconds)}; one timing at a time on each host."
        columns = ("last round", "median", "speed", "size", "machine type")
        return pages.shown(pages.said(found.sentence, told), live.chart, pages.table(columns, rows, right=(1, 2, 3)))

    work: Work[Outcome] = Work(run, show, title="searching on workers", live=live.chart)
    return work


def _address(file: Path, scheduler: subprocess.Popen) -> str:
    give_up = time.monotonic() + _START_S
    while time.monotonic() < give_up and scheduler.poll() is None:
        try:
            return json.loads(file.read_text())["address"]
        except (OSError, ValueError, KeyError):
            time.sleep(0.1)
    raise WorkerError("the Dask scheduler does not start: look at its output with 'dask scheduler' in a shell")


def _wait_for(address: str, workers: int) -> None:
    from distributed import Client

    with Client(address, timeout=_START_S, set_as_default=False) as client:
        client.wait_for_workers(workers, timeout=_START_S)


def _path() -> str:
    root = str(Path(__file__).resolve().parents[3])
    return os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH", "")) if p)
