"""Costs as node data for Model Explorer, for those who look at their models there.

Format: ``GraphNodeData`` in https://github.com/google-ai-edge/model-explorer (node_data_builder.py). A node is found by
the name of one of its output tensors, which Model Explorer keeps for every format.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError
from .graph import Graph, Node

METRICS = ("flops", "bytes", "parameters", "time_s")
_GRADIENT = ({"stop": 0, "bgColor": "#fff7e6"}, {"stop": 1, "bgColor": "#d55e00"})


def node_data(graph: Graph, metric: str = "flops", *, times: Mapping[str, float] | None = None) -> dict[str, Any]:
    """One column of numbers for the nodes of a graph.

    Args:
        graph: a graph with costs.
        metric: 'flops', 'bytes', 'parameters' or 'time_s'.
        times: node name -> seconds of one run, for 'time_s'.

    Returns:
        plain data; save it as JSON and load it under 'Add node data'.

    Raises:
        InputError: an unknown metric, or times without any.
    """
    if metric not in METRICS:
        raise InputError(f"unknown metric '{metric}'; allowed: {', '.join(METRICS)}")
    if metric == "time_s" and not times:
        raise InputError("times come from a profile: measure the model first, or export flops or bytes")
    results = {}
    for node in graph.nodes:
        value = _value(node, metric, times or {})
        key = next((t for t in node.outputs if t), node.name)
        if value:
            results[key] = {"value": value}
    return {"results": results, "gradient": list(_GRADIENT)}


def save(graph: Graph, path: Path, metric: str = "flops", *, times: Mapping[str, float] | None = None) -> Path:
    """Writes :func:`node_data` as a JSON file.

    Raises:
        InputError: as :func:`node_data`, or the file cannot be written.
    """
    text = json.dumps(node_data(graph, metric, times=times), indent=1)
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; name another file") from None
    return path


def _value(node: Node, metric: str, times: Mapping[str, float]) -> float:
    return times.get(node.name, 0.0) if metric == "time_s" else getattr(node, metric)
