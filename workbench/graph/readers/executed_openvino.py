"""The graph that OpenVINO executes, asked for in a worker process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import InputError
from ...model import Model
from .. import isolate, plain
from ..graph import Graph

_PRECISIONS = ("", "f32", "f16", "bf16")


def read(model: Model, shapes: Mapping[str, tuple[int, ...]] | None, options: Mapping[str, Any]) -> Graph:
    """See :func:`workbench.graph.readers.executed`."""
    precision = options.get("precision", "")
    if precision not in _PRECISIONS:
        raise InputError(f"precision '{precision}' is unknown; allowed: f32, f16, bf16, or empty")
    answer = isolate.ask("openvino_graph", {
        "path": str(model.path), "label": model.path.name, "precision": precision,
        "inputs": [[s.name, list((shapes or {}).get(s.name, ())) or None] for s in model.inputs],
    }, package="openvino", install="pip install openvino", label=model.path.name)
    return plain.from_dict(answer["graph"])
