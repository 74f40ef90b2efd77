"""Arguments that several commands share, and the lines they log."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError

if TYPE_CHECKING:
    from ..datasets import Dataset
    from ..model import Model


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """``--fix``, for every command that reads a model."""
    parser.add_argument("--fix", action="append", default=[], metavar="INPUT=1,3,224,224",
                        help="sizes of an input whose dimensions are open; may be repeated")


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """``--data``, ``--calibration`` and ``--training``."""
    parser.add_argument("--data", metavar="D.npz", help="evaluation samples: .npz, .csv, image folder or bundled name; "
                        "without it, the bundled data of a bundled model, else random inputs (said in the result)")
    parser.add_argument("--calibration", metavar="C.npz", help="calibration samples; default: a split of --data")
    parser.add_argument("--training", metavar="T.npz", help="samples (with labels, if any) for passes that train; "
                        "default: the named set's own, else the calibration samples")


def add_plan_arguments(parser: argparse.ArgumentParser) -> None:
    """How long to measure."""
    parser.add_argument("--seconds", type=float, metavar="S", help="time limit of the timing itself (default 12)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the measuring order and the bootstrap")


def log(line: str) -> None:
    """One line on stderr."""
    print(line, file=sys.stderr, flush=True)


def model(source: str, fix: list[str] | None = None) -> Model:
    """A bundled model by name, or a file.

    Raises:
        InputError: neither; lists the bundled names.
    """
    from .. import bundled
    from ..model import load

    names = [m.name for m in bundled.MODELS]
    if source in names and not Path(source).exists():
        found, fixes = bundled.model(source), _fixes(fix or [])
        return load(found, fix=fixes) if fixes else found
    if not Path(source).exists():
        raise InputError(f"no such model: {source}; give a file or folder, or a bundled name: {', '.join(names)}")
    return load(source, fix=_fixes(fix or []))


def _fixes(entries: list[str]) -> dict[str, list[int]] | None:
    found = {}
    for entry in entries:
        name, _, sizes = entry.rpartition("=")
        try:
            found[name] = [int(s) for s in sizes.split(",")] if sizes else []
        except ValueError:
            name = ""
        if not name:
            raise InputError(f"--fix {entry!r} is not INPUT=1,3,224,224")
    return found or None


def dataset(args: argparse.Namespace, model: Model, source: str) -> Dataset:
    """The data of ``--data``, of the bundled model, or random inputs with a word about it."""
    from .. import bundled, datasets

    if args.data:
        return datasets.load(args.data, model, calibration=args.calibration, training=args.training)
    if any(m.name == source for m in bundled.MODELS):
        return datasets.load(bundled.dataset_name(source), model, calibration=args.calibration, training=args.training)
    log("note: no --data given: random inputs are used; speed may differ on real data and fidelity means little")
    return datasets.random(model)


def plan(args: argparse.Namespace):
    """The standard plan, with the time limit and seed of the command line."""
    from dataclasses import replace

    from ..measure import Plan

    changes = {"seed": args.seed}
    if args.seconds is not None:
        if not 0.1 <= args.seconds <= 86_400:
            raise InputError(f"--seconds is {args.seconds}; allowed: 0.1 to 86400")
        changes["max_s"] = args.seconds
    return replace(Plan.default(), **changes)
