"""Look-up of operators before by kind and by what they read, for comparing graphs of different formats."""

from __future__ import annotations

from collections.abc import Iterable

from . import kin
from .numbering import Before


class Kindred:
    """Results of the first graph, by kind of operator with its inputs, and by kind with its weights."""

    def __init__(self, before: Before) -> None:
        self._inputs: dict[tuple, list[str]] = {}
        self._weights: dict[tuple, list[str]] = {}
        index = before.index
        for node in index.nodes:
            made = kin.signature(node, index)
            if made is None or not node.outputs or not node.outputs[0]:
                continue
            reads = frozenset(before.get(index.forms(t)[-1]) for t in kin.data_inputs(node, index))
            self._inputs.setdefault((made, reads), []).append(node.outputs[0])
            for name in node.inputs:
                if name and index.tensor(name).is_constant:
                    self._weights.setdefault((made, before.get(name)), []).append(node.outputs[0])

    def by_inputs(self, made: tuple, reads: frozenset[int]) -> list[str]:
        """Results of operators of one kind on the same values."""
        return self._inputs.get((made, reads), []) if reads else []

    def by_weight(self, made: tuple, weights: Iterable[int | None]) -> list[str]:
        """Results of operators of one kind with the same weights; [] unless one weight tells a single operator."""
        for number in weights:
            found = self._weights.get((made, number), [])
            if len(found) == 1:
                return found
        return []
