"""Block sparsity: whole blocks of a dense layer's weights become zero (tensorflow-model-optimization)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..model import Model
from ..settings import setting
from . import _tfmot, _tfmot_prune
from .base import PassContext, PassResult

_KINDS = ("Dense",)


@dataclass(frozen=True)
class Settings(_tfmot_prune.PruningSettings):
    """How large the blocks are, and how many go."""

    sparsity: float = setting(0.6, "Share of the blocks of each layer that becomes zero", low=0.05, high=0.98)
    block: str = setting("1x4", "Inputs x outputs of one block: larger suits sparse kernels better and costs more "
                         "accuracy", choices=("1x4", "4x1", "1x8", "4x4", "1x16", "16x1"))
    pooling: str = setting("mean", "What a block is judged by: the mean or the largest of its magnitudes",
                           choices=("mean", "max"), advanced=True)
    end: float = setting(0.6, "When the target is reached, as a share of the training; the rest recovers accuracy",
                         low=0.05, high=0.95, advanced=True)


class KerasPruneBlock(_tfmot.TfmotPass):
    """See :class:`workbench.passes.base.Pass`."""

    name = "keras-prune-block"
    title = "Block sparsity"
    group = "sparsity"
    summary = ("Zeroes whole blocks of the weights of dense layers while fine-tuning, for kernels that skip blocks; "
               "convolutions stay as they are, and dense kernels get no faster.")
    ensures = frozenset({"sparse"})
    excludes = _tfmot_prune.EXCLUDES
    Settings = Settings

    def why_not(self, model: Model, settings: Settings) -> str | None:
        """There must be dense layers."""
        return _tfmot.why_not(model, _KINDS, "pruned in blocks")

    def apply(self, model: Model, settings: Settings, context: PassContext) -> PassResult:
        """See :meth:`workbench.passes.base.Pass.apply`."""
        sides = tuple(int(n) for n in settings.block.split("x"))

        def able(layer: Any) -> bool:  # tfmot cannot prune a kernel that is one block wide
            return type(layer).__name__ in _KINDS and all(
                size > side for size, side in zip(layer.kernel.shape, sides, strict=True))

        def options(steps: int) -> tuple[dict[str, Any], int]:
            import tensorflow_model_optimization as tfmot

            schedule, end = _tfmot_prune.polynomial(tfmot, settings.sparsity, 1, max(2, int(settings.end * steps)), 3)
            return {"pruning_schedule": schedule, "block_size": sides,
                    "block_pooling_type": "AVG" if settings.pooling == "mean" else "MAX"}, end

        return _tfmot_prune.prune(model, settings, context, able=able, options=options,
                                  title=f"blocks of {settings.block}")
