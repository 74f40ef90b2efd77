"""Types and shapes of all tensors of an ONNX model: ONNX's own inference, with stand-ins for runtimes' operators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...formats import onnx_weights
from ...model import Dim
from . import onnx_standins, onnx_values

_KEEP_BYTES = 4096  # constants up to here keep their data: shapes, axes and pads are computed from them
_ROUNDS = 8  # of folding shape computations and inferring again
_MOST_NODES_FOR_VALUES = 50_000  # beyond, values of shape computations are not followed

Type = tuple[str, tuple[Dim, ...] | None]


class Types:
    """Type and shape by (graph name, tensor name); inner graphs may repeat the names of others."""

    def __init__(self) -> None:
        self._exact: dict[tuple[str, str], Type] = {}
        self._any: dict[str, Type] = {}
        self.values: dict[str, np.ndarray] = {}  # small results of the main graph that the sizes determine

    def get(self, graph: str, name: str) -> Type:
        """('', None) when nothing is known."""
        return self._exact.get((graph, name)) or self._any.get(name, ("", None))

    def static(self, graph: str) -> dict[str, tuple[int, ...]]:
        """Fully known shapes of one graph's tensors."""
        return {name: shape for (owner, name), (_, shape) in self._exact.items()
                if owner == graph and shape is not None and all(isinstance(d, int) for d in shape)}

    def complete(self, graph: Any) -> bool:
        """Whether every result of a graph has a known shape."""
        return all(_openness(self.get(graph.name, o)) < 2 for n in graph.node for o in n.output if o)

    def retype(self, graph: str, name: str, dtype: str) -> None:
        """Corrects a type and leaves the shape."""
        self._exact[graph, name] = self._any[name] = (dtype, self.get(graph, name)[1])

    def put(self, graph: str, name: str, found: Type) -> None:
        """Keeps the better of what was known and what is told now."""
        old = self._exact.get((graph, name))
        if old is None or _openness(found) < _openness(old):
            self._exact[graph, name] = self._any[name] = found


def infer(model: Any, shapes: Mapping[str, tuple[int, ...]] | None) -> Types:
    """All types that can be found out; never fails.

    Args:
        model: the ``ModelProto``, not changed.
        shapes: input name -> sizes, to be used in place of the declared ones.
    """
    types = Types()
    light = _light(model)
    symbols = _set_inputs(light.graph, shapes or {})
    declared = [(light.graph.name, list(light.graph.value_info), list(light.graph.output))]
    if shapes:
        del light.graph.value_info[:]  # declared with open sizes, which the inference would keep
        for output in light.graph.output:
            output.type.tensor_type.ClearField("shape")
    opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=1)
    special = onnx_standins.replace(light.graph, opset)
    for _ in range(_ROUNDS):
        inferred = _inferred(light).graph
        _collect(types, inferred, symbols)
        if len(light.graph.node) > _MOST_NODES_FOR_VALUES:
            break
        complete = types.complete(light.graph)
        found = onnx_values.fold(light.graph, types.static(inferred.name))
        types.values |= found
        if complete or not found:
            break
    for graph, *groups in declared:
        for value in (v for group in groups for v in group):
            if value.name not in special.dtypes:  # a name that now belongs to another tensor, with a stale type
                types.put(graph, value.name, _type(value, symbols))
    for name, dtype in special.dtypes.items():
        types.retype(light.graph.name, name, dtype)
    return types


def _light(model: Any) -> Any:
    """A copy without the weights' data, so that inference does not carry them about."""
    import onnx

    light = onnx.ModelProto()
    light.ir_version = max(model.ir_version, 4)  # weights need not be inputs from here on
    light.opset_import.extend(model.opset_import)
    light.functions.extend(model.functions)
    graph = light.graph
    graph.name = model.graph.name
    graph.input.extend(model.graph.input)
    graph.output.extend(model.graph.output)
    graph.value_info.extend(model.graph.value_info)
    graph.node.extend(model.graph.node)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == attribute.TENSOR and len(attribute.t.raw_data) > _KEEP_BYTES:
                attribute.t.ClearField("raw_data")
    for weight in model.graph.initializer:
        if weight.ByteSize() <= _KEEP_BYTES and weight.data_location != weight.EXTERNAL:
            graph.initializer.append(weight)
        else:
            graph.initializer.add(name=weight.name, dims=weight.dims, data_type=weight.data_type)
    return light


def _set_inputs(graph: Any, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """Writes the sizes into the inputs; returns what the symbolic names turned out to be."""
    symbols: dict[str, int] = {}
    for value in graph.input:
        sizes = shapes.get(value.name)
        if sizes is None or not value.type.HasField("tensor_type"):
            continue
        declared = [d.dim_param for d in value.type.tensor_type.shape.dim]
        if len(declared) == len(sizes):
            symbols |= {name: size for name, size in zip(declared, sizes, strict=True) if name}
        value.type.tensor_type.ClearField("shape")
        value.type.tensor_type.shape.SetInParent()
        for size in sizes:
            value.type.tensor_type.shape.dim.add().dim_value = size
    return symbols


def _inferred(light: Any) -> Any:
    """The model with as much as the inference can tell; with less ambition after a failure."""
    from onnx import shape_inference

    for follow_values in (True, False):
        if follow_values and len(light.graph.node) > _MOST_NODES_FOR_VALUES:
            continue
        try:
            return shape_inference.infer_shapes(light, check_type=False, strict_mode=False, data_prop=follow_values)
        except Exception:  # files contradict themselves; onnx raises classes without a common base
            continue
    return light


def _collect(types: Types, graph: Any, symbols: Mapping[str, int]) -> None:
    todo = [graph]
    while todo:
        current = todo.pop()
        for group in (current.value_info, current.input, current.output):
            for value in group:
                types.put(current.name, value.name, _type(value, symbols))
        for node in current.node:
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    todo.append(attribute.g)
                todo += attribute.graphs


def _type(value: Any, symbols: Mapping[str, int]) -> Type:
    kind = value.type.WhichOneof("value")
    if kind not in ("tensor_type", "sparse_tensor_type"):
        return (kind or "").removesuffix("_type"), None
    tensor = getattr(value.type, kind)
    dtype = onnx_weights.dtype_name(tensor.elem_type) if tensor.elem_type else ""
    if not tensor.HasField("shape"):
        return dtype, None
    return dtype, tuple(_dim(d, symbols) for d in tensor.shape.dim)


def _dim(dim: Any, symbols: Mapping[str, int]) -> Dim:
    if dim.HasField("dim_value"):
        return dim.dim_value if dim.dim_value >= 0 else None
    return symbols.get(dim.dim_param, dim.dim_param or None)


def _openness(found: Type) -> int:
    """How much is missing: 0 for a static shape."""
    dtype, shape = found
    if shape is None:
        return 1000 + (not dtype)
    return 10 * sum(not isinstance(d, int) for d in shape) + (not dtype)
