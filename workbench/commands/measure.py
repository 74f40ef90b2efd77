"""``workbench measure MODEL``: latency with interval, and fidelity, of one recipe."""

from __future__ import annotations

from .. import recipe as recipes
from ..errors import WorkbenchError
from ..units import duration, times
from . import common

HELP = "measure latency (with interval) and fidelity of a model, as it is or after a recipe"


def add_arguments(parser) -> None:
    """Declares the arguments."""
    parser.add_argument("model", metavar="MODEL", help="model file or folder, or a bundled name")
    parser.add_argument("--recipe", metavar="R.yaml", help="passes and runtime settings; default: as it is")
    parser.add_argument("--study", metavar="S.sqlite", help="also keep the result in this study")
    common.add_model_arguments(parser)
    common.add_data_arguments(parser)
    common.add_plan_arguments(parser)


def run(args) -> tuple[dict, str]:
    """Measures the recipe beside the baseline, interleaved."""
    from ..engine import Engine
    from ..study import Study

    recipe = recipes.load(args.recipe) if args.recipe else None
    model = common.model(args.model, args.fix)
    dataset = common.dataset(args, model, args.model)
    study = Study(args.study or ":memory:")
    with Engine(model, dataset, study, plan=common.plan(args)) as engine:
        chosen = engine.complete(recipe) if recipe else engine.baseline
        results = engine.measure([chosen], on_progress=_Log())
        found = {r.recipe.key: r for r in results}
        result = found[chosen.key]
    if result.status != "ok":
        raise WorkbenchError(f"{result.recipe.label}: {result.reason}")
    return _data(result, dataset), _text(result, dataset)


def _data(result, dataset) -> dict:
    from dataclasses import asdict

    fidelity = result.fidelity
    return {
        "median_s": result.median_s, "interval_s": result.interval_s, "samples": result.samples,
        "fidelity": fidelity.metric if fidelity else None,
        "fidelity_detail": asdict(fidelity) if fidelity else None,
        "ratio": result.ratio, "ratio_interval": result.ratio_interval, "verdict": result.verdict,
        "percentiles_s": result.percentiles_s, "throughput_per_s": result.throughput_per_s,
        "stopped": result.stopped, "size_bytes": result.size_bytes, "memory": result.memory,
        "inputs": "random" if dataset.is_random else dataset.name, "recipe": result.recipe.to_dict(),
        "ran": result.describe, "stages": result.stages, "run_id": result.run_id, "environment": result.environment,
    }


def _text(result, dataset) -> str:
    low, high = result.interval_s
    lines = [result.recipe.label,
             f"median    {duration(result.median_s)}  (95 % interval {duration(low)} to {duration(high)}, "
             f"{result.samples} runs, stopped: {result.stopped})"]
    if result.ratio is not None and not result.is_baseline:
        a, b = result.ratio_interval
        lines.append(f"speed-up  {times(result.speedup)}  ({times(1 / b)} to {times(1 / a)}): {result.verdict}")
    if result.fidelity:
        f = result.fidelity
        low, high = f.metric_interval
        lines.append(f"{f.metric_name:<9} {f.metric:.4f}  ({low:.4f} to {high:.4f}, {f.samples} samples)")
        lines.extend(f"note      {n}" for n in f.notes)
    lines.extend(f"note      {n}" for s in result.stages for n in s["notes"])
    if dataset.is_random:
        lines.append("note      RANDOM INPUTS: not real data")
    return "\n".join(lines)


class _Log:
    """Progress on stderr, a line for each new stage."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, progress) -> None:
        if progress.stage != self._last:
            self._last = progress.stage
            common.log(f"{progress.stage}: {progress.line}")
