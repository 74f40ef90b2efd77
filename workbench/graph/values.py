"""Computes tensors that two ONNX models share and compares them: the strongest evidence that a match is right."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..errors import InputError
from . import isolate
from .graph import Graph

_MOST_TENSORS = 2000
_BYTES_AT_ONCE = 512 * 2**20


def compare(before: Path, after: Path, pairs: Mapping[str, str], feed: Mapping[str, np.ndarray], *,
            sizes: Graph | None = None) -> dict[str, bool]:
    """Runs both models on one sample, with the shared tensors as outputs.

    Args:
        before: ONNX file.
        after: ONNX file made from it, also one in a runtime's own format of layers.
        pairs: tensor after -> tensor before, as :attr:`workbench.graph.groups.Diff.pairs` has them.
        feed: one whole input for each input name of the first model.
        sizes: graph after, whose tensor sizes keep the memory in bounds.

    Returns:
        tensor after -> whether the values agree: to 0.1 % of the largest value, or, where one side is quantized, with a
        cosine of at least 0.98. Tensors that cannot be computed on both sides are missing.

    Raises:
        InputError: one of the models does not run on the sample.
        MissingError: ONNX Runtime is not installed.
        WorkerError: the worker hung or ran out of memory.
    """
    for path in (before, after):
        if not Path(path).is_file():
            raise InputError(f"values are compared between ONNX files; {path} is not a file")
    wanted = list(pairs.items())[:_MOST_TENSORS]
    found: dict[str, bool] = {}
    with tempfile.TemporaryDirectory(prefix="workbench-") as folder:
        sample = Path(folder) / "feed.npz"
        np.savez(sample, **{f"a{i}": a for i, a in enumerate(feed.values())})
        for part in _parts(wanted, sizes):
            answer = isolate.ask("onnx_values", {
                "label": Path(after).name, "before": str(before), "after": str(after), "feed": str(sample),
                "names": list(feed), "pairs": part,
            }, package="onnxruntime", install="pip install onnxruntime", label=Path(after).name)
            found |= answer["agrees"]
    return found


def _parts(pairs: list[tuple[str, str]], sizes: Graph | None) -> list[list[tuple[str, str]]]:
    """Cuts the work so that the extra outputs of one run fit in memory."""
    parts: list[list[tuple[str, str]]] = [[]]
    total = 0
    for pair in pairs:
        size = sizes.tensors[pair[0]].size_bytes if sizes and pair[0] in sizes.tensors else 0
        if parts[-1] and total + size > _BYTES_AT_ONCE:
            parts.append([])
            total = 0
        parts[-1].append(pair)
        total += size
    return [p for p in parts if p]
