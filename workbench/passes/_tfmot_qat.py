"""Quantization-aware training: what the plain pass and those that keep zeros or clusters share.

The artefact is a legacy Keras model with fake quantization; a conversion makes real INT8 of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import NotApplicable
from ..model import Model
from ..settings import setting
from . import _tf_export, _tfmot, _training
from .base import PassContext, PassResult

_ACTIVATIONS = ("linear", "relu", "softmax", "sigmoid", "tanh", "swish", "silu", "gelu")
_WITH_NORM = ("Conv2D", "DepthwiseConv2D", "Dense")  # a normalization after these is folded into them
_KEEPS = ("Conv2D", "Dense")  # layers whose zeros or clusters can be kept
_SPARSE, _MANY = 0.1, 300  # share of zeros of a pruned model; distinct values of one that is not clustered
KINDS = ("Dense", "Conv2D", "DepthwiseConv2D", "Conv2DTranspose")


@dataclass(frozen=True)
class Settings(_training.TrainingSettings):
    """How a model learns to be quantized."""

    epochs: int = setting(3, "Passes over the training samples: more recover more accuracy", low=1, high=200)
    learning_rate: float = setting(2e-4, "Step size of Adam: about a tenth of what the original training took",
                                   low=1e-7, high=0.1)
    skip: tuple = setting((), "Layers to leave in float, by name", advanced=True)


class QatPass(_tfmot.TfmotPass):
    """Base of the four passes: see :class:`workbench.passes.base.Pass`."""

    group = "training"
    ensures = frozenset({"int8", "qat"})
    excludes = frozenset({"int8"})
    Settings = Settings
    keeps_zeros = False
    keeps_clusters = False

    def why_not(self, model: Model, settings: Settings) -> str | None:
        """There must be layers that 8-bit training knows."""
        return _tfmot.why_not(model, KINDS, "trained for INT8")

    def apply(self, model: Model, settings: Settings, context: PassContext) -> PassResult:
        """See :meth:`workbench.passes.base.Pass.apply`."""
        opened = _tfmot.open_model(model, settings, context)
        import tf_keras

        if self.keeps_zeros and _tfmot.sparsity(opened.network)[""] < _SPARSE:
            raise NotApplicable("the model holds hardly any zeros to keep: prune it more, or use plain QAT")
        if self.keeps_clusters and not any(_clustered(opened.before.values())):
            raise NotApplicable("no layer of the model is clustered: cluster it first, or use plain QAT")
        context.progress(0.07, "adding fake quantization")
        names = _names(opened.network, settings.skip, self.keeps_zeros or self.keeps_clusters)
        network = _quantized(opened.network, names, _scheme(self.keeps_zeros, self.keeps_clusters))
        kept = _zeros(network, opened.before) if self.keeps_zeros else []
        # tfmot hides the zeros from the forward pass only; the weights themselves must stay zero too.
        hold = tf_keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: _hold(kept))
        fitted = _training.fit(tf_keras, network, opened.taught, settings, context, callbacks=[hold] if kept else [])
        context.progress(0.92, "writing the model")
        plain = network
        if self.keeps_zeros or self.keeps_clusters:
            plain = _quantized(opened.network, names, None)
            _copy(network, plain)
            _hold(_zeros(plain, opened.before) if self.keeps_zeros else [])
        after = _tfmot.sparsity(plain)
        details = {"training": fitted.curves, "sparsity": after, "layers": names, "values": _values(plain)}
        path = _tfmot.save(plain, context)
        _check_saved(path, plain, opened.taught.val_inputs)
        return PassResult(path, self.produces, tuple(filter(None, self._notes(opened, names, fitted, after))), details)

    def _notes(self, opened: _tfmot.Opened, names: list[str], fitted: _training.Fitted,
               after: dict[str, float]) -> list[str]:
        before = _tfmot.sparsity(opened.network)[""]
        heavy = [layer.name for layer, _ in _tfmot.kernels(opened.network)]
        done = [n for n in heavy if n in names]
        zeros = f"{100 * after['']:.1f} % of the kernel weights are zero, {100 * before:.1f} % were"
        if before > _SPARSE and not self.keeps_zeros and after[""] < before - 0.05:
            zeros += ": use PQAT to keep them"
        return [f"{len(done)} of {len(heavy)} layers with kernels learnt to be INT8", *fitted.notes,
                zeros if before > _SPARSE else "", _tfmot.left_alone(opened.network, names),
                "on TensorFlow this only imitates INT8, slowly: choose LiteRT or ONNX Runtime to run real INT8"]


def _scheme(zeros: bool, clusters: bool) -> Any:
    from tensorflow_model_optimization.python.core.quantization.keras.collab_opts.cluster_preserve import (
        default_8bit_cluster_preserve_quantize_scheme as cluster_scheme,
    )
    from tensorflow_model_optimization.python.core.quantization.keras.collab_opts.prune_preserve import (
        default_8bit_prune_preserve_quantize_scheme as prune_scheme,
    )

    if clusters:
        return cluster_scheme.Default8BitClusterPreserveQuantizeScheme(preserve_sparsity=zeros)
    return prune_scheme.Default8BitPrunePreserveQuantizeScheme() if zeros else None


def _names(network: Any, skip: tuple[str, ...], keeping: bool) -> list[str]:
    """Layers that 8-bit training knows, and the normalizations that are folded into them."""
    from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
        default_8bit_quantize_registry as registry,
    )

    known = registry.Default8BitQuantizeRegistry()

    def able(layer: Any) -> bool:
        if layer.weights and keeping and type(layer).__name__ not in (*_KEEPS, "DepthwiseConv2D"):
            return False
        activation = getattr(layer, "activation", None)
        return known.supports(layer) and (activation is None or activation.__name__ in _ACTIVATIONS)

    found = _tfmot.chosen(network, skip, able)
    if not any(network.get_layer(n).weights for n in found):
        raise NotApplicable(f"no layer with weights is of a kind that 8-bit training knows ({', '.join(KINDS)})")
    norms = [layer.name for layer in network.layers
             if type(layer).__name__ == "BatchNormalization" and layer.name not in skip and _follows(layer, found)]
    return [layer.name for layer in network.layers if layer.name in {*found, *norms}]


def _follows(norm: Any, names: list[str]) -> bool:
    """Whether a normalization comes right after a quantized convolution or dense layer."""
    nodes = norm._inbound_nodes
    before = nodes[0].inbound_layers if len(nodes) == 1 else None
    return (hasattr(before, "name") and before.name in names and type(before).__name__ in _WITH_NORM
            and len(before._outbound_nodes) == 1)


def _quantized(network: Any, names: list[str], scheme: Any) -> Any:
    """A copy of the network with fake quantization; the names stay."""
    import tensorflow_model_optimization as tfmot
    import tf_keras

    keras = tfmot.quantization.keras
    annotated = tf_keras.models.clone_model(network, clone_function=lambda layer: (
        keras.quantize_annotate_layer(layer) if layer.name in names else layer))
    options = {"scheme": scheme} if scheme is not None else {}
    try:
        with keras.quantize_scope():
            return keras.quantize_apply(annotated, quantized_layer_name_prefix="", **options)
    except (RuntimeError, ValueError) as error:
        raise NotApplicable(f"8-bit training cannot rebuild this model: {' '.join(str(error).split())[:200]}") from None


def _zeros(network: Any, before: dict[str, list[np.ndarray]]) -> list[tuple[Any, np.ndarray]]:
    """Kernel variables of a network with fake quantization, and where they were not zero."""
    found = []
    for layer in network.layers:
        variables, old = _tfmot.kernel_variables(layer), before.get(layer.name, [])
        if [tuple(v.shape) for v in variables] == [a.shape for a in old]:
            found += [(v, (a != 0).astype(a.dtype)) for v, a in zip(variables, old, strict=True) if (a == 0).any()]
    return found


def _hold(masks: list[tuple[Any, np.ndarray]]) -> None:
    for variable, mask in masks:
        variable.assign(variable * mask)


def _copy(source: Any, target: Any) -> None:
    """Weights of the trained network into one without the extras that kept zeros or clusters."""
    for trained, layer in zip(source.layers, target.layers, strict=True):  # names of helper layers are counted up
        given = {_last(w.name, trained.name): w for w in trained.weights}
        if len(given) < len(trained.weights):  # attention: a kernel in each of its parts; such layers stay in float
            layer.set_weights(trained.get_weights())
            continue
        missing = [w.name for w in layer.weights if _last(w.name, layer.name) not in given]
        if missing:
            raise NotApplicable(f"'{missing[0]}' was lost in training")
        layer.set_weights([given[_last(w.name, layer.name)].numpy() for w in layer.weights])


def _last(name: str, layer: str) -> str:
    return name.split("/")[-1].split(":")[0].removeprefix(layer)


def _clustered(kernels: Any) -> list[bool]:
    return [len(np.unique(k)) < min(_MANY, k.size) for arrays in kernels for k in arrays]


def _values(network: Any) -> dict[str, int]:
    """Distinct values in the kernels of each layer."""
    return {layer.name: max(len(np.unique(k)) for k in arrays) for layer, arrays in _tfmot.kernels(network)}


def _check_saved(path: Any, network: Any, inputs: list[np.ndarray]) -> None:
    """The file must answer as the trained model does.

    Raises:
        NotApplicable: it does not.
    """
    import tensorflow_model_optimization as tfmot
    import tf_keras

    with tfmot.quantization.keras.quantize_scope():
        again = tf_keras.models.load_model(path, compile=False)
    given = [a[:8] for a in inputs]
    ours, theirs = (_tf_export._flat(m(given if len(given) > 1 else given[0], training=False))
                    for m in (network, again))
    if any(not np.allclose(a.numpy(), b.numpy(), atol=1e-4) for a, b in zip(ours, theirs, strict=True)):
        raise NotApplicable("the saved model answers differently from the trained one; leave the pass out")
