"""The measuring loop: load, warm up, time in interleaved rounds until the intervals are narrow, check the answers.

The rules and their reasons are those of the README section 'How to read the intervals': one process a candidate,
warm-up until steady, short blocks in an order shuffled per round, ratios paired by round, and a stop that says why.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from ..errors import Cancelled, WorkbenchError, WorkerError
from ..runtimes import registry
from . import environment, stats
from .client import WorkerClient
from .noise import NoiseMeter
from .pool import Stored, WorkerPool
from .resident import without_copies
from .types import Candidate, Feeds, Live, Measurement, Plan, Update
from .warmup import MOST_RUNS, warm_up

FEWEST_ROUNDS = 3  # below it no interval can be given
REFILL_S = 0.002
TELL_S = 0.2
SHARES = {"load": (0.0, 0.2), "warm-up": (0.2, 0.3), "measure": (0.3, 0.85), "fidelity": (0.85, 1.0)}

OnUpdate = Callable[[Update], None]


def measure(candidates: list[Candidate], feeds: Feeds, *, evaluation: Feeds, plan: Plan,
            pool: WorkerPool | None = None, on_update: OnUpdate | None = None,
            cancel: threading.Event | None = None) -> dict[str, Measurement]:
    """Times candidates side by side and collects their answers.

    The first candidate is the baseline: every other one stops when the interval of its ratio to it is narrow enough,
    the baseline when all others have. Alone, it stops on its own median. A candidate that cannot be loaded, crashes or
    hangs is a failed measurement with a reason; the others go on.

    Args:
        candidates: at least one, ids distinct.
        feeds: timed runs cycle through these; all candidates begin a round with the same one.
        evaluation: every candidate answers these once, after timing (slow ones only the first, see Plan); may be empty.
        plan: how long and how strictly.
        pool: keeps workers for the next call; without one, workers end with the call.
        on_update: called from this thread, at most about five times a second.
        cancel: set it to stop within about 0.2 s; what was timed is kept.

    Returns:
        by candidate id; after a cancel, unfinished ones have status 'cancelled'.

    Raises:
        InputError: there are no feeds.
    """
    cancel = cancel or threading.Event()
    with WorkerPool(keep=0) if pool is None else nullcontext(pool) as workers:
        run = _Run(candidates, plan, workers, on_update or (lambda update: None), cancel)
        try:
            with workers.exclusive(cancel, lambda line: run.tell("load", line, 0.0)):
                run.all(feeds, evaluation)
        except Cancelled:
            run.cancelled()
    return {track.candidate.id: track.result for track in run.tracks}


class _Track:
    """One candidate on its way."""

    def __init__(self, candidate: Candidate, wanted: float) -> None:
        self.candidate = candidate
        self.result = Measurement()
        self.worker: WorkerClient | None = None
        self.medians: list[float] = []
        self.runs = self.refill = 1
        self.run_s = 0.0
        self.cpu_s: list[float] = []
        self.warnings: list[str] = []
        self.restless = self.finished = False
        self.half_width, self.wanted = math.inf, wanted

    @property
    def failed(self) -> bool:
        return self.result.status == "failed"

    @property
    def timing(self) -> bool:
        return not self.failed and not self.result.stopped

    @property
    def title(self) -> str:
        return registry.info(self.candidate.runtime).title


class _Run:
    """One call of :func:`measure`."""

    def __init__(self, candidates: list[Candidate], plan: Plan, pool: WorkerPool, tell: OnUpdate,
                 cancel: threading.Event) -> None:
        self.tracks = [_Track(c, plan.target) for c in candidates]
        self.plan, self.pool, self.on_update, self.cancel = plan, pool, tell, cancel
        self.random = random.Random(plan.seed)
        self.round = 0
        self.told, self.fraction = 0.0, 0.0
        self.questions = 0
        self.live: dict[str, Live] = {}

    @property
    def baseline(self) -> _Track:
        return self.tracks[0]

    @property
    def others(self) -> list[_Track]:
        return self.tracks[1:]

    def all(self, feeds: Feeds, evaluation: Feeds) -> None:
        stored = self.pool.store(feeds)
        self.questions = len(evaluation)
        try:
            self._load(stored)
            self._each("warm-up", "warming up", self._warm_up)
            self._time(len(feeds))
            evaluation = evaluation[:self._most_questions()]
            self.questions = len(evaluation)
            questions = self.pool.store(evaluation) if evaluation else None
            self._each("fidelity", "checking the answers of", lambda track: self._finish(track, stored, questions))
        finally:
            self._give_back()

    def cancelled(self) -> None:
        for track in self.tracks:
            if not track.failed and not track.finished:
                track.result.status = "cancelled"
                track.result.reason = "cancelled"
                track.result.stopped = track.result.stopped or "cancelled"

    # --- stages

    def _load(self, stored: Stored) -> None:
        for track in self.tracks:  # all import at once, then load one by one: load times must not disturb each other
            self._try(track, lambda track: setattr(track, "worker", self.pool.take(track.candidate, stored)))
        self._each("load", "loading", lambda track: self.pool.open(
            track.worker, track.candidate, stored, self.plan.load_timeout_s, self.cancel))

    def _each(self, stage: str, verb: str, step: Callable[[_Track], None]) -> None:
        for i, track in enumerate(self.tracks):
            if not track.failed:
                self.tell(stage, f"{verb} {track.title} ({i + 1} of {len(self.tracks)})", i / len(self.tracks))
                self._try(track, step)

    def _try(self, track: _Track, step: Callable[[_Track], None]) -> None:
        if self.cancel.is_set():
            raise Cancelled("cancelled")
        try:
            step(track)
        except Cancelled:
            raise
        except WorkbenchError as error:
            track.result.status, track.result.reason = "failed", str(error)
            if track.worker is not None:
                track.worker.kill()

    def _warm_up(self, track: _Track) -> None:
        def block(start: int, runs: int, budget_s: float) -> list[float]:
            answer = self._block(track, start, runs, budget_s, settle=False)
            return [ns / 1e9 for ns in answer["ns"]]

        found = warm_up(block, self.plan)
        track.result.warmup_s, track.run_s = found.seconds, found.run_s
        if not found.steady:
            track.warnings.append(f"{track.title} was still not steady after {self.plan.warmup_max_s:g} s of warm-up")
        self._facts(track)

    def _facts(self, track: _Track) -> None:
        facts, info = track.worker.call("describe", self.plan.run_timeout_s, self.cancel), track.worker.info
        track.result.describe = facts["describe"]
        track.result.memory = {**facts["memory"], "load_s": info["load_s"], "import_s": info["import_s"]}

    def _block(self, track: _Track, start: int, runs: int, budget_s: float, refill: int = 0,
               settle: bool = True) -> dict[str, Any]:
        answer = track.worker.call("block", budget_s + self.plan.run_timeout_s, self.cancel, start=start, runs=runs,
                                   budget_s=budget_s, refill=refill, settle=settle)
        track.cpu_s.append(answer["cpu_s"])
        track.restless |= not answer["quiet"]
        return answer

    def _time(self, feed_count: int) -> None:
        ready = [t for t in self.tracks if not t.failed]
        for track in ready:
            self._size_blocks(track, ready)
        noise = NoiseMeter()
        before = {id(t): t.cpu_s[-1] for t in ready}
        begin = time.monotonic()
        try:
            while any(t.timing for t in self.tracks):
                self._one_round(feed_count)
                elapsed = time.monotonic() - begin
                self._judge(elapsed)
                self._tell_round(elapsed)
        finally:
            used = sum(t.cpu_s[-1] - before[id(t)] for t in ready)
            self._note_environment(ready, noise.read(used))

    def _one_round(self, feed_count: int) -> None:
        order = [t for t in self.tracks if t.timing]
        self.random.shuffle(order)
        start = self.random.randrange(feed_count)
        for position, track in enumerate(order):
            self._try(track, lambda track, position=position: self._timed_block(track, start, position))
        self.round += 1

    def _timed_block(self, track: _Track, start: int, position: int) -> None:
        budget = max(1.0, 10 * track.runs * track.run_s)  # blocks are short; this bounds one on a machine that stalls
        answer = self._block(track, start, track.runs, budget, track.refill)
        seconds = [ns / 1e9 for ns in answer["ns"]]
        track.result.rounds.append(seconds)
        track.result.positions.append(position)
        track.result.refill_s.extend(ns / 1e9 for ns in answer["refill_ns"])
        track.medians.append(float(stats.block_medians([seconds])[0]))

    def _size_blocks(self, track: _Track, ready: list[_Track]) -> None:
        """Runs a block: as many as fill it, at least the plan's floor, but one when rounds would get too few."""
        plan = self.plan
        fill = math.ceil(plan.block_s / max(track.run_s, 1e-9))
        whole = sum(max(plan.block_s, plan.block_min_runs * t.run_s) for t in ready) * plan.rounds_min
        floor = plan.block_min_runs if whole <= 0.7 * plan.max_s else 1
        track.runs = min(MOST_RUNS, max(fill, floor))
        # What another worker pushed out of the caches comes back in the first runs; of a slow model it is no share.
        track.refill = min(100, math.ceil(REFILL_S / track.run_s)) if track.run_s < plan.block_s else 0

    def _judge(self, elapsed: float) -> None:
        """Stops what is narrow, and everything when the time or the rounds are up."""
        plan = self.plan
        over = elapsed >= plan.max_s or self.round >= plan.rounds_max
        if self.round < (FEWEST_ROUNDS if over else plan.rounds_min):
            return
        comparing = [t for t in self.others if t.timing] if not self.baseline.failed else []
        alone = [t for t in self.tracks if t.timing and t not in comparing]
        if comparing and self.baseline.timing:
            alone.remove(self.baseline)
        for track in [*comparing, *alone]:
            estimate = self._ratio(track) if track in comparing else self._median(track)
            track.half_width = estimate.half_width
            track.wanted = plan.wanted(estimate if track in comparing else None)
            if track.half_width <= track.wanted:
                track.result.stopped = "narrow"
            elif over:
                track.result.stopped = "time"
        if comparing and not any(t.timing for t in comparing):
            self.baseline.result.stopped = "time" if any(t.result.stopped == "time" for t in comparing) else "narrow"

    def _ratio(self, track: _Track) -> stats.Estimate:
        return stats.ratio_interval([[m] for m in track.medians], [[m] for m in self.baseline.medians],
                                    seed=self.plan.seed)

    def _median(self, track: _Track) -> stats.Estimate:
        return stats.median_interval([[m] for m in track.medians], seed=self.plan.seed)

    def _most_questions(self) -> int:
        """All candidates answer the same questions: as many as the slowest can."""
        return self.plan.most_questions(max((t.run_s for t in self.tracks if not t.failed), default=0.0))

    def _finish(self, track: _Track, stored: Stored, questions: Stored | None) -> None:
        self._facts(track)  # again: the peak and the steady size are those after timing
        if track.candidate.device != "cpu":
            track.result.describe.update(self._without_copies(track))
        if questions is not None:
            track.result.outputs_path = self._answers(track, stored, questions)
        track.finished = True

    def _without_copies(self, track: _Track) -> dict[str, Any]:
        self.tell("fidelity", f"timing {track.title} without copies to and from the device", 0.0)
        try:
            return without_copies(track.worker, self.plan, track.runs, self.cancel)
        except WorkerError as error:  # the measurement with copies stands; a worker that died fails at its answers
            return {"without_copies": f"not measured: {error}"}

    def _answers(self, track: _Track, stored: Stored, questions: Stored) -> Path:
        line, index = f"checking the answers of {track.title}", self.tracks.index(track)
        path, filled = self.pool.answers(
            track.worker, track.candidate, stored, questions, self.plan.run_timeout_s, self.cancel,
            on_note=lambda done: self.tell("fidelity", line, (index + done) / len(self.tracks),
                                           self._questions_s(index, done)))
        if filled:
            names = ", ".join(filled)
            track.result.describe["outputs_filled"] = f"sizes differ from input to input, filled with 0: {names}"
        return path

    def _give_back(self) -> None:
        for track in reversed(self.tracks):  # the baseline last: it is needed again soonest
            if track.worker is not None:
                self.pool.put(track.worker)

    def _note_environment(self, ready: list[_Track], noise: dict[str, Any]) -> None:
        machine, warnings = environment.fingerprint(), noise.pop("warnings")
        restless = [f"{t.title} keeps its threads busy between runs, which slows what is timed beside it"
                    for t in ready if t.restless]
        for track in ready:
            track.result.environment = {**machine, "noise": noise, "seed": self.plan.seed,
                                        "warnings": [*track.warnings, *restless, *warnings]}

    # --- progress

    def tell(self, stage: str, line: str, share: float, remaining_s: float | None = None) -> None:
        """Reports; ``share`` is the part of the stage that is done."""
        low, high = SHARES[stage]
        self.fraction = max(self.fraction, low + (high - low) * share)
        self.told = time.monotonic()
        self.on_update(Update(stage, line, self.fraction, remaining_s, self.round, self.live))

    def _tell_round(self, elapsed: float) -> None:
        last = not any(t.timing for t in self.tracks)  # told always: a clear ratio may be known before the first report
        if self.round < FEWEST_ROUNDS or not last and time.monotonic() - self.told < TELL_S:
            return
        self.live = {t.candidate.id: self._live(t) for t in self.tracks if len(t.medians) >= FEWEST_ROUNDS}
        remaining = self._remaining_s(elapsed)
        share = elapsed / max(elapsed + remaining, 1e-9)
        self.tell("measure", self._line(), share, remaining + self._questions_s(0, 0.0))

    def _live(self, track: _Track) -> Live:
        ratio = None
        if track is not self.baseline and len(self.baseline.medians) >= FEWEST_ROUNDS:
            ratio = self._ratio(track)
        median = self._median(track)
        track.half_width, track.wanted = (ratio or median).half_width, self.plan.wanted(ratio)
        return Live(median, ratio, sum(map(len, track.result.rounds)), len(track.medians), track.result.stopped)

    def _deciding(self) -> list[_Track]:
        """Those whose intervals decide when to stop."""
        return [t for t in self.others if t.timing] or [t for t in self.tracks if t.timing]

    def _line(self) -> str:
        shown = self._deciding() or [t for t in self.others or self.tracks if not t.failed]
        widest = max(shown, key=lambda t: t.half_width / t.wanted, default=None)
        if widest is None or not math.isfinite(widest.half_width):
            return f"round {self.round}"
        have, want = (f"{100 * x:.{0 if x >= 0.05 else 1}f} %" for x in (widest.half_width, widest.wanted))
        return f"round {self.round} · interval ±{have} → {want}"

    def _remaining_s(self, elapsed: float) -> float:
        """Seconds of timing left: the half-width falls with the root of the number of rounds."""
        wanted = max((self.round * (t.half_width / t.wanted) ** 2 for t in self._deciding()), default=0.0)
        rounds = max(self.plan.rounds_min, wanted) - self.round
        return max(0.0, min(rounds * elapsed / self.round, self.plan.max_s - elapsed))

    def _questions_s(self, index: int, done: float) -> float:
        """Seconds that the answers still take, from candidate ``index`` on, of which ``done`` is finished."""
        left = [t.run_s for t in self.tracks[index:] if not t.failed]
        return self.questions * (sum(left) - done * left[0]) if left else 0.0
