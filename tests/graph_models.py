"""Small ONNX models, each with one pattern that optimizers rewrite; written by hand, with real weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT


class Builder:
    """Collects nodes and weights; node and result share a name unless told otherwise."""

    def __init__(self, seed: int = 0) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._rng = np.random.default_rng(seed)

    def add(self, op: str, inputs: list[str], name: str, *, out: str | None = None, **attributes) -> str:
        """One node; returns its result."""
        result = out or f"{name}_out"
        self.nodes.append(helper.make_node(op, inputs, [result], name=name, **attributes))
        return result

    def weight(self, name: str, *shape: int, low: float = -0.5, high: float = 0.5) -> str:
        """Random weights."""
        return self.const(name, self._rng.uniform(low, high, shape).astype(np.float32))

    def const(self, name: str, value: np.ndarray | float | list) -> str:
        """A given constant; floats unless the array says otherwise."""
        array = value if isinstance(value, np.ndarray) else np.asarray(value, np.float32)
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def model(self, inputs: dict[str, tuple], outputs: list[str], opset: int = 17, functions: list | None = None,
              domains: list[str] | None = None) -> onnx.ModelProto:
        """The finished model; shapes of the outputs are left to be inferred."""
        graph = helper.make_graph(
            self.nodes, "graph", [helper.make_tensor_value_info(n, FLOAT, list(s)) for n, s in inputs.items()],
            [onnx.ValueInfoProto(name=o) for o in outputs], self.weights)
        opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains or [])]
        made = helper.make_model(graph, opset_imports=opsets, ir_version=9, functions=functions or [])
        return onnx.shape_inference.infer_shapes(made)


def conv_bn_relu() -> onnx.ModelProto:
    """Convolution, batch norm, Relu, pooling, dense."""
    b = Builder()
    x = b.add("Conv", ["x", b.weight("w", 16, 3, 3, 3)], "conv", pads=[1, 1, 1, 1])
    x = b.add("BatchNormalization", [x, b.weight("scale", 16, low=0.5, high=1.5), b.weight("shift", 16),
                                     b.weight("mean", 16), b.weight("var", 16, low=0.5, high=1.5)], "norm")
    x = b.add("Relu", [x], "relu")
    x = b.add("GlobalAveragePool", [x], "pool")
    x = b.add("Flatten", [x], "flatten")
    b.add("Gemm", [x, b.weight("dense_w", 16, 4), b.weight("dense_b", 4)], "dense", out="y")
    return b.model({"x": (1, 3, 16, 16)}, ["y"])


def residual() -> onnx.ModelProto:
    """Two convolutions whose second one is added to the first and activated."""
    b = Builder()
    first = b.add("Conv", ["x", b.weight("w1", 16, 3, 3, 3), b.weight("b1", 16)], "conv_1", pads=[1, 1, 1, 1])
    second = b.add("Conv", [first, b.weight("w2", 16, 16, 3, 3), b.weight("b2", 16)], "conv_2", pads=[1, 1, 1, 1])
    x = b.add("Add", [second, first], "add")
    b.add("Relu", [x], "relu", out="y")
    return b.model({"x": (1, 3, 16, 16)}, ["y"])


def transformer_parts() -> onnx.ModelProto:
    """Layer norm and Gelu in their parts, matrix products with a bias, a residual sum before a second layer norm."""
    b = Builder()
    x = _layer_norm(b, "x", "norm_1")
    x = b.add("MatMul", [x, b.weight("w_up", 32, 64)], "up")
    x = b.add("Add", [x, b.weight("b_up", 64)], "up_bias")
    x = _gelu(b, x, "gelu")
    x = b.add("MatMul", [x, b.weight("w_down", 64, 32)], "down")
    x = b.add("Add", [x, b.weight("b_down", 32)], "down_bias")
    x = b.add("Add", [x, "x"], "residual")
    x = _layer_norm(b, x, "norm_2")
    b.add("Softmax", [x], "softmax", out="y", axis=-1)
    return b.model({"x": (1, 8, 32)}, ["y"])


def _layer_norm(b: Builder, x: str, name: str) -> str:
    mean = b.add("ReduceMean", [x], f"{name}/mean", axes=[-1])
    centred = b.add("Sub", [x, mean], f"{name}/sub")
    square = b.add("Pow", [centred, b.const(f"{name}/two", 2.0)], f"{name}/pow")
    variance = b.add("ReduceMean", [square], f"{name}/variance", axes=[-1])
    shifted = b.add("Add", [variance, b.const(f"{name}/epsilon", 1e-5)], f"{name}/add_epsilon")
    root = b.add("Sqrt", [shifted], f"{name}/sqrt")
    scaled = b.add("Div", [centred, root], f"{name}/div")
    scaled = b.add("Mul", [scaled, b.weight(f"{name}/gamma", 32, low=0.5, high=1.5)], f"{name}/scale")
    return b.add("Add", [scaled, b.weight(f"{name}/beta", 32)], f"{name}/shift")


def _gelu(b: Builder, x: str, name: str) -> str:
    part = b.add("Div", [x, b.const(f"{name}/root", 1.41421356)], f"{name}/div")
    part = b.add("Erf", [part], f"{name}/erf")
    part = b.add("Add", [part, b.const(f"{name}/one", 1.0)], f"{name}/add")
    part = b.add("Mul", [x, part], f"{name}/mul")
    return b.add("Mul", [part, b.const(f"{name}/half", 0.5)], f"{name}/half_mul")


def swish() -> onnx.ModelProto:
    """x * sigmoid(x) behind a convolution."""
    b = Builder()
    x = b.add("Conv", ["x", b.weight("w", 16, 3, 3, 3), b.weight("b", 16)], "conv")
    gate = b.add("Sigmoid", [x], "sigmoid")
    b.add("Mul", [x, gate], "mul", out="y")
    return b.model({"x": (1, 3, 16, 16)}, ["y"])


def removable() -> onnx.ModelProto:
    """Identity, Dropout, a repeated computation, constant work and a node that nothing reads."""
    b = Builder()
    x = b.add("Identity", ["x"], "identity")
    x = b.add("Dropout", [x], "dropout")
    left = b.add("Exp", [x], "exp_left")
    right = b.add("Exp", [x], "exp_right")
    total = b.add("Mul", [left, right], "product")
    scale = b.add("Add", [b.weight("c1", 8), b.weight("c2", 8)], "constant_sum")
    b.add("Sub", [total, scale], "shifted", out="y")
    b.add("Neg", [x], "unread")
    return b.model({"x": (2, 8)}, ["y"])


def shapes() -> onnx.ModelProto:
    """Flatten spelled out with a shape computation, as exporters do."""
    b = Builder()
    x = b.add("Relu", ["x"], "relu")
    size = b.add("Shape", [x], "shape")
    batch = b.add("Gather", [size, b.const("zero", np.array(0, np.int64))], "gather", axis=0)
    batch = b.add("Unsqueeze", [batch, b.const("axes", np.array([0], np.int64))], "unsqueeze")
    target = b.add("Concat", [batch, b.const("rest", np.array([-1], np.int64))], "concat", axis=0)
    x = b.add("Reshape", [x, target], "reshape")
    b.add("MatMul", [x, b.weight("w", 12, 4)], "dense", out="y")
    return b.model({"x": (2, 3, 4)}, ["y"])


def transposed_product() -> onnx.ModelProto:
    """A product with a transposed operand, scaled."""
    b = Builder()
    key = b.add("Transpose", ["k"], "transpose", perm=[0, 2, 1])
    scores = b.add("MatMul", ["q", key], "scores")
    scores = b.add("Div", [scores, b.const("root", 4.0)], "scale")
    b.add("Softmax", [scores], "softmax", out="y", axis=-1)
    return b.model({"q": (1, 6, 16), "k": (1, 6, 16)}, ["y"])


def branches() -> onnx.ModelProto:
    """An If on the data, an If on a constant, and a Loop."""
    b = Builder()
    total = b.add("ReduceSum", ["x"], "total", keepdims=0)
    positive = b.add("Greater", [total, b.const("zero", 0.0)], "positive")
    b.weight("shared", 4)
    x = b.add("If", [positive], "choice", then_branch=_graph("then", [("Relu", ["x"], "clip")]),
              else_branch=_graph("else", [("Neg", ["x"], "flip"), ("Add", ["flip_out", "shared"], "lift")]))
    b.const("yes", np.array(True))
    x = b.add("If", ["yes"], "settled", then_branch=_graph("then_2", [("Exp", [x], "grow")]),
              else_branch=_graph("else_2", [("Abs", [x], "keep")]))
    b.const("trips", np.array(3, np.int64))
    b.nodes.append(helper.make_node("Loop", ["trips", "yes", x], ["y"], name="loop", body=_body()))
    return b.model({"x": (2, 4)}, ["y"])


def _graph(name: str, nodes: list[tuple[str, list[str], str]]) -> onnx.GraphProto:
    made = [helper.make_node(op, inputs, [f"{label}_out"], name=label) for op, inputs, label in nodes]
    return helper.make_graph(made, name, [], [onnx.ValueInfoProto(name=f"{nodes[-1][2]}_out")])


def _body() -> onnx.GraphProto:
    info = helper.make_tensor_value_info
    nodes = [helper.make_node("Identity", ["go"], ["go_on"], name="again"),
             helper.make_node("Mul", ["state", "shared"], ["next"], name="step")]
    inputs = [info("i", TensorProto.INT64, []), info("go", TensorProto.BOOL, []), info("state", FLOAT, [2, 4])]
    return helper.make_graph(nodes, "body", inputs, [info("go_on", TensorProto.BOOL, []), info("next", FLOAT, [2, 4])])


PATTERNS: dict[str, Callable[[], onnx.ModelProto]] = {
    f.__name__: f for f in (conv_bn_relu, residual, transformer_parts, swish, removable, shapes, transposed_product,
                            branches)}


def write(model: onnx.ModelProto, path: Path) -> Path:
    """Saves a model."""
    onnx.save(model, str(path))
    return path


def hubs(nodes: int) -> onnx.ModelProto:
    """Blocks as of a transformer; three tensors (mask, cos, sin) feed every block."""
    b = Builder()
    for i in range(4):
        b.weight(f"w{i}", 8, 8)
    b.weight("bias", 8)
    b.const("root", 1.41421356)
    b.const("one", 1.0)
    b.const("half", 0.5)
    mask, cos, sin = (b.add(op, ["x"], name) for op, name in (("Relu", "mask"), ("Cos", "cos"), ("Sin", "sin")))
    state = "x"
    for block in range(max(1, nodes // 19)):
        state = _block(b, f"layer.{block}", state, mask, cos, sin)
    b.add("Softmax", [state], "last", out="y", axis=-1)
    return b.model({"x": (4, 8)}, ["y"])


def _block(b: Builder, name: str, state: str, mask: str, cos: str, sin: str) -> str:
    query = b.add("MatMul", [state, "w0"], f"{name}/query")
    key = b.add("MatMul", [state, "w1"], f"{name}/key")
    query = b.add("Mul", [query, cos], f"{name}/query_cos")
    key = b.add("Mul", [key, sin], f"{name}/key_sin")
    scores = b.add("Add", [query, key], f"{name}/rotated")
    scores = b.add("Add", [scores, mask], f"{name}/masked")
    scores = b.add("Softmax", [scores], f"{name}/softmax", axis=-1)
    x = b.add("MatMul", [scores, "w2"], f"{name}/context")
    x = b.add("Add", [x, "bias"], f"{name}/context_bias")
    kept = b.add("Add", [x, state], f"{name}/residual")
    x = b.add("Identity", [kept], f"{name}/identity")
    x = b.add("MatMul", [x, "w3"], f"{name}/up")
    up = b.add("Add", [x, "bias"], f"{name}/up_bias")
    x = b.add("Div", [up, "root"], f"{name}/gelu/div")
    x = b.add("Erf", [x], f"{name}/gelu/erf")
    x = b.add("Add", [x, "one"], f"{name}/gelu/add")
    x = b.add("Mul", [up, x], f"{name}/gelu/mul")
    x = b.add("Mul", [x, "half"], f"{name}/gelu/half")
    x = b.add("MatMul", [x, "w0"], f"{name}/down")
    return b.add("Add", [x, kept], f"{name}/out")
