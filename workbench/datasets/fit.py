"""Fits named arrays to a model's inputs: names, ranks, sizes, types and labels; anything wrong is one clear line."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..errors import InputError
from ..feeds import plain_name
from ..formats.base import UNKNOWN_RANK
from ..model import Model, TensorSpec
from .types import Raw, Samples

_WHOLE = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


class _Fitted(NamedTuple):
    """One input's array; ``kind`` is 'rows', 'entries' or 'constants' (see :class:`Samples`)."""

    kind: str
    array: np.ndarray


def fit(raw: Raw, model: Model, *, source: str) -> tuple[Samples, tuple[str, ...]]:
    """Makes samples of what a file holds.

    Args:
        raw: arrays by the file's names.
        model: whose inputs they must fit.
        source: name of the file, for messages.

    Returns:
        the samples, and notes on what was left out or converted.

    Raises:
        InputError: an input is missing or its array does not fit; says what to change.
    """
    chosen = _names(raw, model, source)
    notes = list(raw.notes)
    unused = sorted(set(raw.arrays) - set(chosen.values()))
    if unused:
        notes.append(f"arrays that no input takes were left out: {', '.join(unused)}")
    pinned = dict(model.fix)
    fitted = {}
    for spec in model.inputs:
        array = raw.arrays[chosen[spec.name]]
        fitted[spec.name] = _fit_one(array, spec, pinned.get(spec.name))
        if array.dtype.kind in "iub" and spec.dtype.startswith("float"):
            notes.append(f"'{spec.name}': whole numbers {array.min()} to {array.max()} were cast to {spec.dtype}, "
                         "not scaled")
    groups = {kind: {n: f.array for n, f in fitted.items() if f.kind == kind}
              for kind in ("rows", "entries", "constants")}
    _drop_repeats(groups, model)
    _check_counts({**groups["rows"], **groups["entries"]}, source)
    samples = Samples(**groups, order=tuple(s.name for s in model.inputs), fixed_batch=_fixed_batch(groups, model))
    labels, label_notes = _labels(raw, len(samples), model)
    return Samples(**groups, labels=labels, order=samples.order, fixed_batch=samples.fixed_batch), (
        *notes, *label_notes)


def _names(raw: Raw, model: Model, source: str) -> dict[str, str]:
    """Input name -> array name: by name, by plain name, by position only where there is one of each."""
    if not raw.arrays:
        raise InputError(f"{source} holds no data: add an array for {_wanted(model.inputs)}")
    by_plain = {plain_name(n): n for n in raw.arrays}
    found = {s.name: s.name if s.name in raw.arrays else by_plain.get(plain_name(s.name)) for s in model.inputs}
    if len(model.inputs) == 1 and len(raw.arrays) == 1:
        return {model.inputs[0].name: next(iter(raw.arrays))}
    missing = [s for s in model.inputs if found[s.name] is None]
    if missing:
        raise InputError(f"{source} lacks {_wanted(missing)}; it has {', '.join(sorted(raw.arrays))}: "
                         "add or rename arrays (a start state is usually zeros, one entry a sample)")
    return found


def _wanted(specs) -> str:
    return ", ".join(f"'{s.name}' ({s.dtype} {_text(s.shape)})" for s in specs)


def _text(shape) -> str:
    return "[" + ", ".join("?" if d is None else str(d) for d in shape) + "]"


def _fit_one(array: np.ndarray, spec: TensorSpec, pinned: tuple[int, ...] | None) -> _Fitted:
    """Decides by rank what axis 0 means, then checks sizes and type."""
    if spec.shape == UNKNOWN_RANK and array.ndim:
        spec = TensorSpec(spec.name, spec.dtype, (None,) * array.ndim)  # the file does not tell: samples along axis 0
    rank, want = array.ndim, _sizes(spec, pinned)
    if rank == 0 and not spec.shape:
        kind = "constants"
    elif rank == len(spec.shape) and rank > 0:
        kind = "constants" if _is_one_state(array, want) else "rows"
    elif rank == len(spec.shape) + 1:
        kind = "entries"
    else:
        raise InputError(f"input '{spec.name}' wants {_text(spec.shape)}, the data has {_text(array.shape)}: give "
                         f"rank {len(spec.shape)} with samples along the first axis, or rank {len(spec.shape) + 1} "
                         "with one whole input per entry")
    if kind != "constants" and len(array) == 0:
        raise InputError(f"the data for input '{spec.name}' is empty: give at least one sample")
    got = array.shape[1:] if kind != "constants" else array.shape
    _check_sizes(spec, want[1:] if kind == "rows" else want, got, array.shape)
    return _Fitted(kind, cast(array, spec))


def _sizes(spec: TensorSpec, pinned: tuple[int, ...] | None) -> tuple:
    """Sizes to insist on; what the user pinned counts, but for the first axis, which the batch decides."""
    if pinned is None or len(pinned) != len(spec.shape):
        return spec.shape
    return (*spec.shape[:1], *pinned[1:])


def _is_one_state(array: np.ndarray, want: tuple) -> bool:
    """An array that is exactly the one input that the model takes, e.g. a recurrent state [2, 1, 64]."""
    return array.shape == want and want[0] > 1


def _check_sizes(spec: TensorSpec, want: tuple, got: tuple, whole: tuple) -> None:
    for w, g in zip(want, got, strict=True):
        if isinstance(w, int) and w != g:
            raise InputError(f"input '{spec.name}' wants {_text(spec.shape)}, the data has {_text(whole)}: "
                             f"size {g} must be {w}")
    if 0 in got:
        raise InputError(f"the data for input '{spec.name}' has shape {_text(whole)}, which holds nothing")


