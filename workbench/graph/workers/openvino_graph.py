"""Asks OpenVINO for the graph that it executes on this CPU, with the names of the sources of each node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...errors import InputError
from ..dtypes import size_bytes
from ..graph import Graph, Node, Tensor
from ..plain import to_dict

_SHOWN = ("primitiveType", "runtimePrecision", "outputLayouts")
_TYPES = {"f32": "float32", "f16": "float16", "bf16": "bfloat16", "f64": "float64", "boolean": "bool", "i8": "int8",
          "u8": "uint8", "i16": "int16", "i32": "int32", "i64": "int64", "u32": "uint32", "u64": "uint64", "i4": "int4",
          "u4": "uint4"}


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Answers {'graph': ...}."""
    import openvino as ov

    core = ov.Core()
    try:
        model = core.read_model(request["path"])
        _reshape(ov, model, request["inputs"])
        config = {"INFERENCE_PRECISION_HINT": request["precision"]} if request["precision"] else {}
        compiled = core.compile_model(model, "CPU", config)
    except RuntimeError as error:
        raise InputError(f"OpenVINO cannot load {request['label']}: {' '.join(str(error).split())[:240]}") from None
    sources = _sources(model)
    nodes, tensors, inputs, outputs = _read(compiled.get_runtime_model(), sources)
    version = ".".join(ov.get_version().split("-")[0].split(".")[:2])
    graph = Graph(tuple(nodes), tensors, inputs, outputs, Path(request["path"]).name, "openvino", f"OpenVINO {version}")
    return {"graph": to_dict(graph)}


def _reshape(ov: Any, model: Any, inputs: list[list[Any]]) -> None:
    """Fixes open sizes; inputs are found by name, else by position."""
    wanted = {name: size for name, size in inputs if size}
    named = {name for port in model.inputs for name in port.get_names()}
    sizes = {}
    for index, port in enumerate(model.inputs):
        name = next((n for n in port.get_names() if n in wanted), None)
        if name is None and not named & set(wanted) and index < len(inputs):
            name = inputs[index][0]
        if name in wanted and port.get_partial_shape().is_dynamic:
            sizes[port] = ov.PartialShape(wanted[name])
    if sizes:
        model.reshape(sizes)


def _sources(model: Any) -> dict[str, list[str]]:
    """Operator of the imported model -> names that its results had in the file."""
    found: dict[str, list[str]] = {}
    for op in model.get_ops():
        names = sorted(n for port in op.outputs() for n in port.get_names())
        if names:
            found[op.get_friendly_name()] = names
    return found


def _read(runtime: Any, sources: dict[str, list[str]]) -> tuple[list[Node], dict[str, Tensor], tuple, tuple]:
    nodes: list[Node] = []
    tensors: dict[str, Tensor] = {}
    inputs, outputs = [], []
    labels: dict[tuple[str, int], str] = {}
    for op in runtime.get_ordered_ops():
        info = {key: _text(value) for key, value in op.get_rt_info().items()}
        kind, name = info.get("layerType", op.get_type_name()), op.get_friendly_name()
        reads = [labels[_port(i)] for i in op.inputs() if _port(i) in labels]
        if kind in ("Output", "Result"):
            outputs += reads
            continue
        made = []
        for index, port in enumerate(op.outputs()):
            label = name if index == 0 else f"{name}:{index}"
            labels[name, index] = label
            tensors[label] = _tensor(label, port, info, index, kind == "Const")
            made.append(label)
        if kind in ("Input", "Parameter"):
            inputs += made
        elif kind != "Const":
            origins = _origins(info.get("originalLayersNames", ""), sources)
            attributes = {key: info[key] for key in _SHOWN if key in info}
            scope = tuple(p for p in name.split("/")[:-1] if p)
            nodes.append(Node(name, kind, tuple(reads), tuple(made), scope, attributes, origins=origins))
    return nodes, tensors, tuple(inputs), tuple(outputs)


def _port(port: Any) -> tuple[str, int]:
    source = port.get_source_output()
    return source.get_node().get_friendly_name(), source.get_index()


def _tensor(label: str, port: Any, info: dict[str, str], index: int, constant: bool) -> Tensor:
    precisions = info.get("outputPrecisions", "").split(",")
    dtype = _TYPES.get(precisions[index] if index < len(precisions) else "", "")
    partial = port.get_partial_shape()
    shape = None
    if partial.rank.is_static:
        shape = tuple(d.get_length() if d.is_static else None for d in partial)
    return Tensor(label, dtype, shape, constant, size_bytes(dtype, shape))


def _origins(text: str, sources: dict[str, list[str]]) -> tuple[str, ...]:
    """Names of the source operators, and of their results in the file."""
    found = []
    for name in filter(None, text.split(",")):
        found += [name, *(n for n in sources.get(name, ()) if n != name)]
    return tuple(dict.fromkeys(found))


def _text(value: Any) -> str:
    return str(value.astype(str)) if hasattr(value, "astype") else str(value)
