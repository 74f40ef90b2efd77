"""Inert data of the measuring protocol: the plan, the candidates and what a measurement holds."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..model import ModelFormat, TensorSpec
from ..settings import SettingsBase

if TYPE_CHECKING:
    from .stats import Estimate


FEWEST_QUESTIONS = 16


@dataclass(frozen=True)
class Plan:
    """How long and how strictly to measure (MLPerf- and pyperf-style; see README 'How to read the intervals').

    Attributes:
        block_s: length of one timing block; a block holds at least ``block_min_runs`` runs.
        block_min_runs: fewest runs in a block, unless the model is so slow that time for enough rounds would lack;
            then a block is one run.
        rounds_min: rounds before a comparison may stop.
        rounds_max: rounds after which it must.
        target: relative half-width of the ratio's interval at which it stops (0.03 is +-3 %).
        distant: a ratio far from 1 is narrow enough at this share of its distance from 1, where that is more than the
            target; the distance is that of the interval's near end on the logarithmic scale (0.05: +-8 % at 5 times,
            +-11 % at 9 times): nobody decides between 9 and 10 times as fast.
        max_s: time limit for timing, all candidates together; three rounds are run whatever it says.
        warmup_min_runs: floor of dropped runs.
        warmup_max_s: ceiling of the warm-up, per candidate; one run is dropped whatever it says.
        margin: a ratio whose interval touches 1/(1+margin) .. 1+margin is 'undecided'.
        fidelity_samples: evaluation samples used; 0 for all.
        fidelity_max_s: aim for the time that the slowest candidate answers them in; slow models answer the first ones
            only, never fewer than 16 runs.
        seed: of the order of candidates and of the bootstrap.
        load_timeout_s: a worker that imports or loads for longer hangs, and is ended.
        run_timeout_s: the same for one run.
    """

    block_s: float = 0.05
    block_min_runs: int = 3
    rounds_min: int = 20
    rounds_max: int = 400
    target: float = 0.03
    distant: float = 0.05
    max_s: float = 12.0
    warmup_min_runs: int = 5
    warmup_max_s: float = 5.0
    margin: float = 0.02
    fidelity_samples: int = 0
    fidelity_max_s: float = 20.0
    seed: int = 0
    load_timeout_s: float = 300.0
    run_timeout_s: float = 60.0

    def most_questions(self, run_s: float) -> int:
        """Evaluation samples that the slowest candidate, at ``run_s`` a run, answers within the plan's time.

        A power of two: the next measurement, a little faster or slower, then asks the same, and kept answers serve it.
        """
        within = max(FEWEST_QUESTIONS, int(self.fidelity_max_s / max(run_s, 1e-9)))
        return 1 << (within.bit_length() - 1)

    def wanted(self, ratio: Estimate | None) -> float:
        """The relative half-width at which a comparison stops, given its ratio so far."""
        if ratio is None or ratio.low <= 1 <= ratio.high:
            return self.target
        near = ratio.low if ratio.low > 1 else ratio.high
        return max(self.target, self.distant * abs(math.log(near)))

    @classmethod
    def default(cls) -> Plan:
        """The standard plan; WORKBENCH_QUICK=1 (the test suite's one switch) shortens it."""
        plan = cls()
        if os.environ.get("WORKBENCH_QUICK") == "1":
            plan = replace(plan, block_s=0.01, rounds_min=5, rounds_max=20, max_s=2.0, warmup_max_s=1.0,
                           fidelity_samples=200, fidelity_max_s=5.0)
        return plan


class Candidate(NamedTuple):
    """One artefact to time, with the way it is run.

    Attributes:
        id: recipe key; results are keyed by it.
        path: artefact.
        format: its format.
        inputs: specs of the *original* model (names that feeds are keyed by).
        runtime: registry name.
        settings: the adapter's Settings.
        threads: >= 1.
        device: 'cpu' or 'gpu'.
    """

    id: str
    path: Path
    format: ModelFormat
    inputs: tuple[TensorSpec, ...]
    runtime: str
    settings: SettingsBase
    threads: int
    device: str


Feeds = list[dict[str, np.ndarray]]  # whole feeds, keyed by the original model's input names


@dataclass
class Measurement:
    """Raw outcome for one candidate; nothing rounded, nothing dropped.

    Attributes:
        status: 'ok', 'failed' or 'cancelled'.
        reason: one line, when not 'ok'.
        rounds: seconds of each run, one list a round. Round i of all candidates ran side by side.
        positions: per round, the place of this candidate in the shuffled order, from 0.
        warmup_s: runs dropped before the first round, the very first included.
        refill_s: runs dropped at the head of each block; they refill the caches that the other workers emptied.
        memory: 'import_s', 'load_s', 'rss_baseline_bytes' (framework imported, model not loaded), 'rss_steady_bytes'
            and 'rss_peak_bytes' (both above the baseline).
        describe: the session's own words (providers, versions).
        environment: the machine before and while measuring; 'warnings' holds lines for people.
        stopped: 'narrow', 'time' or 'cancelled'.
        outputs_path: .npz of the outputs on the evaluation feeds, keyed 'output_name', axis 0 = sample. It lives until
            the process ends or many later measurements have pushed it out.
    """

    status: str = "ok"
    reason: str = ""
    rounds: list[list[float]] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    warmup_s: list[float] = field(default_factory=list)
    refill_s: list[float] = field(default_factory=list)
    memory: dict[str, float] = field(default_factory=dict)
    describe: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    stopped: str = ""
    outputs_path: Path | None = None


class Live(NamedTuple):
    """Numbers of one candidate while it is measured.

    Attributes:
        median: seconds, with its interval.
        ratio: to the first candidate, with its interval; None for the first itself or before there is one.
        samples: runs so far.
        rounds: rounds so far.
        stopped: '' while it runs, else as in :class:`Measurement`.
    """

    median: Estimate
    ratio: Estimate | None
    samples: int
    rounds: int
    stopped: str


class Update(NamedTuple):
    """What ``on_update`` receives, at most about five times a second.

    Attributes:
        stage: 'load', 'warm-up', 'measure' or 'fidelity'.
        line: one short line for people.
        fraction: of the whole call, 0..1; an estimate that never falls.
        remaining_s: estimate of the time left, or None while nothing is known.
        round: rounds finished.
        candidates: by id; those that have at least two rounds.
    """

    stage: str
    line: str
    fraction: float
    remaining_s: float | None
    round: int
    candidates: dict[str, Live]
