"""The table that the project began with, measured in one interleaved run, and what it shows, as text and Markdown.

    python -m benchmarks.seed [--model cnn] [--only ptq qat ...] [--seconds 60]

The passes that train take minutes the first time; later runs take them from the cache.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace

from benchmarks.common import machine_line
from workbench import seed, units
from workbench.measure import Plan
from workbench.seed import SeedRow, SeedTable

FAST, NEAR = 4.0, 0.01  # the claims: this many times faster at this loss of accuracy ...
SMALL, BELOW = 2.0, 0.015  # ... and this many times smaller, and faster, at this loss


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="cnn")
    parser.add_argument("--only", nargs="*", default=[], help=f"of {', '.join(t.key for t in seed.TECHNIQUES)}")
    parser.add_argument("--seconds", type=float, default=60.0, help="time limit of the timing (default 60)")
    args = parser.parse_args()
    table = seed.seed_table(args.model, only=args.only, plan=replace(Plan(), max_s=args.seconds))
    noise = next((r.result.environment.get("noise", {}) for r in table.rows if r.result), {})
    busy = noise.get("others_cores")
    print(f"{machine_line()}; {table.model} on {table.data}, batch {table.batch}; load {os.getloadavg()[0]:.1f}"
          + (f", {busy:.1f} cores busy with other programs while timing" if busy is not None else "") + "\n")
    print(table)
    print("\n" + "\n".join(claims(table)))


def claims(table: SeedTable) -> list[str]:
    """What the rows show of the two claims, or that none of them does."""
    made = [r for r in table.rows if r.result and not r.result.is_baseline and r.result.fidelity]
    base = table.row("original").result
    quick = max((r for r in made if _loss(r) <= NEAR), key=lambda r: r.result.speedup, default=None)
    lines = [f"- {FAST:g}x faster than tf.function float32 at most {100 * NEAR:g} point below it: " + (
        "no variant" if quick is None else f"{'yes' if quick.result.speedup >= FAST else 'no'}; {_told(quick, base)}")]
    trained = [r for r in made if r.technique.key in ("structured", "structured-quantized", "distilled")]
    for row in trained:
        smaller = base.compressed_bytes / row.result.compressed_bytes
        good = smaller >= SMALL and row.result.verdict == "faster" and _loss(row) <= BELOW
        lines.append(f"- {SMALL:g}x smaller and faster at most {100 * BELOW:g} points below it: "
                     f"{'yes' if good else 'no'}; {_told(row, base)}")
    return lines


def _loss(row: SeedRow) -> float:
    return -row.result.fidelity.delta


def _told(row: SeedRow, base) -> str:
    r = row.result
    low, high = (1 / v for v in reversed(r.ratio_interval))
    return (f"{row.technique.title}: {units.times(r.speedup)} ({units.times(low)} to {units.times(high)}) as fast, "
            f"{units.points(r.fidelity.delta)} points ({' to '.join(map(units.points, r.fidelity.delta_interval))}), "
            f"{units.times(base.compressed_bytes / r.compressed_bytes)} smaller compressed "
            f"({units.size(base.compressed_bytes)} to {units.size(r.compressed_bytes)})")


if __name__ == "__main__":
    main()
