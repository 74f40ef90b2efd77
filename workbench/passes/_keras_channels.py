"""Which channels of a Keras 3 network belong together: those that must go together when filters are removed.

Every channel (an entry along the last axis of a tensor) has a number. A convolution makes new numbers, a pooling hands
them on, a residual Add joins them pairwise, a Flatten repeats them, a Concatenate puts them side by side. What is
joined forms one *unit*: it is kept or removed as a whole.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np


class Producer(NamedTuple):
    """A layer that makes channels of its own.

    Attributes:
        layer: the Keras layer.
        what: 'filters', 'units' or 'heads', for people.
        kernels: (variable, axis of the channels) of the weights that make them.
        ids: numbers of its channels.
    """

    layer: Any
    what: str
    kernels: tuple[tuple[Any, int], ...]
    ids: np.ndarray


class Consumer(NamedTuple):
    """A layer that mixes the channels it is given.

    Attributes:
        tensor: the symbolic tensor that it reads.
        kernel: its weights.
        axis: of the weights, along the channels read.
        ids: numbers of the channels.
    """

    tensor: Any
    kernel: Any
    axis: int
    ids: np.ndarray


class Group(NamedTuple):
    """Units that stand for the same thing in the same layers, so that a share of them can be removed.

    Attributes:
        layers: names of the layers that make them; several when residual sums tie them.
        what: 'filters', 'units' or 'heads'.
        roots: one number a unit.
    """

    layers: tuple[str, ...]
    what: str
    roots: np.ndarray


class Channels:
    """Numbers of channels, and which of them are one (a union-find forest)."""

    def __init__(self) -> None:
        self._parent: list[int] = []
        self._frozen: dict[int, str] = {}

    def new(self, count: int) -> np.ndarray:
        """Fresh numbers."""
        start = len(self._parent)
        self._parent.extend(range(start, start + count))
        return np.arange(start, start + count)

    def join(self, first: np.ndarray, second: np.ndarray) -> None:
        """Makes channels one, pairwise."""
        for a, b in zip(first.tolist(), second.tolist(), strict=True):
            a, b = self._find(a), self._find(b)
            if a != b:
                self._parent[max(a, b)] = min(a, b)

    def freeze(self, ids: np.ndarray, reason: str) -> None:
        """These must stay; the first reason is kept for people."""
        for i in ids.tolist():
            self._frozen.setdefault(i, reason)

    def roots(self, ids: np.ndarray) -> np.ndarray:
        """The unit of each channel."""
        return np.array([self._find(i) for i in ids.tolist()], dtype=np.int64)

    def frozen(self) -> dict[int, str]:
        """Root -> why the unit must stay."""
        found: dict[int, str] = {}
        for i, reason in self._frozen.items():
            found.setdefault(self._find(i), reason)
        return found

    def __len__(self) -> int:
        return len(self._parent)

    def _find(self, i: int) -> int:
        parent = self._parent
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i


class Map:
    """What tracing a network gives.

    Attributes:
        channels: the numbers.
        axes: id of a weight variable -> [(axis, numbers along it)]; weights without an entry stay as they are.
        sizes: id of a layer -> [(config key, index in its value or None, numbers that it counts)].
        producers: in the order of the graph.
        consumers: the same.
        norms: (scale variable, numbers) of batch normalizations.
    """

    def __init__(self) -> None:
        self.channels = Channels()
        self.axes: dict[int, list[tuple[int, np.ndarray]]] = defaultdict(list)
        self.sizes: dict[int, list[tuple[str, int | None, np.ndarray]]] = defaultdict(list)
        self.producers: list[Producer] = []
        self.consumers: list[Consumer] = []
        self.norms: list[tuple[Any, np.ndarray]] = []

    def slice(self, variable: Any, axis: int, ids: np.ndarray) -> None:
        """Notes that an axis of a weight runs over these channels."""
        if variable is not None:
            self.axes[id(variable)].append((axis % len(variable.shape), ids))

    def groups(self) -> list[Group]:
        """Removable units by the layers that make them; what is frozen is left out."""
        makers: dict[int, list[int]] = defaultdict(list)
        for index, producer in enumerate(self.producers):
            for root in dict.fromkeys(self.channels.roots(producer.ids).tolist()):
                makers[root].append(index)
        frozen = self.channels.frozen()
        found: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for root, indices in makers.items():
            if root not in frozen:
                found[tuple(indices)].append(root)
        return [Group(tuple(self.producers[i].layer.name for i in key), self.producers[key[0]].what,
                      np.array(sorted(roots))) for key, roots in found.items()]

    def why_frozen(self) -> dict[str, str]:
        """Layer -> why none of its channels can go, for layers where none can."""
        frozen = self.channels.frozen()
        found = {}
        for producer in self.producers:
            reasons = [frozen.get(root) for root in self.channels.roots(producer.ids).tolist()]
            if reasons and all(reasons):
                found[producer.layer.name] = reasons[0]
        return found
