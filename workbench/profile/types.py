"""What a profile holds: nodes with their times, and the end-to-end time without a profile. SI units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SUM_LOW, SUM_HIGH = 0.8, 1.2  # outside it, the sum of nodes does not explain the run
SLOWED = 0.2  # above it, profiling changes what it measures


@dataclass(frozen=True)
class Row:
    """One node that the runtime ran.

    Attributes:
        name: the runtime's name.
        op: what it computes.
        median_s: of its time in one run.
        spread_s: 5th and 95th percentile of the same.
        share: of the sum of all nodes, 0..1.
        calls: times that it ran in one run (more than 1 inside loops).
        origins: names of the file's nodes that it stands for, as far as the runtime tells.
        nodes: names in the neutral graph that it was matched to.
        precision: what it computes in, '' when unknown.
        kernel: the implementation or provider, '' when unknown.
    """

    name: str
    op: str
    median_s: float
    spread_s: tuple[float, float]
    share: float
    calls: float = 1.0
    origins: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    precision: str = ""
    kernel: str = ""


@dataclass(frozen=True)
class Profile:
    """A profiled model.

    Attributes:
        runtime: registry name.
        threads: intra-op threads.
        runs: profiled runs that count.
        rows: slowest first.
        end_to_end_s: median of the unprofiled run.
        end_to_end_spread_s: 5th and 95th percentile of the same.
        profiled_s: median of the run while it is profiled.
        sum_s: median over runs of the sum of all nodes.
        notes: how to read it, one line each.
        describe: the session's own words.
    """

    runtime: str
    threads: int
    runs: int
    rows: tuple[Row, ...]
    end_to_end_s: float
    end_to_end_spread_s: tuple[float, float]
    profiled_s: float
    sum_s: float
    notes: tuple[str, ...]
    describe: dict[str, Any]

    @property
    def sum_ratio(self) -> float:
        """Sum of the nodes over the unprofiled time; near 1 when the nodes explain the run."""
        return self.sum_s / self.end_to_end_s

    @property
    def slowdown(self) -> float:
        """Profiled over unprofiled time, minus 1; 0.3 is 30 % slower under the profile."""
        return self.profiled_s / self.end_to_end_s - 1

    def by_op(self) -> dict[str, float]:
        """Op -> its share of the sum, largest first."""
        shares: dict[str, float] = {}
        for row in self.rows:
            shares[row.op] = shares.get(row.op, 0.0) + row.share
        return dict(sorted(shares.items(), key=lambda pair: -pair[1]))

    def operators(self, most: int = 6) -> str:
        """The shares of the dearest operators in one line: in a long graph no single node tells."""
        shares = list(self.by_op().items())
        line = ", ".join(f"{op} {share:.0%}" for op, share in shares[:most])
        rest = sum(share for _, share in shares[most:])
        return line + (f", {len(shares) - most} others {rest:.0%}" if len(shares) > most else "")

    def to_dict(self) -> dict[str, Any]:
        """Plain form for JSON."""
        return {
            "runtime": self.runtime, "threads": self.threads, "runs": self.runs,
            "end_to_end_s": self.end_to_end_s, "end_to_end_spread_s": list(self.end_to_end_spread_s),
            "profiled_s": self.profiled_s, "sum_s": self.sum_s, "sum_ratio": self.sum_ratio,
            "slowdown": self.slowdown, "notes": list(self.notes), "by_op": self.by_op(),
            "rows": [{"name": r.name, "op": r.op, "median_s": r.median_s, "spread_s": list(r.spread_s),
                      "share": r.share, "calls": r.calls, "origins": list(r.origins), "nodes": list(r.nodes),
                      "precision": r.precision, "kernel": r.kernel} for r in self.rows],
        }
