"""Turns dynamically quantized ONNX models back into float ones."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..errors import NotApplicable
from ..model import Model, ModelFormat
from ..settings import SettingsBase
from . import _onnx_io, _onnx_prepare, _onnx_step
from .base import Pass, PassContext, PassResult

_INTEGER = {"ConvInteger": "Conv", "MatMulInteger": "MatMul"}
_OPS = (*_INTEGER, "DynamicQuantizeLSTM")
_SAME = 0.99  # activations are not rounded any more, so the answers move by about what the rounding had moved them


class OnnxDequantize(Pass):
    """See :class:`workbench.passes.base.Pass`."""

    name = "onnx-dequantize"
    title = "back to float"
    group = "precision"
    summary = ("Computes a dynamically quantized file in float again: its weights stay rounded, the rounding of "
               "activations goes; faster where the CPU has no 8-bit dot product, four times the size.")
    accepts = (ModelFormat.ONNX,)
    produces = ModelFormat.ONNX
    excludes = frozenset({"int8", "ort-optimized"})
    packages = _onnx_step.PACKAGES
    changes_kind = True

    def why_not(self, model: Model, settings: SettingsBase) -> str | None:
        """Only what was quantized dynamically can go back."""
        if model.format != ModelFormat.ONNX:
            return None
        ops = _onnx_io.op_counts(model.path)
        if ops and not any(op in ops for op in _OPS):
            return f"{model.name} has no dynamically quantized operator ({', '.join(_OPS)})"
        return None

    def apply(self, model: Model, settings: SettingsBase, context: PassContext) -> PassResult:
        """See :meth:`workbench.passes.base.Pass.apply`."""
        reason = self.why_not(model, settings)
        if reason:
            raise NotApplicable(reason)
        context.progress(0.1, "reading the integer operators")
        original = _onnx_io.load(model.path)
        made, count, left = _dequantize(original)
        if not count:
            raise NotApplicable("its integer operators are not those of dynamic quantization")
        _onnx_prepare.name_nodes(made)
        notes = [f"{count} integer operators compute in float again"]
        notes += [f"{left} stay integer: their inputs or scales are computed in an unknown way"] if left else []
        feed = _onnx_step.sample(original, model, context)
        return _onnx_step.finish(original, made, feed, context, notes=tuple(notes), same=_SAME)


class _Chain(NamedTuple):
    """Integer operator, then Add of an integer bias, Cast and Mul by the scales.

    Attributes:
        output: name of the float result.
        scale: of the weights.
        bias: float values, or None.
    """

    output: str
    scale: np.ndarray
    bias: np.ndarray | None


class _Graph:
    """Look-up of what makes and what uses each tensor.

    Args:
        graph: to read.
        weights: list of initializers that new ones are added to.
    """

    def __init__(self, graph: Any, weights: Any) -> None:
        self.new = weights
        self.maker = {o: n for n in graph.node for o in n.output if o}
        self.users: dict[str, list] = {}
        for n in graph.node:
            for name in n.input:
                self.users.setdefault(name, []).append(n)
        self.outputs = {o.name for o in graph.output}
        self._weights = {i.name: i for i in graph.initializer}

    def constant(self, name: str) -> np.ndarray | None:
        """The value of an initializer or a Constant node; None for what is computed."""
        from onnx import numpy_helper

        if name in self._weights:
            return numpy_helper.to_array(self._weights[name])
        node = self.maker.get(name)
        if node is not None and node.op_type == "Constant" and node.attribute[0].name == "value":
            return numpy_helper.to_array(node.attribute[0].t)
        return None

    def only_user(self, name: str) -> Any:
        """The one node that reads a tensor; None when there are more, or it is an output."""
        users = self.users.get(name, [])
        return users[0] if len(users) == 1 and name not in self.outputs else None

    def other(self, node: Any, name: str) -> str:
        """The other operand of a node with two."""
        return next((i for i in node.input if i != name), "")

    def made_by(self, name: str, *ops: str) -> Any:
        """The node behind a tensor when it is of these kinds."""
        node = self.maker.get(name)
        return node if node is not None and node.op_type in ops else None


def _dequantize(original: Any) -> tuple[Any, int, int]:
    """The float model, how many operators changed, and how many did not."""
    import onnx

    made = onnx.ModelProto()
    made.CopyFrom(original)
    graph = _Graph(original.graph, made.graph.initializer)
    count = left = 0
    nodes, taken_over = [], set()  # a float node takes over the output of the last node of its chain, which then goes
    for node in original.graph.node:
        build = _float_lstm if node.op_type == "DynamicQuantizeLSTM" else _float if node.op_type in _INTEGER else None
        replacement = build(graph, node) if build else None
        left += build is not None and replacement is None
        if replacement is not None:
            count += 1
            taken_over.update(replacement.output)
        nodes.append((replacement or node, replacement is not None))
    kept = [n for n, is_new in nodes if is_new or not taken_over.intersection(n.output)]
    del made.graph.node[:]
    made.graph.node.extend(_alive(kept, graph.outputs))
    _onnx_io.drop_unused_weights(made.graph)
    del made.graph.value_info[:]
    return made, count, left


def _alive(nodes: list, wanted: set[str]) -> list:
    """Nodes whose results are used, directly or through others."""
    needed, kept = set(wanted), []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(name for n in [node, *(m for g in _onnx_io.subgraphs(node) for m in _onnx_io.all_nodes(g))]
                          for name in n.input)
    return kept[::-1]


def _float(graph: _Graph, node: Any) -> Any:
    """Conv or MatMul in place of an integer operator and what scales it; None when the pattern is another."""
    from onnx import helper, numpy_helper

    source = graph.made_by(node.input[0], "DynamicQuantizeLinear")
    weights = graph.constant(node.input[1])
    if source is None or weights is None or len(node.input) < 3 or node.input[2] != source.output[2]:
        return None
    zero = graph.constant(node.input[3]) if len(node.input) > 3 and node.input[3] else np.zeros((), weights.dtype)
    chain = _chain(graph, node, source.output[1])
    if chain is None or zero is None:
        return None
    axis = 0 if node.op_type == "ConvInteger" else -1
    values = (weights.astype(np.float32) - _along(zero, weights, axis)) * _along(chain.scale, weights, axis)
    name = f"{node.output[0]}_weights"
    inputs = [source.input[0], name]
    graph.new.append(numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name))
    if chain.bias is not None:
        graph.new.append(numpy_helper.from_array(chain.bias, f"{node.output[0]}_bias"))
        inputs.append(f"{node.output[0]}_bias")
    made = helper.make_node(_INTEGER[node.op_type], inputs, [chain.output], name=f"{node.output[0]}_float")
    made.attribute.extend(node.attribute)
    return made


def _along(values: np.ndarray, weights: np.ndarray, axis: int) -> np.ndarray:
    """One value for all, or one for each output channel, ready to be combined with the weights."""
    flat = np.asarray(values, np.float32).ravel()
    if flat.size == 1:
        return flat.reshape(())
    shape = [1] * weights.ndim
    shape[axis] = flat.size
    return flat.reshape(shape)


def _chain(graph: _Graph, node: Any, input_scale: str) -> _Chain | None:
    """What follows an integer operator, to the float result."""
    bias, last = None, node.output[0]
    follower = graph.only_user(last)
    if follower is not None and follower.op_type == "Add" and node.op_type == "ConvInteger":
        bias = _bias(graph, graph.other(follower, last))
        if bias is None:
            return None
        last = follower.output[0]
        follower = graph.only_user(last)
    if follower is None or follower.op_type != "Cast":
        return None
    last = follower.output[0]
    follower = graph.only_user(last)
    if follower is None or follower.op_type != "Mul":
        return None
    scales = graph.made_by(graph.other(follower, last), "Mul")
    if scales is None or input_scale not in scales.input:
        return None
    scale = graph.constant(graph.other(scales, input_scale))
    return None if scale is None else _Chain(follower.output[0], scale, bias)


def _bias(graph: _Graph, name: str) -> np.ndarray | None:
    """The float bias behind one that is divided by the scales and rounded to integers."""
    for _ in range(4):
        node = graph.made_by(name, "Reshape", "Cast", "Floor", "Round", "Div")
        if node is None:
            return None
        name = node.input[0]
        if node.op_type == "Div":
            value = graph.constant(name)
            return None if value is None else np.ascontiguousarray(value, np.float32).ravel()
    return None


def _float_lstm(graph: _Graph, node: Any) -> Any:
    """An LSTM with float weights; the quantized one holds them transposed."""
    from onnx import helper, numpy_helper

    inputs = [*node.input, *[""] * (12 - len(node.input))]
    made = []
    for place, (scale, zero) in ((1, (8, 9)), (2, (10, 11))):
        weights, by, offset = (graph.constant(inputs[i]) for i in (place, scale, zero))
        if weights is None or by is None or offset is None:
            return None
        by, offset = (np.asarray(v, np.float32).reshape(weights.shape[0], 1, -1) for v in (by, offset))
        values = ((weights.astype(np.float32) - offset) * by).transpose(0, 2, 1)
        made.append(f"{node.output[0]}_{'w' if place == 1 else 'r'}")
        graph.new.append(numpy_helper.from_array(np.ascontiguousarray(values, np.float32), made[-1]))
    kept = [inputs[0], *made, *inputs[3:8]]
    while not kept[-1]:
        kept.pop()
    lstm = helper.make_node("LSTM", kept, list(node.output), name=f"{node.output[0]}_float")
    lstm.attribute.extend(node.attribute)
    return lstm
