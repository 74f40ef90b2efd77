"""OpenVINO and PyTorch for real: same answers as ONNX Runtime, settings read back, refusals that say what to do."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.test_study import result
from workbench import fidelity, recipe
from workbench.errors import InputError, MissingError
from workbench.export import bundle
from workbench.model import ModelFormat as F
from workbench.model import load
from workbench.runtimes import _common, _onnxruntime, _openvino, _torch, registry
from workbench.runtimes.base import SessionRequest
from workbench.study import Study

RNG = np.random.default_rng(5)
FREE_WIDTH = np.random.default_rng(1).random((1, 1, 64, 96), dtype=np.float32)
HEAVY = ("openvino", "torch", "onnxruntime", "tensorflow")


def ort(path, example=None, threads=1, **settings):
    return _onnxruntime.open_session(
        SessionRequest(Path(path), F.ONNX, _onnxruntime.Settings(**settings), threads, "cpu", example or {}))


def ov(path, example=None, *, format=F.ONNX, threads=1, device="cpu", **settings):
    return _openvino.open_session(
        SessionRequest(Path(path), format, _openvino.Settings(**settings), threads, device, example or {}))


def torch_session(path, example=None, *, format=F.TORCH_EXPORT, threads=1, device="cpu", **settings):
    return _torch.open_session(
        SessionRequest(Path(path), format, _torch.Settings(**settings), threads, device, example or {}))


def cosine(a, b):
    a, b = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


# --- the contract -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["openvino", "torch"])
def test_adapters_load_no_framework_until_a_session_opens(name):
    code = ("import sys\nfrom workbench.runtimes import registry\nfrom workbench.model import ModelFormat\n"
            f"m = registry.adapter({name!r})\nm.devices(); m.environment(2, 'cpu', m.Settings(), ModelFormat.ONNX)\n"
            f"print(*[n for n in {HEAVY!r} if n in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("name", ["openvino", "torch"])
def test_settings_are_documented_and_bounded(name):
    settings = registry.settings_class(name)
    for field, bounds in settings.bounds().items():
        assert bounds.help, field
        default = settings.defaults()[field]
        assert isinstance(default, bool) or bounds.choices or bounds.low is not None, f"{field} is unbounded"
    with pytest.raises(InputError, match="unknown setting 'speed'"):
        settings.from_dict({"speed": 2}, owner=f"runtime {name}")


def test_each_format_keeps_its_natural_runtime():
    natural = {f: registry.for_format(f)[0].name for f in (F.ONNX, F.TFLITE, F.SAVED_MODEL, F.TORCH_EXPORT)}
    assert natural == {F.ONNX: "onnxruntime", F.TFLITE: "litert", F.SAVED_MODEL: "tensorflow", F.TORCH_EXPORT: "torch"}


@pytest.mark.skipif(_common.nvidia_gpu(), reason="there is a GPU here")
@pytest.mark.parametrize("name, line", [("openvino", "pip install onnxruntime-gpu"), ("torch", "pip install torch")])
def test_an_absent_gpu_is_refused_with_the_install_line(name, line, tmp_path):
    adapter, row = registry.adapter(name), registry.info(name)
    if adapter.devices()["gpu"] is None:
        pytest.skip("this machine has such a GPU")
    with pytest.raises(MissingError) as caught:
        adapter.open_session(SessionRequest(tmp_path / "m", row.formats[0], adapter.Settings(), 1, "gpu", {}))
    assert line in str(caught.value)


TINY = """
from dataclasses import dataclass
from ..model import TensorSpec
from ..settings import SettingsBase, setting
@dataclass(frozen=True)
class Settings(SettingsBase):
    factor: int = setting(2, "What the input is multiplied by", low=1, high=9)
def environment(threads, device, settings, format): return {}
def devices(): return {"cpu": None}
def preload(): pass
class Session:
    inputs = outputs = (TensorSpec("x", "float32", (None,)),)
    def __init__(self, factor): self.factor = factor
    def run(self, feeds): return {"x": feeds["x"] * self.factor}
    def describe(self): return {"runtime": "tiny"}
    def close(self): pass
