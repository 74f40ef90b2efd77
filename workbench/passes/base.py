"""What every pass offers: a technique that makes a new artefact from a model and says what it did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..model import Model, ModelFormat
from ..settings import SettingsBase


@dataclass(frozen=True)
class NoSettings(SettingsBase):
    """For a pass that has nothing to set."""


@dataclass(frozen=True)
class PassContext:
    """What a pass may use beside the model.

    Attributes:
        workdir: an empty folder of the pass's own; it writes its artefact there.
        calibration: whole feeds (input name -> array, batch axis included) from the calibration split,
            keyed by the names of the *original* model; use ``workbench.feeds.bind`` for other names.
        labels: labels of the calibration samples, or None.
        training: for passes that train: all training samples, input name of the *original* model -> array with
            samples along axis 0; empty for other passes.
        training_labels: int64 [samples], or None where the data has no labels.
        progress: call with (fraction 0..1, one short line[, training curves so far, plain data]).
        seed: for anything random.
    """

    workdir: Path
    calibration: tuple[dict[str, np.ndarray], ...] = ()
    labels: np.ndarray | None = None
    training: dict[str, np.ndarray] = field(default_factory=dict)
    training_labels: np.ndarray | None = None
    progress: Callable[..., None] = lambda fraction, line, curves=None: None
    seed: int = 0


@dataclass(frozen=True)
class PassResult:
    """What a pass made.

    Attributes:
        path: the new artefact, inside ``PassContext.workdir``.
        format: its format.
        notes: one line each, for people: what changed, what was left alone and why.
        details: plain data for views (node rankings, training curves, counts).
    """

    path: Path
    format: ModelFormat
    notes: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)


class Pass:
    """Base of all passes; one technique a file, one instance in the registry.

    Class attributes:
        name: what recipes say, e.g. 'onnx-int8-static'.
        title: what people read, e.g. 'INT8 static'.
        group: 'convert', 'graph', 'precision', 'sparsity' or 'training'; where the picker shows it.
        summary: one sentence: what it does, what it costs, when it helps.
        accepts: formats it takes.
        produces: format it makes (may be the same).
        requires: tags that earlier passes must have ensured.
        ensures: tags that hold afterwards, e.g. 'int8', 'float16'.
        excludes: tags that must not hold before (e.g. INT8 twice).
        needs_calibration: whether calibration samples are used.
        needs_training: whether training samples are used; such a pass has :class:`TrainingSettings`.
        packages: import names that must be present, each with its install line.
        legacy_keras: run in a process with TF_USE_LEGACY_KERAS=1.
        only_for: runtimes for which the artefact is made; empty for all that load its format.
        changes_kind: what the original file holds says nothing any more about the passes that follow.
        machine_dependent: the artefact depends on the CPU it is made on; the cache keeps such ones apart.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    group: ClassVar[str]
    summary: ClassVar[str]
    accepts: ClassVar[tuple[ModelFormat, ...]]
    produces: ClassVar[ModelFormat]
    requires: ClassVar[frozenset[str]] = frozenset()
    ensures: ClassVar[frozenset[str]] = frozenset()
    excludes: ClassVar[frozenset[str]] = frozenset()
    needs_calibration: ClassVar[bool] = False
    needs_training: ClassVar[bool] = False
    packages: ClassVar[dict[str, str]] = {}
    legacy_keras: ClassVar[bool] = False
    only_for: ClassVar[tuple[str, ...]] = ()
    changes_kind: ClassVar[bool] = False
    machine_dependent: ClassVar[bool] = False
    Settings: ClassVar[type[SettingsBase]] = NoSettings

    def runs_on(self, runtime: str) -> bool:
        """Whether a runtime can use what the pass makes of a file; its format is another question."""
        return not self.only_for or runtime in self.only_for

    def why_not(self, model: Model, settings: SettingsBase) -> str | None:
        """One sentence why the pass does not apply to this model, or None when it does.

        Cheap: called by the picker. Formats, tags and packages are checked by the caller.
        """
        return None

    def apply(self, model: Model, settings: SettingsBase, context: PassContext) -> PassResult:
        """Makes the new artefact. Runs in a pass worker, may import frameworks, never edits its input.

        Raises:
            NotApplicable: with the reason, when only trying could tell.
        """
        raise NotImplementedError
