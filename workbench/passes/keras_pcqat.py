"""Sparsity- and cluster-preserving quantization-aware training, PCQAT (tensorflow-model-optimization)."""

from __future__ import annotations

from . import _tfmot_qat


class KerasPcqat(_tfmot_qat.QatPass):
    """See :class:`workbench.passes.base.Pass`."""

    name = "keras-pcqat"
    title = "QAT, zeros and clusters kept"
    summary = ("PCQAT: quantization-aware training of a pruned and then clustered model that keeps both, for the INT8 "
               "model that compresses best.")
    requires = frozenset({"sparse", "clustered"})
    keeps_zeros = True
    keeps_clusters = True
