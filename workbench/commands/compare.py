"""``workbench compare A B``: which of two models is faster, and do they agree."""

from __future__ import annotations

from dataclasses import asdict

from ..errors import WorkbenchError
from ..units import duration, times
from . import common

HELP = "time two models side by side: ratio of medians (B over A), interval, verdict"


def add_arguments(parser) -> None:
    """Declares the arguments."""
    parser.add_argument("a", metavar="A", help="reference model (file or bundled name)")
    parser.add_argument("b", metavar="B", help="the other model")
    parser.add_argument("--threads", type=int, default=0, help="threads of both (default: all physical cores)")
    parser.add_argument("--batch", type=int, default=1, help="samples in one run")
    common.add_model_arguments(parser)
    common.add_data_arguments(parser)
    common.add_plan_arguments(parser)


def run(args) -> tuple[dict, str]:
    """Times A and B on the same samples, interleaved, each on the natural runtime of its format."""
    from ..comparing import compare

    a, b = common.model(args.a, args.fix), common.model(args.b, args.fix)
    dataset = common.dataset(args, a, args.a)
    found = compare(a, b, dataset, plan=common.plan(args), threads=args.threads, batch=args.batch,
                    on_line=common.log)
    if found.reason:
        raise WorkbenchError(found.reason)
    low, high = found.interval
    data = {"ratio": found.ratio, "interval": found.interval, "verdict": found.verdict, "stopped": found.stopped,
            "median_s": {"a": found.median_a_s, "b": found.median_b_s}, "samples": found.samples,
            "fidelity": found.fidelity.metric if found.fidelity else None,
            "fidelity_detail": asdict(found.fidelity) if found.fidelity else None,
            "inputs": "random" if dataset.is_random else dataset.name, "environment": found.environment}
    lines = [f"A  {duration(found.median_a_s)}   {a.name}", f"B  {duration(found.median_b_s)}   {b.name}",
             f"B is {found.verdict}: {times(1 / found.ratio)} as fast as A ({times(1 / high)} to {times(1 / low)})"]
    if found.fidelity:
        f = found.fidelity
        lines.append(f"{f.metric_name} of B {f.metric:.4f}, {f.likeness} to A {f.cosine_mean:.4f}")
        lines.extend(f"note  {n}" for n in f.notes)
    return data, "\n".join(lines)
