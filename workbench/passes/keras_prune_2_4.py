"""2:4 sparsity: two zeros in every four weights along the input channels (tensorflow-model-optimization)."""

from __future__ import annotations

from typing import Any

from ..model import Model
from . import _tfmot, _tfmot_prune
from .base import PassContext, PassResult

_KINDS = ("Dense", "Conv2D")
_GROUP = 4


class KerasPrune24(_tfmot.TfmotPass):
    """See :class:`workbench.passes.base.Pass`."""

    name = "keras-prune-2-4"
    title = "2:4 sparsity"
    group = "sparsity"
    summary = ("Zeroes the two smallest of every four weights along the input channels while fine-tuning: what sparse "
               "tensor cores of GPUs take; on a CPU it only compresses better.")
    ensures = frozenset({"sparse", "sparse-2-4"})
    excludes = _tfmot_prune.EXCLUDES
    Settings = _tfmot_prune.PruningSettings

    def why_not(self, model: Model, settings: _tfmot_prune.PruningSettings) -> str | None:
        """There must be dense layers or convolutions."""
        return _tfmot.why_not(model, _KINDS, "pruned 2:4")

    def apply(self, model: Model, settings: _tfmot_prune.PruningSettings, context: PassContext) -> PassResult:
        """See :meth:`workbench.passes.base.Pass.apply`."""
        def options(steps: int) -> tuple[dict[str, Any], int]:
            import tensorflow_model_optimization as tfmot

            schedule, _ = _tfmot_prune.constant(tfmot, 0.5, 1, steps)
            return {"pruning_schedule": schedule, "sparsity_m_by_n": (2, _GROUP)}, 1

        return _tfmot_prune.prune(model, settings, context, able=_able, options=options, title="2:4 sparsity")


def _able(layer: Any) -> bool:
    """A group of four must fit in the input channels, or padding would take the place of pruned weights."""
    return type(layer).__name__ in _KINDS and layer.kernel.shape[-2] % _GROUP == 0
