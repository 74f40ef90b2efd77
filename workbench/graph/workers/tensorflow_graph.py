"""TensorFlow's graph of a model, before and after Grappler, and the output shapes of Keras layers."""

from __future__ import annotations

import re
from typing import Any

from ...model import Model, load
from ..dtypes import size_bytes
from ..graph import Graph, Node, Tensor
from ..plain import to_dict
from ..readers.constants import digest

_DULL = frozenset("_output_shapes T _class _xla_inferred_shapes Tidx Tshape dtype value explicit_paddings U num_args "
                  "TArgs leakyrelu_alpha is_training SrcT _has_manual_control_dependencies".split())
_BOOKKEEPING = ("Identity", "IdentityN", "NoOp", "ReadVariableOp")
_TYPES = {"half": "float16", "string": "str"}


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Answers {'layers': ...} or {'graph': ...}."""
    model = load(request["path"])
    if request["action"] == "layers":
        return {"layers": _layers(model)}
    return {"graph": to_dict(_graph(model, request["batch"], request["level"]))}


def _layers(model: Model) -> dict[str, tuple[str, list[int | None]]]:
    from ...passes._tf_export import load_keras

    found: dict[str, tuple[str, list[int | None]]] = {}
    todo = [("", load_keras(model))]
    while todo:
        scope, network = todo.pop()
        for layer in network.layers:
            name = f"{scope}{layer.name}"
            if getattr(layer, "layers", None):
                todo.append((f"{name}/", layer))
            output = getattr(layer, "output", None)
            output = output[0] if isinstance(output, (list, tuple)) and output else output
            if output is not None and hasattr(output, "shape"):
                dtype = getattr(output.dtype, "name", str(output.dtype))
                found[name] = (dtype, [None if d is None else int(d) for d in output.shape])
    return found


def _graph(model: Model, batch: int, level: str) -> Graph:
    import tensorflow as tf

    from ...passes._tf_export import freeze
    from ...passes._tf_graph import grappler

    frozen = freeze(model, batch=batch)
    definition, (inputs, outputs) = frozen.graph, frozen.tensors
    if level == "after":
        definition = grappler(definition, inputs, outputs)
    reader = _Reader(tf, definition, inputs, outputs)
    maker = f"TensorFlow {tf.__version__}" + (" (Grappler)" if level == "after" else "")
    return Graph(tuple(reader.nodes), reader.tensors, reader.inputs, reader.outputs, model.path.name, "tensorflow",
                 maker)


class _Reader:
    """Nodes of a GraphDef; constants become constant tensors, placeholders the inputs."""

    def __init__(self, tf: Any, definition: Any, inputs: list[str], outputs: list[str]) -> None:
        self.nodes: list[Node] = []
        self.tensors: dict[str, Tensor] = {}
        self.inputs = tuple(_tensor_name(t) for t in inputs)
        self._tf = tf
        self._alias: dict[str, str] = {}
        graph = tf.Graph()
        with graph.as_default():
            tf.import_graph_def(definition, name="")
        wanted = _reached(definition, outputs)
        for operation in graph.get_operations():
            if operation.name in wanted:
                self._operation(operation)
        for name in self.inputs:
            self.tensors.setdefault(name, Tensor(name))
        self.outputs = tuple(self._real(t) for t in outputs)

    def _real(self, name: str) -> str:
        """A tensor, looking through the identities that opening the calls left behind."""
        name = _tensor_name(name)
        return self._alias.get(name, name)

    def _operation(self, operation: Any) -> None:
        if operation.type in _BOOKKEEPING:
            for source, tensor in zip(operation.inputs, operation.outputs, strict=False):
                self._alias[_tensor_name(tensor.name)] = self._real(source.name)
            return
        made = [self._tensor(t, operation) for t in operation.outputs]
        if operation.type in ("Const", "Placeholder"):
            return
        reads = tuple(self._real(t.name) for t in operation.inputs)
        scope = tuple(p for p in operation.name.split("/")[:-1] if p)
        attributes = {key: value for key in operation.node_def.attr
                      if key not in _DULL and (value := self._attribute(operation.node_def.attr[key])) is not None}
        self.nodes.append(Node(operation.name, operation.type, reads, tuple(made), scope, attributes))

    def _tensor(self, tensor: Any, operation: Any) -> str:
        name = _tensor_name(tensor.name)
        dtype = _TYPES.get(tensor.dtype.base_dtype.name, tensor.dtype.base_dtype.name)
        shape = None if tensor.shape.rank is None else tuple(tensor.shape.as_list())
        mark, constant = "", operation.type == "Const"
        if constant:
            array = self._tf.make_ndarray(operation.get_attr("value"))
            mark = "" if array.dtype.kind in "OSU" else digest(array.tobytes(), dtype, tuple(array.shape))
        self.tensors[name] = Tensor(name, dtype, shape, constant, size_bytes(dtype, shape), mark)
        return name

    def _attribute(self, value: Any) -> Any:
        kind = value.WhichOneof("value")
        if kind in ("i", "b"):
            return getattr(value, kind)
        if kind == "f":
            return float(f"{value.f:.7g}")
        if kind == "s":
            return value.s.decode("utf-8", "replace")[:200]
        if kind == "list":
            items = [*value.list.i, *value.list.b, *(float(f"{f:.7g}") for f in value.list.f),
                     *(s.decode("utf-8", "replace") for s in value.list.s)]
            return items[:64] or None
        return None


def _tensor_name(name: str) -> str:
    return re.sub(r":0$", "", name)


def _reached(definition: Any, outputs: list[str]) -> set[str]:
    """Nodes that the outputs depend on."""
    nodes = {n.name: n for n in definition.node}
    todo, seen = [t.split(":")[0] for t in outputs], set()
    while todo:
        name = todo.pop()
        if name not in seen and name in nodes:
            seen.add(name)
            todo += [i.removeprefix("^").split(":")[0] for i in nodes[name].input]
    return seen
