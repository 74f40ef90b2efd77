"""Process that differentiates the MLP automatically: ``python -m workbench.teaching.workers.autodiff REQUEST ANSWER``.

The framework loads here, never in the kernel.
"""

from __future__ import annotations

import os
import sys

import numpy as np


def tensorflow(layers: list, x: np.ndarray, labels: np.ndarray, kind: str) -> tuple[float, np.ndarray, list]:
    """Loss, probabilities and gradients by ``tf.GradientTape``, in float64."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    variables = [tf.Variable(a) for a in layers]
    with tf.GradientTape() as tape:
        a = tf.constant(x)
        for index in range(0, len(variables), 2):
            z = a @ variables[index] + variables[index + 1]
            a = tf.nn.relu(z)
        p = tf.nn.softmax(z)
        y = tf.one_hot(labels, p.shape[1], dtype=tf.float64)
        if kind == "mse":
            loss = tf.reduce_mean((p - y) ** 2)
        else:
            loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(y, z))
    return float(loss), p.numpy(), [g.numpy() for g in tape.gradient(loss, variables)]


def torch(layers: list, x: np.ndarray, labels: np.ndarray, kind: str) -> tuple[float, np.ndarray, list]:
    """The same by PyTorch's autograd."""
    import torch as t

    variables = [t.tensor(a, requires_grad=True) for a in layers]
    a = t.tensor(x)
    for index in range(0, len(variables), 2):
        z = a @ variables[index] + variables[index + 1]
        a = t.relu(z)
    p = t.softmax(z, dim=1)
    y = t.nn.functional.one_hot(t.tensor(labels), p.shape[1])
    loss = ((p - y) ** 2).mean() if kind == "mse" else t.nn.functional.cross_entropy(z, t.tensor(labels))
    loss.backward()
    return float(loss), p.detach().numpy(), [v.grad.numpy() for v in variables]


def main(request: str, answer: str) -> None:
    """Reads arrays, writes loss, probabilities and gradients."""
    with np.load(request) as given:
        layers = [given[f"layer{i}"] for i in range(int(given["count"]))]
        compute = {"tensorflow": tensorflow, "torch": torch}[str(given["framework"])]
        loss, p, found = compute(layers, given["x"], given["labels"], str(given["kind"]))
    np.savez(answer, loss=loss, probabilities=p, **{f"gradient{i}": g for i, g in enumerate(found)})


if __name__ == "__main__":
    main(*sys.argv[1:3])
