"""Samples for the search and others for its last measurement, and how results of both are told apart."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

import numpy as np

from ..datasets import Dataset, Samples

_MARK = re.compile(r"^(?P<data>.+)-(?P<role>search|final)(?P<seed>\d+)$")


def halves(dataset: Dataset, seed: int) -> tuple[Dataset, Dataset]:
    """The evaluation samples for the search and those for the last measurement; the same when there are too few."""
    side = dataset.evaluation
    if len(side) < 8 * (side.fixed_batch or 1) or not (side.rows or side.entries):
        return dataset, dataset
    parts = cut(side, seed)
    return (replace(dataset, evaluation=parts[0], sha256=f"{dataset.sha256}-search{seed}"),
            replace(dataset, evaluation=parts[1], sha256=f"{dataset.sha256}-final{seed}"))


def cut(side: Samples, seed: int, share: Fraction = Fraction(1, 2)) -> tuple[Samples, Samples]:
    """Two parts of the samples, drawn at random: ``share`` of them, in whole batches where the batch is fixed, and
    the rest.
    """
    order, step = np.random.default_rng(seed).permutation(len(side)), side.fixed_batch or 1
    first = int(len(side) * share) // step * step
    return side.take(np.sort(order[:first])), side.take(np.sort(order[first:]))


def name_of(data_sha256: str, names: Mapping[str, str]) -> str:
    """Name of the data set that a result was measured on, or that its half was taken of; '' when unknown.

    Args:
        data_sha256: of the result.
        names: by hash, see :meth:`workbench.study.Study.data_names`.
    """
    return names.get(data_sha256) or names.get(role(data_sha256)[0], "")


def role(data_sha256: str) -> tuple[str, str]:
    """(data set, 'search', 'final' or ''): what the samples of a result were for."""
    found = _MARK.match(data_sha256)
    return (found["data"], found["role"]) if found else (data_sha256, "")
