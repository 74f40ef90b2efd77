"""Workers kept warm between measurements, so that a framework's slow import is paid once."""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

from ..errors import Cancelled, InputError, WorkbenchError, WorkerError
from ..runtimes import registry
from . import arrays, environment, turn
from .client import POLL_S, WorkerClient
from .files import Shelf
from .types import Candidate, Feeds, Plan

KEEP = 4
_SHELF_BYTES = 2 << 30
PREWARM_TIMEOUT_S = 300.0
PREWARM_ANSWERS_S = 8.0  # a click on Measure waits for a warming that goes on, and gains what it has done
PREWARM_RUNS = 10
PING_TIMEOUT_S = 5.0


class Stored(NamedTuple):
    """Feeds on disk: their content hash and their file."""

    key: str
    path: Path


class Answers(NamedTuple):
    """Outputs on disk, and the names of those whose sizes differ from input to input and were filled with 0."""

    path: Path
    filled: tuple[str, ...]


class WorkerPool:
    """Open, idle workers by what they hold; thread-safe; one measurement at a time.

    Args:
        keep: most idle workers; the least recently used is closed first.
        slow_down: candidate id -> share of each run to waste (0.1 is 10 % slower); the self-test of the protocol
            must find it again (``benchmarks/aa.py``). Never set otherwise.
        hush: a context in which other work of this process rests, entered while something is timed.
    """

    def __init__(self, keep: int = KEEP, *, slow_down: dict[str, float] | None = None,
                 hush: Callable[[], AbstractContextManager] = nullcontext) -> None:
        self._keep, self._slow_down, self._hush = keep, slow_down or {}, hush
        self._idle: OrderedDict[str, WorkerClient] = OrderedDict()
        self._all: set[WorkerClient] = set()
        self._lock = threading.Lock()  # of the two above
        self._turn = threading.Lock()  # held by whoever lets workers work
        self._closed = False
        self._filled: dict[str, tuple[str, ...]] = {}
        self._feeds = Shelf("feeds", _SHELF_BYTES)
        self.outputs = Shelf("outputs", _SHELF_BYTES)
        _pools.add(self)

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def working(self) -> bool:
        """Whether a measurement, or a warming in the background, goes on."""
        return self._turn.locked()

    @contextmanager
    def exclusive(self, cancel: threading.Event | None = None,
                  on_wait: turn.OnWait = lambda line: None, *, quiet: bool = True) -> Iterator[None]:
        """The machine to oneself: waits until no other measurement or warming goes on, of other processes neither.

        Args:
            cancel: set it to stop waiting.
            on_wait: called with a line that says for what.
            quiet: other work of this process rests meanwhile.

        Raises:
            Cancelled: ``cancel`` was set while waiting.
        """
        def told(line: str) -> None:
            on_wait("waiting for workers that are being prepared" if self.working else line)

        with turn.machine(cancel, told):
            while not self._turn.acquire(timeout=POLL_S):  # only where the machine's turn cannot be locked
                if cancel is not None and cancel.is_set():
                    raise Cancelled("cancelled")
            try:
                self._feeds.trim()
                self.outputs.trim()
                with self._hush() if quiet else nullcontext():
                    yield
            finally:
                self._turn.release()

    def store(self, feeds: Feeds) -> Stored:
        """Writes feeds where workers find them; the same content is written once.

        Raises:
            InputError: there are none.
        """
        if not feeds:
            raise InputError("there is no input to run the model on; the data set holds fewer samples than one batch")
        key = arrays.digest(feeds)
        path = self._feeds.get(key)
        if path is None:
            arrays.write_feeds(self._feeds.path(key), feeds)
            path = self._feeds.add(key)
        return Stored(key, path)

    def key(self, candidate: Candidate, feeds: Stored) -> str:
        """Identifies what a worker holds: artefact, runtime, settings, threads, device, feeds."""
        return _hash(_artefact(candidate.path), candidate.format.value, candidate.runtime, candidate.settings.to_dict(),
                     candidate.threads, candidate.device, feeds.key, self._slow_down.get(candidate.id, 0.0))

    def take(self, candidate: Candidate, feeds: Stored) -> WorkerClient:
        """An idle worker that holds the candidate, or a new one that imports its framework meanwhile.

        ``worker.info['open']`` tells which; :meth:`open` completes a new one. Give it back with :meth:`put`.

        Raises:
            WorkbenchError: the runtime is not installed, or no process can be started.
        """
        key = self.key(candidate, feeds)
        with self._lock:
            worker = self._idle.pop(key, None)
        if worker is not None and self._answers(worker):
            return worker
        adapter = registry.adapter(candidate.runtime)
        variables = adapter.environment(candidate.threads, candidate.device, candidate.settings, candidate.format)
        with self._lock:
            if self._closed:
                raise WorkerError("the worker pool is closed")
            worker = WorkerClient(environment.cores_for(candidate.threads), variables)
            self._all.add(worker)
        worker.info.update(key=key, open=False)
        worker.send("preload", runtime=candidate.runtime)
        return worker

    def _answers(self, worker: WorkerClient) -> bool:
        """Whether an idle worker is still there; one that died in the meantime is forgotten."""
        try:
            worker.call("ping", PING_TIMEOUT_S)
            return True
        except WorkerError:
            worker.kill()
            with self._lock:
                self._all.discard(worker)
            return False

    def open(self, worker: WorkerClient, candidate: Candidate, feeds: Stored, timeout_s: float,
             cancel: threading.Event | None = None) -> None:
        """Completes a worker from :meth:`take`: waits for the import, then loads the model.

        Raises:
            WorkerError: it crashed, hangs, or the model cannot be loaded.
            Cancelled: ``cancel`` was set.
        """
        if worker.info["open"]:
            return
        worker.receive(timeout_s, cancel)
        request = {"path": str(candidate.path.resolve()), "format": candidate.format.value,
                   "runtime": candidate.runtime, "settings": candidate.settings.to_dict(),
                   "threads": candidate.threads, "device": candidate.device}
        answer = worker.call("open", timeout_s, cancel, request=request, feeds=str(feeds.path),
                             slow_down=self._slow_down.get(candidate.id, 0.0))
        worker.info.update(open=True, load_s=answer["load_s"], import_s=answer["import_s"])

    def put(self, worker: WorkerClient) -> None:
        """Takes a worker back; one that is not open, is still busy, or has died, is ended."""
        ended = []
        with self._lock:
            if self._closed or not worker.alive or worker.busy or not worker.info["open"]:
                ended.append(worker)
            else:
                double = self._idle.pop(worker.info["key"], None)
                self._idle[worker.info["key"]] = worker
                ended += [double] if double else []
            while len(self._idle) > self._keep:
                ended.append(self._idle.popitem(last=False)[1])
            self._all.difference_update(ended)
        for one in ended:
            one.kill() if one.busy else one.close()

    def answers(self, worker: WorkerClient, candidate: Candidate, feeds: Stored, questions: Stored, timeout_s: float,
                cancel: threading.Event | None = None, on_note: Callable[[float], None] | None = None) -> Answers:
        """A candidate's outputs for the questions; the same candidate is asked once.

        Args:
            worker: holds the candidate and the feeds.
            candidate: as given to :meth:`open`.
            feeds: the timed feeds that the worker holds.
            questions: what to answer.
            timeout_s: for one run.
            cancel: set it to stop.
            on_note: called with the share that is done.

        Raises:
            WorkerError: it crashed or hangs.
            Cancelled: ``cancel`` was set.
        """
        key = f"{self.key(candidate, feeds)}-{questions.key}"
        known = self.outputs.get(key)
        if known is None:
            worker.send("evaluate", feeds=str(questions.path), outputs=str(self.outputs.path(key)))
            answer = worker.receive(timeout_s, cancel, on_note=on_note)
            with self._lock:
                self._filled[key] = tuple(answer["filled"])
            known = self.outputs.add(key)
        return Answers(known, self._filled.get(key, ()))

    def prewarm(self, candidate: Candidate, feeds: Feeds, questions: Feeds | None = None,
                plan: Plan | None = None) -> threading.Thread:
        """Loads a candidate in the background, so that the next measurement finds it warm; returns at once.

        A failure is not told here: the measurement itself will say what is wrong.

        Args:
            candidate: what to load.
            feeds: to be timed with.
            questions: answered too, when that takes a few seconds only.
            plan: of the measurement that will come; says how many of the questions it will ask.
        """
        arguments = (candidate, feeds, questions or [], plan or Plan())
        thread = threading.Thread(target=self._prewarm, args=arguments, daemon=True, name="prewarm")
        thread.start()
        return thread

    def _prewarm(self, candidate: Candidate, feeds: Feeds, questions: Feeds, plan: Plan) -> None:
        with self.exclusive(quiet=False):  # nothing is timed
            try:
                stored = self.store(feeds)
                worker = self.take(candidate, stored)
            except WorkbenchError:
                return
            try:
                self.open(worker, candidate, stored, PREWARM_TIMEOUT_S)
                worker.call("block", PREWARM_TIMEOUT_S, start=0, runs=1, budget_s=0.0)
                if questions:
                    self._preanswer(worker, candidate, stored, questions, plan)
            except WorkbenchError:
                worker.kill()
            finally:
                self.put(worker)

    def _preanswer(self, worker: WorkerClient, candidate: Candidate, stored: Stored, questions: Feeds,
                   plan: Plan) -> None:
        timed = worker.call("block", PREWARM_TIMEOUT_S, start=0, runs=PREWARM_RUNS, budget_s=1.0)["ns"]
        run_s = sorted(timed)[len(timed) // 2] / 1e9
        questions = questions[:plan.most_questions(run_s)]
        if len(questions) * run_s <= PREWARM_ANSWERS_S:
            self.answers(worker, candidate, stored, self.store(questions), plan.run_timeout_s)

    def close(self) -> None:
        """Ends every worker, busy ones too; files of outputs stay until the process ends."""
        with self._lock:
            self._closed = True
            workers, self._all = list(self._all), set()
            self._idle.clear()
        for worker in workers:
            worker.kill()


def _artefact(path: Path) -> list:
    """Name, size and time of change of a file, or of all files of a folder."""
    path = Path(path)
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return [str(path.resolve()), [[os.path.relpath(f, path), f.stat().st_size, f.stat().st_mtime_ns] for f in files]]


def _hash(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


_pools: weakref.WeakSet[WorkerPool] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for pool in list(_pools):
        pool.close()
