"""Made-up inputs for models without data; every figure drawn from them says so."""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from ..model import Model, TensorSpec
from .types import Dataset, Samples

_MAX_BYTES = 2**30


def random(model: Model, samples: int = 64, seed: int = 0) -> Dataset:
    """Random inputs that any model admits.

    Floats are uniform in 0..1, whole numbers and booleans 0 or 1 (valid as token ids, masks and lengths), scalars
    that are whole numbers are 1, strings are 'a' or 'b'. Free sizes are those of
    ``workbench.model.resolve_inputs``.

    Args:
        model: whose inputs are filled.
        samples: for evaluation, and as many others for calibration.
        seed: same seed, same inputs.

    Raises:
        InputError: a size of the model is open, or the samples would not fit in memory.
    """
    from ..model import resolve_inputs

    if samples < 1:
        raise InputError(f"samples is {samples}; it must be at least 1")
    shapes = {name: tuple(shape) for name, shape in resolve_inputs(model, None).items()}
    batch = _batch(model, shapes)
    _check_memory(model, shapes, samples)
    rng = np.random.default_rng(seed)
    sides = [_samples(model, shapes, batch, samples, rng) for _ in range(2)]
    note = "inputs are random: times are indicative, fidelity and calibration say nothing about real data"
    return Dataset("random", "random", None, None, True, sides[0], sides[1], (note,))


def _batch(model: Model, shapes: dict[str, tuple[int, ...]]) -> int | None:
    """First size that all inputs share, which is then the batch; None where they differ."""
    firsts = {shapes[s.name][0] for s in model.inputs if s.shape}
    return firsts.pop() if len(firsts) == 1 else None


def _check_memory(model: Model, shapes: dict[str, tuple[int, ...]], samples: int) -> None:
    size = sum(float(np.prod(shapes[s.name], dtype=float)) * 8 for s in model.inputs) * samples
    if size > _MAX_BYTES:
        raise InputError(f"{samples} random samples of this model take {size / 2**30:.1f} GiB: ask for fewer, or pin "
                         "smaller sizes with fix={...}")


def _samples(model: Model, shapes: dict[str, tuple[int, ...]], batch: int | None, count: int,
             rng: np.random.Generator) -> Samples:
    rows, entries, constants = {}, {}, {}
    for spec in model.inputs:
        shape = shapes[spec.name]
        if not shape and spec.dtype not in ("str", "bool") and not spec.dtype.startswith("float"):
            constants[spec.name] = np.ones((), spec.dtype)
        elif not shape or (batch is None and shape[0] != 1):
            entries[spec.name] = _values(spec, (count, *shape), rng)
        else:
            rows[spec.name] = _values(spec, (count * (batch or 1), *shape[1:]), rng)
    static = any(s.shape and s.name in rows and isinstance(s.shape[0], int) for s in model.inputs)
    fixed = 1 if entries else batch if static or (batch or 1) > 1 else None
    return Samples(rows, entries, constants, None, tuple(s.name for s in model.inputs), fixed)


def _values(spec: TensorSpec, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    if spec.dtype == "str":
        return rng.choice(np.array(["a", "b"]), shape)
    if spec.dtype.startswith(("float", "bfloat")):
        kept = spec.dtype if spec.dtype in ("float16", "float32", "float64") else "float32"
        return rng.random(shape, np.float32).astype(kept)
    return rng.integers(0, 2, shape).astype(spec.dtype)
