"""What runs on a Dask worker: keeps artefacts by content hash, builds and measures one order at a time on a host."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from distributed import Event, WorkerPlugin, get_client, get_worker
from distributed import Lock as SharedLock

from .. import __version__
from ..datasets import Dataset
from ..engine import Engine
from ..errors import InputError
from ..measure import Plan, environment
from ..model import Model
from ..recipe import Recipe
from ..study import Run, Study
from .split import halves

POLL_S = 0.5
_MOST_ENGINES = 2


class Hello(NamedTuple):
    """What a worker is: its machine type, its processor cores for one model, its workbench."""

    machine: str
    fingerprint: dict[str, Any]
    threads: int
    version: str


class Job(NamedTuple):
    """One order for a worker.

    Attributes:
        model: the original; its path is that on the client.
        data: hash that its data parcel travels under.
        seed: of the split of the samples.
        final: samples of the last measurement instead of those of the search.
        recipes: complete.
        plan: how strictly.
        stop: name of the event that ends it.
    """

    model: Model
    data: str
    seed: int
    final: bool
    recipes: tuple[Recipe, ...]
    plan: Plan
    stop: str


class Answer(NamedTuple):
    """What a worker found: its runs with raw rounds, and its address."""

    runs: list[Run]
    address: str


class Parcel(WorkerPlugin):
    """An artefact on its way to every worker, those that join later included; each gets it once.

    Args:
        name: content hash.
        files: relative path -> bytes of a model.
        value: instead of files, a picklable value (the samples).
    """

    def __init__(self, name: str, files: dict[str, bytes] | None = None, value: Any = None) -> None:
        self.name, self.files, self.value = f"workbench-{name}", files or {}, value
        self._key = name

    def setup(self, worker: Any) -> None:
        """Called by Dask on each worker."""
        if self.value is not None:
            _values[self._key] = self.value
        folder = _store() / self._key
        if not self.files or folder.exists():
            return
        partial = Path(tempfile.mkdtemp(dir=_store()))
        for relative, content in self.files.items():
            target = partial / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        try:
            partial.rename(folder)
        except OSError:  # another worker on this host was first
            pass


_values: dict[str, Any] = {}
_engines: dict[tuple, Engine] = {}


def model_key(model: Model) -> str:
    """What a model's parcel is called: its content and the name of its file."""
    return hashlib.sha256(f"{model.sha256} {model.path.name}".encode()).hexdigest()[:40]


def hello() -> Hello:
    """Introduces a worker."""
    found = environment.fingerprint()
    return Hello(environment.machine_id(found), found, environment.physical_threads(), __version__)


def measure(job: Job) -> Answer:
    """Builds and times the recipes of a job beside the baseline.

    Raises:
        InputError: a parcel is missing.
    """
    cancel, done = threading.Event(), threading.Event()
    threading.Thread(target=_listen, args=(Event(job.stop, client=get_client()), cancel, done), daemon=True).start()
    address = get_worker().address
    try:
        with _alone(cancel):
            engine = _engine(job)
            engine.plan = job.plan
            before = len(engine.study)
            if not cancel.is_set():
                engine.measure(list(job.recipes), cancel=cancel)
            return Answer(list(engine.study.runs())[before:], address)
    finally:
        done.set()


def fetch(path: str) -> dict[str, bytes]:
    """Files of an artefact that this worker has made; relative path -> content.

    Raises:
        InputError: it is not an artefact of this worker.
    """
    artefact = Path(path)
    made = {r.result.artefact for e in _engines.values() for r in e.study.runs()}
    if path not in made or not artefact.exists():
        raise InputError(f"{path} is no artefact of this worker any more")
    return read_files(artefact)


def read_files(artefact: Path) -> dict[str, bytes]:
    """A model's files, external weights included; relative path -> content."""
    from ..formats import inspect

    if artefact.is_dir():
        files = [f for f in sorted(artefact.rglob("*")) if f.is_file()]
        return {f.relative_to(artefact).as_posix(): f.read_bytes() for f in files}
    files = [Path(f) for f in inspect(artefact).files] if artefact.suffix == ".onnx" else [artefact]
    return {f.relative_to(artefact.parent).as_posix(): f.read_bytes() for f in files}


def _store() -> Path:
    owner = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"workbench-parcels-{owner}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _engine(job: Job) -> Engine:
    """The engine of a job's model and samples; its workers stay warm for the next order."""
    key = (job.model.sha256, job.model.fix, job.data, job.seed, job.final)
    if key not in _engines:
        while len(_engines) >= _MOST_ENGINES:
            _engines.pop(next(iter(_engines))).close()
        data: Dataset | None = _values.get(job.data)
        folder = _store() / model_key(job.model)
        if data is None or not folder.exists():
            raise InputError("the model or its samples have not arrived at this worker")
        name = job.model.path.name
        path = folder if not (folder / name).exists() else folder / name
        model = replace(job.model, path=path)
        _engines[key] = Engine(model, halves(data, job.seed)[job.final], Study())
    return _engines[key]


def _listen(event: Event, cancel: threading.Event, done: threading.Event) -> None:
    while not done.wait(POLL_S):
        if event.is_set():
            cancel.set()
            return


@contextmanager
def _alone(cancel: threading.Event) -> Iterator[None]:
    """The host to oneself: two workers on one machine take turns, whatever resources they declare."""
    path = _store() / "timing.lock"
    with path.open("w") as file:
        try:
            import fcntl
        except ImportError:  # Windows: Dask's own lock, by host name
            import socket

            with SharedLock(f"workbench-timing-{socket.gethostname()}"):
                yield
            return
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # ends with the process, a kill included
                break
            except OSError:
                if cancel.is_set():
                    break
                time.sleep(0.1)
        yield
