"""Small real models and helpers for the tests of passes and variants."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

from workbench import model as models
from workbench import passes
from workbench.passes import PassContext

SEED = 7
RNG = np.random.default_rng(SEED)
_FRESH = RNG.bit_generator.state


def weight(name: str, *shape: int, scale: float = 0.5) -> onnx.TensorProto:
    return nh.from_array((RNG.standard_normal(shape) * scale).astype(np.float32), name)


def save(path: Path, nodes, inputs, outputs, weights=(), *, opset: int = 17, ir: int = 8, **extra) -> Path:
    graph = h.make_graph(nodes, "g", inputs, outputs, list(weights), **extra)
    built = h.make_model(graph, opset_imports=[h.make_opsetid("", opset)], ir_version=ir)
    onnx.save(built, str(path))
    RNG.bit_generator.state = _FRESH  # each net has the same weights, whichever tests ran before
    return path


def value(name: str, *shape, kind=T.FLOAT):
    return h.make_tensor_value_info(name, kind, list(shape))


def conv_net(path: Path, *, opset: int = 17) -> Path:
    """Conv, Relu, a residual Add, GlobalAveragePool, Flatten, Gemm, Softmax; the batch is open."""
    nodes = [
        h.make_node("Conv", ["image", "w1", "b1"], ["c1"], "first", pads=[1, 1, 1, 1]),
        h.make_node("Relu", ["c1"], ["r1"], "act"),
        h.make_node("Conv", ["r1", "w2", "b2"], ["c2"], "second", pads=[1, 1, 1, 1]),
        h.make_node("Add", ["c2", "r1"], ["sum"], "residual"),
        h.make_node("GlobalAveragePool", ["sum"], ["pool"], "pool"),
        h.make_node("Flatten", ["pool"], ["flat"], "flat"),
        h.make_node("Gemm", ["flat", "w3", "b3"], ["logits"], "dense"),
        h.make_node("Softmax", ["logits"], ["probabilities"], "softmax", axis=1),
    ]
    weights = [weight("w1", 8, 3, 3, 3), weight("b1", 8), weight("w2", 8, 8, 3, 3), weight("b2", 8),
               weight("w3", 8, 4, scale=1.0), weight("b3", 4)]
    return save(path, nodes, [value("image", "batch", 3, 12, 12)], [value("probabilities", "batch", 4)], weights,
                opset=opset)


def embedding_net(path: Path) -> Path:
    """int32 token numbers, Gather, MatMul; as exported language models start."""
    nodes = [
        h.make_node("Gather", ["table", "tokens"], ["rows"], "embed"),
        h.make_node("MatMul", ["rows", "w"], ["mixed"], "mix"),
        h.make_node("ReduceMean", ["mixed"], ["answer"], "mean", axes=[1], keepdims=0),
    ]
    return save(path, nodes, [value("tokens", "batch", "length", kind=T.INT32)], [value("answer", "batch", 6)],
                [weight("table", 50, 16), weight("w", 16, 6)])


def branching_net(path: Path) -> Path:
    """All the work is inside an If that the input decides."""
    def branch(name: str) -> onnx.GraphProto:
        return h.make_graph([h.make_node("MatMul", ["x", f"w_{name}"], [f"y_{name}"], f"mm_{name}")], name, [],
                            [value(f"y_{name}", None, 4)], [weight(f"w_{name}", 8, 4)])

    nodes = [h.make_node("If", ["flag"], ["y"], "choose", then_branch=branch("yes"), else_branch=branch("no"))]
    return save(path, nodes, [value("x", "batch", 8), value("flag", kind=T.BOOL)], [value("y", "batch", 4)])


def context(model, folder: Path, count: int = 6, length: int = 10) -> PassContext:
    """Random calibration feeds that suit a model: open sizes are 1 for the batch, else ``length``."""
    rng = np.random.default_rng(3)
    feeds = []
    for _ in range(count):
        feed = {}
        for spec in model.inputs:
            shape = [d if isinstance(d, int) else 1 if axis == 0 else length for axis, d in enumerate(spec.shape)]
            whole = spec.dtype.startswith(("int", "uint", "bool"))
            feed[spec.name] = (rng.integers(0, 2, shape) if whole else rng.random(shape)).astype(spec.dtype)
        feeds.append(feed)
    folder.mkdir(parents=True, exist_ok=True)
    return PassContext(folder, tuple(feeds))


def apply(name: str, path: Path, folder: Path, count: int = 6, length: int = 10, **settings):
    """Applies a pass in this process; (source, result as a model, the pass's own result)."""
    source, found = models.load(path), passes.get(name)
    made = found.apply(source, found.Settings(**settings), context(source, folder, count, length))
    return source, models.load(made.path), made


def run(path: Path, feed: dict) -> list[np.ndarray]:
    """Outputs of an ONNX file in ONNX Runtime."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]).run(None, feed)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
