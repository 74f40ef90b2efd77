"""TFLite with float16 weights."""

from __future__ import annotations

from typing import Any

from ..model import Model, ModelFormat
from ..settings import SettingsBase
from . import _tflite
from .base import Pass, PassContext, PassResult


class TfliteFloat16(Pass):
    """See :class:`workbench.passes.base.Pass`."""

    name = "tflite-float16"
    title = "float16"
    group = "precision"
    summary = ("TFLite with float16 weights: half the size, nearly the same answers; GPUs compute in float16, "
               "CPUs convert back to float32 at load.")
    accepts = _tflite.ACCEPTS
    produces = ModelFormat.TFLITE
    ensures = frozenset({"float16"})
    excludes = _tflite.EXCLUDES
    packages = _tflite.PACKAGES

    def apply(self, model: Model, settings: SettingsBase, context: PassContext) -> PassResult:
        """See :meth:`workbench.passes.base.Pass.apply`."""
        done = _tflite.convert(model, context, _configure)
        notes = ("weights are stored as float16; on CPUs the computation stays float32", *done.notes)
        return PassResult(done.path, self.produces, notes, done.details())


def _configure(converter: Any, frozen: Any) -> None:
    import tensorflow as tf

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
