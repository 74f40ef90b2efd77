"""Automatic search for the best setting: a goal in, the fastest model that still answers right out."""

from .goal import Goal
from .tuner import Outcome, Trial, tune

__all__ = ["Goal", "Outcome", "Trial", "tune"]
