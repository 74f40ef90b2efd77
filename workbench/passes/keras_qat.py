"""Quantization-aware training (tensorflow-model-optimization)."""

from __future__ import annotations

from . import _tfmot_qat


class KerasQat(_tfmot_qat.QatPass):
    """See :class:`workbench.passes.base.Pass`."""

    name = "keras-qat"
    title = "QAT"
    summary = ("Quantization-aware training: fine-tunes with INT8 rounding in the loop, so that INT8 loses less "
               "accuracy than one quantized afterwards.")
