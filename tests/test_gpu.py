"""GPU paths: against recorded drivers and providers everywhere, and for real where there is a GPU."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.measure.conftest import matmul  # noqa: F401  a real ONNX Runtime candidate
from workbench import bundled, datasets, diagnose, recipe, variant
from workbench.engine import Engine
from workbench.errors import InputError, MissingError
from workbench.measure import environment, measure
from workbench.model import ModelFormat as F
from workbench.runtimes import _common, _onnxruntime, _openvino, _tensorflow, _torch, registry
from workbench.runtimes.base import SessionRequest
from workbench.study import Study
from workbench.views import choices

RECORDED = json.loads((Path(__file__).parent / "golden" / "gpu_machines.json").read_text("utf-8"))
HAS_GPU = _common.nvidia_gpu()
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="these records are of Linux")


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """``machine(name)`` makes the adapters see a recorded machine's files and wheels."""

    def place(path):
        path = str(path)
        inside = path.startswith(str(tmp_path)) or not Path(path).is_absolute()
        return Path(path) if inside else tmp_path / path.lstrip("/")

    def become(name):
        record = RECORDED["machines"][name]
        for path, text in record["files"].items():
            file = tmp_path / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        wheel = tmp_path / "site" / "onnxruntime"
        (wheel / "capi").mkdir(parents=True)
        for library in record["capi"]:
            (wheel / "capi" / library).touch()
        for module in (_common, _onnxruntime, _openvino, environment):
            monkeypatch.setattr(module, "Path", place)
        monkeypatch.setattr(_onnxruntime, "find_spec", lambda name: SimpleNamespace(
            submodule_search_locations=[str(wheel)]))
        return record

    caches = (_common.nvidia_gpu, _onnxruntime.devices, _openvino.devices)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for cached in caches:
        cached.cache_clear()
    yield become
    monkeypatch.undo()
    for cached in caches:
        cached.cache_clear()


def request(runtime="onnxruntime", device="gpu", **settings):
    row = registry.info(runtime)
    return SessionRequest(Path("m"), row.formats[0], registry.adapter(runtime).Settings(**settings), 1, device, {})


# --- recorded machines --------------------------------------------------------------------------------------------


@LINUX
@pytest.mark.parametrize("name", RECORDED["machines"])
def test_each_runtime_says_whether_it_can_use_the_gpu_and_why_not(machine, name):
    record = machine(name)
    for runtime, words in record["gpu"].items():
        reason = registry.adapter(runtime).devices()["gpu"]
        assert (reason is None) if words is None else (words in reason), (runtime, reason)
        if reason:
            assert "\n" not in reason and len(reason) > 30
            with pytest.raises(MissingError, match="on device gpu"):
                registry.adapter(runtime).open_session(request(runtime))
    assert environment.fingerprint()["gpus"] == record["gpus"]


@LINUX
@pytest.mark.parametrize("name", RECORDED["machines"])
def test_the_provider_is_the_recorded_one_or_a_refusal(machine, name):
    record = machine(name)
    if record["chosen"]:
        assert _onnxruntime._provider(request(), record["available_providers"]) == record["chosen"]
        assert _onnxruntime._provider_list(record["chosen"]) == [record["chosen"], "CPUExecutionProvider"]
    else:
        with pytest.raises(MissingError) as caught:
            _onnxruntime._provider(request(), record["available_providers"])
        assert "pip" in str(caught.value) or "GPU" in str(caught.value)
    assert _onnxruntime._provider(request(device="cpu"), record["available_providers"]) == "CPUExecutionProvider"


@LINUX
def test_an_absent_provider_that_was_named_is_never_another_one(machine):
    record = machine("nvidia, CUDA builds")
    with pytest.raises(MissingError, match="does not have DmlExecutionProvider .it has: Tensorrt"):
        _onnxruntime._provider(request(provider="directml"), record["available_providers"])
    assert _onnxruntime._provider(request(provider="tensorrt"), record["available_providers"]) == \
        "TensorrtExecutionProvider"


@LINUX
def test_one_control_chooses_the_gpu_where_there_is_one(machine):
    model = bundled.model("mlp")
    machine("nvidia, CUDA builds")
    for runtime in ("onnxruntime", "tensorflow"):
        assert variant.problem(model, recipe.make(runtime=runtime, device="gpu")) is None
    litert = variant.problem(model, recipe.make(runtime="litert", device="gpu"))
    assert "LiteRT on gpu" in litert
    on_gpu = choices.device_group(choices.Selection(runtime="onnxruntime")).choices[1]
    assert on_gpu.id == "gpu" and on_gpu.reason == ""
    assert "CUDA_VISIBLE_DEVICES" not in _onnxruntime.environment(2, "gpu", _onnxruntime.Settings(), F.ONNX)


