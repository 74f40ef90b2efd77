"""Damaged, absurd and malicious artefacts: one clear line, nothing run, no hang, no crash of the process."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper as h

from workbench import fidelity
from workbench.errors import InputError, WorkbenchError
from workbench.model import ModelFormat as F
from workbench.runtimes import _common, _onnxruntime, registry
from workbench.runtimes.base import SessionRequest

NOISE = ("/onnxruntime_src", "ONNXRuntimeError", "std::", "Traceback", "\n", "\x1b")


def refusal(path, format=F.ONNX, runtime="onnxruntime", feeds=None):
    """The message of a refused artefact; fails when it is accepted or the message is no clear line."""
    adapter = registry.adapter(runtime)
    with pytest.raises(WorkbenchError) as caught:
        session = adapter.open_session(SessionRequest(Path(path), format, adapter.Settings(), 1, "cpu", {}))
        session.run(feeds or {s.name: np.zeros([d if isinstance(d, int) else 1 for d in s.shape], s.dtype)
                              for s in session.inputs})
    message = str(caught.value)
    assert len(message) < 700 and not [n for n in NOISE if n in message], message
    return message


def model(nodes, *, opset=17, ir=9, initializers=(), domains=(), shape=("N", 4)):
    graph = h.make_graph(nodes, "g", [h.make_tensor_value_info("x", T.FLOAT, shape)],
                         [h.make_tensor_value_info("y", T.FLOAT, None)], list(initializers))
    opsets = [h.make_opsetid("", opset), *(h.make_opsetid(d, 1) for d in domains)]
    return h.make_model(graph, opset_imports=opsets, ir_version=ir)


def saved(tmp_path, proto):
    path = tmp_path / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


# --- ONNX ---------------------------------------------------------------------------------------------------------


RANDOM = np.random.default_rng(0).bytes(4096)


@pytest.mark.parametrize("content", [b"", b"\x00" * 64, b"PK\x03\x04 not a zip", RANDOM, b"{}", b"\xff" * 100])
def test_what_is_no_onnx(tmp_path, content):
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    assert "m.onnx" in refusal(path)


def test_an_onnx_file_cut_short(tmp_path, light_models):
    whole = light_models[0].read_bytes()
    for share in (0.1, 0.5, 0.99):
        path = tmp_path / "cut.onnx"
        path.write_bytes(whole[:int(len(whole) * share)])
        refusal(path)


def test_a_missing_file_and_a_folder(tmp_path):
    assert "none.onnx" in refusal(tmp_path / "none.onnx")
    refusal(tmp_path)


def test_a_custom_operator_names_it_and_the_next_step(tmp_path):
    message = refusal(saved(tmp_path, model([h.make_node("Magic", ["x"], ["y"], domain="my.ops")], domains=["my.ops"])))
    assert "my.ops:Magic" in message and "custom operators" in message


def test_an_unknown_operator_of_the_standard_domain(tmp_path):
    assert "Magic" in refusal(saved(tmp_path, model([h.make_node("Magic", ["x"], ["y"])])))


@pytest.mark.parametrize("versions", [{"opset": 99}, {"ir": 99}])
def test_a_version_from_the_future(tmp_path, versions):
    message = refusal(saved(tmp_path, model([h.make_node("Relu", ["x"], ["y"])], **versions)))
    assert "99" in message and "older opset or a newer onnxruntime" in message


def test_a_graph_with_a_cycle(tmp_path):
    nodes = [h.make_node("Add", ["x", "b"], ["a"]), h.make_node("Relu", ["a"], ["b"]),
             h.make_node("Relu", ["b"], ["y"])]
    refusal(saved(tmp_path, model(nodes)))


def test_an_input_that_nobody_makes(tmp_path):
    assert "nowhere" in refusal(saved(tmp_path, model([h.make_node("Add", ["x", "nowhere"], ["y"])])))


@pytest.mark.parametrize("location", ["../../../etc/passwd", "/etc/passwd", "absent.bin"])
def test_external_data_stays_in_the_models_folder(tmp_path, location):
    tensor = T(name="w", data_type=T.FLOAT, dims=[4, 4], data_location=T.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    proto = model([h.make_node("MatMul", ["x", "w"], ["y"])], initializers=[tensor])
    refusal(saved(tmp_path, proto))


def test_external_data_shorter_than_the_tensor(tmp_path):
    (tmp_path / "w.bin").write_bytes(b"\0" * 8)
    tensor = T(name="w", data_type=T.FLOAT, dims=[4, 4], data_location=T.EXTERNAL)
    tensor.external_data.add(key="location", value="w.bin")
    refusal(saved(tmp_path, model([h.make_node("MatMul", ["x", "w"], ["y"])], initializers=[tensor])))


def test_a_tensor_that_claims_an_absurd_size(tmp_path):
    tensor = T(name="w", data_type=T.FLOAT, dims=[2**40, 2**20], raw_data=b"\0" * 16)
    refusal(saved(tmp_path, model([h.make_node("MatMul", ["x", "w"], ["y"])], initializers=[tensor])))


def test_a_run_that_would_need_all_memory_in_the_world(tmp_path):
    shape = onnx.numpy_helper.from_array(np.array([2**40, 4], np.int64), "s")
    refusal(saved(tmp_path, model([h.make_node("Expand", ["x", "s"], ["y"])], initializers=[shape], shape=(1, 4))))


def test_odd_names_are_no_obstacle(tmp_path):
    odd = "a/b:0 'c' \"d\" ü 模型"
    graph = h.make_graph([h.make_node("Relu", [odd], ["out/" + odd])], "g",
                         [h.make_tensor_value_info(odd, T.FLOAT, [2])],
                         [h.make_tensor_value_info("out/" + odd, T.FLOAT, [2])])
    path = tmp_path / "mödel 'x'.onnx"
    path.write_bytes(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=9).SerializeToString())
    session = _onnxruntime.open_session(SessionRequest(path, F.ONNX, _onnxruntime.Settings(), 1, "cpu", {}))
    assert session.run({odd: np.array([-1, 2], np.float32)})["out/" + odd].tolist() == [0, 2]


@pytest.mark.parametrize("feeds, part", [
    ({}, "x"), ({"z": np.ones((1, 4), np.float32)}, "x"), ({"x": np.ones((1, 5), np.float32)}, "x"),
    ({"x": np.ones((1, 4))}, "double"), ({"x": np.ones(4, np.float32)}, "rank"),
    ({"x": np.array(["a"], dtype=object)}, "input"),
])
def test_feeds_that_do_not_fit(tmp_path, feeds, part):
    path = saved(tmp_path, model([h.make_node("Relu", ["x"], ["y"])]))
    session = _onnxruntime.open_session(SessionRequest(path, F.ONNX, _onnxruntime.Settings(), 1, "cpu", {}))
    with pytest.raises(InputError) as caught:
        session.run(feeds)
    assert part in str(caught.value).lower() and not [n for n in NOISE if n in str(caught.value)]


def test_nan_in_the_data_passes_through_and_is_caught_by_fidelity(tmp_path):
    path = saved(tmp_path, model([h.make_node("Neg", ["x"], ["y"])]))
    session = _onnxruntime.open_session(SessionRequest(path, F.ONNX, _onnxruntime.Settings(), 1, "cpu", {}))
    outputs = session.run({"x": np.array([[1, np.nan, 3, 4]], np.float32)})
    found = fidelity.evaluate(outputs, outputs)
    assert found.metric == 0.0 and found.notes


# --- TFLite: in a process of its own, as in real life, since native code reads the file ------------------------------

TRY = """
import json, sys
from pathlib import Path
from workbench.errors import WorkbenchError
from workbench.model import ModelFormat
from workbench.runtimes import _litert
from workbench.runtimes.base import SessionRequest
found = []
for path in sys.argv[1:]:
    try:
        _litert.open_session(SessionRequest(Path(path), ModelFormat.TFLITE, _litert.Settings(), 1, "cpu", {}))
        found.append("")
    except WorkbenchError as error:
        found.append(str(error))
