"""Why is this variant not faster? Causes with evidence from what was measured; what is unknown reads 'unexplained'.

Each cause is a small function ``(Case) -> Cause | None`` in :data:`CAUSES`. It may use only what a run has shown: the
session's own words, the reports of the passes, the artefact's operators, the machine, and a profile where there is
one. A new cause takes one function and one entry.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from . import passes, units
from .measure.environment import INT8_DOT
from .profile.ops import MOVES, SCALES, is_compute, kind
from .results import Result

if TYPE_CHECKING:
    from .profile import Profile, Row
    from .profile.roofline import Limits

NOTABLE = 0.10  # share of the time above which a cause is worth a line
MOST = 0.5
_HALF = {"avx512_fp16", "asimdhp", "sve", "sve2"}
_INTEGERS = ("int8", "uint8", "i8", "u8", "int32", "i32")
_READABLE_BYTES = 2**31  # protobuf's limit; a larger file keeps its weights apart
_SMALL_NODE_S = 30e-6  # a hand-over between threads costs some microseconds


class Cause(NamedTuple):
    """One reason.

    Attributes:
        id: stable name, e.g. 'qdq-unfused'.
        title: what people read.
        evidence: what was seen, with numbers.
        advice: what to do.
        share: of the variant's time that it accounts for, 0..1, or None when it cannot be told.
    """

    id: str
    title: str
    evidence: str
    advice: str
    share: float | None = None


class Diagnosis(NamedTuple):
    """Causes, the heaviest first; one 'unexplained' when none was found, none for a variant that is faster."""

    line: str
    causes: tuple[Cause, ...]


class Case:
    """What the causes look at.

    Args:
        result: the variant.
        baseline: what it is compared with.
        profile: of the variant, or None.
        baseline_profile: of the baseline, or None.
        limits: the machine's, at the variant's thread count, or None.
    """

    def __init__(self, result: Result, baseline: Result, profile: Profile | None = None,
                 baseline_profile: Profile | None = None, limits: Limits | None = None) -> None:
        self.result, self.baseline = result, baseline
        self.profile, self.baseline_profile, self.limits = profile, baseline_profile, limits
        self.describe, self.machine = result.describe, result.environment
        self.isa = set(result.environment.get("isa", ()))
        self.on_cpu = result.recipe.device == "cpu"

    @cached_property
    def pass_names(self) -> tuple[str, ...]:
        """Passes of the recipe that are no conversions."""
        return tuple(s.name for s in self.result.recipe.steps if passes.get(s.name).group != "convert")

    @property
    def is_int8(self) -> bool:
        """Whether a pass made INT8 out of it."""
        return any("int8" in n or "dynamic-range" in n or "int16x8" in n or "qat" in n for n in self.pass_names)

    @cached_property
    def operators(self) -> Counter:
        """Operators in an ONNX artefact, subgraphs included; empty for other formats or when the file is gone."""
        path = Path(self.result.artefact or "")
        if path.suffix != ".onnx" or not path.is_file() or path.stat().st_size > _READABLE_BYTES:
            return Counter()
        import onnx

        found: Counter = Counter()
        todo = [onnx.load(path, load_external_data=False).graph]
        while todo:
            for node in todo.pop().node:
                found[node.op_type] += 1
                todo += [a.g for a in node.attribute if a.HasField("g")]
        return found

    def detail(self, name: str) -> Any:
        """What the last pass that tells it reports, or None."""
        return next((s["details"][name] for s in reversed(self.result.stages) if name in (s.get("details") or {})),
                    None)

    def share(self, ops: tuple[str, ...], profile: Profile | None = None) -> float | None:
        """Share of the profiled time in operators of these kinds; None without a profile."""
        profile = profile or self.profile
        return None if profile is None else sum(r.share for r in profile.rows if kind(r.op) in ops)


def runs_in_float(row: Row) -> bool:
    """Whether a compute node works on floats; integer operators that give out floats do not."""
    name = kind(row.op)
    return (is_compute(row.op) and bool(row.precision) and row.precision.lower() not in _INTEGERS
            and "integer" not in name and not name.startswith(("q", "dynamicquantize")))


# --- causes -------------------------------------------------------------------------------------------------------


def optimizations_off(case: Case) -> Cause | None:
    """ONNX Runtime without its rewriting runs quantized files node by node."""
    level = str(case.describe.get("graph_level", ""))
    if not level.endswith(("DISABLE_ALL", "ENABLE_BASIC")):
        return None
    pairs = case.operators["QuantizeLinear"] + case.operators["DequantizeLinear"]
    told = f", and the file has {pairs} Q/DQ nodes that only fusion removes" if pairs else ""
    return Cause("optimizations-off", "Graph optimization is off", f"the session ran at {level}{told}",
                 "set graph_level to all")


def qdq_unfused(case: Case) -> Cause | None:
    """Pairs of QuantizeLinear and DequantizeLinear that run as nodes of their own, around nodes that run in float."""
    share = case.share(SCALES)
    if not share or share < NOTABLE or kind_is_dynamic(case):
        return None
    count = sum(kind(r.op) in SCALES for r in case.profile.rows)
    between = [r for r in case.profile.rows if meant_for_int8(case, r)]
    share += sum(r.share for r in between)
    told = f"; {len(between)} nodes between them run in float instead of INT8" if between else ""
    return Cause("qdq-unfused", "Q/DQ pairs are not fused",
                 f"{count} quantize and dequantize nodes run on their own{told}: {share:.0%} of the time",
                 "set graph_level to all, or leave the operators between them in float", share)


def meant_for_int8(case: Case, row: Row) -> bool:
    """Whether a node runs in float although the pass made it INT8: its Q/DQ pairs were not fused into it."""
    if not case.is_int8 or not runs_in_float(row):
        return False
    done = case.detail("quantized")
    return row.name in done if done is not None else optimizations_off(case) is not None


def float_nodes(case: Case) -> Cause | None:
    """Compute nodes of an INT8 variant that stayed in float."""
    if not case.is_int8:
        return None
    rows = [r for r in case.profile.rows if is_compute(r.op)] if case.profile else []
    heavy = [r for r in rows if runs_in_float(r) and not meant_for_int8(case, r)]
    share = sum(r.share for r in heavy)
    left, ops = case.detail("float") or [], case.detail("ops") or {}
    if rows and share >= NOTABLE:
        names = ", ".join(r.name for r in heavy[:3])
        return Cause("float-nodes", "Nodes are left in float",
                     f"{len(heavy)} of {len(rows)} compute nodes run in float, {share:.0%} of the time ({names})",
                     _why_float(case, left), share)
    if not rows and not left and (done := case.detail("int8_ops")) is not None:  # TFLite counts by operator
        left = [op for op in ops if is_compute(op) and not done.get(op)]
        ops = {op: n for op, n in ops.items() if is_compute(op)}
    if not rows and ops and len(left) > NOTABLE * len(ops):
        return Cause("float-nodes", "Nodes are left in float",
                     f"{len(left)} of {len(ops)} compute nodes stayed in float ({', '.join(left[:3])})",
                     _why_float(case, left))
    return None


def _why_float(case: Case, left: list[str]) -> str:
    reasons = case.detail("float_reasons") or {}
    told = Counter(reasons[n] for n in left if n in reasons).most_common(1)
    return f"they stayed {told[0][0]}" if told else "check the pass's exclusions and its report"


def kind_is_dynamic(case: Case) -> bool:
    """Whether ranges are found while running."""
    return any("dynamic" in n for n in case.pass_names)


def dynamic_convolutions(case: Case) -> Cause | None:
    """ConvInteger has no fast kernel, and every run looks for ranges anew."""
    count = case.operators["ConvInteger"]
    if not count:
        return None
    share = case.share(("convinteger", "dynamicquantizelinear"))
    told = f" and take {share:.0%} of the time with their ranges" if share else ""
    return Cause("dynamic-convolutions", "Convolutions are quantized dynamically",
                 f"the file has {count} ConvInteger nodes{told}",
                 "quantize statically (INT8 static), or quantize MatMul and Gemm only", share)


def conversions(case: Case) -> Cause | None:
    """Casts, transposes and layout changes that the variant runs more of than the baseline."""
    share = case.share(MOVES)
    before = case.share(MOVES, case.baseline_profile) if case.baseline_profile else 0.0
    if not share or share < NOTABLE or share < (before or 0) + NOTABLE / 2 or emulated_half(case):
        return None
    count = Counter(r.op for r in case.profile.rows if kind(r.op) in MOVES)
    which = ", ".join(f"{n} {op}" for op, n in count.most_common(3))
    return Cause("conversions", "Casts and layout changes were inserted",
                 f"{which} take {share:.0%} of the time" + (f", in the baseline {before:.0%}" if before else ""),
                 "use one layout and one precision throughout, or a runtime whose layout the file has", share)


def fallback(case: Case) -> Cause | None:
    """Nodes outside the provider or delegate that was asked for."""
    elsewhere, told = list(case.describe.get("nodes_elsewhere") or ()), case.describe
    wanted = str(told.get("delegate") or (told.get("providers") or [""])[0])
    nothing_taken = told.get("delegate") == "none" and any("took none" in n for n in told.get("notes", ()))
    if nothing_taken:
        return Cause("fallback", "The delegate took no node", "XNNPACK took none of the nodes; built-in kernels ran",
                     "convert with operators that XNNPACK has, or choose another runtime")
    if not elsewhere or wanted in ("none", ""):
        return None
    names = ", ".join(elsewhere[:3])
    return Cause("fallback", f"Nodes run outside {wanted}",
                 f"{len(elsewhere)} nodes run elsewhere ({names}); each border copies or converts tensors",
                 "replace those operators, or run the whole model on one provider")


def no_int8_dot(case: Case) -> Cause | None:
    """INT8 on a processor without 8-bit dot products."""
    if not case.is_int8 or not case.on_cpu or not case.isa or case.isa & INT8_DOT:
        return None
    best = max(case.isa & {"avx2", "avx512f", "avx", "asimd"}, default="its vectors", key=len)
    return Cause("no-int8-dot", "This processor has no INT8 dot product (VNNI)",
                 f"its instruction sets are {', '.join(sorted(case.isa))}; INT8 products take several instructions on "
                 f"{best}, float ones a single one", "expect smaller files, not speed; measure on a machine with VNNI")


def emulated_half(case: Case) -> Cause | None:
    """float16 on a processor that computes in float32."""
    half = any("float16" in n for n in case.pass_names)
    if not half or not case.on_cpu or not case.isa or case.isa & _HALF:
        return None
    share = case.share(("cast", "convert", "dequantize"))
    told = f"; conversions take {share:.0%} of the time" if share else ""
    return Cause("emulated-half", "float16 is emulated on this processor",
                 f"it has no float16 arithmetic ({', '.join(sorted(case.isa))}){told}",
                 "use float16 for size or for a GPU; on this CPU take float32 or INT8", share)


def too_many_threads(case: Case) -> Cause | None:
    """More threads than cores that the process may use."""
    threads = case.describe.get("threads") or case.result.recipe.threads
    cores = [case.machine.get(k) for k in ("physical_cores", "usable_cores", "cpu_quota")]
    most = min((c for c in cores if c), default=None)
    if not most or not threads or threads <= most:
        return None
    return Cause("too-many-threads", "More threads than cores",
                 f"{threads} threads share {units.significant(most) if isinstance(most, float) else most} cores",
                 f"set threads to {max(1, int(most))}")


def work_too_small(case: Case) -> Cause | None:
    """Nodes so short that handing work to threads costs more than it saves."""
    threads, nodes = case.describe.get("threads") or case.result.recipe.threads, _node_count(case)
    if not case.on_cpu or not threads or threads <= 1 or not nodes or not case.result.median_s:
        return None
    each = case.result.median_s / nodes
    single = (case.baseline.describe.get("threads") or case.baseline.recipe.threads) < threads
    if each > _SMALL_NODE_S or not single:
        return None
    return Cause("work-too-small", "The work is too small for the threads",
                 f"{nodes} nodes take {units.duration(each)} each with {threads} threads", "set threads to 1, or raise "
                 "the batch")


def _node_count(case: Case) -> int:
    if case.profile is not None:
        return len(case.profile.rows)
    told = case.describe
    return int(told.get("nodes") or sum((told.get("nodes_by_provider") or {}).values()) or 0)


def memory_bound(case: Case) -> Cause | None:
    """Reading the weights takes most of the time, whatever the arithmetic."""
    if case.limits is None or not case.result.median_s or not case.result.size_bytes:
        return None
    least = case.result.size_bytes / case.limits.bytes_per_s(case.result.size_bytes)
    share = min(1.0, least / case.result.median_s)
    if share < MOST or case.result.size_bytes < 0.9 * case.baseline.size_bytes:
        return None
    return Cause("memory-bound", "Reading the weights takes most of the time",
                 f"{units.size(case.result.size_bytes)} of weights take at least {units.duration(least)} of "
                 f"{units.duration(case.result.median_s)}", "make the weights smaller (INT8, INT4), or raise the batch",
                 share)


def reference_kernels(case: Case) -> Cause | None:
    """Operators that the runtime has only a plain implementation of."""
    rows = [r for r in case.profile.rows if r.kernel.startswith("ref")] if case.profile else []
    share = sum(r.share for r in rows)
    if share < NOTABLE:
        return None
    which = ", ".join(dict.fromkeys(r.op for r in rows[:3]))
    return Cause("reference-kernels", "Operators run on reference kernels",
                 f"{which} have no optimized kernel here and take {share:.0%} of the time",
                 "choose another runtime for this model, or replace the operator", share)


def dense_zeros(case: Case) -> Cause | None:
    """Zeros and shared weights, which dense kernels compute with like any other numbers."""
    done = {tag for name in case.pass_names for tag in passes.get(name).ensures} & {"sparse", "clustered"}
    if not done or case.is_int8:
        return None
    what, size = "zeros" if "sparse" in done else "shared weights", case.result.compressed_bytes
    before = f", {units.size(case.baseline.compressed_bytes)} before" if case.baseline.compressed_bytes else ""
    told = f"; compressed the file is {units.size(size)}{before}" if size else ""
    return Cause("dense-zeros", f"{what.capitalize()} save no work",
                 f"dense kernels compute with {what} like with any other number{told}",
                 "look at the size after compression, or remove whole filters (structured pruning)")


def overhead(case: Case) -> Cause | None:
    """Time that passes between the nodes."""
    if case.profile is None or case.profile.sum_ratio > MOST:
        return None
    lost = 1 - case.profile.sum_ratio
    return Cause("overhead", "Most of the time passes between the nodes",
                 f"the nodes take {units.duration(case.profile.sum_s)} of "
                 f"{units.duration(case.profile.end_to_end_s)}; starting them and moving inputs and outputs takes the "
                 "rest", "raise the batch, or take a mode that runs the graph as a whole (function, script)", lost)


CAUSES: tuple[Callable[[Case], Cause | None], ...] = (
    optimizations_off, qdq_unfused, float_nodes, dynamic_convolutions, conversions, fallback, no_int8_dot,
    emulated_half, too_many_threads, work_too_small, memory_bound, reference_kernels, overhead, dense_zeros)
UNEXPLAINED = Cause("unexplained", "Unexplained", "none of the known causes shows in what was measured",
                    "profile the variant and compare it with the baseline's profile")


def diagnose(result: Result, baseline: Result, *, profile: Profile | None = None,
             baseline_profile: Profile | None = None, limits: Limits | None = None) -> Diagnosis:
    """Why a variant is not faster than its baseline.

    Args:
        result: the variant, measured.
        baseline: what it was compared with.
        profile: of the variant; sharpens the evidence.
        baseline_profile: of the baseline, to tell what was there before.
        limits: the machine's, for memory-bound models.

    Returns:
        causes with evidence, those with the largest known share first.
    """
    if result.status != "ok":
        return Diagnosis(f"it was not measured: {result.reason}", ())
    if result.verdict in ("faster", ""):
        return Diagnosis("it is the baseline" if result.is_baseline else "it is faster", ())
    case = Case(result, baseline, profile, baseline_profile, limits)
    found = [cause for look in CAUSES if (cause := look(case)) is not None]
    found.sort(key=lambda c: -(c.share if c.share is not None else NOTABLE))
    causes = tuple(found) or (UNEXPLAINED,)
    word = "slower" if result.verdict == "slower" else "not measurably faster"
    return Diagnosis(f"{word}: {causes[0].title[0].lower()}{causes[0].title[1:]} ({causes[0].evidence})", causes)