@LINUX
def test_another_gpu_is_another_machine(machine):
    here = environment.machine_id(environment.fingerprint())
    machine("nvidia, CUDA builds")
    assert environment.machine_id(environment.fingerprint()) != here


# --- recorded sessions --------------------------------------------------------------------------------------------


class Recorded:
    """An ONNX Runtime session as it tells of itself: names and providers, no model."""

    def __init__(self, name):
        self.record = RECORDED["assignments"][name]

    def get_inputs(self):
        return [SimpleNamespace(name="x", type="tensor(float)", shape=["N", 4])]

    get_outputs = get_inputs

    def get_providers(self):
        return self.record["providers"]

    def get_provider_graph_assignment_info(self):
        def node(name, op):
            return SimpleNamespace(name=name, op_type=op)

        return [SimpleNamespace(ep_name=p["ep_name"], get_nodes=lambda p=p: [node(*n) for n in p["nodes"]])
                for p in self.record["parts"]]

    def get_session_options(self):
        import onnxruntime

        return _onnxruntime._options(onnxruntime, request())


def opened(name):
    return _onnxruntime.OrtSession(Recorded(name), request(), "CUDAExecutionProvider", "1.32.0")


def test_the_provider_of_each_node_is_read_back():
    told = opened("all on CUDA").describe()
    assert told["nodes_by_provider"] == {"CUDAExecutionProvider": 3} and told["notes"] == []
    mixed = opened("NonMaxSuppression stays on the CPU").describe()
    assert mixed["nodes_by_provider"] == {"CUDAExecutionProvider": 2, "CPUExecutionProvider": 2}
    assert mixed["nodes_elsewhere"] == ["NonMaxSuppression_2", "Shape #1"]
    assert mixed["notes"] == ["2 nodes run outside CUDAExecutionProvider"]


def test_bound_buffers_give_the_same_answers(matmul):  # noqa: F811
    """IO binding is for GPUs; on the CPU the same calls run, so they can be checked here."""
    path, x = matmul("b", 3.0).path, np.arange(8, dtype=np.float32).reshape(2, 4)
    for bound in (False, True):
        session = _onnxruntime.open_session(SessionRequest(
            path, F.ONNX, _onnxruntime.Settings(io_binding=bound), 1, "cpu", {"x": x}))
        assert session.describe()["io_binding"] is bound and session.describe()["copies"] == "none"
        assert np.array_equal(session.run({"x": x})["y"], 3 * x)
        assert np.array_equal(session.run({"x": x[:, ::-1]})["y"], 3 * x[:, ::-1])
    assert opened("all on CUDA").describe()["copies"] == "host to device and back in every run"


def test_a_gpu_that_runs_no_node_is_refused():
    with pytest.raises(InputError, match="CUDAExecutionProvider can run none of this model's nodes"):
        opened("nothing on CUDA")


def test_a_provider_that_did_not_start_is_refused(monkeypatch):
    import onnxruntime

    monkeypatch.setattr(_onnxruntime, "_provider", lambda *_: "CUDAExecutionProvider")
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: Recorded("CUDA did not start"))
    with pytest.raises(MissingError, match="did not start CUDAExecutionProvider .it has: CPUExecutionProvider"):
        _onnxruntime.open_session(request())


def test_nodes_left_on_the_cpu_are_a_named_cause():
    from tests.view_parts import BASE, ORT, result

    told = opened("NonMaxSuppression stays on the CPU").describe()
    slow = result(ORT, median=2e-3, ratio=2.0, verdict="slower", describe=told)
    found = diagnose.diagnose(slow, result(BASE))
    assert any("NonMaxSuppression_2" in c.evidence for c in found.causes), found


def test_both_latencies_of_a_gpu_are_shown_by_name():
    from tests.view_parts import ORT, result
    from workbench.views import panes

    told = {"without_copies_s": 1.5e-3, "without_copies_interval_s": [1.4e-3, 1.6e-3], "without_copies_runs": 200}
    shown = panes.timing(result(ORT, median=2e-3, describe=told), None)
    assert "copies from host to device and back" in shown and "1.50 ms (1.40 ms to 1.60 ms), 200 runs" in shown
    refused = panes.timing(result(ORT, describe={"without_copies": "not measured: predict"}), None)
    assert "not measured: predict" in refused
    assert "without these copies" not in panes.timing(result(ORT), None)


# --- requested but absent, for real -------------------------------------------------------------------------------

