"""Reads TFLite files through LiteRT's schema; no interpreter, no TensorFlow.

Schema: https://github.com/google-ai-edge/LiteRT/blob/main/tflite/schema.fbs
"""

from __future__ import annotations

import mmap
import struct
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import InputError, MissingError
from ..model import Dim, ModelFormat, TensorSpec
from .base import Inspection, Options, Probe, elements, natural_order, unique_names

_MAGIC = b"TFL3"
_MAIN_SIGNATURE = "serving_default"
_DTYPES = {"STRING": "str", "RESOURCE": "resource", "VARIANT": "variant"}
_QUANTIZED = ("int8", "uint8", "int16")
_DAMAGED = (struct.error, LookupError, ValueError, TypeError, AttributeError, OverflowError)


def sniff(found: Probe) -> bool:
    """TFLite files carry 'TFL3' at byte 4."""
    return found.head[4:8] == _MAGIC


def read(found: Probe, options: Options) -> Inspection:
    """Specs and counts of a TFLite model; names come from its signature where it has one.

    Raises:
        InputError: damaged.
        MissingError: LiteRT is not installed.
    """
    if find_spec("ai_edge_litert") is None:
        raise MissingError("reading TFLite files takes LiteRT; install it with: pip install ai-edge-litert")
    from ai_edge_litert import schema_py_generated as schema

    path = found.path
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            return _Reader(schema, content).inspection(path)
        except _DAMAGED:
            raise InputError(f"{path.name} is not a valid TFLite file: damaged or cut short; "
                             "copy or convert it again") from None


class Port(NamedTuple):
    """One input or output: tensor index in the main graph, and the name that people use."""

    index: int
    name: str


