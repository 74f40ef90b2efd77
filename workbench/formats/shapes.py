"""Open sizes: the user's ``fix`` is checked, and what the file leaves open is resolved from data or asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError
from ..model import TensorSpec
from .base import UNKNOWN_RANK

Fix = tuple[tuple[str, tuple[int, ...]], ...]
# How exporters call the batch axis, and the names that they make up for an axis nobody named.
_BATCH_NAMES = re.compile(r"batch|batch_?size|bs|b|n|batch_?dim|num_?batch(es)?|.*(^|_)batch(_size)?", re.IGNORECASE)
_MADE_UP = re.compile(r"unk_+\d+|[su]\d+|dim_?\d+|.*dynamic_axes_\d+|.+_dim_0|dynamic_?dimension\.?\d+", re.IGNORECASE)


class OpenSizes(InputError):
    """A size that nothing tells.

    Args:
        question: what is to be told; a place that has other remedies shows this alone.
        remedy: what a caller of the library does.
    """

    def __init__(self, question: str, remedy: str) -> None:
        super().__init__(f"{question} {remedy}")
        self.question = question


class _Origin(NamedTuple):
    """A size that a symbolic name has, and where it was seen."""

    size: int
    where: str


def is_batch_like(spec: TensorSpec, axis: int) -> bool:
    """Whether an open axis is taken for the batch, and so may default to 1.

    True for a name such as 'batch', 'batch_size', 'N' or 'bs' on any axis (recurrent states keep the batch on
    axis 1), and for axis 0 when it has no name or one that an exporter made up ('unk__12', 's0').
    """
    dim = spec.shape[axis]
    if isinstance(dim, str) and _BATCH_NAMES.fullmatch(dim):
        return True
    return axis == 0 and (dim is None or (isinstance(dim, str) and _MADE_UP.fullmatch(dim) is not None))


def check_fix(fix: Mapping[str, Any] | None) -> Fix:
    """The plain form of ``fix``, before the model is known.

    Raises:
        InputError: not a mapping of names to lists of whole numbers.
    """
    if fix is None:
        return ()
    if not isinstance(fix, Mapping):
        raise InputError(f"fix must map input names to sizes, e.g. {{'input': [1, 3, 224, 224]}}, not {fix!r}")
    return tuple((str(name), _sizes(str(name), sizes)) for name, sizes in fix.items())


def _sizes(name: str, sizes: Any) -> tuple[int, ...]:
    listed = [sizes] if isinstance(sizes, (int, np.integer)) else sizes
    try:
        found = tuple(int(s) for s in listed)
        whole = all(not isinstance(s, (bool, str)) and int(s) == s and s >= 0 for s in listed)
    except (TypeError, ValueError, OverflowError):
        whole = False
    if not whole:
        raise InputError(f"fix for '{name}' must be a list of whole numbers, one an axis, not {sizes!r}")
    return found


def apply_fix(inputs: tuple[TensorSpec, ...], fix: Fix) -> tuple[TensorSpec, ...]:
    """Checks ``fix`` against the specs; the specs come back, with a rank where the file did not tell it.

    Raises:
        InputError: an unknown name, a wrong number of axes, a size that the file fixes otherwise, or one
            symbolic size given two values.
    """
    fixed = dict(fix)
    known = {s.name for s in inputs}
    for name in fixed:
        if name not in known:
            raise InputError(f"fix names input '{name}', which the model does not have; it has: "
                             f"{', '.join(sorted(known)) or 'no inputs'}")
    ranked = tuple(TensorSpec(s.name, s.dtype, (None,) * len(fixed[s.name]))
                   if s.shape == UNKNOWN_RANK and s.name in fixed else s for s in inputs)
    symbols: dict[str, _Origin] = {}
    for spec in ranked:
        if spec.name in fixed:
            _learn(spec, fixed[spec.name], "fix", symbols)
    return ranked


def resolve(inputs: tuple[TensorSpec, ...], fix: Fix, sample: Mapping[str, Any] | None) -> dict[str, tuple[int, ...]]:
    """Sizes of every input; see :func:`workbench.model.resolve_inputs`.

    Raises:
        InputError: as described there.
    """
    symbols: dict[str, _Origin] = {}
    fixed = dict(fix)
    specs = apply_fix(inputs, fix)
    for spec in specs:
        if spec.name in fixed:
            _learn(spec, fixed[spec.name], "fix", symbols)
    seen = _sample_shapes(specs, sample or {}, fixed, symbols)
    return {spec.name: fixed.get(spec.name) or seen.get(spec.name) or _fill(spec, symbols) for spec in specs}


def _sample_shapes(specs: Iterable[TensorSpec], sample: Mapping[str, Any], fixed: Mapping[str, tuple[int, ...]],
                   symbols: dict[str, _Origin]) -> dict[str, tuple[int, ...]]:
    """Shapes of the sample's arrays for the inputs that are not fixed; the batch yields to a fixed batch."""
    shapes: dict[str, tuple[int, ...]] = {}
    from_fix = set(symbols)
    for spec in specs:
        if spec.name not in sample:
            continue
        shape = np.shape(sample[spec.name])
        if spec.name in fixed:
            _compare(spec, shape, fixed[spec.name])
            continue
        if spec.shape == UNKNOWN_RANK:
            shapes[spec.name] = shape
            continue
        if len(shape) == len(spec.shape):
            shape = tuple(symbols[d].size if d in from_fix and is_batch_like(spec, axis) else n
                          for axis, (d, n) in enumerate(zip(spec.shape, shape, strict=True)))
        _learn(spec, shape, "the data", symbols)
        shapes[spec.name] = shape
    return shapes


