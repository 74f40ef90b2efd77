"""Attributes of ONNX nodes as plain JSON values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...formats import onnx_weights

_MOST = 64  # elements of a list that are kept


def plain(node: Any) -> dict[str, Any]:
    """Attribute name -> number, text, list, or a short description; graphs are left out."""
    found = {a.name: _value(a) for a in node.attribute}
    return {name: value for name, value in found.items() if value is not None}


def graphs(node: Any) -> Iterator[tuple[str, Any]]:
    """(attribute name, graph) of every subgraph; the branch for 'true' of an If comes first."""
    for attribute in sorted(node.attribute, key=lambda a: a.name == "else_branch"):
        if attribute.HasField("g"):
            yield attribute.name, attribute.g
        for index, graph in enumerate(attribute.graphs):
            yield f"{attribute.name}.{index}", graph


def constant_tensor(node: Any) -> Any:
    """The ``TensorProto`` that a Constant node gives, or None for the sparse kind."""
    from onnx import TensorProto

    for a in node.attribute:
        if a.name == "value":
            return a.t
        made = TensorProto()
        if a.name in ("value_float", "value_floats"):
            made.data_type = TensorProto.FLOAT
            made.float_data.extend([a.f] if a.name == "value_float" else a.floats)
        elif a.name in ("value_int", "value_ints"):
            made.data_type = TensorProto.INT64
            made.int64_data.extend([a.i] if a.name == "value_int" else a.ints)
        else:
            continue
        if a.name.endswith("s"):
            made.dims.append(len(a.floats) or len(a.ints))
        return made
    return None


def _value(a: Any) -> Any:
    kind = a.type
    if kind == a.INT:
        return a.i
    if kind == a.FLOAT:
        return _short(a.f)
    if kind == a.STRING:
        return _text(a.s)
    if kind == a.INTS:
        return list(a.ints[:_MOST])
    if kind == a.FLOATS:
        return [_short(f) for f in a.floats[:_MOST]]
    if kind == a.STRINGS:
        return [_text(s) for s in a.strings[:_MOST]]
    if kind == a.TENSOR:
        return f"{onnx_weights.dtype_name(a.t.data_type)}{list(a.t.dims)}"
    if kind in (a.GRAPH, a.GRAPHS):
        return None
    return a.AttributeType.Name(kind).lower() if kind else None


def _short(value: float) -> float:
    """Single precision prints 0.1 as 0.10000000149011612: seven digits are all it has."""
    return float(f"{value:.7g}")


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")[:200]
