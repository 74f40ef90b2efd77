"""ONNX files: nodes of the main graph and of those inside If, Loop and Scan; local functions stay single nodes."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...formats import onnx_weights
from ...formats.onnx import parse
from ...formats.probe import probe
from ...model import Model
from ..dtypes import size_bytes
from ..graph import Graph, Node, Tensor
from . import onnx_attributes, onnx_data, onnx_types
from .constants import digest
from .order import sorted_nodes

_SCOPES = "pkg.torch.onnx.name_scopes"  # where PyTorch's exporter keeps the module path of a node


def read(model: Model, shapes: Mapping[str, tuple[int, ...]] | None) -> Graph:
    """Graph of an ONNX model; see :func:`workbench.graph.readers.read`."""
    return read_file(model.path, shapes, title=model.path.name)


def read_file(path: Path, shapes: Mapping[str, tuple[int, ...]] | None, *, title: str = "",
              producer: str = "") -> Graph:
    """Graph of an ONNX file that is known to be sound; weights are hashed and then let go.

    Args:
        path: the file; external data lies beside it.
        shapes: sizes of the inputs, for the inference of all others.
        title: for people.
        producer: what made the file, '' to take the file's word.

    Raises:
        InputError: damaged, or not ONNX.
    """
    proto = parse(probe(path))
    types = onnx_types.infer(proto, shapes)
    reader = _Reader(types, onnx_data.Data(path.parent))
    inputs, outputs = reader.main(proto.graph)
    made_by = producer or f"{proto.producer_name} {proto.producer_version}".strip()[:60]
    return Graph(sorted_nodes(reader.nodes), reader.tensors, inputs, outputs, title or path.name, "onnx", made_by)


class _Names:
    """What a tensor is called in the neutral graph, seen from one ONNX graph; inner graphs see the outer names."""

    def __init__(self, outer: _Names | None = None) -> None:
        self._own: dict[str, str] = {}
        self._outer = outer

    def get(self, name: str) -> str:
        scope: _Names | None = self
        while scope is not None:
            if name in scope._own:
                return scope._own[name]
            scope = scope._outer
        return name

    def set(self, name: str, unique: str) -> None:
        self._own[name] = unique


class _Reader:
    """Walks graphs depth first; an owner of subgraphs comes after the nodes inside it."""

    def __init__(self, types: onnx_types.Types, data: onnx_data.Data) -> None:
        self.nodes: list[Node] = []
        self.tensors: dict[str, Tensor] = {}
        self._types, self._data = types, data
        self._taken: set[str] = set()
        self._counts: dict[str, int] = {}
        self._repeated: set[str] = set()

    def main(self, graph: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Reads everything; returns the names of inputs and outputs."""
        self._repeated = _repeated(graph)
        names = _Names()
        weights = self._weights(graph, names, "")
        inputs = []
        for value in graph.input:
            if value.name not in weights:
                inputs.append(self._value(graph, names, "", value.name))
        self._body(graph, names, (), "")
        outputs = tuple(names.get(o.name) for o in graph.output)
        for name in outputs:
            self.tensors.setdefault(name, Tensor(name))
        return tuple(inputs), outputs

    def _weights(self, graph: Any, names: _Names, owner: str) -> set[str]:
        found = set()
        for proto in graph.initializer:
            self._constant(names, owner, proto.name, proto)
            found.add(proto.name)
        for sparse in graph.sparse_initializer:
            unique = self._unique_tensor(owner, sparse.values.name)
            names.set(sparse.values.name, unique)
            dtype, shape = onnx_weights.dtype_name(sparse.values.data_type), tuple(sparse.dims)
            self.tensors[unique] = Tensor(unique, dtype, shape, True, len(sparse.values.raw_data))
            found.add(sparse.values.name)
        return found

    def _constant(self, names: _Names, owner: str, name: str, proto: Any) -> None:
        unique = self._unique_tensor(owner, name)
        names.set(name, unique)
        dtype, shape = onnx_weights.dtype_name(proto.data_type), tuple(proto.dims)
        size, digest = self._data.describe(proto, dtype, shape)
        self.tensors[unique] = Tensor(unique, dtype, shape, True, size, digest)

    def _value(self, graph: Any, names: _Names, owner: str, name: str) -> str:
        """Registers a tensor that flows."""
        unique = self._unique_tensor(owner, name)
        names.set(name, unique)
        dtype, shape = self._types.get(graph.name, name)
        value = None if owner else self._types.values.get(name)
        mark = "" if value is None else digest(value.tobytes(), dtype, value.shape)
        self.tensors[unique] = Tensor(unique, dtype, shape, False, size_bytes(dtype, shape), mark)
        return unique

    def _body(self, graph: Any, names: _Names, scope: tuple[str, ...], owner: str) -> None:
        for node in graph.node:
            self._node(graph, node, names, scope, owner)

    def _node(self, graph: Any, node: Any, names: _Names, scope: tuple[str, ...], owner: str) -> None:
        name = self._unique_name(node, owner)
        own = (*scope, *_scope(node))
        inner: list[str] = []
        for label, subgraph in onnx_attributes.graphs(node):
            inner += self._subgraph(subgraph, names, (*own, name.rsplit("/", 1)[-1], label), f"{name}/{label}")
        inputs = tuple(names.get(i) if i else "" for i in node.input) + tuple(inner)
        outputs = []
        for output in node.output:
            if not output:
                outputs.append("")
            elif node.op_type == "Constant" and not node.domain:
                outputs.append(self._constant_output(graph, names, owner, output, node))
            else:
                outputs.append(self._value(graph, names, owner, output))
        for used in inputs:
            if used and used not in self.tensors:  # a broken or exotic file; kept visible instead of refused
                self.tensors[used] = Tensor(used)
        op = node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"
        self.nodes.append(Node(name, op, inputs, tuple(outputs), own, onnx_attributes.plain(node)))

    def _constant_output(self, graph: Any, names: _Names, owner: str, output: str, node: Any) -> str:
        value = onnx_attributes.constant_tensor(node)
        if value is not None:
            self._constant(names, owner, output, value)
            return names.get(output)
        unique = self._value(graph, names, owner, output)
        found = self.tensors[unique]
        self.tensors[unique] = Tensor(unique, found.dtype, found.shape, True, found.size_bytes)
        return unique

    def _subgraph(self, graph: Any, outer: _Names, scope: tuple[str, ...], owner: str) -> list[str]:
        """Reads an inner graph; returns the names of its results."""
        names = _Names(outer)
        weights = self._weights(graph, names, owner)
        for value in graph.input:
            if value.name not in weights:
                self._value(graph, names, owner, value.name)
        self._body(graph, names, scope, owner)
        return [names.get(o.name) for o in graph.output if names.get(o.name) in self.tensors]

    def _unique_tensor(self, owner: str, name: str) -> str:
        unique = f"{owner}/{name}" if owner and (name in self._repeated or name in self.tensors) else name
        while unique in self.tensors:
            unique += "'"
        return unique

    def _unique_name(self, node: Any, owner: str) -> str:
        """The node's name; without one, that of its first output, which means the same in every version of a model."""
        name = node.name or next((o for o in node.output if o), "") or node.op_type
        if owner and (name in self._repeated or name in self._taken):
            name = f"{owner}/{name}"
        base = name
        while name in self._taken:
            self._counts[base] = self._counts.get(base, 1) + 1
            name = f"{base}#{self._counts[base]}"
        self._taken.add(name)
        return name


def _repeated(graph: Any) -> set[str]:
    """Names that several graphs of a file use, as the bodies of two loops do: each of theirs bears its owner's name,
    whichever comes first in the file, since an optimizer may write them in another order."""
    found: Counter = Counter()

    def look(inner: Any) -> None:
        own = {v.name for v in (*inner.input, *inner.initializer)}
        for node in inner.node:
            own.update((node.name, *node.output))
            for _, deeper in onnx_attributes.graphs(node):
                look(deeper)
        found.update(own)

    look(graph)
    return {name for name, times in found.items() if times > 1 and name}


def _scope(node: Any) -> tuple[str, ...]:
    for entry in node.metadata_props:
        if entry.key == _SCOPES:
            try:
                path = ast.literal_eval(entry.value)
                return tuple(str(p) for p in path[:-1] if p)
            except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
                break
    return tuple(p for p in node.name.split("/")[:-1] if p)

