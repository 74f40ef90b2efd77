"""When a model has warmed up: two successive blocks agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from .types import Plan

TOLERANCE = 0.05
_FIRST_GUESS = 5  # runs of the first block, before anything is known
MOST_RUNS = 1000  # of one block: enough for its median, and few enough to store


class WarmUp(NamedTuple):
    """How the warm-up went.

    Attributes:
        seconds: of each dropped run, in order.
        run_s: median of the last block: what a run takes now.
        steady: False when the ceiling came first.
    """

    seconds: list[float]
    run_s: float
    steady: bool


def agree(before: Sequence[float], after: Sequence[float]) -> bool:
    """Whether two successive blocks of runs show the same speed.

    They do when their medians differ by at most 5 %, or when their middle halves overlap: on a noisy machine single
    blocks scatter by more than 5 % for ever, although nothing warms up any more.
    """
    a, b = (np.percentile(np.asarray(block, dtype=float), (25, 50, 75)) for block in (before, after))
    close = abs(b[1] - a[1]) <= TOLERANCE * a[1]
    return bool(close or (a[0] <= b[2] and b[0] <= a[2] and len(before) > 2 and len(after) > 2))


def warm_up(block: Callable[[int, int, float], Sequence[float]], plan: Plan) -> WarmUp:
    """Runs blocks until two successive ones agree, within the floor and the ceiling of the plan.

    The first run, which may compile or allocate, is a block of its own. Blocks grow to the length of a timing block.

    Args:
        block: ``block(first_feed, runs, budget_s)`` times runs and returns their seconds.
        plan: ``warmup_min_runs`` is the floor, ``warmup_max_s`` the ceiling.
    """
    dropped = list(block(0, 1, 0.0))
    before: Sequence[float] | None = None
    runs = _FIRST_GUESS
    while True:
        left = plan.warmup_max_s - sum(dropped)
        if left <= 0:
            return WarmUp(dropped, float(np.median(before if before is not None else dropped)), False)
        now = block(len(dropped), runs, left)
        dropped.extend(now)
        if before is not None and len(dropped) >= plan.warmup_min_runs and agree(before, now):
            return WarmUp(dropped, float(np.median(now)), True)
        before = now
        runs = max(_FIRST_GUESS, min(MOST_RUNS, round(plan.block_s / max(float(np.median(now)), 1e-9))))
