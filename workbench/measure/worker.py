"""The process side: one clean process for one artefact. ``python -m workbench.measure.worker CORES PARENT``.

Commands arrive as JSON lines on standard input, answers leave as JSON lines on what was standard output; arrays travel
as .npz files. The kernel sends a command and waits, so a worker that has nothing to do is blocked and costs nothing.
See :class:`Worker` for the commands. An answer is ``{"id", "ok": true, ...}`` or ``{"id", "ok": false, "error"}``;
a long command also sends ``{"id", "note": fraction}`` to show that it is alive.
"""

from __future__ import annotations

import gc
import json
import operator
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import cycle, islice
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TextIO

from .. import feeds as feed_names
from ..errors import InputError, WorkbenchError
from ..lifeline import die_with
from ..model import ModelFormat
from ..runtimes import registry
from ..runtimes.base import Session, SessionRequest
from . import arrays, environment, memory

NOTE_S = 0.5
QUIET_S = 0.0003  # processor time within a millisecond below which all threads are at rest
SETTLE_S = 0.05


class Worker:
    """Holds one session; each ``do_...`` method is a command and returns the fields of its answer."""

    def __init__(self, note: Callable[[float], None]) -> None:
        self._note = note
        self._session: Session | None = None
        self._request: SessionRequest | None = None
        self._clients: list[Session] = []  # one for each concurrent client
        self._run: Callable[[dict], dict] | None = None
        self._runtime = ""
        self._feeds: list[arrays.Feed] = []
        self._baseline = 0
        self._import_s = 0.0

    def do_ping(self) -> dict[str, Any]:
        """Shows that it is alive."""
        return {}

    def do_preload(self, runtime: str) -> dict[str, Any]:
        """Imports the framework, so that its size and time are not the model's."""
        begin = time.perf_counter()
        adapter = registry.adapter(runtime)
        preload = getattr(adapter, "preload", None) or (lambda: import_module(registry.info(runtime).package))
        preload()
        self._import_s = time.perf_counter() - begin
        return {}

    def do_open(self, request: dict[str, Any], feeds: str, slow_down: float = 0.0) -> dict[str, Any]:
        """Loads the artefact and binds the feeds to its inputs.

        Args:
            request: path, format, runtime, settings, threads, device.
            feeds: file of the feeds that blocks cycle through.
            slow_down: share of each run's time to waste after it; the self-test of the protocol (benchmarks/aa.py)
                must find it again. Never set otherwise.
        """
        runtime = request["runtime"]
        settings = registry.settings_class(runtime).from_dict(request["settings"], owner=f"runtime {runtime}")
        given = list(arrays.read_feeds(Path(feeds)))
        gc.collect()
        memory.reset_peak()
        self._baseline = memory.rss_bytes()
        self._request = SessionRequest(Path(request["path"]), ModelFormat(request["format"]), settings,
                                       request["threads"], request["device"], given[0])
        self._runtime = runtime
        begin = time.perf_counter()
        self._session = session = registry.adapter(runtime).open_session(self._request)
        load_s = time.perf_counter() - begin
        while given:  # moved one by one: a cast copy must not count as the model's memory
            self._feeds.append(feed_names.bind(given.pop(0), session.inputs))
        self._run = _slowed(session.run, slow_down) if slow_down else session.run
        return {"load_s": load_s, "import_s": self._import_s}

    def do_block(self, start: int, runs: int, budget_s: float, refill: int = 0, settle: bool = True) -> dict[str, Any]:
        """Times runs one by one, beginning with feed ``start``.

        Args:
            start: index of the first feed, modulo their number.
            runs: most runs.
            budget_s: no further run begins after it; one is made always.
            refill: untimed-for-the-result runs before, whose times are returned apart.
            settle: wait afterwards until the framework's threads are at rest, so that the next worker has the machine.
        """
        gc.disable()
        try:
            extra = _timed(self._run, list(self._cycled(start - refill, refill)), budget_s)
            samples = _timed(self._run, list(self._cycled(start, runs)), budget_s)
        finally:
            gc.enable()
        quiet = _settle() if settle else True
        return {"ns": samples, "refill_ns": extra, "quiet": quiet, "cpu_s": time.process_time()}

    def _cycled(self, start: int, runs: int) -> Iterator[arrays.Feed]:
        """So many feeds from ``start`` on, beginning anew after the last."""
        return islice(cycle(self._feeds), start % len(self._feeds), start % len(self._feeds) + runs)

    def do_resident(self, runs: int, budget_s: float) -> dict[str, Any]:
        """Times runs without copies between host and device, each on a feed that lies on the device already.

        Returns 'ns', and 'why' when the runtime has no such run.

        Args:
            runs: most timed runs; as many as there are feeds at most are placed on the device.
            budget_s: no further run begins after it.
        """
        place = getattr(self._session, "resident", None)
        if place is None:
            return {"ns": [], "why": f"{registry.info(self._runtime).title} does not offer it"}
        try:
            calls = [place(feed) for feed in self._feeds[:runs]]
        except NotImplementedError as error:
            return {"ns": [], "why": str(error)}
        calls[0]()  # the first run on new buffers allocates
        return {"ns": _timed(operator.call, list(islice(cycle(calls), runs)), budget_s), "why": ""}

    def do_evaluate(self, feeds: str, outputs: str) -> dict[str, Any]:
        """Runs every feed of a file once and writes the outputs."""
        found, batches, told = [], [], time.monotonic()
        total = arrays.count_feeds(Path(feeds))
        for feed in arrays.read_feeds(Path(feeds)):
            bound = feed_names.bind(feed, self._session.inputs)
            batches.append(arrays.batch_of(feed))
            found.append({name: arrays.owned(value) for name, value in self._session.run(bound).items()})
            if time.monotonic() - told > NOTE_S:
                told = time.monotonic()
                self._note(len(found) / total)
        filled = arrays.write_outputs(Path(outputs), found, batches)
        return {"runs": len(found), "filled": filled, "cpu_s": time.process_time()}

    def do_sessions(self, count: int, shared: bool) -> dict[str, Any]:
        """Opens what concurrent clients use: a session each, or the same one for all.

        Raises:
            InputError: the runtime's sessions cannot be shared.
        """
        adapter, title = registry.adapter(self._runtime), registry.info(self._runtime).title
        if shared and not getattr(adapter, "SHARES_SESSIONS", False):
            raise InputError(f"a session of {title} serves one request at a time: give each client its own")
        self._clients = [self._session]
        while len(self._clients) < count:
            self._clients.append(self._session if shared else adapter.open_session(self._request))
            self._note(len(self._clients) / count)
        return {}

    def do_clients(self, clients: int, seconds: float) -> dict[str, Any]:
        """A closed loop of so many clients, see :func:`clients.closed_loop`."""
        from .clients import closed_loop

        found = closed_loop([s.run for s in self._clients[:clients]], self._feeds, seconds)
        return {**found, "rss_bytes": max(0, memory.rss_bytes() - self._baseline)}

    def do_grow(self, start: int, runs: int) -> dict[str, Any]:
        """Runs without timing each, then tells the resident memory: what is garbage is no leak, so it is collected."""
        begin = time.perf_counter()
        for feed in self._cycled(start, runs):
            self._run(feed)
        seconds = time.perf_counter() - begin
        gc.collect()
        return {"rss_bytes": memory.rss_bytes(), "seconds": seconds}

    def do_infer(self, feed: str, outputs: str) -> dict[str, Any]:
        """Answers one feed: the time of the run alone, and the memory after it."""
        given = feed_names.bind(next(arrays.read_feeds(Path(feed))), self._session.inputs)
        begin = time.perf_counter_ns()
        found = self._run(given)
        ns = time.perf_counter_ns() - begin
        arrays.write_feeds(Path(outputs), [found])
        return {"ns": ns, "rss_bytes": memory.rss_bytes()}

    def do_describe(self) -> dict[str, Any]:
        """The session's own words, and its memory above the baseline."""
        return {"describe": self._session.describe(), "memory": {
            "rss_baseline_bytes": self._baseline,
            "rss_steady_bytes": max(0, memory.rss_bytes() - self._baseline),
            "rss_peak_bytes": max(0, memory.peak_rss_bytes() - self._baseline)}}

    def do_close(self) -> dict[str, Any]:
        """Frees the model; the process ends after the answer."""
        if self._session is not None:
            self._session.close()
        return {}


