"""Conversion to TFLite in float32, checked against the source on one sample."""

from __future__ import annotations

from typing import Any

from ..model import Model, ModelFormat
from ..settings import SettingsBase
from . import _tflite
from .base import Pass, PassContext, PassResult

AGREES = 0.9999  # cosine to the source's output below which a conversion counts as wrong


class TfliteConvert(Pass):
    """See :class:`workbench.passes.base.Pass`."""

    name = "tflite-convert"
    title = "to TFLite"
    group = "convert"
    summary = "Writes the model as TFLite in float32, for LiteRT on phones, boards and CPUs; names and batch stay."
    accepts = _tflite.ACCEPTS
    produces = ModelFormat.TFLITE
    packages = _tflite.PACKAGES

    def apply(self, model: Model, settings: SettingsBase, context: PassContext) -> PassResult:
        """See :meth:`workbench.passes.base.Pass.apply`."""
        done = _tflite.convert(model, context, _configure, least_cosine=AGREES)
        notes = (f"{sum(done.ops.values())} operators", *done.notes) if done.ops else done.notes
        return PassResult(done.path, self.produces, notes, done.details())


def _configure(converter: Any, frozen: Any) -> None:
    """The converter's defaults are float32."""
