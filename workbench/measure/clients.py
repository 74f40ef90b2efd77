"""Throughput with concurrent requests: a closed loop of N clients in one worker process, beside a single stream.

Each client is a thread that sends its next request when the last one is answered (MLPerf calls this 'multi-stream';
a queue that fills up is another question). The levels take turns in short windows, in shuffled order, so that drift
hits all alike; throughput is the sum of the clients' rates, and its interval comes from the windows.
"""

from __future__ import annotations

import gc
import math
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..errors import Cancelled, InputError
from . import environment, stats
from .solo import opened
from .stats import Estimate
from .types import Candidate, Feeds, Plan
from .warmup import warm_up

WINDOW_S = 0.25
RUNS_A_WINDOW = 20  # a window lasts at least so many runs, so that its end counts little
ROUNDS_MIN, ROUNDS_MAX = 6, 60
MOST_CLIENTS = 64
_KEPT = 500  # latencies told of one client in one window


class Load(NamedTuple):
    """What a number of clients got.

    Attributes:
        clients: requests in flight.
        throughput: samples a second, all clients together, with its 95 % interval.
        latency: median seconds of one request, with its 95 % interval.
        percentiles_s: as :func:`stats.percentiles` of the requests.
        gain: throughput over that of one client, paired by round, with its 95 % interval; None for one client.
        requests: timed requests.
        rss_bytes: resident memory above the worker's baseline while they ran.
    """

    clients: int
    throughput: Estimate
    latency: Estimate
    percentiles_s: dict[str, float | None]
    gain: Estimate | None
    requests: int
    rss_bytes: int


def under_load(candidate: Candidate, feeds: Feeds, *, clients: Sequence[int] = (1, 2, 4), shared: bool = False,
               plan: Plan | None = None, on_line: Callable[[str], None] | None = None,
               cancel: threading.Event | None = None) -> tuple[Load, ...]:
    """Throughput and latency for several numbers of concurrent requests.

    Args:
        candidate: what to run; ``threads`` is what each session may use, so clients x threads is the demand on cores.
        feeds: whole feeds that the clients cycle through; their batch counts as samples.
        clients: numbers of requests in flight; 1 is always measured too.
        shared: one session for all clients instead of one each; only where the runtime can.
        plan: its target, time limit and seed count; the limit is for all levels together.
        on_line: called with one short line after each round.
        cancel: set it to stop within a fraction of a second.

    Raises:
        InputError: the number of clients is out of range, or the runtime cannot share a session.
        WorkerError: the worker crashed or a request failed.
        Cancelled: ``cancel`` was set.
    """
    plan = plan or Plan.default()
    levels = sorted({1, *clients})
    if any(isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= MOST_CLIENTS for n in levels):
        raise InputError(f"clients are whole numbers from 1 to {MOST_CLIENTS}, e.g. 1,2,4")
    cores = environment.cores_for(candidate.threads * levels[-1])
    with opened(candidate, feeds, plan=plan, cores=cores, cancel=cancel) as worker:
        worker.call("sessions", plan.load_timeout_s, cancel, count=levels[-1], shared=shared)
        run = _Run(worker, levels, plan, on_line or (lambda line: None), cancel)
        batches = [feed[next(iter(feed))].shape[:1] for feed in feeds]
        batch = batches[0][0] if batches[0] else 1
        return run.all(batch)


