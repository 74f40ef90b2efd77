"""Results as plain JSON data and back. Non-finite numbers travel as strings, since JSON has none."""

from __future__ import annotations

import dataclasses
import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from . import recipe as recipes
from .results import CARRIED, Fidelity, Result

_WORDS = ("metric_name", "notes", "likeness")  # texts of a fidelity; any other text there is a number that JSON lacks
_TUPLES = ("interval_s", "ratio_interval", "stages", "warmup_s")


def plain(value: Any) -> Any:
    """Makes a value JSON-safe: tuples to lists, numpy to Python, inf and nan to 'inf', '-inf', 'nan'."""
    if isinstance(value, float | np.floating):
        number = float(value)
        return number if math.isfinite(number) else str(number)
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return value.item()
    return str(value) if isinstance(value, Path) else value


def to_dict(result: Result) -> dict[str, Any]:
    """The plain form of a result, raw rounds left out (they are stored on their own)."""
    d = {f.name: getattr(result, f.name) for f in dataclasses.fields(result) if f.name not in ("rounds", "fidelity")}
    d["recipe"] = result.recipe.to_dict()
    d["fidelity"] = dataclasses.asdict(result.fidelity) if result.fidelity else None
    return plain(d)


def split(result: Result) -> tuple[str, str]:
    """A result as two JSON texts: what lists and plots need, and what it carries beside (see :func:`join`)."""
    d = to_dict(result)
    carried = {name: d.pop(name) for name in CARRIED}
    return json.dumps(d), json.dumps(carried)


def join(d: dict[str, Any], carried: str) -> Result:
    """Inverse of :func:`split`; the second text is read when somebody asks for one of its fields.

    Args:
        d: the first text, read.
        carried: the second; '' where ``d`` holds all.

    Raises:
        InputError: as :func:`from_dict` says.
    """
    if not carried:
        return from_dict(d)
    return _quick(Result, {**_typed(d), "rounds": (), "_carried": partial(_carried, carried)})


def from_dict(d: dict[str, Any]) -> Result:
    """Inverse of :func:`to_dict`.

    Raises:
        InputError: the recipe names a pass or runtime that this workbench does not have.
    """
    return Result(**_typed(d))


def _typed(d: dict[str, Any]) -> dict[str, Any]:
    d = dict(d)
    d["recipe"] = recipes.from_dict(d["recipe"])
    d["fidelity"] = _fidelity(d["fidelity"])
    for name in _TUPLES:
        if d.get(name) is not None:
            d[name] = tuple(d[name])
    return d


def _carried(text: str) -> dict[str, Any]:
    d = json.loads(text)
    return {name: tuple(d[name]) if name in _TUPLES else d[name] for name in CARRIED}


def _fidelity(d: dict[str, Any] | None) -> Fidelity | None:
    if d is None:
        return None
    d = dict(d)
    for name, value in d.items():
        if type(value) is list:
            d[name] = tuple(value)
        elif type(value) is str and name not in _WORDS:
            d[name] = float(value)
    return _quick(Fidelity, d)


def _quick(kind: type, values: dict[str, Any]) -> Any:
    """An object with all its fields; the constructor of a frozen class sets each by a call."""
    made = object.__new__(kind)
    made.__dict__.update(values)
    return made