def open_session(request): return Session(request.settings.factor)
"""


def test_another_runtime_takes_one_file_and_one_row(tmp_path, monkeypatch):
    import workbench.runtimes
    from workbench.runtimes import profilers
    from workbench.views import choices

    (tmp_path / "_tiny.py").write_text(TINY)
    monkeypatch.setattr(workbench.runtimes, "__path__", [*workbench.runtimes.__path__, str(tmp_path)])
    row = registry.RuntimeInfo("tiny", "Tiny", "_tiny", "numpy", "pip install numpy", (F.ONNX,))
    monkeypatch.setattr(registry, "RUNTIMES", (*registry.RUNTIMES, row))
    made = recipe.from_yaml(recipe.make(runtime="tiny", runtime_settings={"factor": 3}).to_yaml())
    assert made.runtime_settings.factor == 3 and made.label.startswith("Tiny")
    with pytest.raises(InputError, match="allowed: 1 to 9"):
        recipe.make(runtime="tiny", runtime_settings={"factor": 10})
    request = SessionRequest(tmp_path, F.ONNX, made.runtime_settings, 1, "cpu", {})
    session = registry.adapter("tiny").open_session(request)
    assert session.run({"x": np.ones(2, np.float32)})["x"].tolist() == [3, 3]
    shown = {c.id: c for g in choices.groups(choices.Selection(runtime="onnxruntime"), lambda r: None, 2)
             for c in g.choices}
    assert shown["tiny"].reason == "" and [f.name for f in shown["tiny"].fields] == ["factor"]
    assert "no profiler here" in profilers.refused("tiny", "Tiny", None)


# --- OpenVINO -----------------------------------------------------------------------------------------------------


def test_openvino_agrees_with_onnx_runtime_on_models_nobody_here_trained(ocr_models):
    for path in ocr_models:
        name = onnx.load(path, load_external_data=False).graph.input[0].name
        feed = {name: RNG.random((1, 3, 416, 416), dtype=np.float32) if "det" in path.name else FREE_WIDTH}
        wanted, session = ort(path).run(feed), ov(path)
        assert [s.name for s in session.inputs] == [name]
        assert set(wanted) == {s.name for s in session.outputs}
        for key, value in session.run(feed).items():
            assert value.shape == wanted[key].shape and cosine(value, wanted[key]) > 0.9999, (path.name, key)


def test_openvino_computes_in_float32_unless_told_otherwise(ocr_models):
    told = ov(ocr_models[0], threads=2).describe()
    assert told["precision"] == "float32" and told["threads"] == 2 and told["streams"] == 1
    assert not {"bf16", "f16"} & set(told["nodes_by_precision"])
    assert sum(told["nodes_by_precision"].values()) == told["nodes"] > 10
    assert told["execution_devices"] == ["CPU"]


@pytest.mark.parametrize("precision, capability", [("bf16", "BF16"), ("f16", "FP16")])
def test_openvino_precision_is_kept_or_refused_never_swapped(precision, capability, light_models):
    import openvino

    path = light_models[0]
    if capability in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        name = {"bf16": "bfloat16", "f16": "float16"}[precision]
        assert ov(path, precision=precision).describe()["precision"] == name
    else:
        with pytest.raises(InputError, match=f"does not compute in {precision}.*choose precision f32"):
            ov(path, precision=precision)


def test_openvino_streams_are_read_back(ocr_models):
    told = ov(ocr_models[0], threads=2, hint="throughput", streams=2).describe()
    assert told["streams"] == 2 and told["hint"] == "throughput"
    assert any("1 of 2 streams" in n for n in told["notes"])


def test_openvino_fixed_shapes_compile_again_for_another_size(ocr_models):
    path = ocr_models[0]
    session, free = ov(path, {"input1": FREE_WIDTH}, fixed_shapes=True), ov(path)
    for width in (96, 64, 96):
        feed = {"input1": RNG.random((1, 1, 64, width), dtype=np.float32)}
        for key, value in session.run(feed).items():
            assert cosine(value, free.run(feed)[key]) > 0.9999


def test_openvino_outputs_stay_valid_after_the_next_run(ocr_models):
    session = ov(ocr_models[0])
    first = session.run({"input1": FREE_WIDTH})
    kept = {k: v.copy() for k, v in first.items()}
    session.run({"input1": 1 - FREE_WIDTH})
    assert all(np.array_equal(first[k], kept[k]) for k in kept)


def test_openvino_refuses_in_one_line(tmp_path, ocr_models):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model" * 50)
    with pytest.raises(InputError, match=r"OpenVINO cannot load broken.onnx: the file is damaged"):
        ov(broken)
    session = ov(ocr_models[0])
    with pytest.raises(InputError, match="input 'input1' is missing"):
        session.run({"other": FREE_WIDTH})
    with pytest.raises(InputError, match="could not run") as caught:
        session.run({"input1": FREE_WIDTH[0]})
    assert "\n" not in str(caught.value) and ".cpp" not in str(caught.value)


# --- PyTorch ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def torch_files(tmp_path_factory):
    """One network as an exported program, as TorchScript and as ONNX, and what PyTorch itself answers."""
    import torch
    from torch import nn

    folder = tmp_path_factory.mktemp("torch")
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
                           nn.Linear(32, 5), nn.Softmax(-1)).eval()
    image = RNG.random((4, 3, 16, 16), dtype=np.float32)
    example = torch.from_numpy(image[:1])
    exported = load(module, example_inputs=example)
    script = load(torch.jit.trace(module, example), example_inputs=example)
    with torch.no_grad():
        wanted = module(torch.from_numpy(image)).numpy()
    return {"folder": folder, "image": image, "wanted": wanted, "exported": exported, "script": script}


@pytest.mark.parametrize("mode", ["inference", "eager", "script"])
@pytest.mark.parametrize("kind", ["exported", "script"])
def test_torch_modes_agree_with_the_module(torch_files, mode, kind):
    model = torch_files[kind]
    name = model.inputs[0].name
    for channels_last in (False, True):
        session = torch_session(model.path, {name: torch_files["image"]}, format=model.format, mode=mode,
                                channels_last=channels_last)
        assert [s.name for s in session.inputs] == [name]
        assert [s.name for s in session.outputs] == [s.name for s in model.outputs]
        found = session.run({name: torch_files["image"]})[session.outputs[0].name]
        assert np.allclose(found, torch_files["wanted"], atol=1e-5)
        assert session.describe()["mode"] == mode and session.describe()["channels_last"] == channels_last


def test_a_torch_module_and_its_onnx_export_agree_through_the_passes(torch_files, tmp_path):
    from workbench import variant

    model, image = torch_files["exported"], torch_files["image"]
    made = {}
    for name in ("torch", "onnxruntime", "openvino"):
        complete = variant.complete(model, recipe.make(runtime=name))
        built = variant.build(model, complete, None, cache=variant.Cache(tmp_path), progress=None, cancel=None)
        adapter = registry.adapter(name)
        session = adapter.open_session(SessionRequest(built.model.path, built.model.format, adapter.Settings(), 1,
                                                      "cpu", {model.inputs[0].name: image}))
        made[name] = {"probs": list(session.run({session.inputs[0].name: image}).values())[0]}
    for name in ("onnxruntime", "openvino"):
        assert fidelity.evaluate(made[name], made["torch"]).cosine_mean > 0.99999


def test_torch_threads_are_read_back(torch_files):
    code = ("import json, sys\nfrom pathlib import Path\nfrom workbench.runtimes import _torch\n"
            "from workbench.runtimes.base import SessionRequest\nfrom workbench.model import ModelFormat\n"
            "r = SessionRequest(Path(sys.argv[1]), ModelFormat.TORCH_EXPORT, _torch.Settings(inter_threads=2), 2, "
            "'cpu', {})\nprint(json.dumps(_torch.open_session(r).describe()))")
    done = subprocess.run([sys.executable, "-c", code, str(torch_files["exported"].path)], check=True,
                          capture_output=True, text=True)
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["threads"] == 2 and told["inter_threads"] == 2 and told["isa"]


def test_compile_needs_a_compiler_and_an_exported_program(torch_files, monkeypatch):
    script = torch_files["script"]
    with pytest.raises(InputError, match="mode 'compile' does not look inside TorchScript"):
        torch_session(script.path, {"input": torch_files["image"]}, format=F.TORCHSCRIPT, mode="compile")
    monkeypatch.setattr(_torch.shutil, "which", lambda name: None)
    with pytest.raises(MissingError, match="needs a C.. compiler.*choose mode script or inference"):
        torch_session(torch_files["exported"].path, mode="compile")


@pytest.mark.slow
@pytest.mark.skipif(_torch.no_compiler() is not None, reason="no C++ compiler here")
def test_compiled_torch_agrees(torch_files):
    model, image = torch_files["exported"], torch_files["image"]
    session = torch_session(model.path, {model.inputs[0].name: image}, mode="compile")
    found = list(session.run({model.inputs[0].name: image}).values())[0]
    assert np.allclose(found, torch_files["wanted"], atol=1e-5)


def test_torch_refuses_in_one_line(tmp_path, torch_files):
    broken = tmp_path / "broken.pt"
    broken.write_bytes(b"no model" * 50)
    with pytest.raises(InputError, match="PyTorch cannot load broken.pt"):
        torch_session(broken, format=F.TORCHSCRIPT)
    model = torch_files["exported"]
    session = torch_session(model.path)
    with pytest.raises(InputError, match="is missing"):
        session.run({"other": torch_files["image"]})
    with pytest.raises(InputError, match="could not run") as caught:
        session.run({model.inputs[0].name: np.zeros((2, 4, 16, 16), np.float32)})
    assert "\n" not in str(caught.value)


# --- bundles ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["openvino", "torch"])
def test_a_bundle_predicts_without_the_workbench(name, torch_files, tmp_path):
    from workbench import variant

    model, image = torch_files["exported"], torch_files["image"]
    complete = variant.complete(model, recipe.make(runtime=name, threads=1))
    built = variant.build(model, complete, None, cache=variant.Cache(tmp_path / "cache"), progress=None, cancel=None)
    folder = tmp_path / "bundle"
    made = result(recipe=complete, artefact=str(built.model.path), model_sha256=model.sha256)
    bundle.write(made, model, folder, Study())
    np.save(tmp_path / "image.npy", image)
    code = ("import numpy as np, sys\nfrom predict import Predictor\nassert 'workbench' not in sys.modules\n"
            f"out = Predictor().run({{{model.inputs[0].name!r}: np.load('../image.npy')}})\n"
            f"np.save('../out.npy', out[{model.outputs[0].name!r}])")
    subprocess.run([sys.executable, "-c", code], check=True, cwd=folder, capture_output=True)
    assert np.allclose(np.load(tmp_path / "out.npy"), torch_files["wanted"], atol=1e-4)


def test_the_packages_that_bundles_name_are_those_imported():
    for name in ("openvino", "torch"):
        assert importlib.util.find_spec(bundle._PACKAGES[name]) is not None
