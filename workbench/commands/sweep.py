"""``workbench sweep MODEL``: threads x batch x runtime x device, and the best cell within a latency budget."""

from __future__ import annotations

import math
import signal
import threading

from .. import recipe as recipes
from ..errors import InputError
from ..units import duration, rate
from . import common

HELP = "measure threads x batch x runtime, and pick the best within a latency budget"


def add_arguments(parser) -> None:
    """Declares the arguments."""
    parser.add_argument("model", metavar="MODEL", help="model file or folder, or a bundled name")
    parser.add_argument("--threads", default="", metavar="1,2", help="thread counts (default: 1 and all cores)")
    parser.add_argument("--batch", default="1,8,32", metavar="1,8,32", help="batch sizes (default 1,8,32)")
    parser.add_argument("--runtimes", default="", metavar="A,B", help="runtimes (default: all that run the model)")
    parser.add_argument("--devices", default="cpu", metavar="cpu,gpu", help="devices (default cpu)")
    parser.add_argument("--recipe", metavar="R.yaml", help="passes that all cells share; default: none")
    parser.add_argument("--budget-ms", type=float, metavar="MS", help="latency budget of the answer (default: none)")
    parser.add_argument("--study", metavar="S.sqlite", help="keep results here; known cells are not measured again")
    parser.add_argument("--again", action="store_true", help="measure cells that the study knows once more")
    common.add_model_arguments(parser)
    common.add_data_arguments(parser)
    common.add_plan_arguments(parser)


def run(args) -> tuple[dict, str, int]:
    """Sweeps; Ctrl-C prints what was measured so far (exit 130)."""
    from ..engine import Engine
    from ..study import Study
    from ..sweeps import sweep

    grid = {"threads": _numbers("--threads", args.threads), "batch": _numbers("--batch", args.batch),
            "runtimes": _names(args.runtimes), "devices": _names(args.devices)}
    budget = math.inf if args.budget_ms is None else args.budget_ms / 1e3
    if not budget > 0:
        raise InputError(f"--budget-ms is {args.budget_ms}; allowed: more than 0")
    model = common.model(args.model, args.fix)
    dataset = common.dataset(args, model, args.model)
    recipe = recipes.load(args.recipe) if args.recipe else None
    cancel = threading.Event()
    handler = signal.signal(signal.SIGINT, lambda *_: cancel.set())
    try:
        with Engine(model, dataset, Study(args.study or ":memory:"), plan=common.plan(args)) as engine:
            found = sweep(engine, **grid, recipe=recipe, again=args.again, on_cell=_log, cancel=cancel)
    finally:
        signal.signal(signal.SIGINT, handler)
    return _data(found, budget), _text(found, budget), 130 if cancel.is_set() else 0


def _numbers(name: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise InputError(f"{name} {text!r} is not a list of whole numbers such as 1,2,4") from None


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _log(cell, done: int, total: int) -> None:
    if cell.reason and cell.result is None:
        return  # told once, at the end
    said = cell.reason or f"{duration(cell.result.median_s)}, {rate(cell.throughput_per_s)}"
    source = " (from the study)" if cell.reused else ""
    common.log(f"[{done}/{total}] {_label(cell.recipe)}: {said}{source}")


def _label(recipe) -> str:
    return f"{recipe.label}{' · batch 1' if recipe.batch == 1 else ''}{' · GPU' if recipe.device == 'gpu' else ''}"


def _cell(cell) -> dict:
    r, recipe = cell.result, cell.recipe
    return {"runtime": recipe.runtime, "device": recipe.device, "threads": recipe.threads, "batch": recipe.batch,
            "reason": cell.reason, "reused": cell.reused, "median_s": r.median_s if r else None,
            "interval_s": r.interval_s if r else None, "throughput_per_s": r.throughput_per_s if r else None,
            "ratio": r.ratio if r else None, "ratio_interval": r.ratio_interval if r else None,
            "fidelity": r.fidelity.metric if r and r.fidelity else None, "run_id": r.run_id if r else None,
            "recipe": recipe.to_dict()}


def _data(found, budget: float) -> dict:
    from ..sweeps import SCENARIOS

    best, quickest = found.best(budget), found.quickest()
    return {"model": found.model, "complete": found.complete, "inputs": "random" if found.is_random else "data set",
            "cells": [_cell(c) for c in found.cells], "budget_s": None if math.isinf(budget) else budget,
            "best": _cell(best) if best else None, "quickest": _cell(quickest) if quickest else None,
            "scenarios": [{"name": s.name, "budget_s": s.budget_s,
                           "best": _cell(b) if (b := found.best(s.budget_s)) else None} for s in SCENARIOS]}


def _text(found, budget: float) -> str:
    lines = []
    for c in sorted((c for c in found.cells if c.measured), key=lambda c: -c.throughput_per_s):
        low, high = c.result.interval_s
        lines.append(f"{rate(c.throughput_per_s):>10}  {duration(c.result.median_s):>9}  "
                     f"({duration(low)} to {duration(high)})  {_label(c.recipe)}")
    lines += [f"{'failed':>10}  {_label(c.recipe)}: {c.reason}" for c in found.cells if c.reason and c.result]
    barred: dict[str, int] = {}
    for c in found.cells:
        if c.reason and not c.result:
            barred[c.reason] = barred.get(c.reason, 0) + 1
    lines += [f"{'cannot run':>10}  {n} cell{'s' if n > 1 else ''}: {reason}" for reason, n in barred.items()]
    open_cells = sum(not c.measured and not c.reason for c in found.cells)
    if open_cells:
        lines.append(f"{open_cells} cells were not measured: run the same command with the same --study to go on")
    lines += _answers(found, budget)
    if found.is_random:
        lines.append("note      RANDOM INPUTS: not real data")
    return "\n".join(lines)


def _answers(found, budget: float) -> list[str]:
    """The best cell within the budget; without one, for the usual budgets, those with the same answer together."""
    from ..sweeps import SCENARIOS

    if not math.isinf(budget):
        return [f"within {duration(budget)}: {_answer(found.best(budget))}"]
    by_answer: dict[str, list[str]] = {}
    for s in SCENARIOS:
        by_answer.setdefault(_answer(found.best(s.budget_s)), []).append(f"{s.name} ({duration(s.budget_s)})")
    return [f"{'; '.join(uses)}: {answer}" for answer, uses in by_answer.items()]


def _answer(cell) -> str:
    if cell is None:
        return "no cell is fast enough"
    return f"{_label(cell.recipe)}, {rate(cell.throughput_per_s)} at {duration(cell.result.median_s)}"
