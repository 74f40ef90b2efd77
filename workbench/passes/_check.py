"""How a pass checks its own work: a sample to run, and how well two outputs agree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .. import feeds
from .. import model as models
from ..errors import InputError
from ..likeness import kept_variance
from ..model import Model, TensorSpec
from .base import PassContext

_GUESSED_SIZE = 64  # for a symbolic size that neither data nor the user fixes


def sample(context: PassContext, specs: tuple[TensorSpec, ...], model: Model) -> dict[str, np.ndarray] | None:
    """One whole feed for a model with these inputs: the first calibration sample, else a guess from the specs.

    Returns None when no feed can be made (strings, or a size that the model refuses is up to the caller).
    """
    if context.calibration:
        return feeds.bind(context.calibration[0], specs)
    sizes = _sizes(specs, model)
    rng = np.random.default_rng(context.seed)
    made = {}
    for spec in specs:
        if spec.dtype in ("str", "unknown", "bfloat16"):
            return None
        floats = np.dtype(spec.dtype).kind == "f"
        made[spec.name] = (rng.random(sizes[spec.name], dtype=np.float32).astype(spec.dtype) if floats
                           else np.ones(sizes[spec.name], dtype=spec.dtype))
    return made


def _sizes(specs: tuple[TensorSpec, ...], model: Model) -> dict[str, tuple[int, ...]]:
    """Sizes that the user pinned or the file fixes; a guess where the model leaves more open than the batch."""
    try:
        return {n: tuple(s) for n, s in models.resolve_inputs(replace(model, inputs=specs)).items()}
    except InputError:
        return {s.name: tuple(d if isinstance(d, int) and d > 0 else 1 if axis == 0 else _GUESSED_SIZE
                              for axis, d in enumerate(s.shape)) for s in specs}


def calibration(context: PassContext, specs: tuple[TensorSpec, ...], limit: int) -> list[dict[str, np.ndarray]]:
    """Calibration feeds under the names of the artefact, at most ``limit`` of them.

    Raises:
        InputError: there are none.
    """
    if not context.calibration:
        raise InputError("this pass needs calibration samples: choose a data set with a calibration split")
    return [feeds.bind(feed, specs) for feed in context.calibration[:limit]]


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Cosine of two arrays seen as vectors; 1 when both are zero, 0 when shapes differ or a value is not finite."""
    if a.shape != b.shape:
        return 0.0
    x, y = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return 1.0 if np.array_equal(x, y, equal_nan=True) else 0.0
    norm = float(np.linalg.norm(x) * np.linalg.norm(y))
    if norm == 0.0:
        return 1.0 if np.array_equal(x, y) else 0.0
    return float(np.clip(x @ y / norm, -1.0, 1.0))


def likenesses(ours: list[list[np.ndarray]], reference: list[list[np.ndarray]]) -> list[float]:
    """For each sample the worst of its numeric outputs: :func:`agreement`, but R² where an output is one number.

    Args:
        ours: the outputs of each sample.
        reference: the same of the original.
    """
    found = [agreement(a, b) for a, b in zip(ours, reference, strict=True)]
    for place in range(len(reference[0])) if reference else ():
        a, b = ([np.asarray(o[place]) for o in side if len(o) > place] for side in (ours, reference))
        if len(a) == len(b) and all(x.size == y.size == 1 and y.dtype.kind == "f" for x, y in zip(a, b, strict=True)):
            kept = kept_variance(np.array([x.item() for x in a]), np.array([y.item() for y in b]))
            found = [min(one, float(other)) for one, other in zip(found, kept, strict=True)]
    return found


def agreement(ours: list[np.ndarray], reference: list[np.ndarray]) -> float:
    """The worst cosine over the numeric outputs; 0 when their number differs."""
    if len(ours) != len(reference):
        return 0.0
    numeric = [(a, b) for a, b in zip(ours, reference, strict=True) if b.dtype.kind in "fiub"]
    return min((cosine(a, b) for a, b in numeric), default=1.0)
