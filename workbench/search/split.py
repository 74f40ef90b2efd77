"""Samples for the search and others for its last measurement, and how results of both are told apart."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ..datasets import Dataset

_MARK = re.compile(r"^(?P<data>.+)-(?P<role>search|final)(?P<seed>\d+)$")


def halves(dataset: Dataset, seed: int) -> tuple[Dataset, Dataset]:
    """The evaluation samples for the search and those for the last measurement; the same when there are too few."""
    side = dataset.evaluation
    count, step = len(side), side.fixed_batch or 1
    if count < 8 * step or not (side.rows or side.entries):
        return dataset, dataset
    order = np.random.default_rng(seed).permutation(count)
    cut = count // 2 // step * step
    parts = [side.take(np.sort(order[:cut])), side.take(np.sort(order[cut:]))]
    return (replace(dataset, evaluation=parts[0], sha256=f"{dataset.sha256}-search{seed}"),
            replace(dataset, evaluation=parts[1], sha256=f"{dataset.sha256}-final{seed}"))


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
