"""TensorFlow's graph of a Keras model or SavedModel, before or after Grappler, from a worker process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import InputError
from ...model import Model, ModelFormat
from .. import isolate, plain
from ..graph import Graph

LEVELS = ("before", "after")


def read(model: Model, shapes: Mapping[str, tuple[int, ...]] | None, options: Mapping[str, Any]) -> Graph:
    """See :func:`workbench.graph.readers.executed`."""
    level = options.get("level", "after")
    if level not in LEVELS:
        raise InputError(f"level '{level}' is unknown; allowed: {', '.join(LEVELS)}")
    batch = next((s[0] for s in (shapes or {}).values() if s), 1)
    legacy = "1" if model.format == ModelFormat.KERAS2 else "0"
    answer = isolate.ask("tensorflow_graph", {
        "action": "graph", "path": str(model.path), "label": model.path.name, "batch": batch, "level": level,
    }, package="tensorflow", install="pip install tensorflow", label=model.path.name,
        environment={"TF_USE_LEGACY_KERAS": legacy, "KERAS_BACKEND": "tensorflow"})
    return plain.from_dict(answer["graph"])
