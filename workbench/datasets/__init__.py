"""Data sets: real samples for a model's inputs, split in a side to calibrate with and a side to judge by."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ..errors import InputError
from ..model import Model
from . import images, npz, split, table
from .fit import fit
from .made_up import random
from .shipped import SETS, TRAINING
from .types import Dataset, Raw, Samples

__all__ = ["NAMES", "Dataset", "Samples", "calibration_only", "load", "random"]

NAMES: dict[str, str] = {name: title for name, (title, _) in SETS.items()}


def load(source: str | Path, model: Model, *, calibration: str | Path | None = None,
         training: str | Path | None = None, pixels: str = "0..1") -> Dataset:
    """Loads data for a model.

    Args:
        source: a name of :data:`NAMES`, or a path: ``.npz`` or ``.npy`` (arrays keyed by input name; an array of the
            input's rank holds samples along axis 0, one of a rank more holds one whole input per entry; optional
            'labels'), ``.csv`` with a header, or a folder with one sub-folder of images a class.
        model: whose inputs the data must fit.
        calibration: a second path whose samples calibrate; then ``source`` is evaluated whole. Without it a named
            set brings both sides, and a file is split: a quarter, at most 512 samples, calibrates.
        training: a further path whose samples are learnt from. Without it a named set brings its own part, and the
            calibration samples of a file stand in.
        pixels: how images reach a float input: '0..1', '-1..1', '0..255' or 'imagenet' (mean and deviation).

    Raises:
        InputError: the data cannot be used as given, or a sample is on both sides; one line with the next step.
        MissingError: a named set is not on this machine.
    """
    if str(source) in SETS:
        name, sides = str(source), _named(str(source), model, pixels, calibration)
    else:
        path = _path(source)
        name, sides = path.stem if path.is_file() else path.name, _from_files(path, model, pixels, calibration)
    calibrated, evaluated = sides.calibration, sides.evaluation
    if calibrated is not None and calibration is not None:
        split.refuse_overlap(calibrated, evaluated, "calibration")
    task = None if evaluated.labels is None else "classification"
    lessons = _training(str(source), training, model, pixels, evaluated)
    return Dataset(name, split.content_hash([calibrated, evaluated]), sides.class_names, task, False, calibrated,
                   evaluated, tuple(dict.fromkeys(sides.notes)), lessons)


def calibration_only(source: str | Path, model: Model, *, training: str | Path | None = None,
                     pixels: str = "0..1") -> Dataset:
    """All samples of a file for calibration, for passes that are applied without a judgement.

    The same samples stand as evaluation, as a data set has one; do not judge by them. Those of ``training`` are learnt
    from, by default the same again.

    Raises:
        InputError: as :func:`load`.
    """
    if str(source) in SETS:
        return load(source, model, training=training, pixels=pixels)
    raw = _read(source, model, pixels)
    samples, notes = fit(raw, model, source=Path(source).name)
    digest, notes = split.content_hash([samples, None]), (*notes, "every sample calibrates: none is held out")
    lessons = samples if training is None else fit(_read(training, model, pixels), model, source=str(training))[0]
    return Dataset(Path(source).stem, digest, raw.class_names, None, False, samples, samples, notes, lambda: lessons)


def _training(name: str, path: str | Path | None, model: Model, pixels: str,
              evaluated: Samples) -> Callable[[], Samples] | None:
    """Reads the training part when it is called: the user's file (checked at once), or that of a named set."""
    if path is not None:
        given, _ = fit(_read(path, model, pixels), model, source=Path(path).name)
        split.refuse_overlap(given, evaluated, "training")
        return lambda: given
    if name not in TRAINING:
        return None

    def read() -> Samples:
        samples, _ = fit(TRAINING[name](model, pixels), model, source=name)
        return split.without_overlap(samples, evaluated)[0]

    return read


class _Sides(NamedTuple):
    calibration: Samples | None
    evaluation: Samples
    class_names: tuple[str, ...] | None
    notes: tuple[str, ...]


def _named(name: str, model: Model, pixels: str, calibration: str | Path | None) -> _Sides:
    """Both sides of a named set; a file of the user's may stand in for its calibration side."""
    first, second = SETS[name][1](model, pixels)
    evaluated, notes = fit(second, model, source=name)
    if calibration is not None:
        calibrated, more = fit(_read(calibration, model, pixels), model, source=str(calibration))
        return _Sides(calibrated, evaluated, second.class_names, (*notes, *more))
    calibrated, more = fit(first, model, source=name)
    calibrated, _ = split.without_overlap(calibrated, evaluated)  # published sets repeat a few of their own images
    return _Sides(calibrated, evaluated, second.class_names, (*notes, *more))


def _from_files(path: Path, model: Model, pixels: str, calibration: str | Path | None) -> _Sides:
    """Both sides from one file, or from two."""
    raw = _read(path, model, pixels)
    samples, notes = fit(raw, model, source=path.name)
    if calibration is not None:
        calibrated, more = fit(_read(calibration, model, pixels), model, source=Path(calibration).name)
        return _Sides(calibrated, samples, raw.class_names, (*notes, *more))
    calibrated, evaluated = split.split(samples)
    if calibrated is None:
        notes = (*notes, "too few samples to split: none calibrate; give a second file for that")
    return _Sides(calibrated, evaluated, raw.class_names, notes)


def _path(source: str | Path) -> Path:
    """The existing path that a source names."""
    text = str(source)
    try:
        path = Path(text).expanduser()
        exists = bool(text.strip()) and path.exists()
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"'{text[:80]}' is no usable path ({str(error)[:80]}): check it") from None
    if not exists:
        raise InputError(f"'{text[:200]}' is neither a data set ({', '.join(NAMES)}) nor a file or folder: "
                         "check the path")
    return path


def _read(source: str | Path, model: Model, pixels: str) -> Raw:
    """Chooses the reader by what the path is."""
    path = _path(source)
    if path.is_dir():
        return images.read(path, model, pixels)
    suffix = path.suffix.lower()
    if suffix in (".npz", ".npy"):
        return npz.read(path)
    if suffix in (".csv", ".tsv"):
        return table.read(path, model)
    raise InputError(f"{path} is of a kind that is not read: give .npz, .npy, .csv or a folder of images")
