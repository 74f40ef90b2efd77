"""Cluster-preserving quantization-aware training, CQAT (tensorflow-model-optimization)."""

from __future__ import annotations

from . import _tfmot_qat


class KerasCqat(_tfmot_qat.QatPass):
    """See :class:`workbench.passes.base.Pass`."""

    name = "keras-cqat"
    title = "QAT, clusters kept"
    summary = ("CQAT: quantization-aware training of a clustered model that keeps its few distinct values, for INT8 "
               "models that compress well.")
    requires = frozenset({"clustered"})
    keeps_clusters = True
