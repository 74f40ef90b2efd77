"""What the passes over tensorflow-model-optimization share: opening, fine-tuning, counting, saving.

https://www.tensorflow.org/model_optimization/guide (works on legacy Keras only)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import NotApplicable
from ..model import Model, ModelFormat
from . import _keras2_config, _tf_export, _training
from .base import Pass, PassContext

SLOW_ZEROS = "zeros do not make dense kernels faster: expect the same latency, and a smaller file once it is compressed"


class TfmotPass(Pass):
    """What all these passes have in common: a legacy Keras model in and out, and samples to train on."""

    accepts = (ModelFormat.KERAS2,)
    produces = ModelFormat.KERAS2
    needs_training = True
    packages = {"tensorflow_model_optimization": "pip install tensorflow-model-optimization",
                "tf_keras": "pip install tf-keras"}
    legacy_keras = True


class Opened(NamedTuple):
    """A legacy Keras model, what it shall learn, and its kernels as they were.

    Attributes:
        network: the model; its layers may be wrapped, its own structure stays.
        taught: training samples and targets.
        before: layer name -> kernels before training.
    """

    network: Any
    taught: _training.Lessons
    before: dict[str, list[np.ndarray]]


def open_model(model: Model, settings: _training.TrainingSettings, context: PassContext) -> Opened:
    """Loads the model and asks it for its answers before anything changes.

    Raises:
        NotApplicable: it is a subclassed model or holds another model.
        InputError: it cannot be loaded, or there are too few samples.
    """
    context.progress(0.01, "loading legacy Keras and the model")
    _tf_export._quiet()
    network = _tf_export.load_keras(model)
    if not getattr(network, "_is_graph_network", False):
        raise NotApplicable("it is a model of its own class: only functional and sequential models can be rebuilt")
    nested = [layer.name for layer in network.layers if hasattr(layer, "layers")]
    if nested:
        raise NotApplicable(f"'{nested[0]}' is a model inside the model: save it as one flat model")
    taught = _training.lessons(context, _training.input_specs(network, model), network, settings)
    return Opened(network, taught, {la.name: k for la, k in kernels(network)})


def save(network: Any, context: PassContext) -> Path:
    """Writes the model; HDF5, since it holds the wrappers of quantization-aware training too."""
    path = context.workdir / "model.h5"
    network.save(path, include_optimizer=False)
    return path


def kernels(network: Any) -> Iterator[tuple[Any, list[np.ndarray]]]:
    """Layers with kernels (weights of two axes or more that are no normalization), and the kernels."""
    for layer in network.layers:
        found = [w.numpy() for w in kernel_variables(layer)]
        if found:
            yield layer, found


def kernel_variables(layer: Any) -> list[Any]:
    """The kernels of one layer as variables; a wrapper of quantization-aware training has taken them from its layer."""
    if hasattr(layer, "_weight_vars"):
        return [variable for variable, _, _ in layer._weight_vars]
    if "Normalization" in type(layer).__name__:
        return []
    return [w for w in layer.weights if len(w.shape) >= 2]


def chosen(network: Any, skip: Sequence[str], able: Any) -> list[str]:
    """Names of the layers that a technique shall change.

    Args:
        network: the model.
        skip: names to leave alone.
        able: layer -> whether the technique can work on it.

    Raises:
        NotApplicable: no such layer is left, or a name in ``skip`` is not one of the model's.
    """
    names = [layer.name for layer in network.layers]
    unknown = [n for n in skip if n not in names]
    if unknown:
        raise NotApplicable(f"'skip' names the layer '{unknown[0]}', which the model does not have; it has "
                            f"{', '.join(la.name for la, _ in kernels(network))}")
    found = [layer.name for layer in network.layers if layer.name not in skip and able(layer)]
    if not found:
        raise NotApplicable("no layer of this model is of a kind that this technique works on")
    return found


def sparsity(network: Any) -> dict[str, float]:
    """Share of zeros in the kernels of each layer, and over all as ''."""
    found, zeros, total = {}, 0, 0
    for layer, arrays in kernels(network):
        mine, count = sum(int((a == 0).sum()) for a in arrays), sum(a.size for a in arrays)
        found[layer.name] = mine / count
        zeros, total = zeros + mine, total + count
    return {"": zeros / total if total else 0.0, **found}


def left_alone(network: Any, names: Sequence[str]) -> str:
    """'left as they were: a, b' over the layers with kernels that a technique did not change; '' when none."""
    others = [layer.name for layer, _ in kernels(network) if layer.name not in names]
    return f"left as they were: {', '.join(others[:6])}{', …' if len(others) > 6 else ''}" if others else ""


def why_not(model: Model, kinds: Sequence[str], what: str) -> str | None:
    """One sentence when the file holds no layer of these kinds, as far as can be told without Keras."""
    config = _keras2_config.read(Path(model.path))
    if config is None or any(la.get("class_name") in kinds for la in _keras2_config.layers(config)):
        return None
    return f"the model has no layer that can be {what} ({', '.join(kinds[:4])})"
