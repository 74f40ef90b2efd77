"""torch.export archives (.pt2), read as JSON without PyTorch; opening the model has refused archives with code in them.

Layout: https://docs.pytorch.org/docs/stable/export/pt2_archive.html
"""

from __future__ import annotations

import ast
import math
import re
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

from ...errors import InputError
from ...formats import archive
from ...model import Dim, Model
from ..dtypes import size_bytes
from ..graph import Graph, Node, Tensor
from .constants import digest
from .order import sorted_nodes

# ScalarType of torch/_export/serde/schema.py
DTYPES = {1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64",
          9: "complex32", 10: "complex64", 11: "complex128", 12: "bool", 13: "bfloat16", 28: "uint16", 34: "uint32",
          35: "uint64"}
_MOST = 64  # elements of a list that an attribute keeps


def read(model: Model, shapes: Mapping[str, tuple[int, ...]] | None) -> Graph:
    """Graph of an exported program; see :func:`workbench.graph.readers.read`.

    Raises:
        InputError: a layout that is not known here.
    """
    path = model.path
    with archive.open_archive(path) as opened:
        names = [n for n in opened.namelist() if re.fullmatch(r"(.+/)?models/[^/]+\.json", n, re.IGNORECASE)
                 or n == "serialized_exported_program.json"]
        try:
            program = archive.read_json(opened, names[0])
            reader = _Reader(program["graph_module"], _Weights(opened), shapes or {})
            inputs, outputs = reader.main()
        except (KeyError, TypeError, AttributeError, IndexError, ValueError):
            raise InputError(f"{path.name} is written by a PyTorch whose layout is not known here: "
                             "export it again with torch.export.save") from None
    maker = f"PyTorch {program.get('torch_version') or ''}".strip()
    return Graph(sorted_nodes(reader.nodes), reader.tensors, inputs, outputs, path.name, "torch_export", maker)


class _Weights:
    """Data of parameters and buffers, by their names in the module."""

    def __init__(self, opened: zipfile.ZipFile) -> None:
        self._opened = opened
        self._members: dict[str, str] = {}
        for name in opened.namelist():
            if name.endswith("_weights_config.json"):
                folder = name.rsplit("/", 1)[0]
                for key, entry in archive.read_json(opened, name)["config"].items():
                    if not entry.get("use_pickle"):
                        self._members[key] = f"{folder}/{entry['path_name']}"

    def digest(self, name: str, dtype: str, shape: tuple[Dim, ...], size: int) -> str:
        """Digest of a weight, '' when its data is not plain bytes of the expected size."""
        member = self._members.get(name)
        if member is None or not size or not all(isinstance(d, int) for d in shape):
            return ""
        try:
            data = self._opened.read(member)
        except (KeyError, RuntimeError, zipfile.BadZipFile, OSError):
            return ""
        return digest(data, dtype, shape) if len(data) == size else ""


