"""Does a variant still answer like the original? Pure functions of outputs; numpy only.

With labels: accuracy, paired with the reference's on the same samples. Always: likeness and signal-to-noise ratio to
the reference's output, and which predictions changed. Likeness is the cosine; where an output is one number a sample,
whose cosine would be 1 whatever it is, R². What is not a number (NaN, a stray infinity) counts as wrong everywhere, so
a broken variant cannot look good.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .errors import InputError
from .feeds import plain_name
from .likeness import kept_variance, not_numbers
from .measure.stats import paired_delta_interval, proportion_interval
from .results import Fidelity

Outputs = dict[str, np.ndarray]

CHANGED_LISTED = 1000
RESAMPLES = 1000
WORSE = 0.01  # likeness by which another output must fall behind the first to be named
_LOOKED_AT = 4096  # positions that tell whether an output scores classes
_CHUNK = 4_000_000  # values compared at a time, in float64


class Pair(NamedTuple):
    """One output of both sides, axis 0 the sample; ``name`` is the reference's."""

    name: str
    ours: np.ndarray
    theirs: np.ndarray


class Similarity(NamedTuple):
    """Per-sample likeness of two outputs.

    Attributes:
        share: per sample: cosine, or what ``kind`` names.
        sqnr_db: 10 log10(signal energy / error energy) over all samples; inf when equal, -inf when broken.
        broken: samples that hold NaN, or an infinity where the reference has none.
        kind: 'cosine'; 'agreement', the share of equal elements, where the reference holds no real numbers; 'R²' where
            it holds one number a sample (see :func:`workbench.likeness.kept_variance`).
    """

    share: np.ndarray
    sqnr_db: float
    broken: int
    kind: str


def evaluate(outputs: Outputs, reference: Outputs, *, labels: np.ndarray | None = None, output: str = "",
             seed: int = 0) -> Fidelity:
    """Compares a variant's outputs with the reference's on the same samples.

    Args:
        outputs: the variant's, name -> array, axis 0 = sample.
        reference: the original model's; names may differ, then outputs match by position and shape.
        labels: class of each sample, [n], [n, classes] one-hot, or [n, positions] for sequences; may be longer than
            the outputs (an incomplete last batch is not run).
        output: name of the reference's output to judge by; empty takes the first.
        seed: of the bootstrap.

    Returns:
        metric 'accuracy' with labels that fit the output, else the likeness: 'cosine', 'agreement' or 'R²' (see
        :class:`Similarity`).

    Raises:
        InputError: shapes or numbers of samples do not fit, or there is nothing to compare.
    """
    pairs, notes = _pairs(outputs, reference, output)
    first = pairs[0]
    alike = similarity(first)
    if alike.broken:
        notes.append(f"output '{first.name}' holds NaN or infinite values in {alike.broken} of {len(alike.share)} "
                     "samples: these count as wrong")
    notes += _other_outputs(pairs[1:], alike)
    if alike.kind == "R²":
        notes.append(f"output '{first.name}' is one number a sample, whose cosine is 1 whatever it is: R² tells how "
                     "much of its variation between samples is kept")
    ours, theirs = predictions(first, labels)
    common = {"samples": len(alike.share), "sqnr_db": alike.sqnr_db, "likeness": alike.kind,
              "cosine_mean": float(alike.share.mean()), "cosine_p5": float(np.percentile(alike.share, 5))}
    if ours is not None:
        same = _all(ours == theirs)
        common["top1_agreement"] = float(same.mean())
        common["changed"] = tuple(int(i) for i in np.flatnonzero(~same)[:CHANGED_LISTED])
        notes += _prediction_notes(ours, theirs)
    truth = None if labels is None else _truth(labels, ours, first, notes)
    if truth is None:
        return _by_likeness(alike, common, notes, seed)
    return _by_accuracy(_all(ours == truth), _all(theirs == truth), common, notes)


