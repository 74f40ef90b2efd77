"""A multilayer perceptron by hand: forward pass, losses, and the gradients derived in notebook 09.

    z_1 = x W_1 + b_1,  a_1 = max(0, z_1),  ...,  p = softmax(z_L)

Rows are samples; all arithmetic is float64, so that a check against automatic differentiation can be strict.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..errors import InputError
from ..measure import stats

Layer = tuple[np.ndarray, np.ndarray]  # weights [in, out], biases [out]
Params = tuple[Layer, ...]
LOSSES = ("cross-entropy", "mse")


class Trace(NamedTuple):
    """What a forward pass computed.

    Attributes:
        activations: input of each layer, [samples, units]; the first is ``x``.
        sums: ``a W + b`` of each layer.
        probabilities: softmax of the last sums, [samples, classes].
    """

    activations: tuple[np.ndarray, ...]
    sums: tuple[np.ndarray, ...]
    probabilities: np.ndarray


class Scores(NamedTuple):
    """Share of right answers and the two that look at one class; each with a 95 % interval.

    Attributes:
        accuracy: (value, low, high); Wilson's interval.
        precision: right among those called positive.
        recall: found among the positive; Wilson's interval.
        f1: harmonic mean of precision and recall; bootstrap over samples.
        confusion: [actual, predicted] counts.
    """

    accuracy: tuple[float, float, float]
    precision: tuple[float, float, float]
    recall: tuple[float, float, float]
    f1: tuple[float, float, float]
    confusion: np.ndarray


def init(sizes: tuple[int, ...], seed: int = 0) -> Params:
    """He-normal weights and zero biases.

    Args:
        sizes: units of each layer, the input's first, e.g. (10, 64, 32, 2).
        seed: of the weights.

    Source: He et al., Delving Deep into Rectifiers, ICCV 2015.
    """
    rng = np.random.default_rng(seed)
    return tuple((rng.normal(0, np.sqrt(2 / n), (n, m)), np.zeros(m))
                 for n, m in zip(sizes[:-1], sizes[1:], strict=True))


def softmax(z: np.ndarray) -> np.ndarray:
    """exp(z) over its sum, by row; the largest is taken off first, which changes nothing but the overflow."""
    e = np.exp(z - z.real.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def forward(params: Params, x: np.ndarray) -> Trace:
    """One forward pass.

    Args:
        params: see :func:`init`.
        x: [samples, features].
    """
    activations, sums = [np.asarray(x)], []
    for index, (w, b) in enumerate(params):
        z = activations[-1] @ w + b
        sums.append(z)
        if index < len(params) - 1:
            activations.append(z * (z.real > 0))
    return Trace(tuple(activations), tuple(sums), softmax(sums[-1]))


def loss(params: Params, x: np.ndarray, labels: np.ndarray, kind: str = "cross-entropy") -> float:
    """Mean loss over the samples.

    Args:
        params: see :func:`init`.
        x: [samples, features].
        labels: int [samples].
        kind: 'cross-entropy' (-log p of the right class) or 'mse' (mean squared distance of p to the one-hot label,
            over classes too).
    """
    return loss_of(forward(params, x).probabilities, labels, kind)


def loss_of(p: np.ndarray, labels: np.ndarray, kind: str = "cross-entropy") -> float:
    """:func:`loss` of probabilities that are already there, [samples, classes]."""
    if _known(kind) == "mse":
        return ((p - onehot(labels, p.shape[1])) ** 2).mean()
    return -np.log(p[np.arange(len(p)), labels]).mean()


def onehot(labels: np.ndarray, classes: int) -> np.ndarray:
    """Labels as rows with a single 1."""
    return np.eye(classes)[labels]


def gradients(params: Params, x: np.ndarray, labels: np.ndarray, kind: str = "cross-entropy") -> Params:
    """The derivative of :func:`loss` by every weight and bias, in the shape of ``params``.

    With cross-entropy the derivative at the last sums is (p - y) / n; with MSE it is
    p * (g - sum(g * p)) with g = 2 (p - y) / (n classes). From there backwards: dW = a^T d, db = sum of d,
    d of the layer before = (d W^T) where its sum was positive.
    """
    return backward(params, forward(params, x), labels, kind)


def backward(params: Params, trace: Trace, labels: np.ndarray, kind: str = "cross-entropy") -> Params:
    """:func:`gradients` after a forward pass that is already there."""
    p = trace.probabilities
    delta = (p - onehot(labels, p.shape[1])) / len(p)
    if _known(kind) == "mse":
        g = 2 * delta / p.shape[1]
        delta = p * (g - (g * p).sum(axis=1, keepdims=True))
    found: list[Layer] = []
    for index in range(len(params) - 1, -1, -1):
        found.insert(0, (trace.activations[index].T @ delta, delta.sum(axis=0)))
        if index:
            delta = (delta @ params[index][0].T) * (trace.sums[index - 1] > 0)
    return tuple(found)


def flatten(params: Params) -> np.ndarray:
    """All weights and biases as one vector, layer by layer."""
    return np.concatenate([part.ravel() for layer in params for part in layer])


def unflatten(vector: np.ndarray, like: Params) -> Params:
    """The inverse of :func:`flatten`."""
    found, at = [], 0
    for w, b in like:
        end = at + w.size
        found.append((vector[at:end].reshape(w.shape), vector[end:end + b.size]))
        at = end + b.size
    return tuple(found)


def complex_step(params: Params, x: np.ndarray, labels: np.ndarray, indices: np.ndarray,
                 kind: str = "cross-entropy", step: float = 1e-30) -> np.ndarray:
    """Derivatives by numbers alone: Im f(w + ih) / h, which has no rounding error to speak of.

    Args:
        params: see :func:`init`.
        x: [samples, features].
        labels: int [samples].
        indices: places in the flat vector.
        kind: of the loss.
        step: h; it may be tiny, because nothing is subtracted.

    Source: Squire and Trapp, Using complex variables to estimate derivatives, SIAM Review 40 (1998).
    """
    base, found = flatten(params).astype(complex), []
    for index in indices:
        moved = base.copy()
        moved[index] += 1j * step
        found.append(np.imag(loss(unflatten(moved, params), x, labels, kind)) / step)
    return np.asarray(found)


def scores(predicted: np.ndarray, labels: np.ndarray, positive: int = 1, seed: int = 0) -> Scores:
    """Accuracy, precision, recall and F1 of a two-class answer, with intervals.

    Args:
        predicted: int [samples].
        labels: int [samples].
        positive: the class that recall asks for.
        seed: of the bootstrap.
    """
    said, real = predicted == positive, labels == positive
    hits = int((said & real).sum())
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(labels), (1000, len(labels)))
    low, high = np.percentile(_f1(said[draws], real[draws]), (2.5, 97.5))
    confusion = np.array([[(~real & ~said).sum(), (~real & said).sum()], [(real & ~said).sum(), hits]])
    return Scores(_share(int((predicted == labels).sum()), len(labels)), _share(hits, int(said.sum())),
                  _share(hits, int(real.sum())), (float(_f1(said, real)), float(low), float(high)), confusion)


def _f1(said: np.ndarray, real: np.ndarray) -> np.ndarray:
    hits = (said & real).sum(axis=-1)
    return 2 * hits / np.maximum(1, said.sum(axis=-1) + real.sum(axis=-1))


def _share(k: int, n: int) -> tuple[float, float, float]:
    low, high = stats.proportion_interval(k, n)
    return (k / n if n else 0.0, low, high)


def _known(kind: str) -> str:
    if kind not in LOSSES:
        raise InputError(f"unknown loss '{kind}'; allowed: {', '.join(LOSSES)}")
    return kind
