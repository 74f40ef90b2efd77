"""``workbench leak MODEL``: does memory grow over thousands of runs?"""

from __future__ import annotations

from .. import recipe as recipes
from ..errors import InputError
from ..units import count, size
from . import common

HELP = "check over thousands of runs whether memory grows, with the slope and its interval"


def add_arguments(parser) -> None:
    """Declares the arguments."""
    parser.add_argument("model", metavar="MODEL", help="model file or folder, or a bundled name")
    parser.add_argument("--recipe", metavar="R.yaml", help="passes and runtime settings; default: as it is")
    parser.add_argument("--runs", type=int, default=3000, metavar="N", help="runs, at least 200 (default 3000)")
    parser.add_argument("--seconds", type=float, default=120.0, metavar="S", help="time limit (default 120)")
    common.add_model_arguments(parser)
    common.add_data_arguments(parser)


def run(args) -> tuple[dict, str, int]:
    """Checks one variant; exit 3 where there is a leak."""
    from ..engine import Engine
    from ..leaks import leak_check
    from ..study import Study

    if not 1 <= args.seconds <= 86_400:
        raise InputError(f"--seconds is {args.seconds}; allowed: 1 to 86400")
    recipe = recipes.load(args.recipe) if args.recipe else None
    model = common.model(args.model, args.fix)
    dataset = common.dataset(args, model, args.model)
    with Engine(model, dataset, Study()) as engine:
        found = leak_check(engine, recipe, runs=args.runs, max_s=args.seconds, on_sample=_log)
    slope = found.slope
    data = {"sentence": found.sentence, "verdict": slope.verdict, "bytes_per_run": slope.bytes_per_run,
            "interval_bytes_per_run": [slope.low, slope.high], "runs": found.growth.runs,
            "stopped": found.growth.stopped, "rss_bytes": found.growth.rss_bytes,
            "runs_per_sample": found.growth.runs_per_sample, "advice": found.advice, "ran": found.growth.describe,
            "inputs": "random" if dataset.is_random else dataset.name, "recipe": found.recipe.to_dict()}
    lines = [found.sentence, *(f"  - {line}" for line in found.advice)]
    if found.growth.stopped:
        lines.append(f"note      time was up before {count(args.runs)} runs: give more --seconds")
    return data, "\n".join(lines), 3 if slope.verdict == "leak" else 0


def _log(done: int, total: int, rss: int) -> None:
    if done * 10 // total != (done - total // 60) * 10 // total:
        common.log(f"{count(done)} of {count(total)} runs: {size(rss)} resident")
