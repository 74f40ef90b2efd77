"""A small ONNX classifier with a free batch, for tests that need a model and no framework but ONNX Runtime."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def classifier(path, features=10, classes=3, seed=0):
    """Writes y = softmax(x W + b) and returns the path."""
    rng = np.random.default_rng(seed)
    weights = [numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name)
               for name, shape in (("w", (features, classes)), ("b", (classes,)))]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["xw"], "product"),
             helper.make_node("Add", ["xw", "b"], ["z"], "bias"),
             helper.make_node("Softmax", ["z"], ["y"], "softmax", axis=-1)]
    ends = [[helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", size])]
            for n, size in (("x", features), ("y", classes))]
    graph = helper.make_graph(nodes, "classifier", *ends, weights)
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path
