"""How much each removable unit of a Keras network matters, and which ones go.

Measures: L1 norm of the weights (https://arxiv.org/abs/1608.08710), scale of the batch normalization behind
(https://arxiv.org/abs/1708.06519), first-order Taylor expansion of the loss (https://arxiv.org/abs/1906.10771), and
what a unit hands on: its mean activation times the weights that read it (as in https://arxiv.org/abs/2306.11695).
Each layer's figures are divided by their mean, so that layers can be added and compared.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ._keras_channels import Group, Map

METHODS = ("activation", "l1", "bn-scale", "taylor")
_BATCH = 64
_LEAST = 0.1  # share of a layer that a network-wide choice leaves at least


def scores(model: Any, found: Map, method: str, inputs: list[np.ndarray] | None = None,
           labels: np.ndarray | None = None) -> np.ndarray:
    """Importance of every unit, indexed by root.

    Args:
        model: functional Keras 3 model.
        found: its channels.
        method: of :data:`METHODS`; where one says nothing about a unit (no batch norm behind it, say), the L1 norm
            stands in.
        inputs: samples in the order of the model's inputs, for 'activation' and 'taylor'.
        labels: whole numbers, for 'taylor'.
    """
    total = _Sum(found)
    if method == "bn-scale":
        for gamma, ids in found.norms:
            total.add(ids, np.abs(np.asarray(gamma)))
    elif method == "activation" and inputs:
        _activations(model, found, inputs, total)
    elif method == "taylor" and inputs:
        _taylor(model, found, inputs, labels, total)
    norms = _Sum(found)
    for producer in found.producers:
        for kernel, axis in producer.kernels:
            norms.add(producer.ids, _reduced(np.abs(np.asarray(kernel)), axis))
    return np.where(total.count > 0, total.mean(), norms.mean())


def choose(groups: list[Group], importance: np.ndarray, ratios: dict[str, float], ratio: float, *, scope: str,
           multiple: int) -> list[tuple[Group, np.ndarray]]:
    """The units to remove, group by group.

    Args:
        groups: of :meth:`Map.groups`.
        importance: by root.
        ratios: layer name -> share to remove, where the user gave one; it holds for layers that are tied to it.
        ratio: share to remove elsewhere.
        scope: 'layer' takes the same share of every group, 'network' the least important wherever they are.
        multiple: what is left of a group is rounded to a multiple of this, heads excepted.
    """
    own = [next((ratios[n] for n in g.layers if n in ratios), None) for g in groups]
    free = [g for g, r in zip(groups, own, strict=True) if r is None]
    limit = -np.inf
    if scope == "network" and free and ratio > 0:
        pooled = np.sort(np.concatenate([importance[g.roots] for g in free]))
        limit = pooled[min(len(pooled) - 1, round(ratio * len(pooled)))]
    chosen = []
    for group, share in zip(groups, own, strict=True):
        count = len(group.roots)
        keep = count - round((ratio if share is None else share) * count)
        if share is None and scope == "network":
            keep = max(int((importance[group.roots] >= limit).sum()), round(_LEAST * count))
        keep = _rounded(max(1, keep), count, 1 if group.what == "heads" else multiple)
        worst_first = group.roots[np.argsort(importance[group.roots], kind="stable")]
        chosen.append((group, worst_first[:count - keep]))
    return chosen


def _rounded(keep: int, count: int, multiple: int) -> int:
    """The nearest multiple; small groups are cut as asked."""
    if keep == count or count < 2 * multiple:
        return keep
    return min(count, max(multiple, round(keep / multiple) * multiple))


class _Sum:
    """Adds up figures of channels by unit, each layer's divided by their mean."""

    def __init__(self, found: Map) -> None:
        self._channels = found.channels
        self.total, self.count = np.zeros(len(found.channels)), np.zeros(len(found.channels))

    def add(self, ids: np.ndarray, values: np.ndarray) -> None:
        roots, mean = self._channels.roots(ids), float(np.mean(values)) or 1.0
        np.add.at(self.total, roots, values / mean)
        np.add.at(self.count, roots, 1)

    def mean(self) -> np.ndarray:
        return self.total / np.maximum(self.count, 1)


def _reduced(array: np.ndarray, axis: int) -> np.ndarray:
    return array.sum(axis=tuple(a for a in range(array.ndim) if a != axis % array.ndim))


def _activations(model: Any, found: Map, inputs: list[np.ndarray], total: _Sum) -> None:
    import keras

    inside = {id(t) for nodes in model._nodes_by_depth.values() for n in nodes for t in n.output_tensors}
    readers = [c for c in found.consumers if id(c.tensor) in inside]  # not those in nested models
    if not readers:
        return
    probe = keras.Model(model.inputs, [c.tensor for c in readers])
    sums = [0.0] * len(readers)
    for start in range(0, len(inputs[0]), _BATCH):
        outputs = probe([a[start:start + _BATCH] for a in inputs], training=False)
        for i, array in enumerate(outputs):
            sums[i] = sums[i] + _reduced(np.abs(np.asarray(array, np.float32)), -1)
    for reader, activation in zip(readers, sums, strict=True):
        total.add(reader.ids, activation * _reduced(np.abs(np.asarray(reader.kernel)), reader.axis))


def _taylor(model: Any, found: Map, inputs: list[np.ndarray], labels: np.ndarray, total: _Sum) -> None:
    """Sum over a unit's weights, its batch norm's included, of (gradient times weight) squared, over all batches."""
    import tensorflow as tf
    from keras import losses

    parts = [(kernel, axis, p.ids) for p in found.producers for kernel, axis in p.kernels]
    parts += [(gamma, 0, ids) for gamma, ids in found.norms]
    loss = losses.SparseCategoricalCrossentropy(from_logits=_gives_logits(model))
    sums = [0.0] * len(parts)
    for start in range(0, len(inputs[0]), _BATCH):
        batch = [a[start:start + _BATCH] for a in inputs]
        with tf.GradientTape() as tape:
            answer = model(batch if len(batch) > 1 else batch[0], training=False)
            value = loss(labels[start:start + _BATCH], answer)
        slopes = tape.gradient(value, [k.value for k, _, _ in parts])
        for i, ((kernel, axis, _), slope) in enumerate(zip(parts, slopes, strict=True)):
            if slope is not None:
                dense = np.asarray(tf.convert_to_tensor(slope))
                sums[i] = sums[i] + _reduced((dense * np.asarray(kernel)) ** 2, axis)
    for (_, _, ids), values in zip(parts, sums, strict=True):
        if np.ndim(values):
            total.add(ids, np.sqrt(values))


def _gives_logits(model: Any) -> bool:
    last = model.outputs[0]._keras_history.operation
    return getattr(getattr(last, "activation", None), "__name__", "") != "softmax" and type(last).__name__ != "Softmax"
