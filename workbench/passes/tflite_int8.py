"""Full INT8 for TFLite: weights and activations, with ranges from calibration samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import NotApplicable
from ..model import Model, ModelFormat
from ..settings import setting
from . import _calibrated, _tflite
from .base import Pass, PassContext, PassResult

_LOW_COSINE = 0.98


@dataclass(frozen=True)
class Settings(_calibrated.TfliteSettings):
    """How a model becomes INT8 TFLite."""

    io: str = setting("float", "Type of inputs and outputs: float takes the model's own data, int8 is for "
                      "integer-only devices", choices=("float", "int8"))
    per_channel: bool = setting(True, "One scale for each output channel of the weights: closer to float, same speed")


class TfliteInt8(Pass):
    """See :class:`workbench.passes.base.Pass`."""

    name = "tflite-int8"
    title = "INT8 full"
    group = "precision"
    summary = ("TFLite with 8-bit weights and activations: a quarter of the size and usually the fastest on small "
               "devices and CPUs; costs some accuracy.")
    accepts = _tflite.ACCEPTS
    produces = ModelFormat.TFLITE
    ensures = frozenset({"int8"})
    excludes = _tflite.EXCLUDES
    needs_calibration = True
    packages = _tflite.PACKAGES
    Settings = Settings

    def why_not(self, model: Model, settings: Settings) -> str | None:
        """INT8 inputs and outputs need real-valued ones to start from."""
        others = [s.name for s in (*model.inputs, *model.outputs) if not s.dtype.startswith("float")]
        if settings.io == "int8" and others:
            return f"io 'int8' needs float inputs and outputs, but '{others[0]}' is not float: set io to float"
        return None

    def apply(self, model: Model, settings: Settings, context: PassContext) -> PassResult:
        """See :meth:`workbench.passes.base.Pass.apply`."""
        def configure(converter: Any, frozen: Any) -> None:
            _configure(converter, settings)
            converter.representative_dataset = _tflite.representative(
                model, frozen, context, settings.calibration_samples)

        done = _tflite.convert(model, context, configure)
        boundary = {"QUANTIZE", "DEQUANTIZE"}
        inner = sum(n for op, n in done.ops.items() if op not in boundary)
        eight = sum(n for op, n in done.int8_ops.items() if op not in boundary)
        if done.ops and not eight:
            raise NotApplicable("no operator of this model has an INT8 kernel in TFLite; use dynamic range instead")
        left = {op: n - done.int8_ops.get(op, 0) for op, n in done.ops.items() if op not in boundary}
        floats = ", ".join(f"{op} {n}" for op, n in left.items() if n)
        notes = [f"{eight} of {inner} operators are INT8" + (f"; other types: {floats}" if floats else "")]
        notes += [n for n in done.notes]
        if done.cosine is not None and done.cosine < _LOW_COSINE:
            notes.append("that is low: check the calibration data, or use dynamic range")
        used = min(len(context.calibration), settings.calibration_samples)
        notes.append(f"calibrated on {used} samples")
        return PassResult(done.path, self.produces, tuple(notes), done.details())


def _configure(converter: Any, settings: Settings) -> None:
    import tensorflow as tf

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter._experimental_disable_per_channel = not settings.per_channel
    ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.target_spec.supported_ops = [*ops, tf.lite.OpsSet.TFLITE_BUILTINS] if settings.float_fallback else ops
    if settings.io == "int8":
        converter.inference_input_type = converter.inference_output_type = tf.int8
