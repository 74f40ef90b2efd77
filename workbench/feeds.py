"""Feeds: which array goes to which input when a converted model has renamed or re-typed its inputs."""

from __future__ import annotations

import re

import numpy as np

from .errors import InputError
from .model import TensorSpec

_WRAPPERS = re.compile(r"^(serving_default_|keras_tensor_)|(:\d+)$")


def plain_name(name: str) -> str:
    """Strips what converters add: 'serving_default_image:0' -> 'image'."""
    return _WRAPPERS.sub("", name)


def match(names: list[str], specs: tuple[TensorSpec, ...]) -> dict[str, str]:
    """Maps each spec to the source name that feeds it: by name, by plain name, else by position.

    Args:
        names: names of the original model, in its order.
        specs: specs of the artefact, in its order.

    Returns:
        spec name -> source name.

    Raises:
        InputError: the two cannot be matched.
    """
    by_plain = {plain_name(n): n for n in names}
    found = {s.name: s.name if s.name in names else by_plain.get(plain_name(s.name)) for s in specs}
    if None not in found.values() and len(set(found.values())) == len(specs):
        return found
    if len(names) == len(specs):
        return {s.name: n for s, n in zip(specs, names, strict=True)}
    wanted, given = ", ".join(s.name for s in specs), ", ".join(names)
    raise InputError(f"the model wants inputs {wanted}; the data has {given}: rename the arrays to match")


def bind(feed: dict[str, np.ndarray], specs: tuple[TensorSpec, ...]) -> dict[str, np.ndarray]:
    """A feed keyed by source names becomes one keyed by the artefact's names, cast to its dtypes.

    Raises:
        InputError: an input is missing, or its rank or a fixed size does not fit.
    """
    mapping = match(list(feed), specs)
    bound = {s.name: _cast(feed[mapping[s.name]], s) for s in specs}
    for s in specs:
        _check_shape(bound[s.name], s)
    return bound


def _cast(array: np.ndarray, spec: TensorSpec) -> np.ndarray:
    if spec.dtype == "str" or array.dtype.name == spec.dtype:
        return array
    if spec.dtype == "bfloat16":
        return array
    return np.ascontiguousarray(array, dtype=spec.dtype)


def _check_shape(array: np.ndarray, spec: TensorSpec) -> None:
    fits = len(array.shape) == len(spec.shape) and all(
        not isinstance(want, int) or want == got for want, got in zip(spec.shape, array.shape, strict=True))
    if not fits:
        raise InputError(
            f"input '{spec.name}' wants shape {list(spec.shape)}, the data has {list(array.shape)}: "
            "change the data, or the batch if only the first axis differs")