class _Run:
    """One call of :func:`under_load`."""

    def __init__(self, worker: Any, levels: list[int], plan: Plan, tell: Callable[[str], None],
                 cancel: threading.Event | None) -> None:
        self.worker, self.levels, self.plan, self.tell, self.cancel = worker, levels, plan, tell, cancel
        self.per_task: dict[int, list[float]] = {n: [] for n in levels}
        self.latencies: dict[int, list[list[float]]] = {n: [] for n in levels}
        self.requests = dict.fromkeys(levels, 0)
        self.rss = dict.fromkeys(levels, 0)

    def all(self, batch: int) -> tuple[Load, ...]:
        found = warm_up(self._block, self.plan)
        window = max(WINDOW_S, RUNS_A_WINDOW * found.run_s)
        for level in self.levels[1:]:  # every session's first run, which may compile, counts nowhere
            self._window(level, max(0.05, 2 * found.run_s))
        shuffle = random.Random(self.plan.seed)
        begin, rounds = time.monotonic(), 0
        while rounds < ROUNDS_MAX:
            for level in shuffle.sample(self.levels, len(self.levels)):
                self._count(level, self._window(level, window))
            rounds += 1
            widest = max(self._seconds(n).half_width for n in self.levels)
            self.tell(f"round {rounds} · interval ±{100 * min(widest, 9.99):.0f} % → {100 * self.plan.target:g} %")
            late = time.monotonic() - begin >= self.plan.max_s and rounds >= 3
            if late or (rounds >= ROUNDS_MIN and widest <= self.plan.target):
                break
        return tuple(self._load(n, batch) for n in self.levels)

    def _block(self, start: int, runs: int, budget_s: float) -> list[float]:
        answer = self.worker.call("block", budget_s + self.plan.run_timeout_s, self.cancel, start=start, runs=runs,
                                  budget_s=budget_s, settle=False)
        return [ns / 1e9 for ns in answer["ns"]]

    def _window(self, clients: int, seconds: float) -> dict[str, Any]:
        if self.cancel is not None and self.cancel.is_set():
            raise Cancelled("cancelled")
        return self.worker.call("clients", seconds + self.plan.run_timeout_s, self.cancel, clients=clients,
                                seconds=seconds)

    def _count(self, level: int, answer: dict[str, Any]) -> None:
        rate = sum(n / s for n, s in zip(answer["counts"], answer["seconds"], strict=True))
        self.per_task[level].append(1 / rate)
        self.latencies[level].append([ns / 1e9 for row in answer["ns"] for ns in row])
        self.requests[level] += sum(answer["counts"])
        self.rss[level] = max(self.rss[level], answer["rss_bytes"])

    def _seconds(self, level: int) -> Estimate:
        return stats.median_interval([[s] for s in self.per_task[level]], seed=self.plan.seed)

    def _load(self, level: int, batch: int) -> Load:
        rate = _inverse(self._seconds(level))
        gain = None
        if level > 1:
            gain = _inverse(stats.ratio_interval([[s] for s in self.per_task[level]],
                                                 [[s] for s in self.per_task[1]], seed=self.plan.seed))
        latencies = self.latencies[level]
        return Load(level, Estimate(*(batch * v for v in rate)), stats.median_interval(latencies, seed=self.plan.seed),
                    stats.percentiles([s for row in latencies for s in row]), gain, self.requests[level],
                    self.rss[level])


def _inverse(found: Estimate) -> Estimate:
    return Estimate(1 / found.value, 1 / found.high, 1 / found.low if found.low else math.inf)


# --- process side ------------------------------------------------------------------------------------------------


def closed_loop(runs: Sequence[Callable[[dict], Any]], feeds: Sequence[dict], seconds: float) -> dict[str, Any]:
    """Clients, one thread each, that send requests one after another for that long.

    Args:
        runs: one function a client.
        feeds: what they send, each beginning with another one.
        seconds: no request begins after it; each client makes one at least.

    Returns:
        by client: 'counts' of requests, 'seconds' until its last answer, and 'ns' of its requests (evenly thinned).

    Raises:
        Exception: the first that a request raised.
    """
    start = threading.Barrier(len(runs))
    samples: list[list[int]] = [[] for _ in runs]
    lasted, errors, clock = [0.0] * len(runs), [], time.perf_counter_ns

    def client(index: int) -> None:
        own, run, place = samples[index], runs[index], index * max(1, len(feeds) // len(runs))
        try:
            start.wait()
            first = begin = clock()
            until = first + int(seconds * 1e9)
            while begin < until:
                run(feeds[place % len(feeds)])
                end = clock()
                own.append(end - begin)
                begin, place = end, place + 1
            lasted[index] = (begin - first) / 1e9
        except BaseException as error:  # told to the kernel by the caller
            errors.append(error)
            start.abort()

    gc.disable()
    try:
        threads = [threading.Thread(target=client, args=(i,)) for i in range(len(runs))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        gc.enable()
    if errors:
        raise next((e for e in errors if not isinstance(e, threading.BrokenBarrierError)), errors[0])
    return {"counts": [len(s) for s in samples], "seconds": lasted,
            "ns": [s[::max(1, len(s) // _KEPT)] for s in samples]}
