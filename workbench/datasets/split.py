"""Keeps calibration and evaluation apart: a deterministic split, and a search for samples that are in both."""

from __future__ import annotations

import hashlib

import numpy as np

from ..errors import InputError
from .types import Samples

SHARE, MOST = 4, 512  # a quarter of one file calibrates, at most 512 samples


def digests(samples: Samples) -> list[bytes]:
    """Content hash of every sample over all inputs; labels and constants do not count."""
    varying = sorted({**samples.rows, **samples.entries}.items())
    arrays = [np.ascontiguousarray(a) for _, a in varying]
    found = []
    for i in range(len(samples) if varying else 1):
        digest = hashlib.blake2b(digest_size=16)
        for array in arrays:
            digest.update(array[i, ...].tobytes())
        found.append(digest.digest())
    return found


def split(samples: Samples) -> tuple[Samples | None, Samples]:
    """Splits one lot of samples in calibration and evaluation.

    Which side a sample takes depends on the content alone, so a file in another order splits alike, and equal
    samples always stand on one side. Evaluation keeps the file's order; calibration is mixed, so that any part of it
    stands for the whole.

    Returns:
        calibration (None when there are fewer than four samples, or they are all equal), evaluation.
    """
    keys = digests(samples)
    target = min(len(samples) // SHARE, MOST)
    counts: dict[bytes, int] = {}
    for key in keys:
        counts[key] = counts.get(key, 0) + 1
    chosen, taken = set(), 0
    for key in sorted(counts):
        if taken + counts[key] <= target:
            chosen.add(key)
            taken += counts[key]
    if not chosen:
        return None, samples
    mask = np.array([key in chosen for key in keys])
    mixed = np.array(sorted(np.flatnonzero(mask), key=lambda i: keys[i]))
    return samples.take(mixed), samples.take(np.flatnonzero(~mask))


def without_overlap(seen: Samples, evaluation: Samples) -> tuple[Samples, int]:
    """Calibration or training samples without those that are held out too, and how many those were."""
    held = set(digests(evaluation))
    keep = np.array([key not in held for key in digests(seen)])
    return (seen if keep.all() else seen.take(np.flatnonzero(keep))), int((~keep).sum())


def refuse_overlap(seen: Samples, evaluation: Samples, side: str) -> None:
    """Stops where a held-out sample was already given for calibration or training (``side``).

    Raises:
        InputError: with the counts.
    """
    known = set(digests(seen))
    shared = sum(key in known for key in digests(evaluation))
    if shared:
        raise InputError(f"{shared:,} of {len(evaluation):,} evaluation samples are also among the "
                         f"{len(seen):,} {side} samples: remove them from one of the two files")


def content_hash(parts: list[Samples | None]) -> str:
    """SHA-256 over names, types, shapes, values and labels of all parts."""
    digest = hashlib.sha256()
    for part in parts:
        if part is None:
            digest.update(b"none")
            continue
        named = {**part.rows, **part.entries, **part.constants}
        if part.labels is not None:
            named[""] = part.labels
        for name, array in sorted(named.items()):
            digest.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
