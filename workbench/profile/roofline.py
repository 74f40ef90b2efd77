"""Roofline: what this machine can do at best, and how near each node and the whole model come.

Williams, Waterman, Patterson: Roofline, Communications of the ACM 52 (2009). A node takes at least
``max(operations / peak, bytes / bandwidth)``; which of the two is larger says what binds it. Bandwidth is measured by
working set, because small tensors come from a cache. Operations are counted as the definition of the operator has
them: an algorithm that needs fewer (Winograd) can be faster than the bound.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..measure import environment
from .types import Profile

COMPUTE, MEMORY, UNKNOWN = "compute", "memory", "unknown"
_INT8 = ("int8", "uint8", "i8", "u8", "int8_t", "qint8", "tensor(int8)", "tensor(uint8)")
_TIMEOUT_S = 300.0


class Limits(NamedTuple):
    """What a machine can do with a number of threads.

    Attributes:
        machine: id of the machine.
        threads: threads that worked.
        float32: floating-point operations a second.
        int8: integer operations a second; where INT8 kernels are slower than float, float's rate.
        bandwidth: (working set in bytes, bytes a second), by size.
        sources: 'float32' and 'int8' -> library that reached it.
    """

    machine: str
    threads: int
    float32: float
    int8: float
    bandwidth: tuple[tuple[int, float], ...]
    sources: dict[str, str]

    def bytes_per_s(self, working_set: float) -> float:
        """Bandwidth for a working set: that of the next smaller one measured, or of any larger one if faster.

        Infinite below the smallest one: registers and the first cache are not measured.
        """
        if working_set < self.bandwidth[0][0]:
            return float("inf")
        below = [i for i, (size, _) in enumerate(self.bandwidth) if size <= working_set]
        return max(rate for _, rate in self.bandwidth[below[-1]:])

    def operations_per_s(self, precision: str) -> float:
        """Peak of a precision as the runtimes name it; everything but INT8 counts as float32."""
        return self.int8 if precision.lower() in _INT8 else self.float32


class Bound(NamedTuple):
    """Fewest seconds, and what binds: 'compute', 'memory', or 'unknown' where operations and bytes are."""

    seconds: float
    kind: str


class RoofRow(NamedTuple):
    """One node under the roof.

    Attributes:
        name: the runtime's name of the node.
        op: what it computes.
        median_s: measured.
        operations: of the graph nodes that it stands for.
        bytes: read and written by them.
        bound: fewest seconds.
        percent: bound / measured, 0..100, or None when the bound is unknown.
    """

    name: str
    op: str
    median_s: float
    operations: float
    bytes: float
    bound: Bound
    percent: float | None


class Roofline(NamedTuple):
    """All nodes and the model.

    Attributes:
        rows: as the profile's, slowest first.
        model: bound of the whole model: all operations at peak, every weight read once.
        measured_s: unprofiled end-to-end time.
        percent: model bound / measured.
        known_share: share of the profiled time in nodes whose bound is known.
        notes: what a reader must know.
    """

    rows: tuple[RoofRow, ...]
    model: Bound
    measured_s: float
    percent: float | None
    known_share: float
    notes: tuple[str, ...]


def limits(threads: int, *, refresh: bool = False, cancel: threading.Event | None = None) -> Limits:
    """This machine's limits; measured once (about 15 s) and kept on disk.

    Args:
        threads: intra-op threads, >= 1.
        refresh: measure again; the faster of old and new counts.
        cancel: ends the measurement.

    Raises:
        WorkerError: the measuring process crashed.
        Cancelled: ``cancel`` was set.
    """
    machine = environment.machine_id(environment.fingerprint())
    path = _folder() / f"limits-{machine}-{threads}.json"
    old = _read(path)
    if old is not None and not refresh:
        return old
    from .process import call

    def prepare(folder: Path, request: dict[str, Any]) -> None:
        request["folder"] = str(folder)

    variables = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    found = call("workbench.profile.peak", {"threads": threads, "cores": environment.cores_for(threads)}, variables,
                 timeout_s=_TIMEOUT_S, prepare=prepare, cancel=cancel)
    new = _limits(machine, threads, found)
    made = _faster(old, new) if old is not None else new
    _write(path, made)
    return made


def known_limits(threads: int) -> Limits | None:
    """This machine's limits if they were measured before, else None; instant."""
    return _read(_folder() / f"limits-{environment.machine_id(environment.fingerprint())}-{threads}.json")