_DRIVER_BUT_CPU_BUILD = """
from pathlib import Path
from workbench.errors import MissingError
from workbench.runtimes import registry
from workbench.runtimes.base import SessionRequest
for name in {names!r}:
    adapter, row = registry.adapter(name), registry.info(name)
    adapter.devices = lambda: {{"cpu": None, "gpu": None}}  # the driver is there
    try:
        adapter.open_session(SessionRequest(Path("m"), row.formats[0], adapter.Settings(), 1, "gpu", {{}}))
        print(name, "OPENED")
    except MissingError as error:
        print(name, "|", error)
"""


@pytest.mark.skipif(HAS_GPU, reason="there is a GPU here")
@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "torch", pytest.param("tensorflow",
                                                                                  marks=pytest.mark.slow)])
def test_a_framework_without_its_gpu_libraries_refuses(name):
    """The driver's files are there, the framework sees no GPU: its own words, and never the CPU in silence."""
    if registry.missing(name):
        pytest.skip(registry.missing(name))
    done = subprocess.run([sys.executable, "-c", _DRIVER_BUT_CPU_BUILD.format(names=(name,))], capture_output=True,
                          text=True, cwd=Path(__file__).parents[1])
    assert done.returncode == 0, done.stderr[-2000:]
    line = done.stdout.strip().splitlines()[-1]
    assert line.startswith(f"{name} | ") and ("sees no GPU" in line or "does not have" in line or
                                              "does not see a GPU" in line), line


@pytest.mark.skipif(HAS_GPU, reason="there is a GPU here")
@pytest.mark.parametrize("row", registry.RUNTIMES, ids=lambda r: r.name)
def test_every_runtime_of_the_registry_refuses_an_absent_gpu(row):
    adapter = registry.adapter(row.name)
    if adapter.devices().get("gpu", "") is None:
        pytest.skip("this machine has such a GPU")
    with pytest.raises(MissingError) as caught:
        adapter.open_session(request(row.name))
    assert f"{row.name} on device gpu: " in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.skipif(HAS_GPU, reason="there is a GPU here")
def test_a_measurement_on_an_absent_gpu_is_a_failed_result_with_the_reason(matmul):  # noqa: F811
    from tests.measure.common import PLAN, feeds

    wanted = matmul("g")._replace(device="gpu")
    found = measure([wanted], feeds(), evaluation=[], plan=PLAN)["g"]
    assert found.status == "failed" and "onnxruntime on device gpu" in found.reason and not found.rounds


# --- where there is a GPU -----------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.skipif(not HAS_GPU, reason="needs a GPU; none was found")
@pytest.mark.parametrize("runtime, steps", [("onnxruntime", ("onnx-convert",)), ("tensorflow", ())])
def test_a_real_gpu_answers_as_the_cpu_does(runtime, steps):
    if registry.adapter(runtime).devices()["gpu"]:
        pytest.skip(registry.adapter(runtime).devices()["gpu"])
    model = bundled.model("cnn")
    with Engine(model, datasets.load("fashion-mnist", model), Study()) as engine:
        made = engine.measure([recipe.make(*steps, runtime=runtime, device="gpu", batch=b) for b in (1, 32)])
    for found in (r for r in made if not r.is_baseline):
        assert found.status == "ok", found.reason
        assert found.fidelity.cosine_mean > 0.999 and found.describe["device"] == "gpu"
        if runtime == "onnxruntime":
            assert found.describe["providers"][0] != "CPUExecutionProvider"
            assert found.describe["nodes_by_provider"][found.describe["providers"][0]] > 0


@pytest.mark.gpu
@pytest.mark.skipif(not HAS_GPU, reason="needs a GPU; none was found")
def test_real_torch_on_a_gpu(tmp_path):
    if _torch.devices()["gpu"]:
        pytest.skip(_torch.devices()["gpu"])
    code = ("import torch, sys\nm = torch.nn.Linear(4, 3).eval()\nx = torch.ones(2, 4)\n"
            "torch.export.save(torch.export.export(m, (x,)), sys.argv[1])\n"
            "import numpy; numpy.save(sys.argv[2], m(x).detach().numpy())\n")
    path, wanted = tmp_path / "m.pt2", tmp_path / "y.npy"
    subprocess.run([sys.executable, "-c", code, str(path), str(wanted)], check=True)
    feed = {"input": np.ones((2, 4), np.float32)}
    session = _torch.open_session(SessionRequest(path, F.TORCH_EXPORT, _torch.Settings(), 1, "gpu", feed))
    found = session.run({session.inputs[0].name: feed["input"]})
    assert np.allclose(next(iter(found.values())), np.load(wanted), atol=1e-3)
    assert "cuda" in str(session.describe()["devices"])


def test_the_gpu_marker_is_declared(pytestconfig):
    assert any(line.startswith("gpu:") for line in pytestconfig.getini("markers"))
    assert _tensorflow.devices()["cpu"] is None
