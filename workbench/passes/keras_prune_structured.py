"""Structured pruning: whole filters, units and attention heads leave the network, which is then fine-tuned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import feeds
from ..errors import NotApplicable
from ..model import Model, ModelFormat
from ..settings import SettingsBase, setting
from . import _keras_importance, _keras_layers, _keras_shrink, _keras_teaching, _tf_export, _training
from .base import Pass, PassContext, PassResult

JUDGED = 512  # samples that judge the filters
_SHOWN = 4


@dataclass(frozen=True)
class Removal(SettingsBase):
    """How much is removed, and by which measure."""

    ratio: float = setting(0.5, "Share of the filters, units and heads that go: more is smaller and faster, and harder "
                           "to recover from", low=0.0, high=0.95)
    importance: str = setting("activation", "What tells useless filters: activation: what they hand on, on data; "
                              "l1: size of their weights; bn-scale: scale of the batch norm behind; taylor: how much "
                              "the loss would change (needs labels)", choices=_keras_importance.METHODS)
    scope: str = setting("layer", "layer: the same share of every layer; network: the least important wherever they "
                         "are", choices=("layer", "network"))
    multiple: int = setting(8, "Filters left in a layer are a multiple of this: kernels compute in such blocks", low=1,
                            high=64, advanced=True)
    layer_ratios: tuple = setting((), "Shares of single layers, e.g. conv_1=0, dense=0.75; ratio holds for the others",
                                  advanced=True)
    teacher: float = setting(0.9, "Share of the fine-tuning that follows the original's answers, the rest the labels",
                             low=0.0, high=1.0, advanced=True)


@dataclass(frozen=True)
class Settings(_training.TrainingSettings, Removal):
    """How much is removed, by which measure, and how the rest is fine-tuned."""

    epochs: int = setting(8, "Passes over the training samples: what is left has much to learn anew", low=1, high=200)
    learning_rate: float = setting(3e-3, "First step size of Adam: larger than for other passes, since the layers must "
                                   "find new features", low=1e-6, high=0.1)
    patience: int = setting(0, "Stops early after so many epochs without a better validation loss; 0 never does, since "
                            "the last epochs, with small steps, gain most", low=0, high=100, advanced=True)


class KerasPruneStructured(Pass):
    """See :class:`workbench.passes.base.Pass`."""

    name = "keras-prune-structured"
    title = "Structured pruning"
    group = "sparsity"
    summary = ("Removes whole filters, units and heads and fine-tunes the rest: the network really gets smaller and "
               "faster on every runtime; costs accuracy, and minutes of training.")
    accepts = (ModelFormat.KERAS,)
    produces = ModelFormat.KERAS
    ensures = frozenset({"structured"})
    needs_training = True
    packages = {"tensorflow": "pip install tensorflow", "keras": "pip install keras"}
    Settings = Settings

    def why_not(self, model: Model, settings: Settings) -> str | None:
        """A model whose layers only its own code connects, or shares that cannot be read."""
        try:
            _shares(settings)
        except NotApplicable as error:
            return str(error)
        return _keras_shrink.why_not(model)

    def apply(self, model: Model, settings: Settings, context: PassContext) -> PassResult:
        """See :meth:`workbench.passes.base.Pass.apply`."""
        import keras

        reason = self.why_not(model, settings)
        if reason:
            raise NotApplicable(reason)
        context.progress(0.01, "loading the model")
        original = _keras_shrink.functional(_tf_export.load_keras(model))
        found = _keras_layers.trace(original)
        groups = removable(found)
        specs = _training.input_specs(original, model)
        context.progress(0.03, f"judging {sum(len(g.roots) for g in groups)} filters, units and heads")
        importance = _importance(original, found, specs, settings, context)
        chosen = _keras_importance.choose(groups, importance, _known(groups, _shares(settings)), settings.ratio,
                                          scope=settings.scope, multiple=settings.multiple)
        removed = np.concatenate([roots for _, roots in chosen])
        if not len(removed):
            raise NotApplicable("nothing is removed at these shares: raise ratio, or lower multiple")
        network = _keras_shrink.shrink(original, found, removed)
        taught = _keras_teaching.teach(original, context, specs, settings, alpha=settings.teacher, temperature=2.0)
        fitted = _training.fit(keras, network, taught.lessons, settings, context, compile_with=taught.compile_with)
        path = _keras_shrink.save(network, context.workdir / "model.keras")
        details = {**summary(original, network, chosen), "training": fitted.curves}
        kept = [f"kept whole: {layer}, because {why}" for layer, why in list(found.why_frozen().items())[:_SHOWN]
                if layer not in original.output_names and not any(layer in g.layers for g in groups)]
        return PassResult(path, self.produces, (*lines(details), *fitted.notes, *kept), details)


def removable(found: Any) -> list:
    """The groups of a network that can shrink.

    Raises:
        NotApplicable: there are none; says why for the first layers.
    """
    groups = found.groups()
    if groups:
        return groups
    why = "; ".join(f"{layer}: {reason}" for layer, reason in list(found.why_frozen().items())[:2])
    raise NotApplicable("no layer has filters or units that could go" + (f" ({why})" if why else ""))


def summary(original: Any, network: Any, chosen: list) -> dict[str, Any]:
    """Sizes before and after, in all and by group of layers."""
    layers = [{"layers": list(g.layers), "what": g.what, "before": len(g.roots), "after": len(g.roots) - len(gone)}
              for g, gone in chosen]
    return {"parameters_before": original.count_params(), "parameters_after": network.count_params(), "layers": layers}


def lines(details: dict[str, Any]) -> list[str]:
    """The same for people."""
    before, after = details["parameters_before"], details["parameters_after"]
    rows = [_row(**r) for r in details["layers"] if r["before"] != r["after"]]
    shown = ", ".join(rows[:_SHOWN]) + (f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else "")
    head = f"{after:,} parameters left of {before:,}, {before / max(after, 1):.1f}x fewer"
    return [head, shown] if rows else [head]


def _row(layers: list[str], what: str, before: int, after: int) -> str:
    tied = f" (and {len(layers) - 1} tied to it)" if len(layers) > 1 else ""
    return f"{layers[0]}{tied} {before} → {after} {what}"


def _shares(settings: Settings) -> dict[str, float]:
    """Layer name -> share, from 'name=0.5'.

    Raises:
        NotApplicable: an entry that does not read so.
    """
    found = {}
    for entry in settings.layer_ratios:
        name, _, value = entry.rpartition("=")
        try:
            share = float(value)
        except ValueError:
            share = -1.0
        if not name.strip() or not 0.0 <= share <= 0.99:
            raise NotApplicable(f"layer_ratios: '{entry}' is no layer=share with a share of 0 to 0.99")
        found[name.strip()] = share
    return found


def _known(groups: list, shares: dict[str, float]) -> dict[str, float]:
    names = [n for g in groups for n in g.layers]
    unknown = [n for n in shares if n not in names]
    if unknown:
        raise NotApplicable(f"layer_ratios: no layer '{unknown[0]}' with filters that can go; there are: "
                            f"{', '.join(dict.fromkeys(names))}")
    return shares


def _importance(network: Any, found: Any, specs: tuple, settings: Settings, context: PassContext) -> np.ndarray:
    labels = context.training_labels
    if settings.importance == "taylor" and labels is None:
        raise NotApplicable("importance 'taylor' needs labelled training samples: choose activation or l1")
    arrays = feeds.bind(context.training, specs) if context.training else {}
    inputs = [np.asarray(arrays[s.name])[:JUDGED] for s in specs] if arrays else None
    return _keras_importance.scores(network, found, settings.importance, inputs,
                                    None if labels is None else labels[:JUDGED])
