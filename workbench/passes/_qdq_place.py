"""Where pairs of QuantizeLinear and DequantizeLinear stand, which decides what a runtime can fuse.

ONNX Runtime runs Conv in INT8 only with a pair right behind it, Gemm and MatMul without one too. OpenVINO gives the
result of an INT8 node in float at no price and fuses the activation into its kernel, unless a pair stands between the
two; so does TensorRT. A pair that no INT8 node reads rounds for nothing.
Source: https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/work-quantized-types.html (quantize all
inputs of weighted operations, not their outputs; do not simulate the fusion of activations).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from . import _onnx_io, _onnx_scope
from ._onnx_lookup import Lookup

AFTER_CONV, AFTER_ACTIVATION = "conv", "activation"
MADE = "_QuantizeLinear_Input"  # what the quantizer appends to the maker of a graph output
_ACTIVATIONS = frozenset({"Relu", "Clip"})
_DROPPED = {AFTER_CONV: frozenset({"Gemm", "MatMul"}), AFTER_ACTIVATION: _onnx_scope.COMPUTE | _ACTIVATIONS}


def quantizer_options(after: str) -> dict[str, bool]:
    """Options for ONNX Runtime's quantizer: it takes out a Relu whose work the rounding behind the node does."""
    return {"QDQKeepRemovableActivations": after == AFTER_ACTIVATION}


def notes(after: str) -> list[str]:
    """What someone who takes the file elsewhere must know."""
    return ["values are rounded behind the activation only, which OpenVINO fuses: ONNX Runtime would run these "
            "convolutions in float"] if after == AFTER_ACTIVATION else []


def drop_unread(before: Any, model: Any, after: str, ops: Iterable[str] = _onnx_scope.CARRY) -> None:
    """Takes out the pairs that no INT8 node reads and that the runtime does not need (in place).

    Args:
        before: the float ``ModelProto``.
        model: the QDQ ``ModelProto`` made of it with :func:`quantizer_options`.
        after: 'conv' leaves the pairs behind convolutions, 'activation' none between a node and its activation.
        ops: operators besides the compute nodes that were to be quantized.
    """
    places = _Places(before, model.graph, after, ops)
    gone: list[Any] = []
    renamed: dict[str, str] = {}
    for node in model.graph.node:
        back = places.unread(node)
        if back is None:
            continue
        named = [d.output[0] for d in back if d.output[0] in places.outputs]
        if len(named) + (node.input[0] in places.outputs) > 1:
            continue
        kept = named[0] if named else node.input[0]  # an output of the graph keeps its name
        gone += [node, *back]
        renamed |= dict.fromkeys([node.input[0], *(d.output[0] for d in back)], kept)
    _onnx_io.remove(model.graph, gone)
    _onnx_io.rewire(_onnx_io.all_nodes(model.graph), renamed, outputs=True)
    _onnx_io.drop_unused_weights(model.graph)


class _Places:
    """Who makes and who reads each tensor of a QDQ graph."""

    def __init__(self, before: Any, graph: Any, after: str, ops: Iterable[str]) -> None:
        known = Lookup(graph)
        self._makers, self._readers, self.outputs = known.made, known.readers, known.outputs
        self._own = {n.name: n.output[0] for n in before.graph.node}
        self._dropped = _DROPPED[after]
        self._carrying = set(ops) - (_ACTIVATIONS if after == AFTER_ACTIVATION else set())

    def unread(self, node: Any) -> list[Any] | None:
        """The other half of a pair that is not needed; None for any other node."""
        maker = self._makers.get(node.input[0]) if node.op_type == "QuantizeLinear" else None
        if maker is None or maker.op_type not in self._dropped:
            return None
        if self._own.get(maker.name) != node.input[0].removesuffix(MADE):
            return None  # the pair does the work of a Relu
        back = self._readers.get(node.output[0], [])
        needed = any(d.op_type != "DequantizeLinear" or any(map(self._is_int8, self._readers.get(d.output[0], ())))
                     for d in back)
        return None if needed else back

    def _is_int8(self, node: Any) -> bool:
        if node.op_type in _onnx_scope.COMPUTE:
            return all(i in self._makers and self._makers[i].op_type == "DequantizeLinear" for i in node.input[:2])
        behind = [r for o in node.output for r in self._readers.get(o, ())]
        return node.op_type in self._carrying and bool(behind) and all(r.op_type == "QuantizeLinear" for r in behind)
