"""Seconds of every node on both sides of a pair, for the heat map: what a node cost, and what it costs now. UI-free."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import NamedTuple

from ..engine import Engine
from ..errors import NotApplicable
from ..model import load
from ..profile import Profile, profile
from ..recipe import Recipe
from ..runtimes import registry
from .graph_pairs import Pair

FEEDS = 16


class Times(NamedTuple):
    """Node name -> seconds of one run, a side each; empty where nothing tells."""

    before: dict[str, float]
    after: dict[str, float]


def why_not(pair: Pair) -> str:
    """Why the nodes of a pair cannot be timed; '' when they can."""
    if not pair.runtime:
        return "Nodes are timed where a runtime runs them: choose 'as … runs it' under Change."
    return ""


def measured(engine: Engine, recipe: Recipe, pair: Pair, cancel: threading.Event | None = None) -> Times:
    """Profiles a pair of an artefact and what its runtime makes of it.

    The right side is profiled as the recipe runs it. The left side is what the same file costs node by node, which
    ONNX Runtime tells with its graph optimizations off; other runtimes never run the file as it is written.

    Args:
        engine: of the open model and data.
        recipe: complete; its runtime is that of the pair.
        pair: with ``runtime`` set.
        cancel: ends the profile.

    Raises:
        NotApplicable: the runtime does not tell the time of its nodes, or the pair has no runtime.
        WorkbenchError: the artefact cannot be run.
        Cancelled: ``cancel`` was set.
    """
    reason = why_not(pair)
    if reason:
        raise NotApplicable(reason)
    settings = recipe.runtime_settings or registry.settings_class(recipe.runtime)()
    feeds = engine.dataset.evaluation.feeds(recipe.batch, FEEDS * recipe.batch)
    model = load(pair.after) if isinstance(pair.after, str) else pair.after

    def one(chosen) -> dict[str, float]:
        return by_name(profile(model.path, model.format, recipe.runtime, chosen, recipe.threads, feeds,
                               device=recipe.device, cancel=cancel))

    with engine.alone(cancel):
        after = one(settings)
        before = one(replace(settings, graph_level="disabled")) if recipe.runtime == "onnxruntime" else {}
    return Times(before, after)


def by_name(found: Profile) -> dict[str, float]:
    """The runtime's own node names -> median seconds of one run."""
    return {row.name: row.median_s for row in found.rows}
