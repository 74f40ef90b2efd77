"""Distillation: a narrower copy of the network learns from the original's answers and from the labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import NotApplicable
from ..model import Model, ModelFormat
from ..settings import SettingsBase, setting
from . import _keras_importance, _keras_layers, _keras_shrink, _keras_teaching, _tf_export, _training
from .base import Pass, PassContext, PassResult
from .keras_prune_structured import lines, removable, summary


@dataclass(frozen=True)
class Student(SettingsBase):
    """How large the student is and whom it follows."""

    width: float = setting(0.5, "Width of the student: share of the teacher's filters, units and heads in every layer",
                           low=0.05, high=1.0)
    temperature: float = setting(3.0, "Above 1 the student also learns how the teacher ranks the wrong answers",
                                 low=1.0, high=20.0)
    alpha: float = setting(0.9, "Share of the loss that follows the teacher, the rest follows the labels; without "
                           "labels all of it", low=0.0, high=1.0)
    start: str = setting("teacher", "teacher: the student begins with the teacher's most important filters; fresh: "
                         "with random weights, which takes many more epochs", choices=("teacher", "fresh"))
    multiple: int = setting(8, "Filters of a layer are a multiple of this: kernels compute in such blocks", low=1,
                            high=64, advanced=True)


@dataclass(frozen=True)
class Settings(_training.TrainingSettings, Student):
    """How large the student is and how it learns."""

    epochs: int = setting(8, "Passes over the training samples: a student learns longer than a fine-tuned model", low=1,
                          high=200)


class KerasDistill(Pass):
    """See :class:`workbench.passes.base.Pass`."""

    name = "keras-distill"
    title = "Distillation"
    group = "training"
    summary = ("Trains a narrower student of the same architecture on the model's own answers: smaller and faster on "
               "every runtime, transformers included; takes minutes of training and needs no labels.")
    accepts = (ModelFormat.KERAS,)
    produces = ModelFormat.KERAS
    ensures = frozenset({"distilled"})
    needs_training = True
    packages = {"tensorflow": "pip install tensorflow", "keras": "pip install keras"}
    Settings = Settings

    def why_not(self, model: Model, settings: Settings) -> str | None:
        """A model whose layers only its own code connects."""
        return _keras_shrink.why_not(model)

    def apply(self, model: Model, settings: Settings, context: PassContext) -> PassResult:
        """See :meth:`workbench.passes.base.Pass.apply`."""
        import keras

        reason = self.why_not(model, settings)
        if reason:
            raise NotApplicable(reason)
        context.progress(0.01, "loading the teacher")
        teacher = _keras_shrink.functional(_tf_export.load_keras(model))
        found = _keras_layers.trace(teacher, exact=False)
        importance = _keras_importance.scores(teacher, found, "l1")
        chosen = _keras_importance.choose(removable(found), importance, {}, 1.0 - settings.width, scope="layer",
                                          multiple=settings.multiple)
        removed = np.concatenate([roots for _, roots in chosen])
        keras.utils.set_random_seed(settings.seed)
        student = _keras_shrink.shrink(teacher, found, removed, fresh=settings.start == "fresh")
        specs = _training.input_specs(teacher, model)
        taught = _keras_teaching.teach(teacher, context, specs, settings, alpha=settings.alpha,
                                       temperature=settings.temperature)
        before = _judged(keras, teacher, taught, settings)
        fitted = _training.fit(keras, student, taught.lessons, settings, context, compile_with=taught.compile_with)
        path = _keras_shrink.save(student, context.workdir / "model.keras")
        details = {**summary(teacher, student, chosen), "teacher": before, "training": fitted.curves}
        first, *others = lines(details)
        right = before.get("val_accuracy")
        measure = taught.lessons.goal.measure
        told = ([f"the teacher's validation accuracy is {100 * right:.1f} %"]
                if right is not None and measure == "accuracy" else [])
        return PassResult(path, self.produces, (f"student: {first}", *others, *told, *fitted.notes), details)


def _judged(keras, teacher, taught: _keras_teaching.Taught, settings: Settings) -> dict[str, float]:
    """Loss and accuracy of the teacher on the validation part."""
    return _training.evaluate(keras, teacher, taught.lessons, settings, compile_with=taught.compile_with)
