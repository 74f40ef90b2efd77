"""Automatic search for the best setting: a goal in, the fastest model that still answers right out."""

from .goal import Goal
from .outcome import Attempt, Outcome, Trial
from .tuner import tune

__all__ = ["Attempt", "Goal", "Outcome", "Trial", "tune"]