print(json.dumps(found))
"""


def test_damaged_tflite_files(tmp_path):
    contents = {"empty": b"", "random": RANDOM[:500], "head": b"\x1c\0\0\0TFL3",
                "head2": b"\x1c\0\0\0TFL3" + b"\0" * 200,
                "text": b"hello world, this is no model", "offset": b"\xff\xff\xff\x7fTFL3" + b"\0" * 64}
    for name, content in contents.items():
        (tmp_path / f"{name}.tflite").write_bytes(content)
    paths = [tmp_path / f"{name}.tflite" for name in (*contents, "absent")]
    done = subprocess.run([sys.executable, "-c", TRY, *map(str, paths)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    for path, message in zip(paths, json.loads(done.stdout.splitlines()[-1]), strict=True):
        assert path.name in message and "\n" not in message and len(message) < 500


# --- Keras: what is refused must be refused before TensorFlow reads it ------------------------------------------------


@pytest.mark.slow
def test_keras_archives_that_name_code_are_refused(tmp_path):
    """Runs in one process with TensorFlow; the trace file proves that nothing was executed."""
    trace = tmp_path / "executed"
    layer = {"module": "keras.layers", "class_name": "InputLayer", "registered_name": None,
             "config": {"batch_shape": [None, 4], "dtype": "float32", "name": "x"}, "name": "x", "inbound_nodes": []}
    evil = {"module": "os", "class_name": "function", "config": "system", "registered_name": "function"}
    lam = {"module": "keras.layers", "class_name": "Lambda", "registered_name": None, "name": "l", "inbound_nodes": [],
           "config": {"name": "l", "function": {"class_name": "__lambda__", "config": {"code": "eA=="}}}}
    call = {"module": "keras.layers", "class_name": "Activation", "registered_name": None, "name": "a",
            "inbound_nodes": [], "config": {"name": "a", "activation": evil, "arguments": f"touch {trace}"}}
    custom = {"module": "antigravity", "class_name": "Fly", "registered_name": "my>Fly", "config": {}, "name": "c",
              "inbound_nodes": []}
    for name, extra in {"lambda": lam, "system": call, "custom": custom}.items():
        config = {"module": "keras", "class_name": "Functional", "registered_name": None,
                  "config": {"name": "m", "layers": [layer, extra], "input_layers": [["x", 0, 0]],
                             "output_layers": [["x", 0, 0]]}}
        with zipfile.ZipFile(tmp_path / f"{name}.keras", "w") as archive:
            archive.writestr("config.json", json.dumps(config))
            archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.1"}))
    (tmp_path / "deep.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + RANDOM[:200])
    script = TRY.replace("_litert", "_tensorflow").replace("TFLITE", "KERAS")
    names = ("lambda.keras", "system.keras", "custom.keras", "deep.h5", "absent.keras")
    done = subprocess.run([sys.executable, "-c", script, *[str(tmp_path / n) for n in names]], capture_output=True,
                          text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-2000:]
    messages = json.loads(done.stdout.splitlines()[-1])
    for name, message in zip(names, messages, strict=True):
        assert name in message and "\n" not in message, (name, message)
    assert "Lambda" in messages[0] and not trace.exists()


# --- messages -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw, clean", [
    ("[ONNXRuntimeError] : 1 : FAIL : /onnxruntime_src/core/graph/model_load_utils.h:46 void onnxruntime::a::Check("
     "const std::unordered_map<std::string, int>&, bool, int) Opset 99 is too new\n", "Opset 99 is too new"),
    ("[ONNXRuntimeError] : 1 : FAIL : Load model from /a b/m.onnx failed:/src/graph.cc:1 onnxruntime::Model::Model("
     "onnx::ModelProto&&) Unsupported model IR version: 99", "Unsupported model IR version: 99"),
    (r"C:\src\graph.cc:12 onnxruntime::f(int) what() [with T = int] a (b) c", "what() [with T = int] a (b) c"),
    ("\x1b[1mInput 0\x1b[0m\n is  wrong", "Input 0 is wrong"),
    ("", "no reason given"),
])
def test_one_line_keeps_the_cause_and_drops_the_noise(raw, clean):
    assert _common.one_line(raw) == clean


def test_one_line_is_bounded_and_names_a_silent_error():
    assert len(_common.one_line("x" * 10_000)) < 500 and _common.one_line(KeyboardInterrupt()) == "KeyboardInterrupt"