class _Reader:
    """Walks a graph module; bodies of control flow come with the owner's name in their scope."""

    def __init__(self, module: dict[str, Any], weights: _Weights, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.nodes: list[Node] = []
        self.tensors: dict[str, Tensor] = {}
        self._module, self._weights = module, weights
        self._symbols: dict[str, int] = {}
        self._taken: set[str] = set()
        values = module["graph"]["tensor_values"]
        for name, sizes in shapes.items():
            for size, real in zip(values.get(name, {}).get("sizes", ()), sizes, strict=False):
                symbol = re.fullmatch(r"Symbol\('(\w+)'[^()]*\)", size.get("as_expr", {}).get("expr_str", ""))
                if symbol:
                    self._symbols[symbol.group(1)] = real

    def main(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Reads everything; returns the tensors of inputs and outputs."""
        signature = self._module["signature"]
        held, inputs, outputs = {}, [], []
        for entry in signature["input_specs"]:
            (kind, spec), = entry.items()
            if kind == "user_input":
                inputs += _tensors(spec["arg"])
            elif "arg" in spec:
                name = spec["arg"]["name"]
                held[name] = spec.get("parameter_name") or spec.get("buffer_name") or spec.get("tensor_constant_name")
        self._graph(self._module["graph"], (), held)
        for entry in signature["output_specs"]:
            (kind, spec), = entry.items()
            if kind == "user_output":
                outputs += _tensors(spec["arg"])
        return tuple(inputs), tuple(outputs)

    def _graph(self, graph: dict[str, Any], scope: tuple[str, ...], held: Mapping[str, str | None]) -> list[str]:
        """Reads one graph; returns the tensors that it gives."""
        for name, meta in graph["tensor_values"].items():
            if name in self.tensors:
                continue
            dtype = DTYPES.get(meta["dtype"], "")
            shape = tuple(self._size(s) for s in meta["sizes"])
            size = size_bytes(dtype, shape)
            mark = self._weights.digest(held[name] or "", dtype, shape, size) if name in held else ""
            self.tensors[name] = Tensor(name, dtype, shape, name in held, size, mark)
        for node in graph["nodes"]:
            self._node(node, scope)
        return [t for o in graph["outputs"] for t in _tensors(o)]

    def _node(self, node: dict[str, Any], scope: tuple[str, ...]) -> None:
        outputs = [t for o in node["outputs"] for t in _tensors(o)]
        name = node.get("name") or (outputs[0] if outputs else node["target"])
        own = (*scope, *_modules(node.get("metadata", {}).get("nn_module_stack", "")))
        reads, attributes, inner = [], {}, []
        for item in node["inputs"]:
            arg = item["arg"]
            found = list(_tensors(arg))
            if "as_graph" in arg:
                inner += self._graph(arg["as_graph"]["graph"], (*own, name, arg["as_graph"].get("name", "")), {})
            elif found:
                reads += found
            else:
                value = _plain(arg)
                if value is not None:
                    attributes[item.get("name") or f"arg_{len(attributes)}"] = value
        for tensor in (*reads, *outputs):
            self.tensors.setdefault(tensor, Tensor(tensor, "int64", ()))
        while name in self._taken:
            name += "'"
        self._taken.add(name)
        self.nodes.append(Node(name, _operator(node["target"]), (*reads, *inner), tuple(outputs), own, attributes))

    def _size(self, size: dict[str, Any]) -> Dim:
        if "as_int" in size:
            return int(size["as_int"])
        text = size["as_expr"]["expr_str"]
        try:
            return _evaluate(ast.parse(text, mode="eval").body, self._symbols)
        except (KeyError, SyntaxError, ValueError, TypeError, RecursionError, ZeroDivisionError):
            symbol = re.fullmatch(r"Symbol\('(\w+)'[^()]*\)", text.strip())
            return symbol.group(1) if symbol else None


def _evaluate(node: ast.expr, symbols: Mapping[str, int]) -> int:
    """Value of a size formula of sums, products and quotients.

    Raises:
        KeyError: a symbol without a value.
        ValueError: another function.
    """
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if node.func.id == "Symbol" and isinstance(node.args[0], ast.Constant):
            return symbols[node.args[0].value]
        values = [_evaluate(a, symbols) for a in node.args]
        simple = {"Integer": lambda v: v[0], "Mul": math.prod, "Add": sum, "FloorDiv": lambda v: v[0] // v[1],
                  "Max": max, "Min": min}
        if node.func.id in simple:
            return int(simple[node.func.id](values))
    raise ValueError("not simple arithmetic")


def _tensors(arg: dict[str, Any]) -> Iterator[str]:
    """Names of the tensors and computed sizes in an argument."""
    (kind, value), = arg.items()
    if kind in ("as_tensor", "as_sym_int", "as_sym_float", "as_sym_bool"):
        name = value.get("name") or value.get("as_name")
        if name:
            yield name
    elif kind in ("as_tensors", "as_optional_tensors", "as_sym_ints"):
        for item in value:
            name = item.get("name") or item.get("as_name") or (item.get("as_tensor") or {}).get("name")
            if name:
                yield name


def _plain(arg: dict[str, Any]) -> Any:
    """A number, text or list; None for what is absent or has no short form."""
    (kind, value), = arg.items()
    if kind in ("as_int", "as_float", "as_bool", "as_string"):
        return value
    if kind in ("as_ints", "as_floats", "as_bools", "as_strings"):
        return value[:_MOST]
    if kind == "as_sym_ints":
        return [v.get("as_int", v.get("as_name")) for v in value[:_MOST]]
    return None


def _operator(target: str) -> str:
    """'torch.ops.aten.conv2d.default' -> 'aten.conv2d'."""
    parts = target.removeprefix("torch.ops.").removeprefix("_").split(".")
    return ".".join(parts[:2]) if target.startswith("torch.ops.") else ".".join(parts)


def _modules(stack: str) -> tuple[str, ...]:
    """'L__self__,,M;L__self___layer1,layer1,Sequential' -> the path of the innermost module."""
    paths = [entry.split(",")[1] for entry in stack.split(";") if entry.count(",") >= 2]
    return tuple(paths[-1].split(".")) if paths and paths[-1] and not paths[-1].startswith("_empty_nn") else ()
