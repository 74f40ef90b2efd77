"""Does memory grow from run to run? Thousands of runs in one worker, the resident size after each batch of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from ..errors import Cancelled, InputError
from .memory import LeakSlope, leak_slope
from .solo import opened
from .types import Candidate, Feeds, Plan

RUNS = 3000
SAMPLES = 60
FEWEST_RUNS = 200


class Growth(NamedTuple):
    """Memory over runs.

    Attributes:
        rss_bytes: resident size of the worker after each batch of runs.
        runs_per_sample: runs in a batch.
        slope: growth with its interval and verdict.
        seconds: how long the runs took.
        stopped: '' when all runs were made, else 'time'.
        describe: the session's own words.
    """

    rss_bytes: tuple[int, ...]
    runs_per_sample: int
    slope: LeakSlope
    seconds: float
    stopped: str
    describe: dict[str, Any]

    @property
    def runs(self) -> int:
        """Runs that were made."""
        return self.runs_per_sample * len(self.rss_bytes)


def growth(candidate: Candidate, feeds: Feeds, *, runs: int = RUNS, max_s: float = 120.0, plan: Plan | None = None,
           on_sample: Callable[[int, int, int], None] | None = None,
           cancel: threading.Event | None = None) -> Growth:
    """Runs a candidate many times and fits the slope of its memory.

    Args:
        candidate: what to run.
        feeds: what the runs cycle through. Where their shapes differ, growth may come from caches of shapes.
        runs: at least 200; their number is cut when ``max_s`` comes first.
        max_s: time limit; it never leaves fewer than 16 samples.
        plan: its time-outs count.
        on_sample: called with (runs so far, all runs, resident bytes).
        cancel: set it to stop.

    Raises:
        InputError: too few runs.
        WorkerError: the worker crashed, or a run failed.
        Cancelled: ``cancel`` was set.
    """
    if isinstance(runs, bool) or not isinstance(runs, int) or runs < FEWEST_RUNS:
        raise InputError(f"a leak check takes at least {FEWEST_RUNS} runs, better thousands")
    plan, tell = plan or Plan.default(), on_sample or (lambda done, total, rss: None)
    with opened(candidate, feeds, plan=plan, cancel=cancel) as worker:
        def step(done: int, count: int) -> dict[str, Any]:
            if cancel is not None and cancel.is_set():  # short steps never wait long enough to notice
                raise Cancelled("cancelled")
            return worker.call("grow", plan.run_timeout_s * max(1, count), cancel, start=done, runs=count)

        step(0, 20)  # what the first runs allocate for good is not growth
        per_run = max(step(20, 20)["seconds"] / 20, 1e-6)
        wanted = min(runs, max(FEWEST_RUNS, int(max_s / per_run)))
        each = max(1, wanted // SAMPLES)
        rss, begin, seconds = [], time.monotonic(), 0.0
        while len(rss) < SAMPLES and (len(rss) < 16 or time.monotonic() - begin < max_s):
            answer = step(40 + each * len(rss), each)
            rss.append(answer["rss_bytes"])
            seconds += answer["seconds"]
            tell(each * len(rss), each * SAMPLES, rss[-1])
        words = worker.call("describe", plan.run_timeout_s, cancel)["describe"]
    stopped = "" if each * len(rss) >= runs - SAMPLES else "time"
    return Growth(tuple(rss), each, leak_slope(rss, runs_per_sample=each), seconds, stopped, words)
