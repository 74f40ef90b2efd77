"""A float model in which the quantization of each tensor can be switched on at run time, without a new session.

Every activation that the quantizer would convert passes through an ``If``: quantize and dequantize, or leave alone.
Every weight that it would convert can be replaced from outside. One session so answers for each node alone, for its
weights alone, and for any mixture, at the price of one forward pass each.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from . import _onnx_io, _qdq_place


class Rounded(NamedTuple):
    """What a quantized graph does to the tensors of its float model.

    Attributes:
        activations: tensor -> (scale, zero point).
        weights: initializer -> its values after quantization, as float.
    """

    activations: dict[str, tuple[np.ndarray, np.ndarray]]
    weights: dict[str, np.ndarray]


def read(model: Any, quantized: Any) -> Rounded:
    """Finds the quantized tensors of a QDQ graph and names them as the float model does.

    Args:
        model: the float ``ModelProto``.
        quantized: what the quantizer made of it.
    """
    import onnx

    values = {i.name: i for i in quantized.graph.initializer}
    makers = {o: n for n in quantized.graph.node for o in n.output}
    known = {i.name for i in _onnx_io.graph_inputs(model)} | {o for n in model.graph.node for o in n.output}
    after = {n.name: n for n in quantized.graph.node}

    def array(name: str) -> np.ndarray:
        return onnx.numpy_helper.to_array(values[name])

    found = Rounded({}, {})
    for node in quantized.graph.node:
        if node.op_type == "QuantizeLinear" and node.input[0] not in values:
            base = node.input[0] if node.input[0] in known else node.input[0].removesuffix(_qdq_place.MADE)
            found.activations[base] = (array(node.input[1]), array(node.input[2]))
    for node in model.graph.node:
        twin = after.get(node.name)
        for ours, theirs in zip(node.input, twin.input if twin else (), strict=False):
            maker = makers.get(theirs)
            if maker is not None and maker.op_type == "DequantizeLinear" and maker.input[0] in values:
                found.weights[ours] = _dequantized(*(array(i) for i in maker.input), _axis(maker))
    return found


def _axis(node: Any) -> int:
    return next((a.i for a in node.attribute if a.name == "axis"), 1)


def _dequantized(values: np.ndarray, scale: np.ndarray, zero: np.ndarray | None = None, axis: int = 1) -> np.ndarray:
    if scale.ndim == 1 and scale.size > 1:
        shape = [-1 if a == axis % values.ndim else 1 for a in range(values.ndim)]
        scale, zero = scale.reshape(shape), None if zero is None else zero.reshape(shape)
    shifted = values.astype(np.float32) - (0 if zero is None else zero.astype(np.float32))
    return np.ascontiguousarray((shifted * scale).reshape(values.shape).astype(np.float32))


class Switched:
    """The float model with its switches.

    Args:
        model: the float ``ModelProto``; not changed.
        rounded: of :func:`read`.
    """

    def __init__(self, model: Any, rounded: Rounded) -> None:
        self.rounded = rounded
        self._names = {tensor: f"switch/{i}" for i, tensor in enumerate(rounded.activations)}
        self._session = _onnx_io.session(_with_switches(model, rounded, self._names))

    def run(self, feed: dict[str, np.ndarray], activations: set[str], weights: set[str]) -> list[np.ndarray]:
        """Outputs when these activations and weights are quantized and all others are not."""
        switches = {name: np.array(tensor in activations) for tensor, name in self._names.items()}
        replaced = {w: self.rounded.weights[w] for w in weights}
        return [np.asarray(a) for a in self._session.run(None, {**feed, **switches, **replaced})]


def _with_switches(model: Any, rounded: Rounded, names: dict[str, str]) -> Any:
    import onnx
    from onnx import TensorProto, helper

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.ir_version = max(copy.ir_version, 4)
    graph = copy.graph
    fixed = {i.name: i for i in graph.initializer}
    listed = {i.name for i in graph.input}
    for name, array in rounded.weights.items():
        if name in fixed and name not in listed:  # an initializer that is also an input can be replaced by a feed
            graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(array.shape)))
    renamed = {tensor: f"{tensor}/switched" for tensor in names}
    nodes = []
    _onnx_io.rewire(graph.node, renamed)
    made = {i.name for i in graph.input}
    nodes += [_switch(t, renamed[t], names[t], rounded.activations[t]) for t in names if t in made]
    for node in graph.node:
        nodes.append(node)
        nodes += [_switch(t, renamed[t], names[t], rounded.activations[t]) for t in node.output if t in names]
    graph.input.extend(helper.make_tensor_value_info(n, TensorProto.BOOL, []) for n in names.values())
    outputs = [onnx.ValueInfoProto.FromString(o.SerializeToString()) for o in graph.output]
    for output in outputs:
        output.name = renamed.get(output.name, output.name)
    del graph.output[:], graph.value_info[:]
    graph.output.extend(outputs)
    kept = [onnx.NodeProto.FromString(n.SerializeToString()) for n in nodes]
    del graph.node[:]
    graph.node.extend(kept)
    return copy


def _switch(tensor: str, target: str, switch: str, parameters: tuple[np.ndarray, np.ndarray]) -> Any:
    """If(switch) quantize and dequantize, else the tensor itself."""
    from onnx import TensorProto, helper, numpy_helper

    scale, zero = parameters
    inner = f"{target}/rounded"
    value = helper.make_tensor_value_info(inner, TensorProto.FLOAT, None)
    constants = [numpy_helper.from_array(np.ascontiguousarray(scale), f"{target}/scale"),
                 numpy_helper.from_array(np.ascontiguousarray(zero), f"{target}/zero")]
    domain = "com.microsoft" if zero.dtype.itemsize == 2 else ""
    chain = [helper.make_node("QuantizeLinear", [tensor, f"{target}/scale", f"{target}/zero"], [f"{target}/int"],
                              domain=domain),
             helper.make_node("DequantizeLinear", [f"{target}/int", f"{target}/scale", f"{target}/zero"], [inner],
                              domain=domain)]
    rounding = helper.make_graph(chain, "rounding", [], [value], constants)
    value = helper.make_tensor_value_info(f"{target}/plain", TensorProto.FLOAT, None)
    leaving = helper.make_graph([helper.make_node("Identity", [tensor], [f"{target}/plain"])], "leaving", [], [value])
    return helper.make_node("If", [switch], [target], then_branch=rounding, else_branch=leaving, name=f"{target}/if")
