"""``workbench profile MODEL``: where the time of one recipe goes, node by node."""

from __future__ import annotations

from .. import recipe as recipes
from ..errors import InputError
from ..units import duration
from ..where import where_time_goes
from . import common

HELP = "show where the time goes, node by node, beside the unprofiled time"


def add_arguments(parser) -> None:
    """Declares the arguments."""
    parser.add_argument("model", metavar="MODEL", help="model file or folder, or a bundled name")
    parser.add_argument("--recipe", metavar="R.yaml", help="passes and runtime settings; default: as it is")
    parser.add_argument("--runs", type=int, default=50, metavar="N", help="profiled runs, at least 30 (default 50)")
    parser.add_argument("--top", type=int, default=15, metavar="N", help="nodes to print (default 15; JSON has all)")
    parser.add_argument("--roofline", action="store_true",
                        help="also say how near each node comes to this machine's limits (measured once, about 30 s)")
    common.add_model_arguments(parser)
    common.add_data_arguments(parser)


def run(args) -> tuple[dict, str]:
    """Builds the recipe's artefact and profiles it in a process of its own."""
    if args.runs < 30 or args.top < 1:
        raise InputError("--runs must be at least 30 and --top at least 1")
    model = common.model(args.model, args.fix)
    dataset = common.dataset(args, model, args.model)
    wanted = recipes.load(args.recipe) if args.recipe else None
    spent = where_time_goes(model, wanted, dataset, limits=args.roofline, runs=args.runs, on_line=common.log)
    found, roof = spent.profile, spent.roofline if args.roofline else None
    data = {**found.to_dict(), "recipe": spent.recipe.to_dict(),
            "inputs": "random" if dataset.is_random else dataset.name}
    if roof is not None:
        data["roofline"] = _roof_data(roof)
    return data, _text(spent.recipe.label, found, roof, args.top, dataset.is_random)


def _roof_data(roof) -> dict:
    return {
        "model": roof.model._asdict(), "percent": roof.percent, "known_share": roof.known_share,
        "notes": list(roof.notes),
        "rows": [{**r._asdict(), "bound": r.bound._asdict()} for r in roof.rows],
    }


def _text(label, found, roof, top, is_random) -> str:
    low, high = found.end_to_end_spread_s
    lines = [label, f"end to end  {duration(found.end_to_end_s)} without a profile (5 to 95 %: {duration(low)} to "
             f"{duration(high)}), {found.runs} profiled runs",
             f"nodes       {duration(found.sum_s)} in all, {found.sum_ratio:.0%} of the end-to-end time",
             f"operators   {found.operators()}", ""]
    percents = {r.name: r for r in roof.rows} if roof else {}
    for row in found.rows[:top]:
        line = (f"{duration(row.median_s):>9}  {row.share:>5.1%}  {row.op:<22.22}  {row.name:<40.40}"
                f"  {duration(row.spread_s[0])} to {duration(row.spread_s[1])}")
        under = percents.get(row.name)
        if under is not None and under.percent is not None:
            line += f"  {under.percent:.0f} % of the {under.bound.kind} limit"
        lines.append(line.rstrip())
    rest = found.rows[top:]
    if rest:
        lines.append(f"{duration(sum(r.median_s for r in rest)):>9}  {sum(r.share for r in rest):>5.1%}  "
                     f"{len(rest)} more nodes")
    if roof is not None and roof.percent is not None:
        lines.append(f"limit     the whole model takes at least {duration(roof.model.seconds)} here "
                     f"({roof.model.kind}-bound): {roof.percent:.0f} % reached")
    lines += [f"note      {n}" for n in (*found.notes, *(roof.notes if roof else ()))]
    if found.describe.get("notes"):
        lines += [f"note      {n}" for n in found.describe["notes"]]
    if is_random:
        lines.append("note      RANDOM INPUTS: not real data")
    return "\n".join(lines)
