"""Gradient descent and Adam, every step of them kept to be looked at."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from . import mlp


class Descent(NamedTuple):
    """w <- w - rate * g."""

    rate: float = 0.5


class Adam(NamedTuple):
    """Kingma and Ba, Adam: a method for stochastic optimization, ICLR 2015, algorithm 1.

    Attributes:
        rate: step size.
        beta1: how long the mean of the gradients remembers.
        beta2: how long the mean of their squares remembers.
        epsilon: keeps the division defined.
        correct: whether the means, which start at 0, are corrected for that.
    """

    rate: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    correct: bool = True


class State(NamedTuple):
    """Adam after a step.

    Attributes:
        step: counted from 1.
        mean: m, exponential mean of the gradients.
        square: v, exponential mean of their squares.
        mean_corrected: m / (1 - beta1^step).
        square_corrected: v / (1 - beta2^step).
        update: what is taken off the weights.
    """

    step: int
    mean: np.ndarray
    square: np.ndarray
    mean_corrected: np.ndarray
    square_corrected: np.ndarray
    update: np.ndarray


class Run(NamedTuple):
    """A training.

    Attributes:
        losses: training loss before each step and after the last, [steps + 1].
        held_out: loss on the other samples, the same way; empty when there were none.
        weights: the flat parameters after the last step.
        gradient: of one watched weight at each step, [steps].
        mean: Adam's m of the watched weight, corrected if asked for; empty for gradient descent.
        square: the same of v.
        update: what was taken off the watched weight at each step, [steps].
    """

    losses: np.ndarray
    held_out: np.ndarray
    weights: np.ndarray
    gradient: np.ndarray
    mean: np.ndarray
    square: np.ndarray
    update: np.ndarray


def adam_step(gradient: np.ndarray, before: State | None, of: Adam) -> State:
    """One step of Adam; ``before`` is None at the first."""
    zero = np.zeros_like(gradient)
    step = before.step + 1 if before else 1
    mean = of.beta1 * (before.mean if before else zero) + (1 - of.beta1) * gradient
    square = of.beta2 * (before.square if before else zero) + (1 - of.beta2) * gradient**2
    fair_mean = mean / (1 - of.beta1**step) if of.correct else mean
    fair_square = square / (1 - of.beta2**step) if of.correct else square
    return State(step, mean, square, fair_mean, fair_square, of.rate * fair_mean / (np.sqrt(fair_square) + of.epsilon))


def train(params: mlp.Params, x: np.ndarray, labels: np.ndarray, optimizer: Descent | Adam, steps: int, *,
          held: tuple[np.ndarray, np.ndarray] | None = None, watch: int = 0, kind: str = "cross-entropy",
          every: int = 1) -> Run:
    """Full-batch training, so that nothing but the optimizer differs between two runs.

    Args:
        params: where it starts.
        x: [samples, features].
        labels: int [samples].
        optimizer: with its settings.
        steps: how many.
        held: samples and labels that only judge.
        watch: place of the watched weight in the flat vector.
        kind: of the loss.
        every: the held-out loss is taken at every n-th step (and repeated in between).
    """
    weights, state = mlp.flatten(params), None
    losses, held_out, watched = [], [], []
    for step in range(steps):
        now = mlp.unflatten(weights, params)
        trace = mlp.forward(now, x)
        losses.append(mlp.loss_of(trace.probabilities, labels, kind))
        if held is not None:
            held_out.append(mlp.loss(now, *held, kind) if step % every == 0 else held_out[-1])
        gradient = mlp.flatten(mlp.backward(now, trace, labels, kind))
        if isinstance(optimizer, Adam):
            state = adam_step(gradient, state, optimizer)
            update = state.update
            row = (state.mean_corrected[watch], state.square_corrected[watch])
        else:
            update, row = optimizer.rate * gradient, ()
        watched.append((gradient[watch], update[watch], *row))
        weights = weights - update
    last = mlp.unflatten(weights, params)
    losses.append(mlp.loss(last, x, labels, kind))
    if held is not None:
        held_out.append(mlp.loss(last, *held, kind))
    columns = [np.asarray(c) for c in zip(*watched, strict=True)] if watched else [np.empty(0)] * 2
    mean, square = columns[2:] if len(columns) == 4 else (np.empty(0), np.empty(0))
    return Run(np.asarray(losses), np.asarray(held_out), weights, columns[0], mean, square, columns[1])
