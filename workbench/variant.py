"""Variants: a model after the passes of a recipe, made in worker processes and cached by content."""

from __future__ import annotations

import atexit
import hashlib
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache as once
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import model as models
from . import passes
from .cache import Cache, Entry
from .chain import complete, problem
from .errors import InputError, NotApplicable, WorkbenchError
from .model import Model, ModelFormat
from .passes import _cpu, hush, wire
from .passes.process import TIMEOUT_S, PassWorker, check
from .recipe import Recipe, Step

if TYPE_CHECKING:
    from .datasets import Dataset

__all__ = ["Cache", "Variant", "build", "close", "complete", "prewarm", "problem"]

MOST_CALIBRATION_SAMPLES = 512  # for a pass that has no setting for it
_PACKAGES = ("tensorflow", "tf-keras", "keras", "tf2onnx", "onnx", "onnxruntime", "onnxruntime-gpu", "onnxslim",
             "torch", "onnxscript", "tensorflow-model-optimization")
_KINDS = {ModelFormat.KERAS: "tensorflow", ModelFormat.SAVED_MODEL: "tensorflow", ModelFormat.KERAS2: "keras2",
          ModelFormat.TORCHSCRIPT: "torch", ModelFormat.TORCH_EXPORT: "torch"}
_workers: dict[str, PassWorker] = {}
_workers_lock = threading.Lock()
_making: dict[str, threading.Lock] = {}

OnProgress = Callable[[float, str], None]
OnTraining = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Variant:
    """A model and the lineage that made it.

    Attributes:
        model: the artefact to run; the source itself when the recipe has no passes.
        source: the original.
        recipe: complete, see :func:`complete`.
        stages: one entry a pass: 'name', 'path', 'format', 'notes', 'details', 'seconds' (of the run that made it)
            and 'cached'.
    """

    model: Model
    source: Model
    recipe: Recipe
    stages: tuple[dict[str, Any], ...] = ()


def build(model: Model, recipe: Recipe, dataset: Dataset | None, *, cache: Cache | None = None,
          progress: OnProgress | None = None, cancel: threading.Event | None = None,
          on_training: OnTraining | None = None) -> Variant:
    """Applies the passes of a recipe, taking from the cache what was made before.

    Args:
        model: the original; its file is never changed.
        recipe: need not be complete.
        dataset: its calibration and training sides serve the passes that need samples; None where none does.
        cache: default the user's.
        progress: called with (fraction of all passes, one short line).
        cancel: set it to stop within a fraction of a second.
        on_training: called, before ``progress``, with the curves so far of a pass that trains (see
            ``workbench.passes._training.Curves``).

    Raises:
        NotApplicable: a pass does not suit this model; the message is the reason.
        InputError: the recipe does not fit the model or this machine, or samples are missing.
        WorkerError: a pass crashed, hung or ran out of memory.
        Cancelled: ``cancel`` was set.
    """
    cache, progress = cache or Cache(), progress or (lambda fraction, line: None)
    recipe = complete(model, recipe)
    reason = problem(model, recipe)
    if reason:
        raise InputError(reason)
    current, stages = model, []
    for index, step in enumerate(recipe.steps):
        title = passes.get(step.name).title

        def tell(fraction: float, line: str, curves: dict[str, Any] | None = None, index: int = index,
                 title: str = title) -> None:
            if curves and on_training:
                on_training(curves)
            progress((index + fraction) / len(recipe.steps), f"{title}: {line}")

        current, stage = _stage(current, model, step, dataset, cache, tell, cancel)
        stages.append(stage)
    return Variant(current, model, recipe, tuple(stages))


def prewarm(model: Model | None = None) -> None:
    """Starts, in the background, the workers that passes on this model will use; returns at once."""
    kinds = {"onnx"} | ({_KINDS[model.format]} if model and model.format in _KINDS else set())
    for kind in sorted(kinds, reverse=True):
        _worker(kind).warm()


def close() -> None:
    """Ends the pass workers; a later build starts them again."""
    with _workers_lock:
        ending = list(_workers.values())
        _workers.clear()
    for worker in ending:
        worker.close()


atexit.register(close)


def _worker(kind: str) -> PassWorker:
    with _workers_lock:
        return _workers.setdefault(kind, PassWorker(kind))


def _stage(current: Model, original: Model, step: Step, dataset: Dataset | None, cache: Cache,
           tell: Callable[..., None], cancel: threading.Event | None) -> tuple[Model, dict[str, Any]]:
    """One pass, from the cache or from a worker."""
    check(cancel)
    found = passes.get(step.name)
    samples = _samples(found, step, dataset)
    key = _key(current, found, step, samples)
    entry = cache.get(key)
    cached = entry is not None
    if entry is None:
        tell(0.0, "starting")
        with hush.working(), _alone_with(key, cancel):  # who waited finds it made
            entry = cache.get(key) or _make(current, original, found, step, samples, cache, key, tell, cancel)
    try:
        made = wire.model_from_dict({**entry.meta["model"], "path": str(entry.folder / entry.meta["file"])})
        stage = {"name": step.name, "path": str(made.path), "format": made.format.value,
                 "notes": list(entry.meta["notes"]), "details": entry.meta["details"],
                 "seconds": entry.meta["seconds"], "cached": cached}
    except (KeyError, TypeError, ValueError):
        raise InputError(f"the cached artefact in {entry.folder} is damaged: clear the cache") from None
    return made, stage


@contextmanager
def _alone_with(key: str, cancel: threading.Event | None) -> Iterator[None]:
    """Two that want the same artefact do not make it twice."""
    with _workers_lock:
        lock = _making.setdefault(key, threading.Lock())
    while not lock.acquire(timeout=0.05):
        check(cancel)
    try:
        yield
    finally:
        lock.release()


