"""Runs two ONNX models with extra outputs and compares tensor by tensor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ..ops import is_quantized

_SAME = 1e-3  # of the largest value
_TINY = 1e-6  # differences of large values that cancel
_COSINE = 0.98  # where one side is quantized
_BLOCKS = (8, 16)  # channels in a block of ONNX Runtime's layout, by CPU
_INTEGER = ("int8", "uint8")


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Answers {'agrees': tensor after -> bool}."""
    with np.load(request["feed"]) as stored:
        feed = {name: stored[f"a{i}"] for i, name in enumerate(request["names"])}
    pairs = [(a, b) for a, b in request["pairs"]]
    old, quantized_old = _outputs(Path(request["before"]), sorted({b for _, b in pairs}), feed)
    new, quantized_new = _outputs(Path(request["after"]), [a for a, _ in pairs], feed)
    loose = quantized_old or quantized_new
    return {"agrees": {a: agree(old[b], new[a], loose) for a, b in pairs if a in new and b in old}}


def _outputs(path: Path, wanted: list[str], feed: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], bool]:
    """(values by tensor, whether the model computes with integers)."""
    import onnx
    import onnxruntime as ort

    model = onnx.load(str(path))
    quantized = any(is_quantized(n.op_type) or n.op_type.endswith("quantizeLinear") or n.op_type == "QuantizeLinear"
                    for n in model.graph.node)
    given = _bind(model, feed)
    made = {o for n in model.graph.node for o in n.output}
    have = {o.name for o in model.graph.output}
    names = [t for t in wanted if t in made or t in given]
    model.graph.output.extend(onnx.ValueInfoProto(name=t) for t in names if t in made and t not in have)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 2
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        fetched = [t for t in names if t in made]
        values = dict(zip(fetched, session.run(fetched, given), strict=True))
    except Exception as error:  # ORT's classes share no base but Exception
        raise InputError(f"{path.name} does not run with its inner tensors as outputs: "
                         f"{' '.join(str(error).split())[:200]}") from None
    return values | {t: given[t] for t in names if t in given}, quantized


def _bind(model: Any, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The sample under this model's own input names; inputs that only an optimizer left behind get zeros."""
    from onnx import helper

    weights = {i.name for i in model.graph.initializer}
    inputs = [i for i in model.graph.input if i.name not in weights]
    if not any(i.name in feed for i in inputs) and len(inputs) == len(feed):
        return dict(zip((i.name for i in inputs), feed.values(), strict=True))
    found = {i.name: feed[i.name] for i in inputs if i.name in feed}
    for value in inputs:
        if value.name in found:
            continue
        shape = [d.dim_value for d in value.type.tensor_type.shape.dim]
        if not all(shape):
            raise InputError(f"the sample has nothing for input '{value.name}'")
        found[value.name] = np.zeros(shape, helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))
    return found


def agree(old: np.ndarray, new: np.ndarray, loose: bool = False) -> bool:
    """Whether two arrays hold the same values, in this or another memory layout.

    Args:
        old: values before.
        new: values after.
        loose: one of the models is quantized: a high cosine is enough.
    """
    if not loose and old.dtype.name not in _INTEGER and new.dtype.name not in _INTEGER and old.dtype.kind in "iub":
        return old.size == new.size and bool(np.array_equal(old.ravel(), new.ravel()))
    if old.dtype.kind == new.dtype.kind == "b":
        return old.size == new.size and float((old.ravel() == new.ravel()).mean()) >= _COSINE
    if old.dtype.kind not in "fiu" or new.dtype.kind not in "fiu":
        return False
    quantized = loose or old.dtype.name in _INTEGER or new.dtype.name in _INTEGER
    a = old.astype(np.float64)
    return any(_close(a, form.astype(np.float64), quantized) for form in layouts(new, old.shape))


def layouts(array: np.ndarray, shape: tuple[int, ...]) -> list[np.ndarray]:
    """The array in each layout that gives it the wanted shape: as it is, axes turned, or out of its blocks."""
    found = []
    if array.shape == shape:
        found.append(array)
    if array.ndim == len(shape):
        for perm in ((0, 3, 1, 2), (0, 2, 3, 1), (0, 2, 1)):
            if len(perm) == array.ndim and array.transpose(perm).shape == shape:
                found.append(array.transpose(perm))
    if array.ndim == 4 and len(shape) == 4 and array.shape[2:] == shape[2:]:
        found += _unblocked(array, shape[1])
    if array.ndim == 4 and len(shape) == 4 and (array.shape[0], *array.shape[2:]) == shape[:3]:
        found += [plain.transpose(0, 2, 3, 1) for plain in _unblocked(array, shape[3])]
    if not found and array.size == np.prod(shape):
        found.append(array.reshape(shape))
    return found


def _unblocked(array: np.ndarray, channels: int) -> list[np.ndarray]:
    """[batch, channels / block, height, width, block], declared as four axes, back to plain; padding is cut off."""
    n, c, h, w = array.shape
    found = []
    for block in _BLOCKS:
        if c % block == 0 and c >= channels:
            plain = array.reshape(n, c // block, h, w, block).transpose(0, 1, 4, 2, 3).reshape(n, c, h, w)
            found.append(plain[:, :channels])
    return found


def _close(a: np.ndarray, b: np.ndarray, quantized: bool) -> bool:
    if not np.isfinite(a).all() or not np.isfinite(b).all():
        return bool(np.array_equal(np.nan_to_num(a), np.nan_to_num(b)))
    if quantized:
        a, b = a - a.mean(), b - b.mean()
        norm = float(np.linalg.norm(a) * np.linalg.norm(b))
        return norm == 0 or float((a * b).sum()) / norm >= _COSINE
    scale = max(float(np.abs(a).max(initial=0)), 1e-12)
    return float(np.abs(a - b).max(initial=0)) <= _SAME * scale + _TINY
