"""Every adapter for real: same weights, same answers; settings reach the runtime; refusals are clear."""

import subprocess
import sys

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto as T
from onnx import helper as h

from tests import runtime_parts
from workbench import fidelity
from workbench.errors import InputError, MissingError
from workbench.model import ModelFormat as F
from workbench.model import TensorSpec
from workbench.runtimes import _common, _litert, _onnxruntime, registry
from workbench.runtimes.base import SessionRequest

IMAGES = np.random.default_rng(3).random((4, 12, 12, 3), dtype=np.float32)
WITHOUT_GPU = pytest.mark.skipif(_common.nvidia_gpu() or sys.platform == "darwin", reason="there is a GPU here")
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Real models of the same weights in every format that a runtime here loads."""
    made = tmp_path_factory.mktemp("runtimes")
    np.save(made / "image.npy", IMAGES)
    runtime_parts.call("make", made)
    return made


def onnx_file(path, nodes, inputs, outputs, initializers=(), opset=17, **opsets):
    graph = h.make_graph(nodes, "g", inputs, outputs, list(initializers))
    imports = [h.make_opsetid("", opset)] + [h.make_opsetid(k, v) for k, v in opsets.items()]
    onnx.save(h.make_model(graph, opset_imports=imports, ir_version=9), path)
    return path


def value(name, kind, shape):
    return h.make_tensor_value_info(name, kind, shape)


def ort(path, *, threads=1, device="cpu", example=None, **settings):
    return _onnxruntime.open_session(
        SessionRequest(path, F.ONNX, _onnxruntime.Settings(**settings), threads, device, example or {}))


def litert(path, example=None, *, threads=1, device="cpu", **settings):
    return _litert.open_session(
        SessionRequest(path, F.TFLITE, _litert.Settings(**settings), threads, device, example or {}))


@pytest.fixture
def linear(tmp_path):
    """x [N, 4] -> relu(x @ w) [N, 3], w all ones."""
    return onnx_file(
        tmp_path / "linear.onnx", [h.make_node("MatMul", ["x", "w"], ["y"]), h.make_node("Relu", ["y"], ["z"])],
        [value("x", T.FLOAT, ["N", 4])], [value("z", T.FLOAT, ["N", 3])],
        [onnx.numpy_helper.from_array(np.ones((4, 3), np.float32), "w")])


# --- the contract -------------------------------------------------------------------------------------------------


def test_adapters_settings_and_devices_load_no_framework():
    code = ("import sys\nfrom workbench.runtimes import registry\nfrom workbench.model import ModelFormat\n"
            "for row in registry.RUNTIMES[:3]:\n"
            "    m = registry.adapter(row.name)\n"
            "    m.devices(); m.environment(2, 'cpu', m.Settings(), row.formats[0])\n"
            "heavy = ('onnxruntime', 'ai_edge_litert', 'tensorflow', 'keras', 'tf_keras', 'onnx', 'h5py')\n"
            "print(*[m for m in heavy if m in sys.modules])")
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert shown.strip() == ""


@pytest.mark.parametrize("name", ["onnxruntime", "litert", "tensorflow"])
def test_settings_are_documented_and_bounded(name):
    settings = registry.settings_class(name)
    for field, bounds in settings.bounds().items():
        assert bounds.help, field
        default = settings.defaults()[field]
        assert isinstance(default, bool) or bounds.choices or bounds.low is not None, f"{field} is unbounded"
    with pytest.raises(InputError, match="unknown setting 'speed'"):
        settings.from_dict({"speed": 2}, owner=f"runtime {name}")


@pytest.mark.parametrize("name", ["onnxruntime", "litert", "tensorflow"])
def test_the_environment_holds_thread_pools_and_hides_the_gpu(name):
    adapter = registry.adapter(name)
    row = registry.info(name)
    on_cpu = adapter.environment(3, "cpu", adapter.Settings(), row.formats[0])
    assert on_cpu["OMP_NUM_THREADS"] == "3" and on_cpu["CUDA_VISIBLE_DEVICES"] == "-1"
    assert "CUDA_VISIBLE_DEVICES" not in adapter.environment(3, "gpu", adapter.Settings(), row.formats[0])
    assert all(isinstance(v, str) for v in on_cpu.values())


def test_legacy_keras_is_chosen_by_the_format():
    adapter = registry.adapter("tensorflow")
    for format, flag in ((F.KERAS, "0"), (F.KERAS2, "1"), (F.SAVED_MODEL, "0")):
        assert adapter.environment(1, "cpu", adapter.Settings(), format)["TF_USE_LEGACY_KERAS"] == flag


@WITHOUT_GPU
@pytest.mark.parametrize("name, line", [("onnxruntime", "pip install onnxruntime-gpu"),
                                        ("litert", "pip install onnxruntime-gpu"),
                                        ("tensorflow", "pip install 'tensorflow[and-cuda]'")])
def test_an_absent_gpu_is_refused_with_the_install_line(name, line, tmp_path):
    adapter, row = registry.adapter(name), registry.info(name)
    assert adapter.devices()["cpu"] is None and line in adapter.devices()["gpu"]
    with pytest.raises(MissingError) as caught:
        adapter.open_session(SessionRequest(tmp_path / "m", row.formats[0], adapter.Settings(), 1, "gpu", {}))
    assert line in str(caught.value)


# --- ONNX Runtime -------------------------------------------------------------------------------------------------


def test_onnxruntime_runs_and_says_what_ran(linear):
    session = ort(linear)
    assert session.inputs == (TensorSpec("x", "float32", ("N", 4)),)
    assert session.outputs == (TensorSpec("z", "float32", ("N", 3)),)
    for n in (1, 3):  # the batch may change from run to run
        assert np.array_equal(session.run({"x": np.ones((n, 4), np.float32)})["z"], np.full((n, 3), 4.0))
    told = session.describe()
    assert told["providers"] == ["CPUExecutionProvider"] and told["nodes_by_provider"] == {"CPUExecutionProvider": 2}
    assert told["version"] and told["nodes_elsewhere"] == []
    session.close()


@pytest.mark.parametrize("settings, told", [
    ({"graph_level": "disabled"}, {"graph_level": "ORT_DISABLE_ALL"}),
    ({"graph_level": "basic"}, {"graph_level": "ORT_ENABLE_BASIC"}),
    ({"graph_level": "extended"}, {"graph_level": "ORT_ENABLE_EXTENDED"}),
    ({"graph_level": "all"}, {"graph_level": "ORT_ENABLE_ALL"}),
    ({"execution": "parallel", "inter_threads": 3}, {"execution": "ORT_PARALLEL", "inter_threads": 3,
                                                     "memory_pattern": False}),
    ({"execution": "sequential", "inter_threads": 3}, {"execution": "ORT_SEQUENTIAL", "inter_threads": 1}),
    ({"memory_arena": False, "memory_pattern": False}, {"memory_arena": False, "memory_pattern": False}),
    ({"spinning": False}, {"spinning": False}),
    ({"provider": "cpu"}, {"providers": ["CPUExecutionProvider"]}),
])
def test_onnxruntime_settings_reach_the_session(linear, settings, told):
    found = ort(linear, threads=2, **settings).describe()
    assert {k: found[k] for k in told} == told and found["threads"] == 2


def test_the_graph_level_changes_the_graph_that_runs(tmp_path):
    """Without optimization the constant branch is computed at each run; with it, it is folded away at load."""
    ones = onnx.numpy_helper.from_array(np.ones(4, np.float32), "c")
    path = onnx_file(tmp_path / "fold.onnx",
                     [h.make_node("Exp", ["c"], ["e"]), h.make_node("Add", ["x", "e"], ["y"])],
                     [value("x", T.FLOAT, [4])], [value("y", T.FLOAT, [4])], [ones])
    nodes = {level: ort(path, graph_level=level).describe()["nodes_by_provider"]["CPUExecutionProvider"]
             for level in ("disabled", "basic")}
    assert nodes == {"disabled": 2, "basic": 1}


@ON_LINUX
def test_threads_are_started_as_asked(linear, tmp_path):
    feeds = {"x": np.ones((1, 4), np.float32)}
    started = {n: runtime_parts.run(linear.parent, "onnxruntime", "onnx", [{"path": linear.name}], threads=n,
                                    feeds=feeds)[0]["tasks"] for n in (1, 4)}
    assert started[4] - started[1] == 3


@pytest.mark.parametrize("kind, dtype, array", [
    (T.INT64, "int64", np.arange(3)), (T.BOOL, "bool", np.array([True, False, True])),
    (T.FLOAT16, "float16", np.ones(3, np.float16)), (T.UINT8, "uint8", np.ones(3, np.uint8)),
    (T.DOUBLE, "float64", np.ones(3)), (T.STRING, "str", np.array(["a", "b", "c"], dtype=object)),
    (T.BFLOAT16, "bfloat16", np.array([1.0, 0.5, 3.0], np.float32)),
    (T.BFLOAT16, "bfloat16", np.array([1.0, 0.5, 3.0], ml_dtypes.bfloat16)),
])
def test_onnxruntime_takes_every_dtype(tmp_path, kind, dtype, array):
    path = onnx_file(tmp_path / "same.onnx", [h.make_node("Identity", ["x"], ["y"])], [value("x", kind, [3])],
                     [value("y", kind, [3])])
    session = ort(path)
    assert session.inputs[0].dtype == dtype
    found = session.run({"x": array})["y"]
    assert found.astype(array.dtype).tolist() == array.tolist()


def test_onnxruntime_scalar_input_and_map_output(tmp_path):
    classifier = h.make_node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml", classlabels_int64s=[0, 1])
    maps = h.make_map_type_proto(T.INT64, h.make_tensor_type_proto(T.FLOAT, []))
    output = h.make_value_info("y", h.make_sequence_type_proto(maps))
    path = onnx_file(tmp_path / "map.onnx", [h.make_node("Mul", ["a", "s"], ["x"]), classifier],
                     [value("a", T.FLOAT, ["N", 2]), value("s", T.FLOAT, [])], [output], **{"ai.onnx.ml": 1})
    session = ort(path)
    assert session.inputs[1].shape == ()
    feeds = {"a": np.array([[1, 2], [3, 4]], np.float32), "s": np.array(2, np.float32)}
    assert np.array_equal(session.run(feeds)["y"], [[2, 4], [6, 8]])


def test_a_provider_is_never_swapped_in_silence(linear):
    with pytest.raises(InputError, match="provider 'cuda' does not run on device cpu"):
        ort(linear, provider="cuda")
    with pytest.raises(InputError, match="provider 'cpu' does not run on device gpu"):
        ort(linear, device="gpu", provider="cpu")


@WITHOUT_GPU
def test_a_provider_that_this_build_lacks_is_named(linear):
    with pytest.raises(MissingError, match="does not have DmlExecutionProvider .it has: .*CPUExecutionProvider"):
        ort(linear, device="gpu", provider="directml")


def test_a_provider_that_does_not_start_is_an_error_and_not_the_cpu(linear, monkeypatch):
    """ONNX Runtime itself goes on with the CPU here; the adapter must not."""
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this build has the provider")
    monkeypatch.setattr(_onnxruntime, "_provider", lambda request, available: "CUDAExecutionProvider")
    with pytest.warns(UserWarning), pytest.raises(MissingError, match="did not start CUDAExecutionProvider"):
        ort(linear, device="gpu")


@pytest.mark.parametrize("available, asked, chosen", [
    (["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"], "", "CUDAExecutionProvider"),
    (["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"], "tensorrt",
     "TensorrtExecutionProvider"),
    (["DmlExecutionProvider", "CPUExecutionProvider"], "", "DmlExecutionProvider"),
    (["CoreMLExecutionProvider", "CPUExecutionProvider"], "", "CoreMLExecutionProvider"),
    (["CUDAExecutionProvider", "CPUExecutionProvider"], "tensorrt", None),
    (["AzureExecutionProvider", "CPUExecutionProvider"], "", None),
])
def test_the_gpu_provider_is_chosen_among_those_of_the_build(tmp_path, monkeypatch, available, asked, chosen):
    monkeypatch.setattr(_onnxruntime, "devices", lambda: {"cpu": None, "gpu": None})
    request = SessionRequest(tmp_path, F.ONNX, _onnxruntime.Settings(provider=asked), 1, "gpu", {})
    if chosen:
        assert _onnxruntime._provider(request, available) == chosen
    else:
        with pytest.raises(MissingError, match="pip install onnxruntime-gpu"):
            _onnxruntime._provider(request, available)


def test_untrained_topologies_and_ocr_models_open(light_models, ocr_models):
    for path in (light_models[0], *ocr_models[:2]):
        session = ort(path)
        sizes = {s.name: [d if isinstance(d, int) else 32 for d in s.shape] for s in session.inputs}
        outputs = session.run({n: np.zeros(shape, np.float32) for n, shape in sizes.items()})
        assert list(outputs) == [s.name for s in session.outputs]
        assert sum(session.describe()["nodes_by_provider"].values()) > 10


# --- LiteRT -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_litert_runs_by_signature_names_and_resizes(folder):
    session = litert(folder / "cnn.tflite", {"image": IMAGES})
    assert session.inputs == (TensorSpec("image", "float32", (None, 12, 12, 3)),)
    whole = session.run({"image": IMAGES})["output_0"]
    single = [session.run({"image": IMAGES[i:i + 1]})["output_0"] for i in range(4)]
    assert whole.shape == (4, 5) and np.allclose(whole, np.concatenate(single), atol=1e-6)
    assert np.allclose(whole.sum(axis=1), 1, atol=1e-5)


@pytest.mark.slow
def test_litert_says_which_nodes_the_delegate_took(folder):
    on = litert(folder / "cnn.tflite", {"image": IMAGES}).describe()
    off = litert(folder / "cnn.tflite", {"image": IMAGES}, xnnpack=False).describe()
    assert on["delegate"] == "XNNPACK" and on["nodes_delegated"] >= 3 and on["partitions"] >= 1
    assert on["nodes_delegated"] + len(on["nodes_elsewhere"]) == on["nodes"]
    assert off["delegate"] == "none" and off["nodes_delegated"] == 0 and len(off["nodes_elsewhere"]) == off["nodes"]


@pytest.mark.slow
@ON_LINUX
def test_litert_threads_are_started_as_asked(folder):
    tasks = {n: runtime_parts.run(folder, "litert", "tflite", [{"path": "cnn.tflite"}], threads=n,
                                  feeds={"image": IMAGES})[0]["tasks"] for n in (1, 3)}
    assert tasks[3] - tasks[1] == 2


@pytest.mark.slow
def test_litert_quantizes_at_the_boundary_and_says_so(folder):
    session = litert(folder / "int8.tflite", {"image": IMAGES})
    assert session.inputs[0].dtype == session.outputs[0].dtype == "float32"
    told = session.describe()
    assert told["quantized_inputs"] == ["image"] and any("quantized at the boundary" in n for n in told["notes"])
    expected = litert(folder / "cnn.tflite", {"image": IMAGES}).run({"image": IMAGES})
    found = fidelity.evaluate(session.run({"image": IMAGES}), expected)
    assert 20 < found.sqnr_db < 80  # close, and not the same: the arithmetic really is INT8

    # integers in the data pass as they are: the same pixels, quantized by hand
    details = session._inputs[0]
    raw = np.clip(np.rint(IMAGES / details.scale) + details.zero_point, -128, 127).astype(np.int8)
    by_hand = litert(folder / "int8.tflite", {"image": raw})
    assert by_hand.inputs[0].dtype == "int8"
    assert np.array_equal(by_hand.run({"image": raw})["output_0"], session.run({"image": IMAGES})["output_0"])


@pytest.mark.slow
def test_litert_starts_each_run_of_a_recurrent_layer_afresh(folder):
    steps = np.ones((1, 6, 3), np.float32)
    session = litert(folder / "lstm.tflite", {"steps": steps})
    first = session.run({"steps": steps})["output_0"]
    assert np.abs(first).max() > 0 and np.array_equal(first, session.run({"steps": steps})["output_0"])


@pytest.mark.slow
def test_litert_refuses_what_it_cannot_run(folder):
    with pytest.raises(InputError, match="FlexMatrixInverse.*built-in operators only"):
        litert(folder / "flex.tflite")
    session = litert(folder / "cnn.tflite")
    with pytest.raises(InputError, match=r"input 'image' wants shape \[-1, 12, 12, 3\]"):
        session.run({"image": np.ones((1, 12, 12, 1), np.float32)})
    with pytest.raises(InputError, match="input 'image' is missing"):
        session.run({"picture": IMAGES})


# --- TensorFlow, and all together ---------------------------------------------------------------------------------


MODES = ("function", "eager", "predict", "xla")


@pytest.fixture(scope="session")
def keras3(folder):
    """Keras 3 files and SavedModels in one fresh process, in every mode."""
    jobs = [{"path": "cnn.keras", "mode": m} for m in MODES] + [{"path": "cnn.h5"}]
    answers = runtime_parts.run(folder, "tensorflow", "keras", jobs, threads=2, feeds={"image": IMAGES})
    assert all("error" not in a for a in answers), answers
    return dict(zip([*MODES, "h5"], answers, strict=True))


@pytest.mark.slow
def test_all_runtimes_agree_on_the_same_weights(folder, keras3):
    saved = runtime_parts.run(folder, "tensorflow", "saved_model",
                              [{"path": "cnn_saved", "mode": m} for m in ("function", "xla")], feeds={"image": IMAGES})
    answers = {f"tensorflow {k}": a["outputs"] for k, a in keras3.items()}
    answers |= {f"saved {i}": a["outputs"] for i, a in enumerate(saved)}
    answers["litert"] = litert(folder / "cnn.tflite", {"image": IMAGES}).run({"image": IMAGES})
    answers["litert built-in"] = litert(folder / "cnn.tflite", {"image": IMAGES}, xnnpack=False).run({"image": IMAGES})
    for level in ("disabled", "all"):
        answers[f"onnxruntime {level}"] = ort(folder / "cnn.onnx", graph_level=level).run({"image": IMAGES})
    for name, outputs in answers.items():
        found = fidelity.evaluate(outputs, answers["tensorflow eager"])
        assert found.cosine_p5 > 0.999999 and found.sqnr_db > 90 and found.top1_agreement == 1.0, name
    other = fidelity.evaluate({"y": answers["litert"]["output_0"][::-1].copy()}, answers["tensorflow eager"])
    assert other.cosine_p5 < 0.999999  # the check above can fail


@pytest.mark.slow
def test_tensorflow_says_how_it_runs(keras3):
    for mode in MODES:
        told = keras3[mode]["describe"]
        assert (told["mode"], told["threads"], told["inter_threads"]) == (mode, 2, 2)
        assert told["model"].startswith("Keras 3") and told["devices"] == ["/device:CPU:0"] and told["version"]
    assert keras3["eager"]["inputs"] == [{"name": "image", "dtype": "float32", "shape": [None, 12, 12, 3]}]
    assert list(keras3["eager"]["outputs"]) == ["probs"]


@pytest.mark.slow
def test_tensorflow_takes_several_inputs_and_refuses_with_one_line(folder):
    feeds = {"image": IMAGES, "extra": np.ones((4, 4), np.float32), "x": np.ones(3, np.float32)}
    jobs = [{"path": "several.keras"}, {"path": "several.keras", "mode": "predict"}, {"path": "cnn.tflite"}]
    two = {k: feeds[k] for k in ("image", "extra")}
    graph, predict, other = runtime_parts.run(folder, "tensorflow", "keras", jobs, feeds=two)
    assert list(graph["outputs"]) == ["first", "joined"] and graph["outputs"]["joined"].shape == (4, 20)
    assert np.allclose(graph["outputs"]["first"], predict["outputs"]["first"], atol=1e-6)
    assert other["kind"] == "InputError" and "cnn.tflite" in other["error"]

    jobs = [{"path": "text_saved", "mode": m} for m in ("eager", "xla", "function")]
    eager, xla, works = runtime_parts.run(folder, "tensorflow", "saved_model", jobs, feeds={"x": feeds["x"]})
    assert "needs a Keras model" in eager["error"] and works["outputs"]["y"].tolist() == [1.0] * 3
    assert xla["kind"] == "InputError" and "mode 'xla'" in xla["error"] and len(xla["error"]) < 600


@pytest.mark.slow
def test_keras_2_models_run_and_code_in_them_does_not(folder):
    runtime_parts.call("make-legacy", folder)
    jobs = [{"path": "legacy.h5"}, {"path": "legacy.keras", "mode": "predict"}, {"path": "lambda.h5"}]
    h5, archive, hostile = runtime_parts.run(folder, "tensorflow", "keras2", jobs, feeds={"image": IMAGES})
    expected = np.load(folder / "legacy_expected.npy")
    for answer in (h5, archive):
        assert np.allclose(answer["outputs"]["probs"], expected, atol=1e-6)
        assert answer["describe"]["model"].startswith("Keras 2")
    assert hostile["kind"] == "InputError" and "Lambda" in hostile["error"]
    assert not (folder / "executed").exists()