def similarity(pair: Pair) -> Similarity:
    """Per-sample likeness and overall SQNR. Equal samples score exactly 1."""
    n = len(pair.theirs)
    if pair.theirs.dtype.kind not in "fc":
        a, b = pair.ours.reshape(n, -1), pair.theirs.reshape(n, -1)
        share = (a == b).mean(axis=1) if a.shape[1] else np.ones(n)
        return Similarity(share, float("inf") if (share == 1).all() else _noise_db(a, b), 0, "agreement")
    step = max(1, _CHUNK // max(1, pair.theirs[0].size))
    parts = [_cosines(pair.ours[i:i + step], pair.theirs[i:i + step]) for i in range(0, n, step)]
    share = np.concatenate([p[0] for p in parts])
    broken = sum(p[1] for p in parts)
    signal, error = sum(p[2] for p in parts), sum(p[3] for p in parts)
    kind = "cosine"
    if pair.theirs[0].size == 1 and pair.theirs.dtype.kind == "f":
        kind, share = "R²", kept_variance(pair.ours.reshape(n), pair.theirs.reshape(n))
    return Similarity(share, -np.inf if broken else _decibels(signal, error), broken, kind)


def predictions(pair: Pair, labels: np.ndarray | None = None) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Predicted classes of both sides, [n] or [n, positions]; None where the output is no classifier's.

    Rank 2 with several columns: the largest. Rank 3, where it holds class scores: the largest at each position
    (see :func:`_scores_classes`; boxes and embeddings have no prediction). Integers and text: themselves.
    One column: a threshold, 0.5 for probabilities and 0 for logits, if the labels are 0 and 1. Axes of size 1 do not
    count. NaN is class -1 here and -2 in the reference, which no label and no other prediction equals.
    """
    ours, theirs = _squeeze(pair.ours), _squeeze(pair.theirs)
    if theirs.dtype.kind not in "fc":
        return (ours, theirs) if theirs.ndim <= 2 else (None, None)
    if theirs.ndim == 2 or theirs.ndim == 3 and _scores_classes(theirs, labels):
        return _largest(ours, _broken(ours, theirs), -1), _largest(theirs, np.isnan(theirs), -2)
    values = None if labels is None else set(np.unique(np.asarray(labels)).tolist())
    if theirs.ndim == 1 and values and values <= {0, 1}:
        known = theirs[np.isfinite(theirs)]
        threshold = 0.5 if known.size and known.min() >= 0 and known.max() <= 1 else 0.0
        return (np.where(_broken(ours, theirs), -1, (ours > threshold).astype(np.int64)),
                np.where(np.isnan(theirs), -2, (theirs > threshold).astype(np.int64)))
    return None, None


# --- which output belongs to which --------------------------------------------------------------------------------


def _pairs(outputs: Outputs, reference: Outputs, wanted: str) -> tuple[list[Pair], list[str]]:
    """The output to judge by first, then the others that can be compared; and notes on those that cannot."""
    if not outputs or not reference:
        raise InputError("there are no outputs to compare: one of the two models returned nothing")
    if wanted and wanted not in reference:
        raise InputError(f"no output is called '{wanted}'; there are: {', '.join(reference)}")
    ours = {name: np.atleast_1d(np.asarray(a)) for name, a in outputs.items()}
    theirs = {name: np.atleast_1d(np.asarray(a)) for name, a in reference.items()}
    names = _match(ours, theirs)
    order = sorted(theirs, key=lambda n: n != wanted) if wanted else list(theirs)
    pairs, notes = [], []
    for name in order:
        if name not in names:
            if not pairs:
                raise InputError(f"the variant has no output for '{name}'; it has: {', '.join(ours)}")
            notes.append(f"output '{name}' is missing in the variant")
            continue
        try:
            a, b, padded = _aligned(name, ours[names[name]], theirs[name])
        except InputError as error:
            if not pairs:
                raise
            notes.append(str(error))
            continue
        if padded:
            notes.append(f"output '{name}' holds lists of different lengths: compared entry by entry, the shorter one "
                         "filled up with zeros, so a changed order counts as a difference")
        pairs.append(Pair(name, a, b))
    return pairs, notes


def _match(ours: Outputs, theirs: Outputs) -> dict[str, str]:
    """Reference name -> our name: by name, by name without a converter's additions, else by position and shape."""
    plain = {plain_name(n): n for n in ours}
    named = {n: n if n in ours else plain.get(plain_name(n), "") for n in theirs}
    found = {n: mine for n, mine in named.items() if mine}
    free = [n for n in ours if n not in found.values()]
    unnamed = [n for n in theirs if n not in found]
    for position, name in enumerate(unnamed):
        rest = free[position:position + 1] + free if len(free) == len(unnamed) else list(free)
        rest = [n for n in rest if n not in found.values()]
        fitting = [n for n in rest if ours[n].shape == theirs[name].shape]
        if fitting or (rest and len(free) == len(unnamed)):
            found[name] = (fitting or rest)[0]
    return found


def _aligned(name: str, ours: np.ndarray, theirs: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
    """Both with the same shape: axes of size 1 are no difference, lists of one length more or less are filled up."""
    if len(ours) != len(theirs):
        raise InputError(f"output '{name}' has {len(ours)} samples, the reference {len(theirs)}: run both on the same "
                         "data with the same batch")
    if not len(theirs):
        raise InputError(f"output '{name}' holds no samples: there is nothing to compare")
    if ours.shape == theirs.shape:
        return ours, theirs, False
    a, b = _squeeze(ours), _squeeze(theirs)
    if a.shape == b.shape:
        return a.reshape(theirs.shape), theirs, False
    differing = [i for i, (p, q) in enumerate(zip(ours.shape, theirs.shape, strict=False)) if p != q]
    if ours.ndim == theirs.ndim >= 3 and len(differing) == 1:
        axis = differing[0]
        length = max(ours.shape[axis], theirs.shape[axis])
        return _longer(ours, axis, length), _longer(theirs, axis, length), True
    raise InputError(f"output '{name}' has shape {list(ours.shape)}, the reference {list(theirs.shape)}: they answer "
                     "different questions and cannot be compared")


def _longer(array: np.ndarray, axis: int, length: int) -> np.ndarray:
    width = [(0, 0)] * array.ndim
    width[axis] = (0, length - array.shape[axis])
    return np.pad(array, width)


def _squeeze(array: np.ndarray) -> np.ndarray:
    """Without axes of size 1, axis 0 kept."""
    return array.reshape(array.shape[:1] + tuple(n for n in array.shape[1:] if n != 1))


# --- likeness -----------------------------------------------------------------------------------------------------


def _cosines(ours: np.ndarray, theirs: np.ndarray) -> tuple[np.ndarray, int, float, float]:
    """Cosine of each sample, number of broken samples, signal energy, error energy."""
    a, b = _rows(ours), _rows(theirs)
    bad, masked = not_numbers(a, b)
    broken = bad.any(axis=1)
    a[masked], b[masked] = 0.0, 0.0
    a[broken], b[broken] = 0.0, 0.0
    equal = (a == b).all(axis=1)
    with np.errstate(over="ignore", invalid="ignore"):
        signal, error = float((b**2).sum()), float(((a - b) ** 2).sum())
    for side in (a, b):  # scaled, so that squares neither overflow nor vanish
        largest = np.abs(side).max(axis=1, initial=0.0, keepdims=True)
        side /= np.where(largest > 0, largest, 1.0)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    dots = (a * b).sum(axis=1)
    cosine = np.divide(dots, norms, out=np.zeros_like(dots), where=norms > 0).clip(-1.0, 1.0)
    cosine[equal] = 1.0
    cosine[broken] = 0.0
    return cosine, int(broken.sum()), signal, error


def _rows(array: np.ndarray) -> np.ndarray:
    flat = array.reshape(len(array), -1)
    if flat.dtype.kind == "c":
        flat = np.concatenate([flat.real, flat.imag], axis=1)
    return flat.astype(np.float64)  # a copy: the caller's array stays as it is


def _noise_db(a: np.ndarray, b: np.ndarray) -> float:
    """SQNR of integers that differ; text has no energy, so any difference is total."""
    if a.dtype.kind not in "iub" or b.dtype.kind not in "iub":
        return -np.inf
    x, y = a.astype(np.float64), b.astype(np.float64)
    return _decibels(float((y**2).sum()), float(((x - y) ** 2).sum()))


def _decibels(signal: float, error: float) -> float:
    if error == 0:
        return float("inf")
    if signal == 0 or not np.isfinite(signal) or not np.isfinite(error):
        return -np.inf
    return float(10 * np.log10(signal / error))


def _other_outputs(pairs: list[Pair], first: Similarity) -> list[str]:
    notes = []
    for pair in pairs:
        alike = similarity(pair)
        mean = float(alike.share.mean())
        if mean < float(first.share.mean()) - WORSE or alike.broken:
            broken = f", {alike.broken} samples with NaN or infinite values" if alike.broken else ""
            notes.append(f"output '{pair.name}' fares worse than the first: {alike.kind} {mean:.4f}{broken}")
    return notes


# --- predictions --------------------------------------------------------------------------------------------------


def _scores_classes(scores: np.ndarray, labels: np.ndarray | None) -> bool:
    """Whether the last axis of [n, positions, c] scores classes, and is not a box, an embedding or a depth map.

    It does when the labels are per position, when it holds probabilities or their logarithms, or when at most
    positions one value stands out far more than the largest of c normal values would (about sqrt(2 ln c) standard
    deviations), and not always the same one, as an embedding's outlier does.
    """
    if labels is not None and np.asarray(labels).shape[1:] == scores.shape[1:2]:
        return True
    columns = scores.shape[-1]
    rows = scores.reshape(-1, columns)[:_LOOKED_AT].astype(np.float64)
    rows = rows[np.isfinite(rows).all(axis=1) & rows.any(axis=1)]  # a row of zeros only fills up a shorter sequence
    if not len(rows):
        return False
    for positive in (rows, np.exp(rows.clip(max=1.0))):
        if positive.min() >= 0 and np.abs(positive.sum(axis=1) - 1).max() < 0.01:
            return True
    spread = rows.std(axis=1)
    standing_out = (rows.max(axis=1) - rows.mean(axis=1)) / np.where(spread > 0, spread, np.inf)
    winners = len(np.unique(rows.argmax(axis=1)))
    return winners > 1 and float(np.median(standing_out)) > 1.5 * np.sqrt(2 * np.log(columns))


def _largest(scores: np.ndarray, bad: np.ndarray, mark: int) -> np.ndarray:
    found = scores.argmax(axis=-1)
    found[bad.any(axis=-1)] = mark
    return found


def _broken(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return not_numbers(ours, theirs)[0] & ~np.isfinite(ours)


def _all(same: np.ndarray) -> np.ndarray:
    """Per sample: True when every position is."""
    return same.reshape(len(same), -1).all(axis=1)


def _prediction_notes(ours: np.ndarray, theirs: np.ndarray) -> list[str]:
    notes = []
    if theirs.ndim == 2 and theirs.shape[1] > 1:
        notes.append("a prediction is a whole sequence: the largest along the last axis at every position")
    if len(theirs) >= 20 and (ours == ours[:1]).all() and not (theirs == theirs[:1]).all():
        notes.append("the variant predicts the same for every sample")
    return notes


def _truth(labels: np.ndarray, predicted: np.ndarray | None, first: Pair, notes: list[str]) -> np.ndarray | None:
    """Labels in the shape of the predictions, or None with a note why they cannot be used."""
    found = np.asarray(labels)
    n = len(first.theirs)
    if found.ndim == 0 or len(found) < n:
        raise InputError(f"there are {found.size if found.ndim == 0 else len(found)} labels for {n} samples: "
                         "give one label a sample")
    found = _squeeze(found[:n])
    if predicted is None:
        notes.append(f"output '{first.name}' is no classifier's, so the labels are not used")
        return None
    one_hot = found.ndim == 2 and found.dtype.kind in "iufb" and found.shape == _squeeze(first.theirs).shape and (
        ((found == 0) | (found == 1)).all() and (found.sum(axis=1) == 1).all())
    if one_hot:
        found = found.argmax(axis=1)
    text = predicted.dtype.kind in "OUS"
    numbers = found.dtype.kind in "iub" or found.dtype.kind == "f" and (found == np.rint(found)).all()
    if found.shape != predicted.shape or not (found.dtype.kind in "OUS" if text else numbers):
        notes.append(f"the labels (shape {list(found.shape)}, {found.dtype}) do not fit the predictions "
                     f"(shape {list(predicted.shape)}), so they are not used")
        return None
    classes = _squeeze(first.theirs).shape[-1]
    argmax = first.theirs.dtype.kind == "f" and _squeeze(first.theirs).ndim > 1
    if argmax and found.size and (found.max() >= classes or found.min() < 0):
        notes.append(f"labels go from {found.min()} to {found.max()}, the output has {classes} classes: "
                     "those outside count as wrong")
    return found


# --- verdicts -----------------------------------------------------------------------------------------------------


def _by_accuracy(right: np.ndarray, reference: np.ndarray, common: dict, notes: list[str]) -> Fidelity:
    n = len(right)
    delta = (int(right.sum()) - int(reference.sum())) / n
    if n >= 50 and not reference.any():
        notes.append("the reference is right on no sample: are the labels numbered as the model's classes are?")
    return Fidelity(
        metric_name="accuracy", metric=float(right.mean()), metric_interval=proportion_interval(int(right.sum()), n),
        delta=delta, delta_interval=paired_delta_interval(right, reference), notes=tuple(notes), **common)


def _by_likeness(alike: Similarity, common: dict, notes: list[str], seed: int) -> Fidelity:
    metric = min(max(float(alike.share.mean()), 0.0), 1.0)
    low, high = _bootstrap_mean(alike.share, seed)
    return Fidelity(
        metric_name=alike.kind, metric=metric, metric_interval=(low, high),
        delta=metric - 1.0, delta_interval=(low - 1.0, high - 1.0), notes=tuple(notes), **common)


def _bootstrap_mean(values: np.ndarray, seed: int) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean, kept within 0..1."""
    n = len(values)
    rng = np.random.default_rng(seed)
    means = [values[rng.integers(0, n, n)].mean() for _ in range(RESAMPLES)]
    low, high = np.percentile(means, (2.5, 97.5)).clip(0.0, 1.0)
    return float(low), float(high)