def cast(array: np.ndarray, spec: TensorSpec) -> np.ndarray:
    """The array in the input's type.

    Raises:
        InputError: the values would change (fractions to whole numbers, overflow, text) or hold NaN.
    """
    kind = array.dtype.kind
    if kind == "O" or kind == "V":
        raise InputError(f"the data for input '{spec.name}' holds Python objects or records, which are not read: "
                         f"save a plain {spec.dtype} array")
    if spec.dtype == "str" or kind in "US":
        if spec.dtype != "str" or kind not in "US":
            raise InputError(f"input '{spec.name}' wants {spec.dtype}, the data is {array.dtype.name}: convert it")
        return array
    if kind not in "biuf":
        raise InputError(f"input '{spec.name}' wants {spec.dtype}, the data is {array.dtype.name}: convert it")
    if kind == "f" and np.isnan(array).any():
        raise InputError(f"the data for input '{spec.name}' holds {int(np.isnan(array).sum()):,} NaN values: "
                         "remove or replace them")
    return _cast_number(array, spec)


def _cast_number(array: np.ndarray, spec: TensorSpec) -> np.ndarray:
    kind = array.dtype.kind
    if spec.dtype.startswith(("float", "bfloat")):
        target = np.dtype(spec.dtype if spec.dtype in ("float16", "float32", "float64") else "float32")
        with np.errstate(over="ignore"):
            out = array.astype(target, copy=False)
        if kind == "f" and target.itemsize < array.dtype.itemsize and np.isinf(out).sum() != np.isinf(array).sum():
            raise InputError(f"the data for input '{spec.name}' holds values too large for {target.name}: scale it")
        return np.ascontiguousarray(out) if out.ndim else out
    if kind == "f":
        raise InputError(f"input '{spec.name}' wants {spec.dtype}, the data is {array.dtype.name}: "
                         f"convert it with .astype('{spec.dtype}') if the values are whole numbers")
    if spec.dtype not in _WHOLE:
        raise InputError(f"input '{spec.name}' wants {spec.dtype}, which data files cannot hold: convert the model to "
                         "a common type at its inputs")
    target = np.dtype(spec.dtype)
    low, high = (0, 1) if target.kind == "b" else (np.iinfo(target).min, np.iinfo(target).max)
    if array.size and (array.min() < low or array.max() > high):
        raise InputError(f"the data for input '{spec.name}' holds {array.min()} to {array.max()}, outside "
                         f"{spec.dtype}: convert it")
    out = array.astype(target, copy=False)
    return np.ascontiguousarray(out) if out.ndim else out


def _drop_repeats(groups: dict[str, dict[str, np.ndarray]], model: Model) -> None:
    """A scalar that is the same in every entry is a constant, which leaves the batch free."""
    scalars = {s.name for s in model.inputs if not s.shape}
    for name in [n for n in groups["entries"] if n in scalars]:
        values = groups["entries"][name]
        others = {**groups["rows"], **groups["entries"]}
        if len(others) > 1 and all(len(a) == len(values) for a in others.values()) and (values == values[0]).all():
            groups["constants"][name] = groups["entries"].pop(name)[0, ...]


def _check_counts(varying: dict[str, np.ndarray], source: str) -> None:
    counts = {n: len(a) for n, a in varying.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"'{n}' {c:,}" for n, c in counts.items())
        raise InputError(f"the arrays of {source} hold different numbers of samples ({listed}): make them agree; "
                         "an input that is not split into samples takes one whole array per entry")


def _fixed_batch(groups: dict[str, dict[str, np.ndarray]], model: Model) -> int | None:
    """The batch that the model's own sizes leave, seen on the inputs that are split into samples."""
    fixed = {s.shape[0] for s in model.inputs if s.name in groups["rows"] and isinstance(s.shape[0], int)}
    if len(fixed) > 1:
        raise InputError(f"the model's inputs want different first sizes ({', '.join(map(str, sorted(fixed)))}): "
                         "give each as whole inputs, one entry a sample")
    if groups["entries"] or (not groups["rows"]):
        if fixed - {1}:
            raise InputError(f"the model's batch is fixed to {max(fixed)}, which cannot be joined with inputs given "
                             "whole: give every input as whole inputs, one entry a sample")
        return 1
    return fixed.pop() if fixed else None


def _labels(raw: Raw, count: int, model: Model) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Checked labels, and a note where the model has no use for them."""
    if raw.labels is None:
        return None, ()
    labels = np.asarray(raw.labels)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.dtype.kind not in "iu":
        raise InputError(f"labels must be whole numbers, one a sample, not {labels.dtype.name}: convert them")
    if labels.shape != (count,):
        hint = "; for one-hot rows use argmax" if labels.ndim == 2 else ""
        raise InputError(f"labels have shape {_text(labels.shape)}, the data has {count:,} samples: "
                         f"give one label a sample{hint}")
    shape = model.outputs[0].shape if model.outputs else ()
    if len(shape) != 2:
        return None, (f"labels are not used: the first output {_text(shape)} is not one score per class",)
    width = shape[1] if isinstance(shape[1], int) else None
    top = 2 if width == 1 else width
    if labels.min() < 0 or (top is not None and labels.max() >= top):
        allowed = f"0 to {top - 1}" if top else "0 and up"
        raise InputError(f"labels run from {labels.min()} to {labels.max()}; the model's first output "
                         f"'{model.outputs[0].name}' admits {allowed}: renumber them, or check that they belong "
                         "to this model")
    if raw.class_names and width and width > 1 and len(raw.class_names) > width:
        raise InputError(f"the data names {len(raw.class_names)} classes, the model has {width}: "
                         "check that they belong together")
    return labels.astype(np.int64), ()
