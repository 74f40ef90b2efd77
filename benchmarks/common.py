"""What the benchmarks share: a small convolutional network, the machine in one line."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np

from workbench.measure import Candidate, environment
from workbench.model import ModelFormat, TensorSpec
from workbench.runtimes import registry

SIDE, CHANNELS = 56, 32


def write_model(path: Path) -> Path:
    """Writes an ONNX network of four 3x3 convolutions and a classifier: a few milliseconds a run on a laptop's core."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    nodes, weights, last, width = [], [], "image", 3
    for i in range(4):
        kernel = (rng.standard_normal((CHANNELS, width, 3, 3)) / np.sqrt(9 * width)).astype("float32")
        weights.append(numpy_helper.from_array(kernel, f"w{i}"))
        nodes += [helper.make_node("Conv", [last, f"w{i}"], [f"c{i}"], pads=[1, 1, 1, 1]),
                  helper.make_node("Relu", [f"c{i}"], [f"r{i}"])]
        last, width = f"r{i}", CHANNELS
    weights.append(numpy_helper.from_array(rng.standard_normal((CHANNELS, 10)).astype("float32"), "head"))
    nodes += [helper.make_node("GlobalAveragePool", [last], ["pool"]), helper.make_node("Flatten", ["pool"], ["flat"]),
              helper.make_node("MatMul", ["flat", "head"], ["scores"])]
    graph = helper.make_graph(
        nodes, "network", [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 10])], weights)
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def images(count: int = 16) -> list[dict[str, np.ndarray]]:
    """Feeds of one image each."""
    rng = np.random.default_rng(0)
    return [{"image": rng.random((1, 3, SIDE, SIDE), dtype="float32")} for _ in range(count)]


def candidate(name: str, path: Path, threads: int) -> Candidate:
    """The network on ONNX Runtime with its default settings."""
    inputs = (TensorSpec("image", "float32", ("N", 3, SIDE, SIDE)),)
    settings = registry.settings_class("onnxruntime")()
    return Candidate(name, path, ModelFormat.ONNX, inputs, "onnxruntime", settings, threads, "cpu")


def machine_line() -> str:
    """Processor, cores, ONNX Runtime version and date."""
    found = environment.fingerprint()
    return (f"{found['cpu_model']}, {found['usable_cores']} cores{', virtual' if found['virtual'] else ''}, "
            f"ONNX Runtime {found['frameworks'].get('onnxruntime', '?')}, {date.today().isoformat()}")
