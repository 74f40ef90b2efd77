"""The search against trying everything, on a space small enough to enumerate, as a Markdown table.

    python benchmarks/enumeration.py [--model transformer|mlp|cnn|FILE.onnx] [--seeds 5] [--seconds 3] [--most 60]
        [--record table.json | --recorded table.json]

Everything: each recipe beside the original with the full plan. The search: the same recipes, a quarter of that time, a
new study and an empty cache for each seed. What the search recommends is then timed beside the three fastest of the
enumeration that meet the goal, interleaved; the latency over that of the fastest of these is the gap.
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

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import machine_line  # noqa: E402
from tests.torch_transformer import export, token_feeds  # noqa: E402
from workbench import bundled, datasets, variant  # noqa: E402
from workbench import model as models  # noqa: E402
from workbench.engine import Engine  # noqa: E402
from workbench.measure import Plan  # noqa: E402
from workbench.search import Goal  # noqa: E402
from workbench.search.labs import LocalLab  # noqa: E402
from workbench.search.space import Point, Space  # noqa: E402
from workbench.search.split import halves  # noqa: E402
from workbench.search.tuner import Calls, Search  # noqa: E402
from workbench.study import Study  # noqa: E402
from workbench.units import duration, times  # noqa: E402

MOST = 60
SHARE, TOP = 0.25, 3


def fresh_cache(folder: Path) -> None:
    """Nothing that was built before is there any more."""
    variant.close()
    os.environ["WORKBENCH_CACHE"] = str(folder)


def small(model, goal: Goal, most: int = MOST) -> Space:
    """The best known routes, as many as give no more recipes than can be enumerated."""
    names: list[str] = []
    for name in Space(model, goal).routes:
        if len(Space(model, goal, only=[*names, name]).points()) <= most:
            names.append(name)
    return Space(model, goal, only=names)


def opened(name: str, folder: Path):
    """A model with its data: bundled, the exported transformer, or a file with random inputs."""
    if name in [m.name for m in bundled.MODELS]:
        model = bundled.model(name)
        return model, datasets.load(bundled.dataset_name(name), model)
    if name != "transformer":
        model = models.load(name)
        return model, datasets.random(model)
    model = models.load(export(folder / "transformer.onnx"))
    key = model.inputs[0].name
    np.savez(folder / "tokens.npz", **{key: np.concatenate([f[key] for f in token_feeds(model, 320)])})
    return model, datasets.load(folder / "tokens.npz", model)


def enumerate_all(space: Space, model, data, seconds: float) -> tuple[dict, float]:
    """Each recipe measured beside the original; results by recipe key, and the time it took."""
    start = time.monotonic()
    plan = replace(Plan.default(), max_s=seconds)
    with Engine(model, data, Study(), plan=plan) as engine:
        found = {r.recipe.key: r for p in space.points() for r in engine.measure([space.recipe(p)])}
    return found, time.monotonic() - start


def search_once(space: Space, data, budget_s: float, seed: int):
    """One search over the same routes."""
    model = space.model
    search = Search(model, data, space.goal, budget_s, seed, Calls(), threading.Event(), only=set(space.routes))
    lab = LocalLab(model, halves(data, seed), Study(), lambda told: None)
    try:
        return search.run(lab), search.space
    finally:
        lab.close()


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="transformer")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="time limit of one full measurement (default 3)")
    parser.add_argument("--most", type=int, default=MOST, help=f"most recipes to enumerate (default {MOST})")
    parser.add_argument("--record", metavar="FILE", help="writes the enumeration as JSON")
    parser.add_argument("--recorded", metavar="FILE", help="reads the enumeration instead of measuring it again")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fresh_cache(Path(folder) / "all")
        model, data = opened(args.model, Path(folder))
        space = small(model, Goal().with_default(data.evaluation.labels is not None), args.most)
        if args.recorded:
            table = json.loads(Path(args.recorded).read_text())
        else:
            found, spent = enumerate_all(space, model, data, args.seconds)
            table = {"seconds": spent, "full_s": args.seconds, "rows": record(space, found)}
        if args.record:
            Path(args.record).write_text(json.dumps(table, indent=1))
        compare(args, space, data, table, Path(folder))


def compare(args: argparse.Namespace, space: Space, data, table: dict, folder: Path) -> None:
    """Searches with each seed and prints how near it came."""
    rows, spent = table["rows"], table["seconds"]
    good = sorted((r for r in rows if r["status"] == "ok" and meets(space.goal, r)), key=lambda r: r["ratio"])
    best = good[0]
    print(f"\n{machine_line()}\n\n{args.model}: {len(rows)} recipes in {spent:.0f} s, {len(good)} meet the goal; best: "
          f"{best['route']}, {best['threads']} threads, {duration(best['median_s'])}, {times(1 / best['ratio'])} the "
          "original's speed\n\n| seed | recommended | its latency over the best one's | time |\n|---|---|---|---|",
          flush=True)
    gaps = []
    for seed in range(args.seeds):
        fresh_cache(folder / f"seed{seed}")
        told, own = search_once(space, data, SHARE * spent, seed)
        fastest = [own.recipe(Point(r["route"], r["threads"], r["option"])) for r in good[:TOP]]
        gaps.append(gap(space.model, data, told.best.recipe, fastest, args.seconds))
        share = f"{told.seconds:.0f} s, {told.seconds / spent:.0%}"
        print(f"| {seed} | {told.best.recipe.label} | {gaps[-1]:.3f} | {share} |", flush=True)
    if gaps:
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
        print(f"\nmedian of {args.seeds} seeds: {statistics.median(gaps):.3f} of the best latency (load {load:.1f})")


def gap(model, data, recommended, fastest: list, seconds: float) -> float:
    """Latency of what was recommended over that of the fastest, all in one interleaved session."""
    with Engine(model, data, Study(), plan=replace(Plan.default(), max_s=4 * seconds)) as engine:
        found = {r.recipe.key: r.ratio for r in engine.measure([recommended, *fastest]) if r.status == "ok"}
    return found[recommended.key] / min(found[r.key] for r in [recommended, *fastest] if r.key in found)


def meets(goal: Goal, row: dict) -> bool:
    """Whether an enumerated row meets the accuracy that the goal asks for."""
    return row["delta"] * 100 >= -goal.max_drop if goal.max_drop is not None else row["metric"] >= goal.fidelity


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
