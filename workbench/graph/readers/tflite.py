"""TFLite files through LiteRT's schema: no interpreter, no TensorFlow.

Schema: https://github.com/google-ai-edge/LiteRT/blob/main/tflite/schema.fbs
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from typing import Any

from ...errors import InputError, MissingError, WorkerError
from ...model import Dim, Model
from .. import isolate
from ..dtypes import size_bytes
from ..graph import Graph, Node, Tensor
from .constants import digest
from .order import sorted_nodes

_DAMAGED = (struct.error, LookupError, ValueError, TypeError, AttributeError, OverflowError)
_DTYPES = {"STRING": "str", "RESOURCE": "resource", "VARIANT": "variant"}
_SUBGRAPHS = ("then_subgraph_index", "else_subgraph_index", "cond_subgraph_index", "body_subgraph_index",
              "subgraph", "init_subgraph_index")


def read(model: Model, shapes: Mapping[str, tuple[int, ...]] | None) -> Graph:
    """Graph of a TFLite model; see :func:`workbench.graph.readers.read`.

    The converter writes all source names into the name of a tensor; they become the node's origins.
    """
    if find_spec("ai_edge_litert") is None:
        raise MissingError("reading TFLite files takes LiteRT; install it with: pip install ai-edge-litert")
    from ai_edge_litert import schema_py_generated as schema

    with model.path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            return _Reader(schema, content, model).graph(shapes or {})
        except _DAMAGED:
            raise InputError(f"{model.path.name} is not a valid TFLite file: damaged or cut short; "
                             "copy or convert it again") from None


class _Reader:
    """Walks the flatbuffer; subgraphs of control flow come with the owner's name in their scope."""

    def __init__(self, schema: Any, content: mmap.mmap, model: Model) -> None:
        self._schema, self._content, self._path, self._specs = schema, content, model.path, model.inputs
        self._real: list[tuple[int, ...]] = []
        self._model = schema.Model.GetRootAs(content, 0)
        self._dtypes = {v: k for k, v in vars(schema.TensorType).items() if isinstance(v, int)}
        self._codes = [self._code(self._model.OperatorCodes(i)) for i in self._range(self._model.OperatorCodesLength())]
        self._nodes: list[Node] = []
        self._tensors: dict[str, Tensor] = {}
        self._taken: set[str] = set()

    def graph(self, shapes: Mapping[str, tuple[int, ...]]) -> Graph:
        """Everything."""
        main = self._model.Subgraphs(0)
        batch = next((s[0] for s in shapes.values() if s), 1)
        self._real = self._run_shapes(main, shapes)
        names = self._subgraph(0, (), batch, set())
        ports = [tuple(names[getattr(main, side)(i)] for i in self._range(getattr(main, f"{side}Length")()))
                 for side in ("Inputs", "Outputs")]
        version = (self._model.Description() or b"").decode("utf-8", "replace")[:60]
        return Graph(sorted_nodes(self._nodes), self._tensors, ports[0], ports[1], self._path.name, "tflite", version)

    def _subgraph(self, index: int, scope: tuple[str, ...], batch: int, seen: set[int]) -> list[str]:
        """Reads one subgraph; returns the unique names of its tensors by their numbers."""
        graph = self._model.Subgraphs(index)
        names = [self._tensor(graph, i, scope, batch) for i in self._range(graph.TensorsLength())]
        for i in self._range(graph.OperatorsLength()):
            self._operator(graph.Operators(i), names, scope, batch, seen | {index}, i)
        return names

    def _run_shapes(self, main: Any, shapes: Mapping[str, tuple[int, ...]]) -> list[tuple[int, ...]]:
        """Shapes from a run on zeros, where the file leaves inner sizes open; [] when that is not needed or fails."""
        inputs = {main.Inputs(i) for i in self._range(main.InputsLength())}
        is_open = any(main.Tensors(i).ShapeSignature(k) < 0 for i in self._range(main.TensorsLength())
                      for k in self._range(main.Tensors(i).ShapeSignatureLength()))
        if not is_open or len(inputs) != len(shapes):
            return []
        by_name = {s.name: shapes.get(s.name) for s in self._specs}
        if not all(by_name.values()):
            return []
        try:
            answer = isolate.ask("litert_shapes", {"path": str(self._path), "inputs": list(by_name.values())},
                                 package="ai_edge_litert", install="pip install ai-edge-litert", label=self._path.name)
        except (InputError, WorkerError):
            return []
        return [tuple(s) for s in answer["shapes"]]

    def _tensor(self, graph: Any, i: int, scope: tuple[str, ...], batch: int) -> str:
        tensor = graph.Tensors(i)
        label = (tensor.Name() or b"").decode("utf-8", "replace") or f"tensor_{i}"
        unique = label if label not in self._tensors else "/".join((*scope, label))
        while unique in self._tensors:
            unique += "'"
        dtype = self._dtype(tensor)
        shape = self._real[i] if not scope and i < len(self._real) and self._real[i] else self._shape(tensor, batch)
        data = self._data(tensor.Buffer())
        if data is None:
            self._tensors[unique] = Tensor(unique, dtype, shape, False, size_bytes(dtype, shape))
        else:
            sizes = tuple(d for d in shape if isinstance(d, int))
            self._tensors[unique] = Tensor(unique, dtype, shape, True, len(data), digest(data, dtype, sizes))
        return unique

    def _shape(self, tensor: Any, batch: int) -> tuple[Dim, ...]:
        """Declared sizes; an open batch gets the real one."""
        shape = [tensor.Shape(i) for i in self._range(tensor.ShapeLength())]
        signature = [tensor.ShapeSignature(i) for i in self._range(tensor.ShapeSignatureLength())]
        sizes = signature if len(signature) == len(shape) else shape
        return tuple(n if n >= 0 else batch if axis == 0 else None for axis, n in enumerate(sizes))

    def _data(self, index: int) -> memoryview | None:
        """Bytes of a buffer; None for buffer 0 and empty ones, which hold no constant."""
        if index == 0:
            return None
        entry = self._model.Buffers(index)
        if entry.Offset() > 1:  # big models keep data behind the flatbuffer
            return memoryview(self._content[entry.Offset():entry.Offset() + entry.Size()])
        if not entry.DataLength():
            return None
        return memoryview(entry.DataAsNumpy()).cast("B")

    def _operator(self, operator: Any, names: list[str], scope: tuple[str, ...], batch: int, seen: set[int],
                  place: int) -> None:
        op = self._codes[operator.OpcodeIndex()]
        inputs = [operator.Inputs(i) for i in self._range(operator.InputsLength())]
        outputs = [names[operator.Outputs(i)] for i in self._range(operator.OutputsLength())]
        origins = tuple(p.strip() for p in outputs[0].rstrip("'").split(";") if p.strip()) if outputs else ()
        name = self._unique(origins[0] if origins else f"{op}_{place}")
        attributes = self._options(operator)
        own = (*scope, *(p for p in name.split("/")[:-1] if p))
        inner = self._bodies(attributes, own, name, batch, seen)
        reads = tuple("" if i < 0 else names[i] for i in inputs) + inner
        self._nodes.append(Node(name, op, reads, tuple(outputs), own, attributes, origins=origins))

    def _bodies(self, attributes: dict[str, Any], scope: tuple[str, ...], name: str, batch: int,
                seen: set[int]) -> tuple[str, ...]:
        """Reads the subgraphs that an operator owns; returns their results."""
        results: list[str] = []
        for key in _SUBGRAPHS:
            index = attributes.get(key)
            if not isinstance(index, int) or index in seen or not 0 < index < self._model.SubgraphsLength():
                continue
            label = key.removesuffix("_subgraph_index")
            inner = self._subgraph(index, (*scope, name.rsplit("/", 1)[-1], label), batch, seen)
            graph = self._model.Subgraphs(index)
            results += [inner[graph.Outputs(i)] for i in self._range(graph.OutputsLength())]
        return tuple(results)

    def _options(self, operator: Any) -> dict[str, Any]:
        """Options of a built-in operator under their schema names."""
        for suffix in ("", "2"):
            table = getattr(operator, f"BuiltinOptions{suffix}")()
            kind = getattr(operator, f"BuiltinOptions{suffix}Type")()
            made = _option_class(self._schema, kind, suffix) if table is not None and kind else None
            if made is None:
                continue
            options = made()
            options.Init(table.Bytes, table.Pos)
            return self._values(options)
        return {}

    def _values(self, options: Any) -> dict[str, Any]:
        values = {}
        for label in _fields(type(options)):
            length = getattr(options, f"{label}Length", None)
            value = [getattr(options, label)(i) for i in self._range(length())][:64] if length else getattr(
                options, label)()
            if isinstance(value, (bool, int, float, list)) and value not in (0, False, []):
                values[_snake(label)] = value
        activation = values.pop("fused_activation_function", 0)
        if activation:
            values["activation"] = _constant_name(self._schema.ActivationFunctionType, activation)
        if "padding" in values:
            values["padding"] = _constant_name(self._schema.Padding, values["padding"])
        return values

    def _code(self, code: Any) -> str:
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        name = _constant_name(self._schema.BuiltinOperator, number)
        return (code.CustomCode() or b"CUSTOM").decode("utf-8", "replace")[:80] if name == "CUSTOM" else name

    def _dtype(self, tensor: Any) -> str:
        name = self._dtypes[tensor.Type()]
        return _DTYPES.get(name, name.lower())

    def _unique(self, name: str) -> str:
        base, count = name, 1
        while name in self._taken:
            count += 1
            name = f"{base}#{count}"
        self._taken.add(name)
        return name

    def _range(self, length: int) -> range:
        """``range(length)`` when a vector of that length fits in the file."""
        if not 0 <= length <= len(self._content) // 4:
            raise ValueError("a list is longer than the file")
        return range(length)


@cache
def _fields(options: type) -> tuple[str, ...]:
    """Names of a flatbuffer table's fields: its accessors, without the helpers that the generator adds."""
    helpers = ("Length", "IsNone", "AsNumpy", "BufferHasIdentifier")
    return tuple(m for m in dir(options) if m[0].isupper() and not m.endswith(helpers)
                 and m != "Init" and not m.startswith("GetRootAs"))


@cache
def _option_class(schema: Any, kind: int, suffix: str) -> Any:
    union = getattr(schema, f"BuiltinOptions{suffix}")
    label = next((k for k, v in vars(union).items() if v == kind and not k.startswith("_")), "")
    return getattr(schema, label, None)


@cache
def _constant_name(enum: Any, value: int) -> str:
    return next((k for k, v in vars(enum).items() if v == value and not k.startswith("_")), str(value))


@cache
def _snake(label: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", label).lower()