def bound(operations: float, n_bytes: float, precision: str, of: Limits) -> Bound:
    """Fewest seconds for a number of operations and bytes; 0 s and 'unknown' when both are 0."""
    if operations <= 0 and n_bytes <= 0:
        return Bound(0.0, UNKNOWN)
    compute, memory = operations / of.operations_per_s(precision), n_bytes / of.bytes_per_s(n_bytes)
    return Bound(compute, COMPUTE) if compute >= memory else Bound(memory, MEMORY)


def costs(nodes: Iterable[Any]) -> dict[str, tuple[float, float]]:
    """Name -> (operations, bytes) of neutral-graph nodes."""
    return {n.name: (float(n.flops), float(n.bytes)) for n in nodes}


def roofline(profile: Profile, cost: Mapping[str, tuple[float, float]], of: Limits, *, weight_bytes: float = 0.0,
             precision: str = "") -> Roofline:
    """How near a profiled model comes to its machine's limits.

    Args:
        profile: nodes with times; their ``nodes`` name entries of ``cost``.
        cost: graph node -> (operations, bytes) of one run at the profiled batch.
        of: the machine's limits at the profile's thread count.
        weight_bytes: all weights; each is read once a run.
        precision: of the model as a whole; '' takes float32.
    """
    rows = []
    for row in profile.rows:
        known = [cost[n] for n in row.nodes if n in cost]
        operations, moved = sum(c[0] for c in known), sum(c[1] for c in known)
        least = bound(operations, moved, row.precision or precision, of)
        percent = None if least.kind == UNKNOWN or not row.median_s else 100 * least.seconds / row.median_s
        rows.append(RoofRow(row.name, row.op, row.median_s, operations, moved, least, percent))
    model = bound(sum(c[0] for c in cost.values()), weight_bytes, precision, of)
    total = sum(r.median_s for r in rows) or 1.0
    share = sum(r.median_s for r in rows if r.bound.kind != UNKNOWN) / total
    whole = None if model.kind == UNKNOWN else 100 * model.seconds / profile.end_to_end_s
    return Roofline(tuple(rows), model, profile.end_to_end_s, whole, share, tuple(_notes(rows, whole, share)))


def _notes(rows: list[RoofRow], whole: float | None, share: float) -> list[str]:
    notes = []
    beaten = [r.name for r in rows if r.percent is not None and r.percent > 100]
    if (whole or 0) > 100 or beaten:
        which = "the model" if (whole or 0) > 100 else f"'{beaten[0]}'"
        notes.append(f"{which} is faster than the limit that was measured: measure the limits again on a quiet "
                     "machine (or the algorithm needs fewer operations than counted)")
    if share < 0.8:
        notes.append(f"operations and bytes are known for {share:.0%} of the profiled time")
    return notes


def _limits(machine: str, threads: int, found: dict[str, Any]) -> Limits:
    fastest = {kind: max(rates.items(), key=lambda pair: pair[1], default=("", 0.0))
               for kind, rates in found["products"].items()}
    (source, float32), (source8, int8) = fastest["float32"], fastest["int8"]
    if int8 < float32:
        source8, int8 = source, float32
    pairs = tuple((int(size), float(rate)) for size, rate in found["bandwidth"])
    return Limits(machine, threads, float32, int8, pairs, {"float32": source, "int8": source8})


def _faster(old: Limits, new: Limits) -> Limits:
    pairs = tuple((size, max(a, b)) for (size, a), (_, b) in zip(old.bandwidth, new.bandwidth, strict=True))
    sources = {"float32": (new if new.float32 >= old.float32 else old).sources["float32"],
               "int8": (new if new.int8 >= old.int8 else old).sources["int8"]}
    return Limits(new.machine, new.threads, max(old.float32, new.float32), max(old.int8, new.int8), pairs, sources)


def _folder() -> Path:
    return Path(os.environ.get("WORKBENCH_CACHE") or Path.home() / ".cache" / "inference-workbench") / "machine"


def _read(path: Path) -> Limits | None:
    try:
        d = json.loads(path.read_text("utf-8"))
        return Limits(d["machine"], d["threads"], d["float32"], d["int8"],
                      tuple((int(s), float(r)) for s, r in d["bandwidth"]), d["sources"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # absent or damaged: measured again


def _write(path: Path, made: Limits) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        partial.write_text(json.dumps(made._asdict()), "utf-8")
        os.replace(partial, path)
    except OSError:
        pass  # a full or read-only disk costs only the time to measure again
