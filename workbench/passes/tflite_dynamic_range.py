"""TFLite with 8-bit weights; activations stay float and are quantized inside the kernels that can."""

from __future__ import annotations

from typing import Any

from ..model import Model, ModelFormat
from ..settings import SettingsBase
from . import _tflite
from .base import Pass, PassContext, PassResult


class TfliteDynamicRange(Pass):
    """See :class:`workbench.passes.base.Pass`."""

    name = "tflite-dynamic-range"
    title = "INT8 dynamic range"
    group = "precision"
    summary = ("TFLite with 8-bit weights and float activations: a quarter of the size, no calibration, faster where "
               "dense layers dominate.")
    accepts = _tflite.ACCEPTS
    produces = ModelFormat.TFLITE
    ensures = frozenset({"int8"})
    excludes = _tflite.EXCLUDES
    packages = _tflite.PACKAGES

    def apply(self, model: Model, settings: SettingsBase, context: PassContext) -> PassResult:
        """See :meth:`workbench.passes.base.Pass.apply`."""
        done = _tflite.convert(model, context, _configure)
        notes = ("weights of 1,024 elements and more are INT8; smaller ones and all activations stay float",
                 *done.notes)
        return PassResult(done.path, self.produces, notes, done.details())


def _configure(converter: Any, frozen: Any) -> None:
    import tensorflow as tf

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