def _make(current: Model, original: Model, found: passes.Pass, step: Step, samples: _Samples, cache: Cache, key: str,
          tell: Callable[..., None], cancel: threading.Event | None) -> Entry:
    """Runs the pass in its worker, reads the artefact back and stores it."""
    start, workdir = time.monotonic(), cache.workdir()
    side, lessons = workdir.with_suffix(".npz"), workdir.with_suffix(".training.npz")
    minutes = getattr(step.settings, "max_minutes", 0.0)
    try:
        if samples.feeds:
            wire.write_feeds(side, samples.feeds, samples.labels)
        if samples.training:
            wire.write_training(lessons, samples.training, samples.training_labels)
        kind = "keras2" if found.legacy_keras else _KINDS.get(current.format, "onnx")
        answer = _worker(kind).apply(
            {"pass": step.name, "settings": step.settings.to_dict(), "model": wire.model_to_dict(current),
             "workdir": str(workdir), "calibration": str(side) if samples.feeds else "",
             "training": str(lessons) if samples.training else "", "seed": 0},
            title=found.title, progress=tell, cancel=cancel, timeout_s=TIMEOUT_S + 60 * minutes)
        made = _load(Path(answer["path"]), current)
        meta = {"model": wire.model_to_dict(made), "file": made.path.relative_to(workdir).as_posix(),
                "notes": [*answer["notes"], *filter(None, [samples.note])], "details": answer["details"],
                "seconds": time.monotonic() - start}
    except NotApplicable as error:
        raise NotApplicable(f"{found.title}: {error}") from None
    except OSError as error:
        raise InputError(f"{found.title}: the cache folder {cache.root} cannot be written ({error.strerror}): free "
                         "space, or set WORKBENCH_CACHE to another folder") from None
    finally:
        side.unlink(missing_ok=True)
        lessons.unlink(missing_ok=True)
        if "meta" not in locals():
            shutil.rmtree(workdir, ignore_errors=True)
    return cache.put(key, workdir, meta)


def _load(path: Path, current: Model) -> Model:
    """The artefact as a Model; sizes that the user pinned stay pinned where the input is still there."""
    made = models.load(path, name=current.name)
    names = {s.name for s in made.inputs}
    fix = {n: s for n, s in current.fix if n in names}
    try:
        return models.load(made, fix=fix, name=current.name) if fix else made
    except WorkbenchError:
        return replace(made, fix=())  # a pass that changes shapes makes the pins moot


class _Samples(NamedTuple):
    """What a pass gets to see of a data set; ``note`` is a line for its reader."""

    feeds: wire.Feeds = ()
    labels: np.ndarray | None = None
    training: dict[str, np.ndarray] | None = None
    training_labels: np.ndarray | None = None
    note: str = ""


def _samples(found: passes.Pass, step: Step, dataset: Dataset | None) -> _Samples:
    """Calibration feeds for the passes that need them; one sample for the others to check themselves with.

    Raises:
        InputError: the pass needs samples and there are none.
    """
    made = _calibration(found, step, dataset)
    return _with_training(made, found, step, dataset) if found.needs_training else made


def _with_training(made: _Samples, found: passes.Pass, step: Step, dataset: Dataset | None) -> _Samples:
    side = dataset.training if dataset is not None else None
    if side is None or not len(side):
        raise InputError(f"{found.title} needs training samples: choose a data set with at least a few samples, or "
                         "give a training file")
    if side.entries or side.constants or not side.rows:
        raise InputError(f"{found.title} learns from samples along the first axis: give an .npz whose arrays have the "
                         "rank of the model's inputs")
    most = getattr(step.settings, "max_samples", 0) or len(side)
    labels = None if side.labels is None else side.labels[:most]
    return made._replace(training={n: a[:most] for n, a in side.rows.items()}, training_labels=labels,
                         note=dataset.training_note)


def _calibration(found: passes.Pass, step: Step, dataset: Dataset | None) -> _Samples:
    side = dataset.calibration if dataset is not None else None
    if side is None or not len(side):
        if found.needs_calibration:
            raise InputError(f"{found.title} needs calibration samples: choose a data set with at least a few samples, "
                             "or give a calibration file")
        return _Samples()
    batch = side.fixed_batch or 1
    limit = getattr(step.settings, "calibration_samples", MOST_CALIBRATION_SAMPLES) if found.needs_calibration else 1
    feeds = tuple(side.feeds(batch, max(limit, batch)))
    known = side.labels is not None and found.needs_calibration
    return _Samples(feeds, side.labels[:len(feeds) * batch] if known else None)


def _key(current: Model, found: passes.Pass, step: Step, samples: _Samples) -> str:
    """Content hash of all that shapes an artefact."""
    parts = {
        "model": current.sha256, "format": current.format.value, "fix": current.fix, "pass": step.name,
        "names": [s.name for s in (*current.inputs, *current.outputs)], "settings": step.settings.to_dict(),
        "calibration": wire.feeds_hash(samples.feeds) if found.needs_calibration else "",
        "training": wire.training_hash(samples.training, samples.training_labels) if found.needs_training else "",
        "machine": _cpu.identity() if found.machine_dependent else "", "versions": _versions(), "code": _code(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:40]


@once
def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            pass
    return found


@once
def _code() -> str:
    """Hash of the passes themselves: another release of the workbench makes its own artefacts."""
    total = hashlib.sha256()
    for file in sorted(Path(passes.__file__).parent.glob("*.py")):
        total.update(file.name.encode() + file.read_bytes())
    return total.hexdigest()
