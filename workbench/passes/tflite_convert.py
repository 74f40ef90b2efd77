"""Conversion to TFLite, in float32 or in the INT8 that a model was trained for; checked against the source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..model import Model, ModelFormat
from ..settings import SettingsBase
from . import _tflite
from .base import Pass, PassContext, PassResult

AGREES = 0.9999  # cosine to the source's output below which a conversion counts as wrong
AGREES_INT8 = 0.95  # the same where training imitated INT8 and the result is INT8


class TfliteConvert(Pass):
    """See :class:`workbench.passes.base.Pass`."""

    name = "tflite-convert"
    title = "to TFLite"
    group = "convert"
    summary = "Writes the model as TFLite, for LiteRT on phones, boards and CPUs; names and batch stay."
    accepts = _tflite.ACCEPTS
    produces = ModelFormat.TFLITE
    packages = _tflite.PACKAGES

    def apply(self, model: Model, settings: SettingsBase, context: PassContext) -> PassResult:
        """See :meth:`workbench.passes.base.Pass.apply`."""
        least = AGREES_INT8 if _trained(model) else AGREES
        done = _tflite.convert(model, context, _configure, least_cosine=least)
        eight = sum(done.int8_ops.values())
        count = f"{sum(done.ops.values())} operators" + (f", {eight} of them INT8 as trained" if eight else "")
        notes = (count, *done.notes) if done.ops else done.notes
        return PassResult(done.path, self.produces, notes, done.details())


def _trained(model: Model) -> bool:
    """Whether quantization-aware training left 8-bit rounding in the model."""
    if model.format == ModelFormat.SAVED_MODEL:
        return b"FakeQuant" in (Path(model.path) / "saved_model.pb").read_bytes()
    return model.format == ModelFormat.KERAS2 and b"QuantizeWrapper" in Path(model.path).read_bytes()


def _configure(converter: Any, frozen: Any) -> None:
    """The converter's defaults are float32; fake quantization of the training becomes real INT8."""
    import tensorflow as tf

    if any(node.op.startswith("FakeQuant") for node in frozen.graph.node):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
