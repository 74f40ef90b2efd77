"""Reads ONNX files, weights left where they are. Format: https://onnx.ai/onnx/repo-docs/IR.html"""

from __future__ import annotations

import mmap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..errors import InputError
from ..model import Dim, ModelFormat, TensorSpec
from . import onnx_weights, wire
from .base import UNKNOWN_RANK, Inspection, Options, Probe
from .probe import explain, is_safetensors

# Fields of ModelProto, number -> wire type: ONNX files have no magic number.
_MODEL_FIELDS = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
_MAX_BYTES = 2**31 - 1  # of any protobuf
UNKNOWN_DIMS = ("", "?", "-1", "None", "none", "unk", "unknown")
_STANDARD = ("", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview.training")
_ONNXRUNTIME = "com.microsoft"


def sniff(found: Probe) -> bool:
    """Whether the bytes can be an ONNX model; only parsing tells for sure."""
    return (not found.is_dir and not found.members and wire.starts_message(found.head, _MODEL_FIELDS)
            and not is_safetensors(found.head))


def read(found: Probe, options: Options) -> Inspection:
    """Specs, counts and files of an ONNX model.

    Raises:
        InputError: damaged, not ONNX, or its external data is missing, cut short or outside the model's folder.
    """
    model = parse(found)
    facts = _Facts()
    for graph in _graphs(model):
        facts.add(graph)
    for function in model.functions:
        facts.add_nodes(function.node)
    external = onnx_weights.external_files(found.path, facts.tensors)
    weights = {t.name for t in model.graph.initializer} | {t.values.name for t in model.graph.sparse_initializer}
    notes: list[str] = [_origin(model)]
    inputs = tuple(_spec(v, notes) for v in model.graph.input if v.name not in weights)
    return Inspection(
        format=ModelFormat.ONNX, inputs=inputs, outputs=tuple(_spec(v, notes) for v in model.graph.output),
        parameters=facts.parameters, nodes=facts.nodes,
        notes=(*notes, *facts.notes(model), *(["it has no inputs: every run gives the same"] if not inputs else [])),
        files=(found.path, *external),
    )


def parse(found: Probe) -> Any:
    """The ``onnx.ModelProto`` of a file; external data is not loaded.

    Raises:
        InputError: damaged, not ONNX, or made to fill the memory.
    """
    from google.protobuf.message import DecodeError
    from onnx import ModelProto

    path = found.path
    if path.stat().st_size > _MAX_BYTES:
        raise InputError(f"{path.name} is over 2 GB, which a single ONNX file cannot be: save the model with "
                         "external data (onnx.save(..., save_as_external_data=True))")
    model = ModelProto()
    try:
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            with memoryview(content) as view:
                wire.check(view, ModelProto.DESCRIPTOR)
                model.ParseFromString(view)
    except wire.TooMany:
        raise InputError(f"{path.name} unfolds to more parts than any real model has: not opened") from None
    except (DecodeError, wire.WireError):
        if path.suffix.lower() != ".onnx":
            raise InputError(explain(found)) from None
        raise InputError(f"{path.name} is not a valid ONNX file: damaged or cut short; "
                         "copy or export it again") from None
    if not model.HasField("graph") or not model.graph.output:
        if path.suffix.lower() != ".onnx":
            raise InputError(explain(found))
        raise InputError(f"{path.name} holds no ONNX graph with outputs: it is no model, or was cut short")
    return model


@dataclass
class _Facts:
    """What is counted while all graphs are walked."""

    nodes: int = 0
    parameters: int = 0
    generated: int = 0
    tensors: list = field(default_factory=list)
    domains: dict[str, Counter] = field(default_factory=dict)

    def add(self, graph: Any) -> None:
        """Counts one graph, without its subgraphs."""
        for tensor in graph.initializer:
            self._weight(tensor)
        for sparse in graph.sparse_initializer:
            self._weight(sparse.values)
            self.tensors.append(sparse.indices)
        self.nodes += len(graph.node)
        self.add_nodes(graph.node)

    def add_nodes(self, nodes: Any) -> None:
        """Weights in Constant nodes and operator domains."""
        for node in nodes:
            self.generated += node.op_type == "ConstantOfShape"
            if node.domain not in _STANDARD:
                self.domains.setdefault(node.domain, Counter())[node.op_type] += 1
            for attribute in node.attribute:
                for tensor in (*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors):
                    self._constant(tensor)

    def _weight(self, tensor: Any) -> None:
        self.tensors.append(tensor)
        self.parameters += onnx_weights.count(tensor)

    def _constant(self, tensor: Any) -> None:
        """Constants are weights when they are real arrays; single values and integers are settings and shapes."""
        self.tensors.append(tensor)
        size = onnx_weights.count(tensor)
        if size > 1 and onnx_weights.is_weight_type(tensor):
            self.parameters += size

    def notes(self, model: Any) -> list[str]:
        """What the user should know about the operators."""
        made = []
        local = {f.domain for f in model.functions}
        for domain, ops in sorted(self.domains.items()):
            names = ", ".join(sorted(ops)[:5]) + (", ..." if len(ops) > 5 else "")
            if domain in local:
                made.append(f"operators of '{domain}' are defined inside the model: {names}")
            elif domain == _ONNXRUNTIME or domain.startswith(_ONNXRUNTIME + "."):
                made.append(f"operators of '{domain}' run in ONNX Runtime only: {names}")
            else:
                made.append(f"operators of unknown domain '{domain}' need a custom operator library: {names}")
        if self.generated > 8 and self.generated > self.nodes // 10:
            made.append(f"{self.generated} ConstantOfShape nodes fill in weights when the model runs: "
                        "parameters and size do not count them")
        return made


def _graphs(model: Any) -> Iterator[Any]:
    """The main graph, training graphs excepted, and every graph inside its nodes and functions."""
    todo = [model.graph]
    for function in model.functions:
        todo += _inner(function.node)
    while todo:
        graph = todo.pop()
        yield graph
        todo += _inner(graph.node)


def _inner(nodes: Any) -> list[Any]:
    found = []
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                found.append(attribute.g)
            found += attribute.graphs
    return found


def _origin(model: Any) -> str:
    opsets = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")]
    maker = f"{model.producer_name} {model.producer_version}".strip()[:60]
    line = f"opset {opsets[0] if opsets else 'unknown'}, IR {model.ir_version}"
    return f"{line}, made by {maker}" if maker else line


def _spec(value: Any, notes: list[str]) -> TensorSpec:
    kind = value.type.WhichOneof("value")
    if kind not in ("tensor_type", "sparse_tensor_type"):
        label = (kind or "unknown").removesuffix("_type")
        notes.append(f"'{value.name}' is a {label}, not a tensor")
        return TensorSpec(value.name, label, UNKNOWN_RANK)
    tensor = getattr(value.type, kind)
    if tensor.HasField("shape"):
        shape = tuple(_dim(d) for d in tensor.shape.dim)
    else:
        shape = UNKNOWN_RANK
        notes.append(f"the file does not tell how many axes '{value.name}' has")
    return TensorSpec(value.name, onnx_weights.dtype_name(tensor.elem_type), shape)


def _dim(dim: Any) -> Dim:
    if dim.HasField("dim_value"):
        return dim.dim_value if dim.dim_value > 0 else None  # 0 and -1 are how some exporters say 'unknown'
    return None if dim.dim_param.strip() in UNKNOWN_DIMS else dim.dim_param
