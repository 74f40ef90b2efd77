"""Attributes without what is only spelled out: defaults, and sizes that the weights tell anyway."""

from __future__ import annotations

from functools import cache
from typing import Any

from .graph import Node
from .ops import plain

# Without meaning for the result, or told by the inputs.
_IGNORED = frozenset({"kernel_shape", "momentum", "spatial", "is_test", "consumed_inputs", "training_mode", "ratio",
                      "seed", "stash_type", "saturate", "storage_order", "name", "activations", "T", "Tidx", "dtype",
                      "Taxis", "TI", "Tshape", "data_format", "_output_shapes", "_class"})
_POOLS = frozenset({"MaxPool", "AveragePool", "LpPool", "NhwcMaxPool"})
_LISTS = {"dilations": 1, "strides": 1, "pads": 0, "output_padding": 0}  # all of this value: nothing said
_VALUES: dict[str, tuple[Any, ...]] = {"auto_pad": ("NOTSET",), "channels_last": (0,), "axis": (), "to": ()}


@cache
def _defaults(op: str) -> dict[str, tuple[Any, ...]]:
    """Default values over all versions of a standard ONNX operator."""
    try:
        from onnx import defs, helper
    except ImportError:
        return {}
    found: dict[str, list[Any]] = {}
    version: int | None = None
    while True:
        try:
            schema = defs.get_schema(op) if version is None else defs.get_schema(op, version)
        except defs.SchemaError:
            break
        for name, attribute in schema.attributes.items():
            value = attribute.default_value
            if value.name:
                plain_value = helper.get_attribute_value(value)
                found.setdefault(name, []).append(
                    plain_value.decode() if isinstance(plain_value, bytes) else plain_value)
        if schema.since_version <= 1:
            break
        version = schema.since_version - 1
    return {name: tuple(values) for name, values in found.items()}


def attributes(node: Node) -> tuple[tuple[str, str], ...]:
    """What a node's attributes really say, as a sorted, hashable key."""
    if not node.attributes:
        return ()
    op = plain(node.op)
    defaults = _defaults(op) if "." not in node.op or node.op.startswith("com.microsoft") else {}
    said = []
    for name, value in node.attributes.items():
        if name in _IGNORED and not (name == "kernel_shape" and op in _POOLS):
            continue
        if name in _LISTS and isinstance(value, list) and all(v == _LISTS[name] for v in value):
            continue
        if _is_default(value, _VALUES.get(name, ())) or _is_default(value, defaults.get(name, ())):
            continue
        said.append((name, repr(value)))
    return tuple(sorted(said))


def _is_default(value: Any, defaults: tuple[Any, ...]) -> bool:
    for default in defaults:
        if value == default:
            return True
        if isinstance(value, float) and isinstance(default, float) and abs(value - default) <= 1e-6 * abs(default):
            return True
    return False
