"""The kernel side of a profile: starts a clean process, turns raw samples into rows, says how far they can be trusted.

Layer times are shown with the unprofiled time beside them, and the view says where profiling changed it: profiles that
hold warm-ups or that do not add up are the most common complaint about other tools.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, NotApplicable
from ..measure import arrays, environment
from ..model import ModelFormat
from ..runtimes import profilers, registry
from ..settings import SettingsBase
from .names import Names
from .types import SLOWED, SUM_HIGH, SUM_LOW, Profile, Row

RUNS = 50
_TIMEOUT_S = 600.0


def profile(model_path: str | Path, format: ModelFormat, runtime: str, settings: SettingsBase | None, threads: int,
            feeds: list[dict[str, np.ndarray]], *, device: str = "cpu", runs: int = RUNS, max_s: float = 20.0,
            graph_nodes: Iterable[Any] = (), cancel: threading.Event | None = None) -> Profile:
    """Times every node of an artefact, in a process of its own.

    Args:
        model_path: the artefact.
        format: its format.
        runtime: registry name.
        settings: the adapter's Settings; None for its defaults.
        threads: intra-op threads, >= 1.
        feeds: whole feeds, used in turn; at least one.
        device: 'cpu' or 'gpu'.
        runs: profiled runs that count, at least 30; fewer than asked, but never below 30, when they take too long.
        max_s: time for timing, about.
        graph_nodes: nodes of the neutral graph (or their names), to match rows to.
        cancel: ends the profile.

    Raises:
        InputError: no feeds, or the model does not load or run.
        NotApplicable: the runtime does not tell the time of its nodes; says why and what to do.
        WorkerError: the process crashed or hung.
        Cancelled: ``cancel`` was set.
    """
    from .process import call

    row = registry.info(runtime)
    settings = settings or registry.settings_class(runtime)()
    reason = registry.missing(runtime) or profilers.refused(runtime, row.title, settings)
    if reason:
        raise NotApplicable(reason)
    if not feeds:
        raise InputError("a profile takes at least one feed: choose a data set with samples, or random inputs")
    adapter = registry.adapter(runtime)
    request = {"path": str(model_path), "format": ModelFormat(format).value, "runtime": runtime,
               "settings": settings.to_dict(), "threads": threads, "device": device, "runs": runs, "max_s": max_s,
               "cores": environment.cores_for(threads)}

    def prepare(folder: Path, request: dict[str, Any]) -> None:
        request["feeds"] = str(folder / "feeds.npz")
        arrays.write_feeds(folder / "feeds.npz", feeds)

    found = call("workbench.profile.worker", request,
                 adapter.environment(threads, device, settings, ModelFormat(format)), timeout_s=_TIMEOUT_S,
                 prepare=prepare, cancel=cancel)
    return summarise(found, runtime, threads, graph_nodes)


def summarise(found: dict[str, Any], runtime: str, threads: int, graph_nodes: Iterable[Any] = ()) -> Profile:
    """Rows and notes of what the process answered.

    Raises:
        NotApplicable: the runtime named no node at all.
    """
    nodes = found["nodes"]
    if not nodes:
        raise NotApplicable(f"{registry.info(runtime).title} named no node in {len(found['plain_s'])} runs: "
                            "profile another runtime")
    samples = {name: np.asarray(node["seconds"]) for name, node in nodes.items()}
    sums = np.sum(list(samples.values()), axis=0)
    medians = {name: float(np.median(s)) for name, s in samples.items()}
    total = sum(medians.values()) or 1.0
    names = Names(graph_nodes)
    rows = [Row(name, node["op"], medians[name], _spread(samples[name]), medians[name] / total,
                node["calls"] / len(sums), tuple(node["origins"]), names.of(name, node["origins"], node["op"]),
                node["precision"], node["kernel"]) for name, node in nodes.items()]
    made = Profile(
        runtime, threads, len(sums), tuple(sorted(rows, key=lambda r: -r.median_s)),
        float(np.median(found["plain_s"])), _spread(found["plain_s"]), float(np.median(found["profiled_s"])),
        float(np.median(sums)), (), found["describe"])
    return Profile(**{**vars(made), "notes": (*_notes(made), *found["notes"])})


def _spread(values: Any) -> tuple[float, float]:
    low, high = np.percentile(values, (5, 95))
    return float(low), float(high)


def _notes(made: Profile) -> list[str]:
    notes = []
    if abs(made.slowdown) > SLOWED:
        word = "slower" if made.slowdown > 0 else "faster"
        notes.append(f"under the profile a run is {abs(made.slowdown):.0%} {word}: trust the shares, not the times")
    if made.sum_ratio < SUM_LOW:
        notes.append(f"the nodes add up to {made.sum_ratio:.0%} of the unprofiled time: the rest goes between them "
                     "(feeding inputs, starting nodes, handing out outputs)")
    elif made.sum_ratio > SUM_HIGH:
        why = ("each node pays for being timed" if made.slowdown > SLOWED / 2
               else "nodes overlap: several run at the same time")
        notes.append(f"the nodes add up to {made.sum_ratio:.0%} of the unprofiled time: {why}")
    return notes
