"""Measuring: candidates in worker processes, interleaved, until the intervals are narrow. See ``protocol.measure``."""

from . import environment, stats
from .pool import WorkerPool
from .protocol import measure
from .types import Candidate, Feeds, Live, Measurement, Plan, Update

__all__ = ["Candidate", "Feeds", "Live", "Measurement", "Plan", "Update", "WorkerPool", "environment", "measure",
           "stats"]
