"""Does the protocol see differences where there are none, and does it miss those that are there?

Each comparison times three workers side by side, each a process of its own with the same session: A, A again, and A
slowed down by 10 % (the worker wastes a tenth of each run's time after it). Wanted: of 100 comparisons at most 5
verdicts on 'A again' other than undecided, and at least 95 times 'slower' for the slowed one.

Sessions have one thread unless told otherwise: with more, the threads of a pool fall asleep while time is wasted, and
waking them makes the slowdown larger than was asked for. Run it on a machine with nothing else to do; on a busy one the
intervals stay wide and the verdicts undecided.

    python benchmarks/aa.py --n 100
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import common  # noqa: E402
from workbench.measure import Plan, WorkerPool, measure, stats  # noqa: E402


def main() -> None:
    """Runs the comparisons and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=100, help="comparisons")
    parser.add_argument("--slow", type=float, default=0.1, help="injected slowdown, as a share")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--raw", type=Path, help="also write every round of every comparison to this JSON file")
    args = parser.parse_args()
    raw = []
    with tempfile.TemporaryDirectory() as folder:
        path = common.write_model(Path(folder) / "network.onnx")
        for i in range(args.n):
            raw.append(compare(path, args.threads, args.slow, seed=i))
            print(f"{i + 1}/{args.n}: again {line(raw[-1]['again'])}, slowed {line(raw[-1]['slowed'])}",
                  file=sys.stderr, flush=True)
    if args.raw:
        args.raw.write_text(json.dumps(raw))
    print(report(raw, args))


def compare(path: Path, threads: int, slow: float, seed: int) -> dict:
    """One comparison with fresh processes."""
    plan = replace(Plan(), seed=seed)
    candidates = [common.candidate(name, path, threads) for name in ("a", "again", "slowed")]
    begin = time.perf_counter()
    with WorkerPool(slow_down={"slowed": slow}) as pool:
        found = measure(candidates, common.images(), evaluation=[], plan=plan, pool=pool)
    for name, m in found.items():
        if m.status != "ok":
            raise SystemExit(f"error: {name}: {m.reason}")
    result = {"seconds": time.perf_counter() - begin, "others_cores": found["a"].environment["noise"]["others_cores"],
              "median_s": stats.median_interval(found["a"].rounds).value,
              "rounds": {name: m.rounds for name, m in found.items()}}
    for name in ("again", "slowed"):
        ratio = stats.ratio_interval(found[name].rounds, found["a"].rounds, seed=seed)
        result[name] = {"ratio": ratio.value, "half_width": ratio.half_width, "stopped": found[name].stopped,
                        "verdict": stats.verdict(ratio.interval, plan.margin), "rounds": len(found[name].rounds)}
    return result


def line(one: dict) -> str:
    """A comparison in a few words."""
    return f"{one['ratio']:.3f} ±{one['half_width']:.1%} {one['verdict']} ({one['stopped']}, {one['rounds']} rounds)"


def report(raw: list[dict], args: argparse.Namespace) -> str:
    """The table, in Markdown."""
    median = np.median([r["median_s"] for r in raw])
    others = np.median([r["others_cores"] for r in raw])
    lines = [f"{common.machine_line()}; {args.threads} threads, {median * 1e3:.2f} ms a run, "
             f"{others:.1f} cores busy with other programs (median).", "",
             "| comparison | n | faster | undecided | slower | ratio: median (min to max) | half-width: median (max) "
             "| ended narrow |", "|---|---|---|---|---|---|---|---|"]
    for name, title in (("again", "A against A"), ("slowed", f"A slowed by {args.slow:.0%}")):
        rows = [r[name] for r in raw]
        words, ratios = Counter(r["verdict"] for r in rows), np.array([r["ratio"] for r in rows])
        widths = np.array([r["half_width"] for r in rows])
        narrow = sum(r["stopped"] == "narrow" for r in rows)
        lines.append(f"| {title} | {len(rows)} | {words['faster']} | {words['undecided']} | {words['slower']} "
                     f"| {np.median(ratios):.3f} ({ratios.min():.3f} to {ratios.max():.3f}) "
                     f"| {np.median(widths):.1%} ({widths.max():.1%}) | {narrow} |")
    seconds = [r["seconds"] for r in raw]
    lines += ["", f"{np.median(seconds):.1f} s a comparison (median; longest {max(seconds):.1f} s), "
                  "start of the processes included."]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
