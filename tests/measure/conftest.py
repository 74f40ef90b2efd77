"""Candidates to measure: real ONNX Runtime sessions, and the misbehaving runtime."""

import importlib.util
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from workbench.measure import Candidate
from workbench.model import ModelFormat
from workbench.runtimes import registry

from .common import INPUTS


@pytest.fixture
def odd(tmp_path, monkeypatch):
    """``odd(id, mode)`` makes a candidate of the misbehaving runtime."""
    file = tmp_path / "sitecustomize.py"
    shutil.copy(Path(__file__).with_name("odd_runtime.py"), file)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(registry, "RUNTIMES", registry.RUNTIMES)
    spec = importlib.util.spec_from_file_location("odd", file)
    monkeypatch.setitem(sys.modules, "odd", importlib.util.module_from_spec(spec))
    monkeypatch.setitem(sys.modules, "workbench.runtimes._odd", None)
    spec.loader.exec_module(sys.modules["odd"])  # the same row in this process

    def candidate(id, mode="", threads=1):
        settings = sys.modules["odd"].Settings(mode)
        return Candidate(id, file, ModelFormat.ONNX, INPUTS, "odd", settings, threads, "cpu")

    return candidate


@pytest.fixture(scope="session")
def matmul(tmp_path_factory):
    """``matmul(id, factor)`` makes an ONNX Runtime candidate: y = factor * x, through a MatMul."""
    folder = tmp_path_factory.mktemp("models")

    def candidate(id, factor=1.0, **settings):
        path = folder / f"{factor}.onnx"
        if not path.exists():
            weights = numpy_helper.from_array(np.eye(4, dtype="float32") * factor, "w")
            ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 4]) for n in ("x", "y")]
            node = helper.make_node("MatMul", ["x", "w"], ["y"])
            graph = helper.make_graph([node], "g", ends[:1], ends[1:], [weights])
            onnx.save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)]), path)
        chosen = registry.settings_class("onnxruntime").from_dict(settings, owner="test")
        return Candidate(id, path, ModelFormat.ONNX, INPUTS, "onnxruntime", chosen, 1, "cpu")

    return candidate
