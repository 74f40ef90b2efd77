"""Sparsity-preserving quantization-aware training, PQAT (tensorflow-model-optimization)."""

from __future__ import annotations

from . import _tfmot_qat


class KerasPqat(_tfmot_qat.QatPass):
    """See :class:`workbench.passes.base.Pass`."""

    name = "keras-pqat"
    title = "QAT, zeros kept"
    summary = ("PQAT: quantization-aware training of a pruned model that keeps its zeros, for INT8 models that "
               "compress well.")
    requires = frozenset({"sparse"})
    excludes = frozenset({"int8", "clustered"})
    keeps_zeros = True