class _Reader:
    """Walks the flatbuffer; every length is checked against the file's before it is believed."""

    def __init__(self, schema: Any, content: mmap.mmap) -> None:
        self._schema, self._size = schema, len(content)
        self._model = schema.Model.GetRootAs(content, 0)
        self._dtypes = {v: k for k, v in vars(schema.TensorType).items() if isinstance(v, int)}
        self._notes: list[str] = []
        graph = self._model.Subgraphs(0)
        if graph is None or graph.OutputsLength() == 0:
            raise ValueError("no graph")
        self._graph = graph

    def inspection(self, path: Path) -> Inspection:
        """Everything, for :func:`read`."""
        inputs, outputs = self._ports()
        return Inspection(
            format=ModelFormat.TFLITE, inputs=self._specs(inputs, "input"), outputs=self._specs(outputs, "output"),
            parameters=self._parameters(), nodes=self._nodes(), notes=tuple(self._notes), files=(path,),
        )

    def _ports(self) -> tuple[list[Port], list[Port]]:
        """Inputs and outputs: those of the signature, else those of the main graph by tensor name."""
        graph = self._graph
        inputs = [graph.Inputs(i) for i in self._range(graph.InputsLength())]
        outputs = [graph.Outputs(i) for i in self._range(graph.OutputsLength())]
        signature = self._signature()
        if signature is None:
            named = [[Port(i, _text(self._tensor(graph, i).Name())) for i in side] for side in (inputs, outputs)]
            return named[0], named[1]
        ins = [signature.Inputs(i) for i in self._range(signature.InputsLength())]
        outs = [signature.Outputs(i) for i in self._range(signature.OutputsLength())]
        return _sorted(ins, inputs), _sorted(outs, outputs)

    def _signature(self) -> Any:
        """The main graph's signature: 'serving_default' if it is there, else the first."""
        found = [self._model.SignatureDefs(i) for i in self._range(self._model.SignatureDefsLength())]
        main = [s for s in found if s.SubgraphIndex() == 0]
        if len(found) > 1:
            keys = ", ".join(_text(s.SignatureKey()) for s in found)
            self._notes.append(f"it has {len(found)} signatures ({keys}): the main graph's is used")
        return next((s for s in main if _text(s.SignatureKey()) == _MAIN_SIGNATURE), main[0] if main else None)

    def _specs(self, ports: list[Port], role: str) -> tuple[TensorSpec, ...]:
        specs = []
        for port, label in zip(ports, unique_names(p.name for p in ports), strict=True):
            tensor = self._tensor(self._graph, port.index)
            spec = TensorSpec(label, self._dtype(tensor), self._shape(tensor))
            specs.append(spec)
            q = tensor.Quantization()
            if spec.dtype in _QUANTIZED and q is not None and q.ScaleLength() == 1:
                self._notes.append(f"{role} '{label}' is quantized: real value = {q.Scale(0):.6g} * (q - "
                                   f"{q.ZeroPoint(0) if q.ZeroPointLength() else 0})")
        return tuple(specs)

    def _shape(self, tensor: Any) -> tuple[Dim, ...]:
        shape = [tensor.Shape(i) for i in self._range(tensor.ShapeLength())]
        signature = [tensor.ShapeSignature(i) for i in self._range(tensor.ShapeSignatureLength())]
        sizes = signature if len(signature) == len(shape) else shape
        return tuple(None if n < 0 else n for n in sizes)

    def _dtype(self, tensor: Any) -> str:
        name = self._dtypes[tensor.Type()]
        return _DTYPES.get(name, name.lower())

    def _parameters(self) -> int:
        """Elements of constant tensors, each buffer once; int32 and int64 hold shapes, unless they are biases."""
        sizes: dict[int, int] = {}
        for graph in self._graphs():
            for i in self._range(graph.TensorsLength()):
                tensor = self._tensor(graph, i)
                buffer = tensor.Buffer()
                if buffer and self._has_data(buffer) and self._is_weight(tensor):
                    count = elements(tensor.Shape(k) for k in self._range(tensor.ShapeLength()))
                    if not 0 <= count <= 16 * self._size:  # 16: sub-byte and sparse types
                        raise ValueError("a weight is larger than the file")
                    sizes[buffer] = count
        return sum(sizes.values())

    def _is_weight(self, tensor: Any) -> bool:
        quantization = tensor.Quantization()
        is_bias = quantization is not None and quantization.ScaleLength() > 0
        return self._dtype(tensor) not in ("int32", "int64", "bool", "str") or is_bias

    def _has_data(self, buffer: int) -> bool:
        if buffer >= self._model.BuffersLength():
            raise ValueError("no such buffer")
        entry = self._model.Buffers(buffer)
        end = entry.Offset() + entry.Size() if entry.Offset() > 1 else 0  # data after the flatbuffer, for big models
        if end > self._size or entry.DataLength() > self._size:
            raise ValueError("data beyond the end of the file")
        return bool(entry.DataLength() or end)

    def _nodes(self) -> int:
        return sum(self._range(graph.OperatorsLength()).stop for graph in self._graphs())

    def _graphs(self) -> list[Any]:
        return [self._model.Subgraphs(i) for i in self._range(self._model.SubgraphsLength())]

    def _tensor(self, graph: Any, index: int) -> Any:
        if not 0 <= index < graph.TensorsLength():
            raise ValueError("no such tensor")
        return graph.Tensors(index)

    def _range(self, length: int) -> range:
        """``range(length)`` when a vector of that length fits in the file."""
        if not 0 <= length <= self._size // 4:
            raise ValueError("a list is longer than the file")
        return range(length)


def _sorted(maps: list[Any], order: list[int]) -> list[Port]:
    """A signature's entries: 'output_2' before 'output_10', other names as the graph has them."""
    place = {index: i for i, index in enumerate(order)}
    ports = sorted((Port(m.TensorIndex(), _text(m.Name())) for m in maps),
                   key=lambda p: (place.get(p.index, len(place)), p.name))
    by_name = {p.name: p for p in ports}
    return [by_name[name] for name in natural_order(by_name)]


def _text(name: bytes | None) -> str:
    return (name or b"").decode("utf-8")
