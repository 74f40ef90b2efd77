"""Magnitude pruning with fine-tuning: what the pruning passes share."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..model import Model, ModelFormat
from ..settings import setting
from . import _tfmot, _training
from .base import PassContext, PassResult

EXCLUDES = frozenset({"sparse", "clustered", "int8"})


@dataclass(frozen=True)
class PruningSettings(_training.TrainingSettings):
    """What every pruning pass can be told."""

    decay: str = setting("none", "Of the step size: cosine: falls to almost nothing by the last epoch; none: stays, "
                         "which recovers more after the last weights became zero", choices=("cosine", "none"),
                         advanced=True)
    skip: tuple = setting((), "Layers to leave dense, by name, e.g. the first and the last: they hold little and "
                          "matter most", advanced=True)


def prune(model: Model, settings: PruningSettings, context: PassContext, *, able: Callable[[Any], bool],
          options: Callable[[int], tuple[dict[str, Any], int]], title: str) -> PassResult:
    """Wraps layers, fine-tunes, takes the wrappers off and saves.

    Args:
        model: legacy Keras.
        settings: of the pass.
        context: of the pass.
        able: which layers can be pruned so.
        options: number of training steps -> arguments of ``prune_low_magnitude``, and the step that ends the schedule.
        title: for the notes: 'magnitude pruning'.
    """
    opened = _tfmot.open_model(model, settings, context)
    import tensorflow_model_optimization as tfmot
    import tf_keras

    names = _tfmot.chosen(opened.network, settings.skip, able)
    per_epoch = math.ceil(len(opened.taught.inputs[0]) / settings.batch_size)
    arguments, end = options(per_epoch * settings.epochs)
    wrap = tfmot.sparsity.keras.prune_low_magnitude
    wrapped = tf_keras.models.clone_model(opened.network, clone_function=lambda layer: (
        wrap(layer, **arguments) if layer.name in names else layer))
    first = min(settings.epochs, math.ceil((end + 1) / per_epoch))  # earlier weights are not sparse enough
    fitted = _training.fit(tf_keras, wrapped, opened.taught, settings, context, first_keepable=first,
                           callbacks=[tfmot.sparsity.keras.UpdatePruningStep()])
    context.progress(0.92, "taking the pruning wrappers off")
    for layer in wrapped.layers:  # the wrappers share their layers with the original model, so its weights are pruned
        if hasattr(layer, "pruning_obj") and layer.pruning_obj:
            layer.pruning_obj.weight_mask_op()
    found = _tfmot.sparsity(opened.network)
    path = _tfmot.save(opened.network, context)
    notes = [f"{100 * found['']:.1f} % of all kernel weights are zero ({title}, {len(names)} layers)", *fitted.notes,
             _tfmot.left_alone(opened.network, names), _tfmot.SLOW_ZEROS]
    return PassResult(path, ModelFormat.KERAS2, tuple(filter(None, notes)),
                      {"training": fitted.curves, "sparsity": found, "layers": names})


def constant(tfmot: Any, sparsity: float, begin: int, steps: int) -> tuple[Any, int]:
    """A schedule that goes to the target at once at step ``begin``, and the step when it has."""
    return tfmot.sparsity.keras.ConstantSparsity(sparsity, begin, frequency=max(1, steps // 20)), begin


def polynomial(tfmot: Any, sparsity: float, begin: int, end: int, power: int) -> tuple[Any, int]:
    """A schedule that rises to the target between two steps, and the step when it is there.

    Zhu and Gupta, 'To prune, or not to prune', https://arxiv.org/abs/1710.01878
    """
    frequency = max(1, (end - begin) // 20)
    end = begin + max(1, (end - begin) // frequency) * frequency  # the last update must fall on the last step
    return tfmot.sparsity.keras.PolynomialDecay(0.0, sparsity, begin, end, power=power, frequency=frequency), end
