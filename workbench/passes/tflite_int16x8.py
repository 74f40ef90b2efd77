"""TFLite with 16-bit activations and 8-bit weights."""

from __future__ import annotations

from typing import Any

from ..model import Model, ModelFormat
from . import _calibrated, _tflite
from .base import Pass, PassContext, PassResult


class TfliteInt16x8(Pass):
    """See :class:`workbench.passes.base.Pass`."""

    name = "tflite-int16x8"
    title = "INT16x8"
    group = "precision"
    summary = ("TFLite with 8-bit weights and 16-bit activations: a quarter of the size, close to float's accuracy; "
               "for devices with such kernels, slow on CPUs.")
    accepts = _tflite.ACCEPTS
    produces = ModelFormat.TFLITE
    ensures = frozenset({"int8"})
    excludes = _tflite.EXCLUDES
    needs_calibration = True
    packages = _tflite.PACKAGES
    Settings = _calibrated.TfliteSettings

    def apply(self, model: Model, settings: _calibrated.TfliteSettings, context: PassContext) -> PassResult:
        """See :meth:`workbench.passes.base.Pass.apply`."""
        def configure(converter: Any, frozen: Any) -> None:
            _configure(converter, settings)
            converter.representative_dataset = _tflite.representative(
                model, frozen, context, settings.calibration_samples)

        done = _tflite.convert(model, context, configure)
        used = min(len(context.calibration), settings.calibration_samples)
        notes = (*done.notes, f"calibrated on {used} samples",
                 "LiteRT computes 16x8 with its reference kernels on CPUs: expect it to be slower than float there")
        return PassResult(done.path, self.produces, notes, done.details())


def _configure(converter: Any, settings: _calibrated.TfliteSettings) -> None:
    import tensorflow as tf

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    ops = [tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8]
    converter.target_spec.supported_ops = [*ops, tf.lite.OpsSet.TFLITE_BUILTINS] if settings.float_fallback else ops
