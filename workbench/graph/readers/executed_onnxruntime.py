"""The graph that ONNX Runtime executes: optimized at load in a worker process, kept, read like any ONNX file."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...model import Model
from .. import isolate
from ..graph import Graph
from . import onnx

LEVELS = ("disabled", "basic", "extended", "layout", "all")


def read(model: Model, shapes: Mapping[str, tuple[int, ...]] | None, options: Mapping[str, Any]) -> Graph:
    """See :func:`workbench.graph.readers.executed`."""
    with tempfile.TemporaryDirectory(prefix="workbench-") as folder:
        path, version = optimize(model, Path(folder), **options)
        graph = onnx.read_file(path, shapes, title=model.path.name, producer=f"ONNX Runtime {version}")
    return replace(graph, format="onnxruntime")


def optimize(model: Model, folder: Path, *, level: str = "all", disabled: tuple[str, ...] = ()) -> tuple[Path, str]:
    """Writes the optimized model into a folder.

    Args:
        model: an ONNX model.
        folder: where the file and its weights go.
        level: 'disabled', 'basic' (constants, duplicates, simple fusions), 'extended' (fusions into ONNX Runtime's own
            operators), 'layout' or 'all' (memory layout of this CPU too).
        disabled: optimizers to leave out, by ONNX Runtime's names.

    Returns:
        the file, and the version of ONNX Runtime.

    Raises:
        InputError: an unknown level, or ONNX Runtime cannot load the model.
    """
    if level not in LEVELS:
        raise InputError(f"level '{level}' is unknown; allowed: {', '.join(LEVELS)}")
    target = folder / "optimized.onnx"
    answer = isolate.ask("onnxruntime_graph", {
        "path": str(model.path), "label": model.path.name, "level": level, "disabled": list(disabled),
        "target": str(target), "weights": "optimized.onnx.data",
    }, package="onnxruntime", install="pip install onnxruntime", label=model.path.name)
    return target, answer["version"]
