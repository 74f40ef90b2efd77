"""A smaller Keras network learns from labels and from the answers of a larger one.

The soft part compares both answers at a temperature, times its square so that its slope keeps its size:
https://arxiv.org/abs/1503.02531, section 2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..model import TensorSpec
from . import _keras_loss, _training
from .base import PassContext

_TINY = 1e-7


class Taught(NamedTuple):
    """Lessons whose targets hold labels and soft answers, and what compiles a network for them."""

    lessons: _training.Lessons
    compile_with: Callable[[Any], None]


def teach(teacher: Any, context: PassContext, specs: tuple[TensorSpec, ...], settings: _training.TrainingSettings, *,
          alpha: float, temperature: float) -> Taught:
    """Training samples with labels, where there are some, beside the teacher's answers.

    Args:
        teacher: the Keras 3 model that knows.
        context: of the pass.
        specs: inputs in the network's order.
        settings: of the pass.
        alpha: share of the loss that follows the teacher; without labels it is 1 whatever this says.
        temperature: above 1 the teacher's small probabilities count more.

    Raises:
        InputError, NotApplicable: as ``_training.lessons``.
    """
    lessons = _training.lessons(context, specs, teacher, settings)
    kind = lessons.goal.kinds[0]
    if kind in ("labels", "label logits", "binary", "binary logits"):
        for inputs, targets in ((lessons.inputs, lessons.targets), (lessons.val_inputs, lessons.val_targets)):
            answers = teacher.predict(_keras_loss.shaped(inputs), batch_size=256, verbose=0)
            soft = np.asarray(answers[0] if isinstance(answers, list | tuple) else answers)
            targets[0] = np.concatenate([targets[0].reshape(-1, 1), soft], axis=1).astype(np.float32)

    def compile_with(network: Any) -> None:
        import keras

        losses = [_loss(kind, alpha, temperature)]
        losses += [_loss(k, 1.0, temperature) for k in lessons.goal.kinds[1:]]
        measure = [_metric(kind)] if lessons.goal.measure else []
        single = len(losses) == 1
        network.compile(keras.optimizers.Adam(settings.learning_rate), loss=losses[0] if single else losses,
                        metrics=measure if single else [measure, *([] for _ in losses[1:])])

    return Taught(lessons, compile_with)


def _loss(kind: str, alpha: float, temperature: float) -> Any:
    """Loss of one output; the targets of labelled kinds are [label, the teacher's answer ...]."""
    import keras
    from keras import ops

    if kind == "values":
        return keras.losses.MeanSquaredError()
    if kind.startswith("binary"):
        entropy = keras.losses.BinaryCrossentropy(from_logits=kind.endswith("logits"))

        def binary(true: Any, said: Any) -> Any:
            soft = ops.sigmoid(true[:, 1:]) if kind.endswith("logits") else true[:, 1:]
            return (1.0 - alpha) * entropy(true[:, :1], said) + alpha * entropy(soft, said)

        return binary
    whole = kind.endswith("logits")

    def logits(answers: Any) -> Any:
        return answers if whole else ops.log(ops.clip(answers, _TINY, 1.0))

    def divergence(soft: Any, said: Any) -> Any:
        ours, theirs = (ops.log_softmax(logits(a) / temperature) for a in (said, soft))
        return temperature ** 2 * ops.sum(ops.exp(theirs) * (theirs - ours), axis=-1)

    def both(true: Any, said: Any) -> Any:
        hard = keras.losses.sparse_categorical_crossentropy(true[:, 0], said, from_logits=whole)
        return (1.0 - alpha) * hard + alpha * divergence(true[:, 1:], said)

    return divergence if kind == "distribution" else both


def _metric(kind: str) -> Any:
    """Share of right answers, or of answers like the teacher's."""
    from keras import ops

    if kind.startswith("binary"):
        middle = 0.0 if kind.endswith("logits") else 0.5

        def accuracy(true: Any, said: Any) -> Any:
            return ops.cast(ops.equal(true[:, :1] > 0.5, said > middle), "float32")
    elif kind == "distribution":
        def accuracy(true: Any, said: Any) -> Any:
            return ops.cast(ops.equal(ops.argmax(true, -1), ops.argmax(said, -1)), "float32")
    else:
        def accuracy(true: Any, said: Any) -> Any:
            return ops.cast(ops.equal(ops.cast(true[:, 0], "int64"), ops.cast(ops.argmax(said, -1), "int64")),
                            "float32")
    return accuracy
