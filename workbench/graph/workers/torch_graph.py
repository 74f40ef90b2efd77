"""Reads a TorchScript module: inlined, frozen in inference mode, with the shapes that real inputs give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..dtypes import size_bytes
from ..graph import Graph, Node, Tensor
from ..plain import to_dict
from ..readers.constants import digest

_SILENT = ("prim::Constant", "prim::GetAttr", "prim::ListConstruct", "prim::TupleConstruct", "prim::TupleUnpack",
           "prim::ListUnpack", "prim::NumToTensor", "aten::Int", "prim::device", "prim::dtype")


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Answers {'graph': ...}."""
    import torch

    module = torch.jit.load(request["path"], map_location="cpu").eval()
    reader = _Reader(torch, module)
    with torch.no_grad():
        inputs, outputs = reader.read(request["inputs"])
    names = request["outputs"]
    renamed = dict(zip(outputs, names, strict=False)) if len(outputs) == len(names) else {}
    graph = Graph(tuple(reader.nodes), reader.tensors, inputs, outputs, Path(request["path"]).name, "torchscript",
                  f"PyTorch {torch.__version__}")
    return {"graph": to_dict(graph), "outputs": renamed}


class _Reader:
    """Walks an inlined graph; constants and lists become attributes, weights become constant tensors."""

    def __init__(self, torch: Any, module: Any) -> None:
        self._torch, self._module = torch, module
        self.nodes: list[Node] = []
        self.tensors: dict[str, Tensor] = {}
        self._values: dict[str, Any] = {}  # constants and lists, by value name
        self._names: dict[str, str] = {}  # value in the graph -> tensor
        self._paths: dict[str, str] = {"self": ""}  # value that is a module or attribute -> its path
        self._taken: set[str] = set()
        self._state = dict(module.state_dict())
        self._measured: dict[str, tuple[str, tuple[int, ...]]] = {}

    def read(self, inputs: list[list[Any]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Reads the graph; returns the tensors of inputs and outputs."""
        graph = self._module.inlined_graph
        names = [v.debugName() for v in _results(graph)]  # a copy numbers its values anew, in the same order
        self._measured = dict(zip(names, self._run(graph.copy(), inputs), strict=False))
        values = list(graph.inputs())
        self._paths[values[0].debugName()] = ""
        for value, (name, dtype, size) in zip(values[1:], inputs, strict=False):
            self._names[value.debugName()] = name
            shape = tuple(size) if size else None
            self.tensors[name] = Tensor(name, dtype, shape, False, size_bytes(dtype, shape))
        self._block(graph, ())
        outputs = [t for o in graph.outputs() for t in self._read(o)]
        return tuple(name for name, _, _ in inputs), tuple(outputs)

    def _run(self, graph: Any, inputs: list[list[Any]]) -> list[tuple[str, tuple[int, ...]]]:
        """(dtype, shape) of every tensor of the main block, from a run on zeros with all of them as outputs.

        Without them the graph still has its structure, so a failure is no error.
        """
        torch = self._torch
        found = _results(graph)
        try:
            examples = [torch.zeros(tuple(size or ()), dtype=getattr(torch, dtype)) for _, dtype, size in inputs]
            for _ in list(graph.outputs()):
                graph.eraseOutput(0)
            all_of_them = graph.create("prim::TupleConstruct", found, 1)
            graph.appendNode(all_of_them)
            all_of_them.output().setType(torch._C.TupleType([v.type() for v in found]))
            graph.registerOutput(all_of_them.output())
            results = torch._C._create_function_from_graph("forward", graph)(self._module._c, *examples)
        except (RuntimeError, AttributeError, TypeError, IndexError):
            return []
        return [(str(r.dtype).removeprefix("torch."), tuple(r.shape)) for r in results]

    def _block(self, block: Any, scope: tuple[str, ...]) -> None:
        for node in block.nodes():
            kind = node.kind()
            if kind == "prim::GetAttr":
                base = self._paths.get(node.input().debugName(), "")
                path = f"{base}.{node.s('name')}" if base else node.s("name")
                self._paths[node.output().debugName()] = path
            elif kind == "prim::Constant":
                self._values[node.output().debugName()] = _constant(node)
            elif kind in ("prim::ListConstruct", "prim::TupleConstruct"):
                self._values[node.output().debugName()] = [v.debugName() for v in node.inputs()]
            elif kind in _SILENT:
                source = next(iter(node.inputs()), None)
                for value in node.outputs():
                    if source is not None:
                        self._values[value.debugName()] = [source.debugName()]
            else:
                self._node(node, scope)

    def _node(self, node: Any, scope: tuple[str, ...]) -> None:
        kind = node.kind()
        own = (*scope, *(_scope(node) or self._owner(node)))
        outputs = [self._output(v) for v in node.outputs()]
        op = kind.replace("::", ".").removesuffix("_") if kind.startswith("aten::") else kind.replace("::", ".")
        name = self._unique("/".join((*own, outputs[0] if outputs else op)))
        inner: list[str] = []
        for index, block in enumerate(node.blocks()):
            self._block(block, (*own, name.rsplit("/", 1)[-1], str(index)))
            inner += [t for o in block.outputs() for t in self._read(o)]
        reads = [t for v in node.inputs() for t in self._read(v)]
        self.nodes.append(Node(name, op, (*reads, *inner), tuple(outputs), own, self._attributes(node)))

    def _owner(self, node: Any) -> tuple[str, ...]:
        """Saved files lose the scopes of calls; a weight's path tells which module its reader belongs to."""
        paths = (self._paths.get(v.debugName(), "") for v in node.inputs())
        path = next((p for p in paths if p in self._state), "")
        return tuple(path.split(".")[:-1])

    def _output(self, value: Any) -> str:
        name = value.debugName()
        while name in self.tensors:
            name += "'"
        self._names[value.debugName()] = name
        dtype, shape = self._type(value)
        self.tensors[name] = Tensor(name, dtype, shape, False, size_bytes(dtype, shape))
        return name

    def _type(self, value: Any) -> tuple[str, tuple | None]:
        if value.debugName() in self._measured:
            return self._measured[value.debugName()]
        kind = value.type()
        if kind.kind() != "TensorType":
            return ("int64", ()) if kind.kind() == "IntType" else ("", None)
        dtype = str(kind.dtype()).removeprefix("torch.") if kind.dtype() is not None else ""
        sizes = kind.sizes()
        return dtype, None if sizes is None else tuple(sizes)

    def _read(self, value: Any) -> list[str]:
        """Tensors that an input stands for: a result, a weight, or the members of a list."""
        return self._resolve(value.debugName(), 0)

    def _resolve(self, name: str, depth: int) -> list[str]:
        if name in self._names:
            return [self._names[name]]
        if name in self._paths and self._paths[name] in self._state:
            return [self._weight(self._paths[name])]
        held = self._values.get(name)
        if isinstance(held, list) and depth < 8:
            return [t for item in held for t in self._resolve(item, depth + 1)]
        return []

    def _weight(self, path: str) -> str:
        if path not in self.tensors:
            tensor = self._state[path].detach().cpu().contiguous()
            dtype, shape = str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape)
            try:
                mark = digest(tensor.numpy().tobytes(), dtype, shape)
            except (TypeError, RuntimeError):  # types that numpy does not have
                mark = ""
            self.tensors[path] = Tensor(path, dtype, shape, True, size_bytes(dtype, shape), mark)
        return path

    def _attributes(self, node: Any) -> dict[str, Any]:
        """Constant arguments by their names in the operator's schema."""
        try:
            labels = [a.name for a in self._torch._C.parse_schema(node.schema()).arguments]
        except RuntimeError:
            labels = []
        found = {}
        for index, value in enumerate(node.inputs()):
            name = value.debugName()
            if name in self._names or name in self._paths:
                continue
            held = self._values.get(name)
            if isinstance(held, list):
                held = [self._values.get(item) for item in held]
                if not held or any(h is None or isinstance(h, list) for h in held):
                    continue
            if held is not None:
                found[labels[index] if index < len(labels) else f"arg_{index}"] = held
        return found

    def _unique(self, name: str) -> str:
        while name in self._taken:
            name += "'"
        self._taken.add(name)
        return name


def _results(graph: Any) -> list[Any]:
    """Tensors that the main block computes, in order."""
    return [v for n in graph.nodes() if n.kind() != "prim::GetAttr" for v in n.outputs()
            if v.type().kind() == "TensorType"]


def _scope(node: Any) -> tuple[str, ...]:
    """'__module.layer1/__module.layer1.0' -> ('layer1', '0')."""
    path = node.scopeName().rsplit("/", 1)[-1].split("::")[-1]
    return tuple(p for p in path.split(".") if p and p != "__module")


def _constant(node: Any) -> Any:
    """Value of a constant as plain data; tensors by their shape."""
    output = node.output()
    if output.type().kind() == "NoneType" or not node.hasAttribute("value"):
        return None
    value = output.toIValue()
    if isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)) and all(isinstance(v, (bool, int, float, str)) for v in value):
        return list(value)[:64]
    if hasattr(value, "shape"):
        return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
    return str(value)[:60]
