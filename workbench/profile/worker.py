"""The process side: profiles one artefact. ``python -m workbench.profile.worker REQUEST.json ANSWER.json``."""

from __future__ import annotations

import gc
import json
import sys
import time
from itertools import cycle
from pathlib import Path
from typing import Any

from .. import feeds as feed_names
from ..errors import WorkbenchError
from ..measure import arrays, environment
from ..model import ModelFormat
from ..runtimes import profilers, registry
from ..runtimes.base import SessionRequest

BLOCKS = 5
LEAST_RUNS = 30
WARM_UPS, WARM_UP_S = 5, 1.0


def answer(wanted: dict[str, Any]) -> dict[str, Any]:
    """Profiles as the request says; everything raw, nothing rounded."""
    given = list(arrays.read_feeds(Path(wanted["feeds"])))
    adapter = registry.adapter(wanted["runtime"])
    settings = adapter.Settings.from_dict(wanted["settings"], owner=f"runtime {wanted['runtime']}")
    adapter.preload()
    profiler = profilers.module(wanted["runtime"]).open_profiler(SessionRequest(
        Path(wanted["path"]), ModelFormat(wanted["format"]), settings, wanted["threads"], wanted["device"], given[0]))
    feeds = [feed_names.bind(f, profiler.session.inputs) for f in given]
    plain, profiled, kept = _time(profiler, feeds, wanted["runs"], wanted["max_s"])
    nodes: dict[str, dict[str, Any]] = {}
    place = {run: i for i, run in enumerate(kept)}
    for event in profiler.events():
        if event.run not in place:
            continue
        node = nodes.setdefault(event.name, {
            "op": event.op, "seconds": [0.0] * len(kept), "calls": 0, "origins": event.origins,
            "precision": event.precision, "kernel": event.kernel})
        node["seconds"][place[event.run]] += event.seconds
        node["calls"] += 1
    return {"plain_s": plain, "profiled_s": profiled, "nodes": nodes, "notes": profiler.notes(),
            "describe": profiler.session.describe()}


def _time(profiler: Any, feeds: list, runs: int, max_s: float) -> tuple[list[float], list[float], list[int]]:
    """Blocks of plain and of profiled runs in turn, so that drift hits both; warm-ups are dropped.

    Returns:
        seconds of the plain runs, of the profiled runs, and the numbers of the profiled runs that count.
    """
    ring, clock = cycle(feeds), time.perf_counter

    def plain_run() -> float:
        feed = next(ring)
        begin = clock()
        profiler.session.run(feed)
        return clock() - begin

    number = -1

    def profiled_run() -> float:
        nonlocal number
        number += 1
        return profiler.run(next(ring))

    for run in (plain_run, profiled_run):
        begin, done = clock(), 0
        while done < WARM_UPS or (clock() - begin < WARM_UP_S and done < 20):
            last = run()
            done += 1
    runs = max(LEAST_RUNS, min(runs, int(max_s / max(2 * last, 1e-9))))
    plain, profiled, kept = [], [], []
    gc.disable()
    for _ in range(BLOCKS):
        for run, samples in ((plain_run, plain), (profiled_run, profiled)):
            run()  # refills the caches that the other one emptied
            for _ in range(-(-runs // BLOCKS)):
                samples.append(run())
                if run is profiled_run:
                    kept.append(number)
        gc.collect()
    gc.enable()
    return plain, profiled, kept


def main() -> None:
    """Reads the request, writes the answer: the profile, or {'error': line, 'kind': class}."""
    wanted = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    environment.set_cores(tuple(wanted["cores"]))
    try:
        found = answer(wanted)
    except WorkbenchError as error:
        found = {"error": str(error), "kind": type(error).__name__}
    Path(sys.argv[2]).write_text(json.dumps(found, default=str), "utf-8")


if __name__ == "__main__":
    main()
