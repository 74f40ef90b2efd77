"""Reading, writing and trying ONNX files, for the passes. `onnx` and `onnxruntime` load inside the functions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, NotApplicable
from ..formats.onnx import UNKNOWN_DIMS
from ..model import TensorSpec

LARGEST_IN_ONE_FILE = 1_900_000_000  # protobuf holds 2 GB; graph rewriting needs room below that
QUANTIZED_OPS = frozenset({
    "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul", "QGemm",
    "ConvInteger", "MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul", "MatMulNBits", "QAttention"})
_PLACE = re.compile(r"\S+\.(?:h|hpp|cc|cpp):\d+(?: \S*\([^)]*\))?(?: \[[^\]]*\])?|\[ONNXRuntimeError\] : \d+ : \w+ : ")
_LOADING = re.compile(r"(?:Load model from \S+ failed:\s*)+")


def load(path: Path) -> Any:
    """The whole model, external data included, as a ``ModelProto``.

    Raises:
        InputError: the file cannot be read as ONNX.
        NotApplicable: it is too large to be rewritten in memory.
    """
    import onnx

    try:
        model = onnx.load(str(path))
    except Exception as error:  # protobuf, the file system and onnx's checks share no base class
        raise InputError(f"cannot read {Path(path).name} as ONNX: {one_line(error)}") from None
    if model.ByteSize() > LARGEST_IN_ONE_FILE or model.ByteSize() < 0:
        raise NotApplicable("the model is larger than 2 GB, which the ONNX rewriting tools cannot hold; "
                            "convert a smaller model or run it as it is")
    _open_unknown_sizes(model.graph)
    return model


def _open_unknown_sizes(graph: Any) -> None:
    """Some exporters write an unknown size as -1, 0 or '?'; the tools take that for a size or a name (in place)."""
    for values, least in ((graph.input, 1), (graph.output, 1), (graph.value_info, 0)):
        for value in values:
            for dim in value.type.tensor_type.shape.dim:
                if dim.HasField("dim_value") and dim.dim_value < least:
                    dim.ClearField("dim_value")
                elif dim.HasField("dim_param") and dim.dim_param.strip() in UNKNOWN_DIMS:
                    dim.ClearField("dim_param")


def save(model: Any, path: Path) -> Path:
    """Writes one self-contained file, byte for byte the same for the same model."""
    path.write_bytes(model.SerializeToString(deterministic=True))
    return path


def session(model: Any, *, optimize: bool = True) -> Any:
    """Opens a model (a path or a ``ModelProto``) in ONNX Runtime on the CPU.

    Raises:
        NotApplicable: it cannot be loaded; one line with the cause.
    """
    import onnxruntime as ort

    ort.set_default_logger_severity(3)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    source = str(model) if isinstance(model, (str, Path)) else model.SerializeToString()
    try:
        return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ORT's classes share no base but Exception
        raise NotApplicable(f"ONNX Runtime cannot load the result: {one_line(error)}") from None


def run(model: Any, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Outputs of one forward pass, in the model's order.

    Raises:
        NotApplicable: the model does not load or does not run on this feed.
    """
    opened = session(model)
    try:
        return [np.asarray(a) for a in opened.run(None, feed)]
    except Exception as error:
        raise NotApplicable(f"ONNX Runtime cannot run the result: {one_line(error)}") from None


def graph_inputs(model: Any) -> list[Any]:
    """Inputs that the caller feeds; old files also list their weights as inputs."""
    weights = {i.name for i in model.graph.initializer}
    return [i for i in model.graph.input if i.name not in weights]


def specs(values: Any) -> tuple[TensorSpec, ...]:
    """Specs of graph inputs or outputs (``ValueInfoProto``)."""
    return tuple(TensorSpec(v.name, _dtype(v.type.tensor_type.elem_type), tuple(
        d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in v.type.tensor_type.shape.dim))
        for v in values)


def _dtype(code: int) -> str:
    import onnx

    if code == onnx.TensorProto.STRING:
        return "str"
    if code == onnx.TensorProto.BFLOAT16:
        return "bfloat16"
    try:
        return onnx.helper.tensor_dtype_to_np_dtype(code).name
    except KeyError:
        return "unknown"


def subgraphs(node: Any) -> list[Any]:
    """Graphs in a node's attributes: the branches of an If, the body of a Loop or Scan."""
    import onnx

    found = []
    for a in node.attribute:
        if a.type == onnx.AttributeProto.GRAPH:
            found.append(a.g)
        elif a.type == onnx.AttributeProto.GRAPHS:
            found.extend(a.graphs)
    return found


def all_nodes(graph: Any) -> list[Any]:
    """Nodes of a graph and of all graphs inside it."""
    found = []
    for node in graph.node:
        found.append(node)
        for inner in subgraphs(node):
            found.extend(all_nodes(inner))
    return found


def uses(graph: Any) -> Counter:
    """How often each tensor is read, by nodes of inner graphs too and as an output."""
    found = Counter(t for n in all_nodes(graph) for t in n.input)
    found.update(o.name for o in graph.output)
    return found


def rewire(nodes: Iterable[Any], names: Mapping[str, str], *, outputs: bool = False) -> None:
    """Nodes read, and with ``outputs`` also make, these tensors under other names (in place)."""
    for node in nodes:
        for tensors in (node.input, node.output) if outputs else (node.input,):
            tensors[:] = [names.get(t, t) for t in tensors]


def remove(graph: Any, nodes: Iterable[Any]) -> int:
    """Takes nodes out of a graph (in place; those left are not copied); returns how many."""
    gone = {id(n): n for n in nodes}
    for place in reversed(range(len(graph.node))):
        if id(graph.node[place]) in gone:
            del graph.node[place]
    return len(gone)


def drop_unused_weights(graph: Any) -> None:
    """Removes initializers that no node and no output reads (in place; those left are not copied)."""
    used = uses(graph)
    for place in reversed(range(len(graph.initializer))):
        if graph.initializer[place].name not in used:
            del graph.initializer[place]


def op_counts(path: Path) -> Counter:
    """How often each operator occurs, subgraphs included; weights in other files are not read. Empty if unreadable."""
    path = Path(path)
    try:
        stat = path.stat()
    except OSError:
        return Counter()
    return _op_counts(str(path), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=32)
def _op_counts(path: str, mtime_ns: int, size: int) -> Counter:
    import onnx

    try:
        return Counter(n.op_type for n in all_nodes(onnx.load(path, load_external_data=False).graph))
    except Exception:  # the reader of the model says what is wrong with the file; a count is only a hint
        return Counter()


def is_quantized(path: Path) -> bool:
    """True when the file already holds quantized operators."""
    return not QUANTIZED_OPS.isdisjoint(op_counts(path))


def one_line(error: BaseException) -> str:
    """A library's message without its source places, C++ signatures and line breaks."""
    text = _LOADING.sub("", _PLACE.sub("", " ".join(str(error).split()))).strip(" .")
    text = " ".join(text.split()) or type(error).__name__
    return text if len(text) <= 300 else text[:300].rstrip() + " ..."
