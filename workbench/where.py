"""Where a variant's time goes: its profile node by node, and how near the machine's limits it comes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, NamedTuple

from . import feeds as feed_names
from . import passes, sources
from .errors import WorkbenchError
from .graph import readers
from .model import Model
from .profile import Profile, profile, roofline
from .profile.run import RUNS
from .recipe import Recipe

_FEEDS = 16


class TimeSpent(NamedTuple):
    """What a profile found.

    Attributes:
        recipe: complete.
        profile: nodes with their times.
        roofline: nodes and model under the machine's limits; None where those were not measured.
        limits: the limits, or None.
        is_random: inputs were random.
    """

    recipe: Recipe
    profile: Profile
    roofline: roofline.Roofline | None
    limits: roofline.Limits | None
    is_random: bool

    @property
    def sentence(self) -> str:
        """Whether the nodes explain the run, in plain words."""
        from .units import duration

        p = self.profile
        text = (f"The nodes add up to {duration(p.sum_s)}, {p.sum_ratio:.0%} of the {duration(p.end_to_end_s)} that a "
                f"run takes without a profile ({p.runs} profiled runs).")
        roof = self.roofline
        if roof is not None and roof.percent is not None:
            text += (f" The whole model takes at least {duration(roof.model.seconds)} on this machine "
                     f"({roof.model.kind}-bound): {roof.percent:.0f} % of the limit reached.")
        return text


def where_time_goes(model: Any, recipe: Recipe | None = None, data: Any = None, *, limits: bool = True,
                    runs: int = RUNS, max_s: float = 20.0, on_line: Callable[[str], None] | None = None,
                    cancel: threading.Event | None = None) -> TimeSpent:
    """Profiles a variant in a process of its own.

    Args:
        model: an :class:`workbench.Engine`, a bundled name, a path, a Model or a live model.
        recipe: the variant; None for the model as it is.
        data: data set, its name or path; None for the model's own, else random inputs.
        limits: measure this machine's limits where they are not known yet (once, about 30 s); without it, they are
            used where they are known.
        runs: profiled runs, at least 30.
        max_s: time for them, about.
        on_line: called with one short line a step.
        cancel: set it to stop.

    Raises:
        NotApplicable: the runtime does not tell the time of its nodes; says what to do.
        WorkbenchError: the variant cannot be built or run.
        Cancelled: ``cancel`` was set.
    """
    tell = on_line or (lambda line: None)
    with ExitStack() as stack:
        engine = stack.enter_context(sources.engine(model, data))
        stack.enter_context(engine.alone(cancel, tell))
        done, built, feeds = sources.prepare(engine, recipe, _FEEDS, cancel)
        tell("reading the graph")
        graph = _graph(built.model, feeds[0])
        tell("profiling node by node")
        found = profile(built.model.path, built.model.format, done.runtime, done.runtime_settings, done.threads, feeds,
                        device=done.device, runs=runs, max_s=max_s, cancel=cancel,
                        graph_nodes=graph.nodes if graph else ())
        known = roofline.known_limits(done.threads)
        if known is None and limits and done.device == "cpu":
            tell("measuring this machine's limits, once")
            known = roofline.limits(done.threads, cancel=cancel)
        roof = _roof(found, graph, known, done) if known is not None and done.device == "cpu" else None
        return TimeSpent(done, found, roof, known, engine.dataset.is_random)


def is_int8(recipe: Recipe) -> bool:
    """Whether a pass makes INT8 of the model: its operations then may run at the integer peak."""
    return any("int8" in passes.get(step.name).ensures for step in recipe.steps)


def _graph(model: Model, feed: dict):
    """The neutral graph with costs at the feed's sizes; None where it cannot be read: times are as good without."""
    try:
        shapes = {n: a.shape for n, a in feed_names.bind(feed, model.inputs).items()}
        return readers.read(model, shapes=shapes)
    except WorkbenchError:
        return None


def _roof(found: Profile, graph: Any, known: roofline.Limits, recipe: Recipe) -> roofline.Roofline:
    nodes = graph.nodes if graph else ()
    weights = sum(t.size_bytes for t in graph.tensors.values() if t.is_constant) if graph else 0
    return roofline.roofline(found, roofline.costs(nodes), known, weight_bytes=weights,
                             precision="int8" if is_int8(recipe) else "")
