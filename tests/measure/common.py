"""What the tests of measuring share."""

import os

import numpy as np
import psutil
import pytest

from workbench.measure import Plan, measure
from workbench.model import TensorSpec

PLAN = Plan(block_s=0.005, rounds_min=5, rounds_max=8, max_s=20.0, warmup_max_s=1.0, target=1e-9)
INPUTS = (TensorSpec("x", "float32", ("N", 4)),)
POSIX_ONLY = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


def feeds(count=7, batch=2, seed=0):
    rng = np.random.default_rng(seed)
    return [{"x": rng.integers(0, 100, (batch, 4)).astype("float32")} for _ in range(count)]


def only(candidate, *, plan=PLAN, evaluation=(), **kw):
    """Measures one candidate."""
    return measure([candidate], feeds(), evaluation=list(evaluation), plan=plan, **kw)[candidate.id]


def workers_of(pool):
    """Process ids of a pool's workers."""
    return [w.pid for w in pool._all]


def gone(pid):
    """Waits until a process has ended; the suite's time limit is the only clock."""
    try:
        psutil.Process(pid).wait(60)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return False
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
