"""Weight clustering with fine-tuning: each layer keeps a few distinct values (tensorflow-model-optimization)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import NotApplicable
from ..model import Model
from ..settings import setting
from . import _tfmot, _training
from .base import PassContext, PassResult

# Not MultiHeadAttention: tfmot gives its weights back in another order than the layer takes them.
_KINDS = ("Dense", "Conv2D", "Conv1D", "Conv3D", "Conv2DTranspose", "SeparableConv2D", "SeparableConv1D", "Embedding")
_INITS = {"density": "DENSITY_BASED", "linear": "LINEAR", "k-means++": "KMEANS_PLUS_PLUS", "random": "RANDOM"}
_SPARSE = 0.1  # share of zeros from which a model counts as pruned


@dataclass(frozen=True)
class Settings(_training.TrainingSettings):
    """How many values are kept, and how they are found."""

    clusters: int = setting(16, "Distinct values kept in each layer: fewer compress better and cost accuracy", low=2,
                            high=256)
    init: str = setting("density", "Where the first values come from: density follows the weights, linear spreads them "
                        "evenly, k-means++ is slowest and closest", choices=tuple(_INITS))
    keep_zeros: bool = setting(True, "Weights that pruning made zero stay zero")
    skip: tuple = setting((), "Layers to leave alone, by name", advanced=True)


class KerasCluster(_tfmot.TfmotPass):
    """See :class:`workbench.passes.base.Pass`."""

    name = "keras-cluster"
    title = "Weight clustering"
    group = "sparsity"
    summary = ("Replaces the weights of each layer by a few shared values while fine-tuning: the file compresses far "
               "better, at the same speed and size on disk.")
    ensures = frozenset({"clustered"})
    excludes = frozenset({"clustered", "int8"})
    Settings = Settings

    def why_not(self, model: Model, settings: Settings) -> str | None:
        """There must be kernels."""
        return _tfmot.why_not(model, _KINDS, "clustered")

    def apply(self, model: Model, settings: Settings, context: PassContext) -> PassResult:
        """See :meth:`workbench.passes.base.Pass.apply`."""
        opened = _tfmot.open_model(model, settings, context)
        import tf_keras

        names = _tfmot.chosen(opened.network, settings.skip, lambda layer: _able(layer, settings.clusters))
        zeros = _tfmot.sparsity(opened.network)[""]
        keep = settings.keep_zeros and zeros > _SPARSE
        context.progress(0.07, "finding the first cluster values")
        wrapped = _wrapped(opened.network, names, settings, keep)
        fitted = _training.fit(tf_keras, wrapped, opened.taught, settings, context)
        context.progress(0.92, "taking the clustering wrappers off")
        made = _stripped(wrapped, model)
        values = {layer.name: max(len(np.unique(k)) for k in arrays) for layer, arrays in _tfmot.kernels(made)
                  if layer.name in names}
        worst = max(values.values())
        if worst > settings.clusters + keep:
            raise NotApplicable(f"clustering left {worst} values in a layer instead of {settings.clusters}")
        after = _tfmot.sparsity(made)
        kept = f"{100 * after['']:.1f} % of the weights are zero, {100 * zeros:.1f} % were" if zeros > _SPARSE else ""
        notes = [f"at most {worst} distinct values in each of {len(names)} layers", *fitted.notes, kept,
                 _tfmot.left_alone(made, names),
                 "shared values do not make dense kernels faster: the gain is the size after compression"]
        details = {"training": fitted.curves, "values": values, "sparsity": after, "layers": names}
        return PassResult(_tfmot.save(made, context), self.produces, tuple(filter(None, notes)), details)


def _able(layer: Any, clusters: int) -> bool:
    """Kernels with fewer weights than clusters have nothing to share."""
    return type(layer).__name__ in _KINDS and all(
        int(np.prod(w.shape)) > clusters for w in layer.weights if len(w.shape) >= 2)


def _wrapped(network: Any, names: list[str], settings: Settings, keep_zeros: bool) -> Any:
    import tensorflow_model_optimization as tfmot
    import tf_keras
    from tensorflow_model_optimization.python.core.clustering.keras.experimental import cluster

    init = getattr(tfmot.clustering.keras.CentroidInitialization, _INITS[settings.init])
    # The public function lacks preserve_sparsity; this is the one that tfmot's guide on PCQAT names.
    return tf_keras.models.clone_model(network, clone_function=lambda layer: (
        cluster.cluster_weights(layer, number_of_clusters=settings.clusters, cluster_centroids_init=init,
                                preserve_sparsity=keep_zeros) if layer.name in names else layer))


def _stripped(wrapped: Any, model: Model) -> Any:
    """The model as it was, with the clustered weights."""
    import tensorflow_model_optimization as tfmot

    from . import _tf_export

    plain = tfmot.clustering.keras.strip_clustering(wrapped)
    fresh = _tf_export.load_keras(model)
    for layer in fresh.layers:
        if layer.weights:
            layer.set_weights(plain.get_layer(layer.name).get_weights())
    return fresh
