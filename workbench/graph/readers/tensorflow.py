"""SavedModels: the frozen graph of the serving function, all calls opened, as it is before TensorFlow optimizes it."""

from __future__ import annotations

from collections.abc import Mapping

from ...model import Model
from ..graph import Graph
from . import executed_tensorflow


def read(model: Model, shapes: Mapping[str, tuple[int, ...]] | None) -> Graph:
    """Graph of a SavedModel; see :func:`workbench.graph.readers.read`."""
    return executed_tensorflow.read(model, shapes, {"level": "before"})
