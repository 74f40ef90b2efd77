"""``workbench tune MODEL -o BUNDLE/``: the fastest variant that still answers right, within a time budget."""

from __future__ import annotations

import signal
import threading
from dataclasses import asdict
from pathlib import Path

from ..errors import InputError
from ..units import duration, times
from . import common

HELP = "search the fastest variant that meets a fidelity goal, and write a deployable bundle"


def add_arguments(parser) -> None:
    """Declares the arguments."""
    parser.add_argument("model", metavar="MODEL", help="model file or folder, or a bundled name")
    parser.add_argument("-o", "--output", required=True, metavar="BUNDLE", help="folder of the bundle")
    parser.add_argument("--fidelity", type=float, help="smallest mean cosine (no labels) or metric (labels), e.g. 0.99")
    parser.add_argument("--max-drop", type=float, help="largest loss of the metric, in points")
    parser.add_argument("--latency-ms", type=float, help="largest median latency")
    parser.add_argument("--size-mb", type=float, help="largest artefact")
    parser.add_argument("--memory-mb", type=float, help="largest peak memory above the runtime's own")
    parser.add_argument("--minutes", type=float, default=5.0, help="time budget (default 5)")
    parser.add_argument("--runtimes", default="", help="allowed runtimes, e.g. onnxruntime,openvino")
    parser.add_argument("--formats", default="", help="allowed formats of the result, e.g. onnx")
    parser.add_argument("--threads", type=int, default=0, help="threads available in production (default: all)")
    parser.add_argument("--batch", type=int, default=1, help="samples in one run")
    parser.add_argument("--seed", type=int, default=0, help="of the sampler and the measuring order")
    parser.add_argument("--study", metavar="S.sqlite", help="study to keep the trials in (default: inside BUNDLE)")
    common.add_model_arguments(parser)
    common.add_data_arguments(parser)


def run(args) -> tuple[dict, str, int]:
    """Searches; Ctrl-C or a kill leaves the best variant so far in the bundle. Exit 3 when the goal is not met."""
    from ..export import bundle
    from ..search import tune
    from ..study import Study

    model = common.model(args.model, args.fix)
    dataset = common.dataset(args, model, args.model)
    goal, folder, cancel = _goal(args), Path(args.output), threading.Event()
    bundle.check(folder)
    study = Study(args.study or folder / "study.sqlite")
    handler = signal.signal(signal.SIGINT, lambda *_: cancel.set())
    try:
        found = tune(model, dataset, goal, minutes=args.minutes, study=study, seed=args.seed, on_trial=_log,
                     on_best=lambda best: bundle.write(best, model, folder, study, final=False), cancel=cancel)
    finally:
        signal.signal(signal.SIGINT, handler)
    bundle.write(found.best, model, folder, study, outcome=found)
    return _data(found, folder), _text(found, folder), 0 if found.met else 3


def _goal(args):
    from ..search import Goal

    def split(text: str) -> tuple[str, ...]:
        return tuple(x.strip() for x in text.split(",") if x.strip())

    formats = split(args.formats)
    from ..model import ModelFormat

    allowed = [f.value for f in ModelFormat]
    for name in formats:
        if name not in allowed:
            raise InputError(f"unknown format '{name}'; allowed: {', '.join(allowed)}")
    return Goal(fidelity=args.fidelity, max_drop=args.max_drop,
                latency_s=args.latency_ms / 1e3 if args.latency_ms is not None else None,
                size_bytes=args.size_mb * 1e6 if args.size_mb is not None else None,
                memory_bytes=args.memory_mb * 1e6 if args.memory_mb is not None else None,
                runtimes=split(args.runtimes), formats=formats, threads=args.threads, batch=args.batch)


def _log(trial) -> None:
    result = trial.result
    if result.status != "ok":
        line = f"failed: {result.reason}"
    else:
        speed = f"{times(result.speedup)}" if result.ratio else "-"
        metric = f"{result.fidelity.metric_name} {result.fidelity.metric:.4f}" if result.fidelity else "unchecked"
        line = f"{duration(result.median_s)}  {speed}  {metric}"
    source = "  (from the study)" if trial.reused else ""
    common.log(f"[{trial.elapsed_s:5.0f} s] {result.recipe.label}: {line}{source}")


def _result(result) -> dict:
    return {"label": result.recipe.label, "recipe": result.recipe.to_dict(), "median_s": result.median_s,
            "interval_s": result.interval_s, "ratio": result.ratio, "ratio_interval": result.ratio_interval,
            "speedup": result.speedup, "verdict": result.verdict, "samples": result.samples,
            "fidelity": result.fidelity.metric if result.fidelity else None,
            "fidelity_p5": result.fidelity.cosine_p5 if result.fidelity else None,
            "fidelity_detail": asdict(result.fidelity) if result.fidelity else None,
            "size_bytes": result.size_bytes, "run_id": result.run_id}


def _data(found, folder: Path) -> dict:
    trials = [{"number": t.number, "why": t.why, "status": t.result.status, "reason": t.result.reason,
               "elapsed_s": t.elapsed_s, "reused": t.reused, **_result(t.result)} for t in found.trials]
    return {"met": found.met, "sentence": found.sentence, "best": _result(found.best),
            "baseline": _result(found.baseline), "contenders": [_result(r) for r in found.contenders],
            "unmet": found.unmet, "binding": found.binding, "nearest": [_result(r) for r in found.nearest],
            "goal": asdict(found.goal), "ruled_out": found.ruled_out, "stopped": found.stopped,
            "seconds": found.seconds, "bundle": str(folder), "trials": trials,
            "environment": found.best.environment}


def _text(found, folder: Path) -> str:
    lines = [found.sentence, ""]
    for r in found.contenders:
        metric = f"{r.fidelity.metric:.4f}" if r.fidelity else "-"
        lines.append(f"  {duration(r.median_s):>9}  {times(r.speedup or 1):>6}  {metric:>7}  {r.recipe.label}")
    if not found.met:
        lines.append(f"in the way: {', '.join(found.binding) or 'nothing could be measured'}")
    lines.append(f"{len(found.trials)} trials in {found.seconds:.0f} s ({found.stopped}); bundle in {folder}")
    return "\n".join(lines)
