"""Latency on a device without the copies between its memory and the host's, beside the latency with them."""

from __future__ import annotations

import threading
from typing import Any

from . import stats
from .client import WorkerClient
from .types import Plan

ROUNDS = 10


def without_copies(worker: WorkerClient, plan: Plan, runs: int,
                   cancel: threading.Event | None = None) -> dict[str, Any]:
    """Times runs whose inputs and outputs stay on the device.

    What a server gains by keeping tensors there; what a caller with arrays in main memory cannot have. Taken right
    after the timing with copies, in the same process, not interleaved with other variants: no verdict rests on it.

    Args:
        worker: holds the model.
        plan: its block length and time-outs count.
        runs: in a round.
        cancel: set it to stop.

    Returns:
        for ``describe``: 'without_copies_s' (median), 'without_copies_interval_s' (95 %) and 'without_copies_runs'; or
        'without_copies' with the reason why there is none.

    Raises:
        WorkerError: the worker crashed or hangs, or the device refused.
        Cancelled: ``cancel`` was set.
    """
    rounds = []
    for _ in range(ROUNDS):
        answer = worker.call("resident", plan.run_timeout_s + plan.block_s, cancel, runs=runs, budget_s=plan.block_s)
        if not answer["ns"]:
            return {"without_copies": f"not measured: {answer['why']}"}
        rounds.append([ns / 1e9 for ns in answer["ns"]])
    found = stats.median_interval(rounds, seed=plan.seed)
    return {"without_copies_s": found.value, "without_copies_interval_s": [found.low, found.high],
            "without_copies_runs": sum(map(len, rounds))}
