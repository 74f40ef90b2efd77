"""Keras files of both generations, from their architecture text: one node a layer, without loading TensorFlow.

Where the text does not tell the shapes (Keras 2, Sequential), TensorFlow is asked in a worker process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...errors import InputError, MissingError, WorkerError
from ...model import Dim, Model
from .. import isolate
from ..dtypes import size_bytes
from ..graph import Graph, Node, Tensor
from . import keras_weights
from .order import sorted_nodes

_WRAPPED = ("Bidirectional", "TimeDistributed", "QuantizeWrapper", "QuantizeWrapperV2", "PruneLowMagnitude")
_DULL = frozenset("name trainable dtype batch_shape batch_input_shape sparse ragged optional layer layers input_layers "
                  "output_layers build_config quantization_config registered_name module".split())


def read(model: Model, shapes: Mapping[str, tuple[int, ...]] | None) -> Graph:
    """Graph of a Keras model; see :func:`workbench.graph.readers.read`.

    Raises:
        InputError: the text is not that of a Keras model.
    """
    config, version = keras_weights.architecture(model.path)
    try:
        reader = _Reader(keras_weights.by_layer(model.path), shapes or {})
        inputs, outputs = reader.network(config, ())
    except (KeyError, TypeError, AttributeError, IndexError, ValueError):
        raise InputError(f"{model.path.name} has an architecture of a kind that is not known here: "
                         "convert the model to ONNX to see its graph") from None
    specs = {name: (s.dtype, s.shape) for name, s in zip(outputs, model.outputs, strict=False)}
    reader.learn(specs)
    if reader.open_shapes():
        reader.learn(_asked(model))
    nodes, tensors = reader.finished()
    return Graph(sorted_nodes(nodes), tensors, inputs, outputs, model.path.name, model.format.value,
                 f"Keras {version}".strip())


def _asked(model: Model) -> dict[str, tuple[str, tuple[Dim, ...]]]:
    """(dtype, shape) of every layer's output, from TensorFlow; nothing where that does not work."""
    legacy = "1" if model.format.value == "keras2" else "0"
    try:
        answer = isolate.ask("tensorflow_graph", {"action": "layers", "path": str(model.path), "label": model.name},
                             package="tensorflow", install="pip install tensorflow", label=model.name,
                             environment={"TF_USE_LEGACY_KERAS": legacy, "KERAS_BACKEND": "tensorflow"})
    except (InputError, MissingError, WorkerError):
        return {}
    return {name: (dtype, tuple(shape)) for name, (dtype, shape) in answer["layers"].items()}