def _compare(spec: TensorSpec, shape: tuple[int, ...], fixed: tuple[int, ...]) -> None:
    """Data of other sizes than the fixed ones cannot be run; only the batch may differ."""
    differs = len(shape) != len(fixed) or any(
        a != b and not is_batch_like(spec, axis) for axis, (a, b) in enumerate(zip(shape, fixed, strict=True)))
    if differs:
        raise InputError(f"fix gives '{spec.name}' sizes {list(fixed)}, the data has {list(shape)}: change one of them")


def _learn(spec: TensorSpec, shape: tuple[int, ...], source: str, symbols: dict[str, _Origin]) -> None:
    """Checks a concrete shape against a spec and notes its symbolic sizes."""
    where = f"'{spec.name}' in {source}"
    if len(shape) != len(spec.shape):
        raise InputError(f"{where} has shape {list(shape)}, the model wants {len(spec.shape)} axes: {_show(spec)}")
    for axis, (dim, size) in enumerate(zip(spec.shape, shape, strict=True)):
        if isinstance(dim, int) and dim != size:
            raise InputError(f"{where} has size {size} on axis {axis}, the model fixes it to {dim}: {_show(spec)}")
        if isinstance(dim, str):
            known = symbols.setdefault(dim, _Origin(size, where))
            if known.size != size:
                raise InputError(f"size '{dim}' is {known.size} for {known.where} but {size} for {where}: "
                                 "they must agree; change the data or the fix")


def _fill(spec: TensorSpec, symbols: Mapping[str, _Origin]) -> tuple[int, ...]:
    """Sizes of an input that neither fix nor data tells about."""
    if spec.shape == UNKNOWN_RANK:
        raise OpenSizes(f"how many axes does input '{spec.name}' have?", "The file does not tell: give data for it, or "
                        f"fix={{'{spec.name}': [1, 3, 224, 224]}}")
    return tuple(_size(spec, axis, symbols) for axis in range(len(spec.shape)))


def _size(spec: TensorSpec, axis: int, symbols: Mapping[str, _Origin]) -> int:
    dim = spec.shape[axis]
    if isinstance(dim, int):
        return dim
    if dim in symbols:
        return symbols[dim].size
    if is_batch_like(spec, axis):
        return 1
    answer = [d if isinstance(d, int) else symbols[d].size if d in symbols else
              1 if is_batch_like(spec, i) else "?" for i, d in enumerate(spec.shape)]
    label = f"axis {axis} ('{dim}')" if isinstance(dim, str) else f"axis {axis}"
    text = ", ".join(map(str, answer))
    raise OpenSizes(f"how long is {label} of input '{spec.name}' {_show(spec)}?", "Give data for it, or sizes: "
                    f"fix={{'{spec.name}': [{text}]}} with a number for every ?")


def _show(spec: TensorSpec) -> str:
    return "[" + ", ".join("?" if d is None else str(d) for d in spec.shape) + "]"
