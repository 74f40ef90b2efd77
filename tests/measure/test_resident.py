"""Latency without copies between host and device: a stand-in for the GPU that sleeps, real sessions for the calls."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from workbench.measure import measure
from workbench.model import ModelFormat
from workbench.runtimes import _onnxruntime, _torch
from workbench.runtimes.base import SessionRequest

from .common import PLAN, feeds


def test_both_latencies_are_told_on_a_device_and_only_one_on_the_cpu(odd):
    on_cpu, on_gpu = odd("cpu", "copies"), odd("gpu", "copies")._replace(device="gpu")
    found = measure([on_cpu, on_gpu], feeds(), evaluation=feeds(3), plan=PLAN)
    told = found["gpu"].describe
    low, high = told["without_copies_interval_s"]
    with_copies = np.median(np.concatenate(found["gpu"].rounds))
    assert 0.0009 <= low <= told["without_copies_s"] <= high and told["without_copies_s"] < with_copies
    assert told["without_copies_runs"] >= 10 and found["gpu"].outputs_path is not None
    assert not any(k.startswith("without_copies") for k in found["cpu"].describe)


def test_a_runtime_that_cannot_says_why(odd):
    found = measure([odd("gpu", "wait")._replace(device="gpu")], feeds(), evaluation=[], plan=PLAN)["gpu"]
    assert found.status == "ok" and found.describe["without_copies"] == "not measured: it has no memory of its own"


def test_resident_runs_of_onnx_runtime_compute_the_same(matmul):
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    request = SessionRequest(matmul("b", 3.0).path, ModelFormat.ONNX, _onnxruntime.Settings(), 1, "cpu", {"x": x})
    run = _onnxruntime.open_session(request).resident({"x": x[:, ::-1]})
    for _ in range(2):  # the same buffers serve every run
        assert np.array_equal(run()[0].numpy(), 3 * x[:, ::-1])


def test_resident_runs_of_pytorch_compute_the_same(tmp_path):
    torch = pytest.importorskip("torch")
    module, x = torch.nn.Linear(4, 3).eval(), torch.ones(2, 4)
    torch.export.save(torch.export.export(module, (x,)), tmp_path / "m.pt2")
    feed = {"input": np.full((2, 4), 2, np.float32)}
    session = _torch.open_session(SessionRequest(tmp_path / "m.pt2", ModelFormat.TORCH_EXPORT, _torch.Settings(), 1,
                                                 "cpu", feed))
    (found,) = session.resident(feed)()
    assert isinstance(found, torch.Tensor) and np.array_equal(found.numpy(), next(iter(session.run(feed).values())))
    assert np.allclose(found.numpy(), module(torch.full((2, 4), 2.0)).detach().numpy(), atol=1e-6)


@pytest.mark.slow
def test_resident_runs_of_tensorflow_compute_the_same():
    code = """
import sys
import numpy as np
from workbench import bundled
from workbench.runtimes import _tensorflow
from workbench.runtimes.base import SessionRequest
model = bundled.model("mlp")
feed = {model.inputs[0].name: np.ones((1, 10), np.float32)}
for mode in ("function", "eager", "predict"):
    settings = _tensorflow.Settings(mode=mode)
    session = _tensorflow.open_session(SessionRequest(model.path, model.format, settings, 1, "cpu", feed))
    try:
        found = session.resident(feed)()
    except NotImplementedError as error:
        print(mode, error)
        continue
    print(mode, np.array_equal(found[0].numpy(), next(iter(session.run(feed).values()))))
"""
    reason = "predict Keras's predict takes and gives arrays of main memory"
    assert _run(code) == ["function True", "eager True", reason]


def _run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip().splitlines()
