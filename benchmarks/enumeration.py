"""The search against trying everything, on a space small enough to enumerate, as a Markdown table.

    python benchmarks/enumeration.py [--model mlp|cnn|FILE.onnx] [--seeds 5] [--seconds 3] [--record table.json]

Everything: each recipe beside the original with the full plan. The search: the same recipes, a quarter of that time, a
new study and an empty cache for each seed. Compared is the latency *in the enumeration* of what the search recommends
with that of the best recipe that meets the goal.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import machine_line  # noqa: E402
from workbench import bundled, datasets, variant  # noqa: E402
from workbench import model as models  # noqa: E402
from workbench.engine import Engine  # noqa: E402
from workbench.measure import Plan  # noqa: E402
from workbench.search import Goal  # noqa: E402
from workbench.search.labs import LocalLab  # noqa: E402
from workbench.search.space import Space  # noqa: E402
from workbench.search.split import halves  # noqa: E402
from workbench.search.tuner import Calls, Search  # noqa: E402
from workbench.study import Study  # noqa: E402
from workbench.units import duration, times  # noqa: E402

ROUTES = ("onnxruntime", "onnxruntime int8", "openvino", "openvino int8", "onnxruntime int8 mixed",
          "onnxruntime int8 dynamic", "onnxruntime int8 symmetric", "onnxruntime int8 entropy", "litert", "litert int8")
SHARE = 0.25


def fresh_cache(folder: Path) -> None:
    """Nothing that was built before is there any more."""
    variant.close()
    os.environ["WORKBENCH_CACHE"] = str(folder)


def enumerate_all(space: Space, model, data, seconds: float) -> tuple[dict, float]:
    """Each recipe measured beside the original; results by recipe key, and the time it took."""
    start = time.monotonic()
    plan = replace(Plan.default(), max_s=seconds)
    with Engine(model, data, Study(), plan=plan) as engine:
        found = {r.recipe.key: r for p in space.points() for r in engine.measure([space.recipe(p)])}
    return found, time.monotonic() - start


def search_once(model, data, goal: Goal, budget_s: float, seed: int):
    """One search over the same routes."""
    search = Search(model, data, goal, budget_s, seed, Calls(), threading.Event(), only=ROUTES)
    lab = LocalLab(model, halves(data, seed), Study(), lambda told: None)
    try:
        return search.run(lab)
    finally:
        lab.close()


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mlp")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="time limit of one full measurement (default 3)")
    parser.add_argument("--record", metavar="FILE", help="writes the enumeration as JSON")
    args = parser.parse_args()
    own = args.model in [m.name for m in bundled.MODELS]
    model = bundled.model(args.model) if own else models.load(args.model)
    data = datasets.load(bundled.dataset_name(args.model), model) if own else datasets.random(model)
    goal = Goal().with_default(data.evaluation.labels is not None)
    space = Space(model, goal, only=ROUTES)
    points = space.points()
    assert len(points) <= 60, len(points)
    with tempfile.TemporaryDirectory() as folder:
        fresh_cache(Path(folder) / "all")
        found, spent = enumerate_all(space, model, data, args.seconds)
        good = {k: r for k, r in found.items() if r.status == "ok" and not goal.unmet(r)}
        best = min(good.values(), key=lambda r: r.ratio)
        if args.record:
            Path(args.record).write_text(json.dumps(record(space, found), indent=1))
        print(f"\n{machine_line()}\n\n{args.model}: {len(points)} recipes in {spent:.0f} s; best {best.recipe.label}, "
              f"{duration(best.median_s)}, {times(best.speedup)} the original's speed\n", flush=True)
        print("| seed | recommended | its ratio to the best in the enumeration | time | share of the time |")
        print("|---|---|---|---|---|", flush=True)
        gaps = []
        for seed in range(args.seeds):
            fresh_cache(Path(folder) / f"seed{seed}")
            told = search_once(model, data, goal, SHARE * spent, seed)
            chosen = found[told.best.recipe.key]
            gaps.append(chosen.ratio / best.ratio)
            print(f"| {seed} | {told.best.recipe.label} | {gaps[-1]:.3f} | {told.seconds:.0f} s | "
                  f"{told.seconds / spent:.0%} |", flush=True)
        print(f"\nmedian of {args.seeds} seeds: {statistics.median(gaps):.3f} of the best latency")


def record(space: Space, found: dict) -> list[dict]:
    """The enumeration as plain rows, for a test that replays it."""
    rows = []
    for point in space.points():
        r = found[space.recipe(point).key]
        rows.append({**point._asdict(), "status": r.status, "median_s": r.median_s, "ratio": r.ratio,
                     "metric": r.fidelity.metric if r.fidelity else None,
                     "delta": r.fidelity.delta if r.fidelity else None})
    return rows


if __name__ == "__main__":
    main()
