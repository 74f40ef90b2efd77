"""Results as plain JSON data and back. Non-finite numbers travel as strings, since JSON has none."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np

from . import recipe as recipes
from .results import Fidelity, Result

_WORDS = ("metric_name", "notes")  # texts of a fidelity; any other text there is a number that JSON lacks
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


def from_dict(d: dict[str, Any]) -> Result:
    """Inverse of :func:`to_dict`.

    Raises:
        InputError: the recipe names a pass or runtime that this workbench does not have.
    """
    d = dict(d)
    d["recipe"] = recipes.from_dict(d["recipe"])
    d["fidelity"] = _fidelity(d["fidelity"])
    for name in _TUPLES:
        if d.get(name) is not None:
            d[name] = tuple(d[name])
    return Result(**d)


def _fidelity(d: dict[str, Any] | None) -> Fidelity | None:
    if d is None:
        return None
    d = dict(d)
    for name, value in d.items():
        if type(value) is list:
            d[name] = tuple(value)
        elif type(value) is str and name not in _WORDS:
            d[name] = float(value)
    return Fidelity(**d)