def _timed(run: Callable[[Any], Any], chosen: list, budget_s: float) -> list[int]:
    """Nanoseconds of each run, until the budget is over."""
    clock = time.perf_counter_ns
    samples: list[int] = []
    stop = clock() + int(budget_s * 1e9)
    for one in chosen:  # the window holds the run, the release of its outputs and one reading of the clock
        begin = clock()
        run(one)
        end = clock()
        samples.append(end - begin)
        if end > stop:
            break
    return samples


def _slowed(run: Callable[[dict], dict], share: float) -> Callable[[dict], dict]:
    def slow(feeds: dict) -> dict:
        begin = time.perf_counter_ns()
        outputs = run(feeds)
        end = time.perf_counter_ns()
        until = end + (end - begin) * share
        while time.perf_counter_ns() < until:
            pass
        return outputs

    return slow


def _settle() -> bool:
    """Waits until no thread of this process works any more; False when some never rest (busy-waiting pools)."""
    give_up = time.perf_counter() + SETTLE_S
    while time.perf_counter() < give_up:
        used = time.process_time()
        time.sleep(0.001)
        if time.process_time() - used < QUIET_S:
            return True
    return False


# --- process -----------------------------------------------------------------------------------------------------


def serve(commands: Iterator[dict], out: TextIO) -> None:
    """Answers commands one after another until 'close' or the end of the input."""

    def send(message: dict) -> None:
        out.write(json.dumps(message, default=str) + "\n")
        out.flush()

    current = 0
    worker = Worker(lambda done: send({"id": current, "note": done}))
    for command in commands:
        current, name = command.pop("id"), command.pop("do")
        try:
            send({"id": current, "ok": True, **getattr(worker, f"do_{name}")(**command)})
        except BaseException as error:  # whatever an adapter raises is an answer, not the end of the process
            send({"id": current, "ok": False, "error": one_line(error)})
        if name == "close":
            return


