"""Unstructured magnitude pruning with fine-tuning (tensorflow-model-optimization)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..model import Model
from ..settings import setting
from . import _tfmot, _tfmot_prune
from .base import PassContext, PassResult

_KINDS = ("Dense", "Conv2D", "Conv1D", "Conv3D", "Conv2DTranspose", "SeparableConv2D", "SeparableConv1D", "Embedding",
          "MultiHeadAttention")


@dataclass(frozen=True)
class Settings(_tfmot_prune.PruningSettings):
    """How much is pruned, and when."""

    sparsity: float = setting(0.75, "Share of the weights of each layer that becomes zero: more compresses better and "
                              "costs accuracy", low=0.05, high=0.98)
    schedule: str = setting("polynomial", "How it gets there: polynomial rises step by step and keeps more accuracy, "
                            "constant prunes at once", choices=("polynomial", "constant"))
    begin: float = setting(0.0, "When pruning begins, as a share of the training", low=0.0, high=0.9, advanced=True)
    end: float = setting(0.6, "When a polynomial schedule reaches its target, as a share of the training; the rest "
                         "recovers accuracy", low=0.05, high=0.95, advanced=True)
    power: int = setting(3, "Exponent of the polynomial schedule: higher prunes more at the beginning", low=1, high=6,
                         advanced=True)


class KerasPruneMagnitude(_tfmot.TfmotPass):
    """See :class:`workbench.passes.base.Pass`."""

    name = "keras-prune-magnitude"
    title = "Magnitude pruning"
    group = "sparsity"
    summary = ("Sets the smallest weights of each layer to zero while fine-tuning: the file compresses far better, at "
               "the same speed, since zeros do not make dense kernels faster.")
    ensures = frozenset({"sparse"})
    excludes = _tfmot_prune.EXCLUDES
    Settings = Settings

    def why_not(self, model: Model, settings: Settings) -> str | None:
        """There must be kernels, and the schedule must end after it begins."""
        if settings.schedule == "polynomial" and settings.end <= settings.begin:
            return f"the schedule ends ({settings.end:g}) before it begins ({settings.begin:g}): raise 'end'"
        return _tfmot.why_not(model, _KINDS, "pruned")

    def apply(self, model: Model, settings: Settings, context: PassContext) -> PassResult:
        """See :meth:`workbench.passes.base.Pass.apply`."""
        def able(layer: Any) -> bool:
            return type(layer).__name__ in _KINDS

        def options(steps: int) -> tuple[dict[str, Any], int]:
            import tensorflow_model_optimization as tfmot

            begin = max(1, int(settings.begin * steps))
            if settings.schedule == "constant":
                schedule, end = _tfmot_prune.constant(tfmot, settings.sparsity, begin, steps)
            else:
                schedule, end = _tfmot_prune.polynomial(tfmot, settings.sparsity, begin,
                                                        max(begin + 1, int(settings.end * steps)), settings.power)
            return {"pruning_schedule": schedule}, end

        return _tfmot_prune.prune(model, settings, context, able=able, options=options, title="magnitude pruning")
