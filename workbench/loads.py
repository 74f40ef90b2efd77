"""Load tests: how many samples a second does a variant serve when several requests are in flight?"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from . import assemble, sources
from .measure.clients import Load, under_load
from .recipe import Recipe

_FEEDS = 64


class LoadTest(NamedTuple):
    """A variant under load.

    Attributes:
        name: of the variant, for people.
        recipe: complete.
        shared: one session served all clients.
        levels: by number of clients, fewest first; the first is a single stream.
        is_random: inputs were random.
    """

    name: str
    recipe: Recipe
    shared: bool
    levels: tuple[Load, ...]
    is_random: bool

    @property
    def sentence(self) -> str:
        """What more clients bring, in plain words."""
        from . import units

        one, best = self.levels[0], max(self.levels, key=lambda load: load.throughput.value)
        start = f"{self.name} serves {units.rate(one.throughput.value)} to one client"
        if best is one:
            return f"{start}; more clients bring nothing."
        low, high = best.gain.interval
        span = f"{units.times(low)} to {units.times(high)}"
        word = "" if low > 1 else ", undecided"
        return (f"{start} and {units.rate(best.throughput.value)} to {best.clients}, {units.times(best.gain.value)} "
                f"({span}{word}); the median request then takes {units.duration(best.latency.value)} instead of "
                f"{units.duration(one.latency.value)}.")


def load_test(model: Any, recipe: Recipe | None = None, data: Any = None, *, clients: Sequence[int] = (1, 2, 4),
              shared: bool = False, on_line: Callable[[str], None] | None = None,
              cancel: threading.Event | None = None) -> LoadTest:
    """Throughput with concurrent requests beside a single stream, in one worker process.

    Args:
        model: an :class:`workbench.Engine`, a bundled name, a path, a Model or a live model.
        recipe: the variant; its threads are those of each client's session. None for the model as it is.
        data: data set, its name or path; None for the model's own, else random inputs.
        clients: numbers of requests in flight; 1 is always measured too.
        shared: one session for all clients, where the runtime can, instead of one each.
        on_line: called with one short line a round.
        cancel: set it to stop.

    Raises:
        WorkbenchError: the variant cannot be built or run.
        Cancelled: ``cancel`` was set.
    """
    with sources.engine(model, data) as engine:
        done, built, feeds = sources.prepare(engine, recipe, _FEEDS, cancel)
        levels = under_load(assemble.candidate(engine.model, built, done), feeds, clients=clients, shared=shared,
                            plan=engine.plan, on_line=on_line, cancel=cancel)
        return LoadTest(done.label, done, shared, levels, engine.dataset.is_random)