class _Reader:
    """Collects layers; networks inside networks are opened, their names become scopes."""

    def __init__(self, weights: dict[str, list[tuple[str, str, tuple[int, ...], str]]],
                 shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._weights, self._shapes = weights, shapes
        self._nodes: list[Node] = []
        self._known: dict[str, tuple[str, tuple[Dim, ...]]] = {}
        self._constants: dict[str, Tensor] = {}
        self._batch = next((s[0] for s in shapes.values() if s), None)

    def network(self, config: dict[str, Any], scope: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Reads a Functional or Sequential model; returns the tensors of its inputs and outputs."""
        body = config["config"]
        layers = body["layers"] if isinstance(body, dict) else body
        if config["class_name"] == "Sequential":
            return self._sequential(layers, scope)
        for layer in layers:
            self._layer(layer, scope, [_tensor_name(scope, r) for r in _references(layer.get("inbound_nodes"))])
        return (tuple(_tensor_name(scope, r) for r in _ends(body["input_layers"])),
                tuple(_tensor_name(scope, r) for r in _ends(body["output_layers"])))

    def _sequential(self, layers: list[dict], scope: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        first = previous = None
        for layer in layers:
            name = _name(layer)
            if previous is None and layer["class_name"] != "InputLayer":
                previous = first = "/".join((*scope, f"{name}_input"))
                self._note(previous, layer["config"].get("batch_input_shape") or layer["config"].get("batch_shape"))
            self._layer(layer, scope, [previous] if previous else [])
            previous = "/".join((*scope, name))
            first = first or previous
        if first is None or previous is None:
            raise ValueError("no layers")
        return (first,), (previous,)

    def _layer(self, layer: dict[str, Any], scope: tuple[str, ...], reads: list[str]) -> None:
        name, kind, config = _name(layer), layer["class_name"], layer["config"]
        unique = "/".join((*scope, name))
        self._learn_inputs(layer, scope)
        if kind == "InputLayer":
            self._note(unique, config.get("batch_shape") or config.get("batch_input_shape"), config.get("dtype"))
            return
        if kind in ("Functional", "Sequential", "Model"):
            inner_in, inner_out = self.network(layer, (*scope, name))
            self._join(inner_in, reads, unique, inner_out)
            return
        inner = config.get("layer") if kind in _WRAPPED else None
        op = inner["class_name"] if inner and kind not in ("Bidirectional", "TimeDistributed") else kind
        attributes = _attributes({**(inner or {}).get("config", {}), **config})
        weights = [self._constant(unique, w) for w in self._weights.get(name, ())]
        self._nodes.append(Node(unique, op, (*dict.fromkeys(reads), *weights), (unique,), scope, attributes))

    def _join(self, inner_in: tuple[str, ...], reads: list[str], unique: str, inner_out: tuple[str, ...]) -> None:
        """Ties a network inside the network to what surrounds it, by passing nodes that the diff looks through."""
        for place, (inside, outside) in enumerate(zip(inner_in, reads, strict=False)):
            self._nodes.append(Node(f"{unique}/input_{place}", "Identity", (outside,), (inside,), (unique,)))
        self._nodes.append(Node(f"{unique}/output", "Identity", inner_out[:1], (unique,), (unique,)))

    def _constant(self, owner: str, weight: tuple[str, str, tuple[int, ...], str]) -> str:
        label, dtype, shape, mark = weight
        name = f"{owner}/{label}"
        self._constants[name] = Tensor(name, dtype, shape, True, size_bytes(dtype, shape), mark)
        return name

    def _learn_inputs(self, layer: dict[str, Any], scope: tuple[str, ...]) -> None:
        """Keras 3 writes the shape of each tensor where it is used."""
        for item in _dicts(layer.get("inbound_nodes")):
            if item.get("class_name") == "__keras_tensor__":
                config = item["config"]
                self._note(_tensor_name(scope, config["keras_history"]), config.get("shape"), config.get("dtype"))

    def _note(self, tensor: str, shape: Any, dtype: Any = None) -> None:
        if shape is not None and tensor not in self._known:
            self._known[tensor] = (dtype if isinstance(dtype, str) else "float32",
                                   tuple(d if isinstance(d, int) else None for d in shape))

    def learn(self, found: dict[str, tuple[str, tuple[Dim, ...]]]) -> None:
        """Shapes from elsewhere, by layer name."""
        for name, (dtype, shape) in found.items():
            if "..." not in shape:
                self._note(name, shape, dtype)

    def open_shapes(self) -> bool:
        """Whether some layer's output shape is not known."""
        return any(o not in self._known for n in self._nodes for o in n.outputs if n.op != "Identity")

    def finished(self) -> tuple[list[Node], dict[str, Tensor]]:
        """Nodes, and all tensors with the real batch."""
        tensors = dict(self._constants)
        for name in {t for n in self._nodes for t in (*n.inputs, *n.outputs)} | set(self._known):
            if name not in tensors:
                dtype, shape = self._known.get(name, ("float32", None))
                shape = self._shapes.get(name) or self._sized(shape)
                tensors[name] = Tensor(name, dtype, shape, False, size_bytes(dtype, shape))
        return self._nodes, tensors

    def _sized(self, shape: tuple[Dim, ...] | None) -> tuple[Dim, ...] | None:
        if not shape or self._batch is None or shape[0] is not None:
            return shape
        return (self._batch, *shape[1:])


def _name(layer: dict[str, Any]) -> str:
    return str(layer.get("name") or layer["config"].get("name") or layer["class_name"])


def _tensor_name(scope: tuple[str, ...], reference: Any) -> str:
    """A layer's result: 'layer', or 'layer:1' for a further one of several."""
    name, index = reference[0], reference[2] if len(reference) > 2 else 0
    label = "/".join((*scope, str(name)))
    return label if not index else f"{label}:{index}"


def _references(inbound: Any) -> list[Any]:
    """(layer, node, tensor) of every tensor that a layer reads, in both notations."""
    found = [i["config"]["keras_history"] for i in _dicts(inbound) if i.get("class_name") == "__keras_tensor__"]
    return found or list(_old_references(inbound))


def _old_references(item: Any) -> Iterator[Any]:
    if isinstance(item, list):
        if len(item) >= 3 and isinstance(item[0], str) and isinstance(item[1], int):
            yield item
            return
        for inner in item[:1] if item and isinstance(item[0], list) and item[0] and isinstance(item[0][0], list) and (
                item[0][0] and isinstance(item[0][0][0], list)) else item:
            yield from _old_references(inner)


def _ends(item: Any) -> list[Any]:
    """One reference or a list of them."""
    return [item] if item and isinstance(item[0], str) else [r for r in _old_references(item)]


def _dicts(item: Any) -> Iterator[dict]:
    todo = [item]
    while todo:
        value = todo.pop(0)
        if isinstance(value, dict):
            yield value
            todo = [*value.values(), *todo]
        elif isinstance(value, list):
            todo = [*value, *todo]


def _attributes(config: dict[str, Any]) -> dict[str, Any]:
    """What a layer's settings say about its computation; initializers and training aids are left out."""
    found = {}
    for key, value in config.items():
        if key in _DULL or key.endswith(("_initializer", "_regularizer", "_constraint")) or value in (None, "", [], {}):
            continue
        if isinstance(value, dict):
            value = value.get("class_name") or str(value)[:60]
        found[key] = value
    return found
