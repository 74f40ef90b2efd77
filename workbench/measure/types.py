"""Inert data of the measuring protocol: the plan, the candidates and what a measurement holds."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..model import ModelFormat, TensorSpec
from ..settings import SettingsBase


@dataclass(frozen=True)
class Plan:
    """How long and how strictly to measure (MLPerf- and pyperf-style; see README 'How to read the intervals').

    Attributes:
        block_s: length of one timing block; a block holds at least ``block_min_runs`` runs.
        block_min_runs: fewest runs in a block.
        rounds_min: rounds before a comparison may stop.
        rounds_max: rounds after which it must.
        target: relative half-width of the ratio's interval at which it stops (0.03 is +-3 %).
        max_s: time limit for timing, all candidates together.
        warmup_min_runs: floor of dropped runs.
        warmup_max_s: ceiling of the warm-up, per candidate.
        margin: a ratio whose interval touches 1 +- margin is 'undecided'.
        fidelity_samples: evaluation samples used; 0 for all.
        seed: of the order of candidates and of the bootstrap.
    """

    block_s: float = 0.05
    block_min_runs: int = 3
    rounds_min: int = 20
    rounds_max: int = 400
    target: float = 0.03
    max_s: float = 12.0
    warmup_min_runs: int = 5
    warmup_max_s: float = 5.0
    margin: float = 0.02
    fidelity_samples: int = 0
    seed: int = 0

    @classmethod
    def default(cls) -> Plan:
        """The standard plan; WORKBENCH_QUICK=1 (the test suite's one switch) shortens it."""
        plan = cls()
        if os.environ.get("WORKBENCH_QUICK") == "1":
            plan = replace(plan, block_s=0.01, rounds_min=5, rounds_max=20, max_s=2.0, warmup_max_s=1.0,
                           fidelity_samples=200)
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
        warmup_s: dropped runs.
        memory: 'load_s', 'rss_baseline_bytes', 'rss_steady_bytes', 'rss_peak_bytes'.
        describe: the session's own words (providers, versions).
        environment: the machine before and while measuring.
        stopped: 'narrow', 'time' or 'cancelled'.
        outputs_path: .npz of the outputs on the evaluation feeds, keyed 'output_name', axis 0 = sample.
    """

    status: str = "ok"
    reason: str = ""
    rounds: list[list[float]] = field(default_factory=list)
    warmup_s: list[float] = field(default_factory=list)
    memory: dict[str, float] = field(default_factory=dict)
    describe: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    stopped: str = ""
    outputs_path: Path | None = None
