"""TorchScript archives: PyTorch tells the graph in a worker process, with all calls opened and shapes from a run."""

from __future__ import annotations

from collections.abc import Mapping

from ...model import Model
from .. import isolate, plain
from ..graph import Graph


def read(model: Model, shapes: Mapping[str, tuple[int, ...]] | None) -> Graph:
    """Graph of a TorchScript module; see :func:`workbench.graph.readers.read`."""
    sizes = [list((shapes or {}).get(s.name, ())) or None for s in model.inputs]
    answer = isolate.ask("torch_graph", {
        "path": str(model.path), "label": model.path.name,
        "inputs": [[s.name, s.dtype, size] for s, size in zip(model.inputs, sizes, strict=True)],
        "outputs": [s.name for s in model.outputs],
    }, package="torch", install="pip install torch", label=model.path.name)
    return plain.from_dict(answer["graph"])