def one_line(error: BaseException) -> str:
    """What the user reads: our own errors as they are, others with their type, the first line only."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")[:500]
    if isinstance(error, WorkbenchError):
        return text
    if isinstance(error, MemoryError):
        return "out of memory" + (f": {text}" if text else "")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _private_pipes() -> tuple[TextIO, TextIO]:
    """Takes the pipes away from the frameworks: their prints go to standard error, their reads find nothing."""
    source, out = os.fdopen(os.dup(0), "r", encoding="utf-8"), os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return source, out


def _read(source: TextIO, queue: SimpleQueue) -> None:
    for line in source:
        queue.put(json.loads(line))
    os._exit(0)  # the kernel is gone or let us go: end at once, whatever the main thread is doing


def main() -> None:
    """Entry point; arguments: cores (comma-separated) and the parent's process id."""
    cores, parent = sys.argv[1], int(sys.argv[2])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    source, out = _private_pipes()
    die_with(parent)
    environment.set_cores(tuple(int(core) for core in cores.split(",")))
    queue: SimpleQueue = SimpleQueue()
    threading.Thread(target=_read, args=(source, queue), daemon=True).start()
    serve(iter(queue.get, None), out)
    os._exit(0)  # frameworks that hang in their own clean-up must not


if __name__ == "__main__":
    main()
