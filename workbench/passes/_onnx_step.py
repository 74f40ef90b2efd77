"""What the visible graph passes share: check that the answers stayed, write the file, say which operators changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..errors import NotApplicable
from ..model import Model, ModelFormat
from . import _check, _onnx_int8, _onnx_io, _ops
from .base import PassContext, PassResult

SAME = 0.9999
PACKAGES = {"onnx": "pip install onnx", "onnxruntime": "pip install onnxruntime"}


def sample(original: Any, model: Model, context: PassContext) -> dict[str, np.ndarray] | None:
    """One feed for the model: from calibration, else a guess; None where none can be made."""
    return _check.sample(context, _onnx_io.specs(_onnx_io.graph_inputs(original)), model)


def unknown_input(model: Model, asked: Iterable[str]) -> str:
    """One line when a name that a setting gives is no input of the model, else ''."""
    names = [s.name for s in model.inputs]
    wrong = next((n for n in asked if n not in names), "")
    return f"'{wrong}' is no input of {model.name}; its inputs are: {', '.join(names)}" if wrong else ""


def finish(original: Any, made: Any, feed: dict[str, np.ndarray] | None, context: PassContext, *,
           notes: tuple[str, ...] = (), same: float = SAME) -> PassResult:
    """Checks the rewritten model and writes it.

    Args:
        original: ``ModelProto`` before.
        made: after; may be the same object when nothing changed.
        feed: to compare the outputs on; None skips that.
        context: of the pass.
        notes: first lines of the result's.
        same: worst cosine of an output that still counts as the same answer.

    Raises:
        NotApplicable: the result does not load, answers differently, or lost an input or output.
    """
    context.progress(0.8, "checking the result")
    if not _onnx_int8.same_signature(original, made):
        raise NotApplicable("the rewriting would change the model's inputs or outputs")
    checked = _compare(original, made, feed, same)
    path = _onnx_io.save(made, context.workdir / "model.onnx")
    before, after = _ops.of_onnx(original), _ops.of_onnx(made)
    told = (*_ops.changes(before, after), *notes, *checked)
    return PassResult(path, ModelFormat.ONNX, told, _ops.details(before, after))


def _compare(original: Any, made: Any, feed: dict[str, np.ndarray] | None, same: float) -> list[str]:
    if feed is None:
        _onnx_io.session(made)
        return []
    try:
        reference = _onnx_io.run(original, feed)
    except NotApplicable:  # the guessed feed does not suit the model
        _onnx_io.session(made)
        return ["the answers could not be compared: give a data set"]
    agreement = _check.agreement(_onnx_io.run(made, feed), reference)
    if agreement < same:
        raise NotApplicable(f"the rewritten graph answers differently (cosine {agreement:.4f} on one sample); "
                            "leave the pass out")
    return [f"cosine to the outputs before {agreement:.6f} on one sample"]
