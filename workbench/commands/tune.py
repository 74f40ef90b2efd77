"""``workbench tune MODEL -o BUNDLE/``: the fastest variant that still answers right, within a time budget."""

from __future__ import annotations

import signal
import threading
from argparse import BooleanOptionalAction
from dataclasses import asdict
from pathlib import Path

from ..told_apart import told_apart
from ..units import duration, times
from . import common

HELP = "search the fastest variant that meets a fidelity goal, and write a deployable bundle"
_TYPES = {"number": float, "whole": int, "names": str}


def add_arguments(parser) -> None:
    """Declares the arguments; the constraints are those of :data:`workbench.search.terms.TERMS`."""
    from ..search.terms import TERMS

    parser.add_argument("model", metavar="MODEL", help="model file or folder, or a bundled name")
    parser.add_argument("-o", "--output", required=True, metavar="BUNDLE", help="folder of the bundle")
    for term in TERMS:
        default = f" (default {term.default:g})" if term.default and "default" not in term.help else ""
        kind = {"action": BooleanOptionalAction} if term.kind == "switch" else {"type": _TYPES[term.kind]}
        parser.add_argument(term.flag, default=term.default, help=term.help + default, **kind)
    parser.add_argument("--seed", type=int, default=0, help="of the sampler and the measuring order")
    parser.add_argument("--study", metavar="S.sqlite", help="study to keep the trials in (default: inside BUNDLE)")
    parser.add_argument("--cluster", metavar="ADDRESS", help="Dask scheduler whose workers run the trials, e.g. "
                        "tcp://host:8786")
    common.add_model_arguments(parser)
    common.add_data_arguments(parser)


def run(args) -> tuple[dict, str, int]:
    """Searches; Ctrl-C or a kill leaves the best variant so far in the bundle. Exit 3 when the goal is not met."""
    from ..export import bundle
    from ..search.terms import TERMS, goal
    from ..tuning import tune

    words = {t.name: getattr(args, t.name) for t in TERMS}
    goal(words)
    folder, cancel = Path(args.output), threading.Event()
    bundle.check(folder)
    model = common.model(args.model, args.fix)
    dataset = common.dataset(args, model, args.model)
    handler = signal.signal(signal.SIGINT, lambda *_: cancel.set())
    try:
        found = tune(model, dataset, output=folder, study=args.study, seed=args.seed, cluster=args.cluster,
                     on_trial=_log, cancel=cancel, **words)
    finally:
        signal.signal(signal.SIGINT, handler)
    return _data(found, folder), _text(found, folder), 0 if found.met else 3


def _log(trial) -> None:
    result = trial.result
    if result.status != "ok":
        line = f"failed: {result.reason}"
    else:
        speed = f"{times(result.speedup)}" if result.ratio else "-"
        metric = f"{result.fidelity.metric_name} {result.fidelity.metric:.4f}" if result.fidelity else "unchecked"
        missed = f"  misses the goal: {'; '.join(trial.unmet.values())}" if trial.unmet else ""
        line = f"{duration(result.median_s)}  {speed}  {metric}{missed}"
    source = "  (from the study)" if trial.reused else f"  ({trial.why})" if trial.why else ""
    common.log(f"[{trial.elapsed_s:5.0f} s] {result.recipe.label}: {line}{source}")


def _result(result) -> dict:
    return {"label": result.recipe.label, "recipe": result.recipe.to_dict(), "median_s": result.median_s,
            "interval_s": result.interval_s, "ratio": result.ratio, "ratio_interval": result.ratio_interval,
            "speedup": result.speedup, "verdict": result.verdict, "samples": result.samples,
            "fidelity": result.fidelity.metric if result.fidelity else None,
            "fidelity_p5": result.fidelity.cosine_p5 if result.fidelity else None,
            "fidelity_detail": asdict(result.fidelity) if result.fidelity else None,
            "size_bytes": result.size_bytes, "run_id": result.run_id, "machine": result.machine}


def _data(found, folder: Path) -> dict:
    trials = [{"number": t.number, "why": t.why, "status": t.result.status, "reason": t.result.reason,
               "elapsed_s": t.elapsed_s, "reused": t.reused, "unmet": t.unmet, **_result(t.result)}
              for t in found.trials]
    return {"met": found.met, "sentence": found.sentence, "confirmed": found.confirmed, "best": _result(found.best),
            "baseline": _result(found.baseline), "contenders": [_result(r) for r in found.contenders],
            "unmet": found.unmet, "binding": found.binding, "nearest": [_result(r) for r in found.nearest],
            "goal": asdict(found.goal), "ruled_out": found.ruled_out, "stopped": found.stopped,
            "seconds": found.seconds, "bundle": str(folder), "trials": trials, "machine": found.machine,
            "others": [{"machine": o.machine, "sentence": o.sentence, "met": o.met, "best": _result(o.best)}
                       for o in found.others],
            "environment": found.best.environment}


def _text(found, folder: Path) -> str:
    lines = [found.sentence, "", *_table(found.contenders)]
    if not found.met:
        lines.append(f"in the way: {', '.join(found.binding) or found.in_the_way}")
        lines += ["nearest to the goal:", *_table(found.nearest)]
    for other in found.others:
        lines.append(f"on machine {other.machine}: {other.sentence}")
    return "\n".join([*lines, f"{found.ended}; bundle in {folder}"])


def _table(results) -> list[str]:
    lines, recipes = [], [r.recipe for r in results]
    for r, name in zip(results, told_apart([r.label for r in recipes], recipes), strict=True):
        metric = f"{r.fidelity.metric:.4f}" if r.fidelity else "-"
        lines.append(f"  {duration(r.median_s):>9}  {times(r.speedup or 1):>6}  {metric:>7}  {name}")
    return lines
