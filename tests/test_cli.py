"""The shell as its users meet it: real processes, real models, one JSON document or one error line."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

INT8 = """
version: 1
passes:
  - name: onnx-int8-static
runtime:
  name: onnxruntime
threads: 1
"""


def shell(*args, expect: int = 0, cwd=None) -> subprocess.CompletedProcess:
    done = subprocess.run([sys.executable, "-m", "workbench", *map(str, args)], capture_output=True, text=True, cwd=cwd,
                          env={**os.environ, "WORKBENCH_QUICK": "1"}, timeout=300)
    assert done.returncode == expect, done.stderr[-2000:]
    return done


def answer(*args) -> dict:
    """The one JSON document on stdout."""
    return json.loads(shell(*args, "--json").stdout)


def complaint(*args) -> str:
    """The single error line of bad input."""
    done = shell(*args, expect=2)
    lines = done.stderr.strip().splitlines()
    assert lines[-1].startswith("error: ") and not done.stdout
    assert "Traceback" not in done.stderr and sum(x.startswith("error: ") for x in lines) == 1
    return lines[-1]


def check_inspect(found: dict) -> None:
    assert found["inputs"] and found["outputs"] and found["size_bytes"] > 0 and found["nodes"] > 0
    for spec in found["inputs"] + found["outputs"]:
        assert set(spec) >= {"name", "dtype", "shape"}
        assert isinstance(spec["shape"], list)


def test_inspect_real_ocr_models(ocr_models):
    for path in ocr_models:
        found = answer("inspect", path)
        check_inspect(found)
        assert found["format"] == "onnx" and found["parameters"] > 100_000


def test_inspect_light_topologies(light_models):
    for path in light_models:
        check_inspect(answer("inspect", path))


def test_inspect_bundled_model():
    found = answer("inspect", "cnn")
    assert found["format"] == "keras" and found["inputs"][0]["shape"][1:] == [28, 28, 1]


def check_measure(found: dict) -> None:
    low, high = found["interval_s"]
    assert 0 < low <= found["median_s"] <= high and found["samples"] >= 3
    assert found["environment"]["cpu_model"]


def test_measure_real_ocr_model(ocr_models):
    open_width = next(p for p in ocr_models if p.name == "common_old.onnx")
    assert "image_width" in complaint("measure", open_width)
    found = answer("measure", open_width, "--fix", "input1=1,1,64,160")
    check_measure(found)
    assert found["inputs"] == "random"
    assert found["fidelity"] == pytest.approx(1.0)


def test_measure_light_topology(light_models):
    check_measure(answer("measure", next(p for p in light_models if "squeezenet" in p.name)))


def test_measure_with_recipe_and_data(tmp_path, ocr_models):
    recipe = tmp_path / "r.yaml"
    recipe.write_text(INT8)
    found = answer("measure", "mlp", "--recipe", recipe)
    check_measure(found)
    assert found["ratio"] > 0 and found["verdict"] in ("faster", "slower", "undecided")
    assert found["fidelity"] > 0.7 and found["fidelity_detail"]["metric_name"] == "accuracy"
    assert [s["name"] for s in found["stages"]] == ["onnx-convert", "onnx-int8-static"]


def test_measure_own_npz(tmp_path, light_models):
    path = next(p for p in light_models if "squeezenet" in p.name)
    spec = answer("inspect", path)["inputs"][0]
    data = np.random.default_rng(0).normal(size=(40, *spec["shape"][1:])).astype("float32")
    np.savez(tmp_path / "d.npz", **{spec["name"]: data})
    found = answer("measure", path, "--data", tmp_path / "d.npz")
    check_measure(found)
    assert found["inputs"] != "random"


def test_compare_a_model_with_a_slower_one(light_models):
    quick = next(p for p in light_models if "squeezenet" in p.name)
    slow = next(p for p in light_models if "densenet" in p.name)
    found = answer("compare", quick, slow)
    low, high = found["interval"]
    assert low <= found["ratio"] <= high and found["ratio"] > 1
    assert found["verdict"] == ("slower" if low > 1.02 else "undecided")  # a busy machine makes the interval wide
    assert answer("compare", slow, quick)["ratio"] < 1


def test_apply_writes_a_model_that_runs(tmp_path):
    recipe = tmp_path / "r.yaml"
    recipe.write_text(INT8)
    out = tmp_path / "small.onnx"
    found = answer("apply", "mlp", "--recipe", recipe, "-o", out)
    assert out.exists() and found["format"] == "onnx"
    assert "QuantizeLinear" in out.read_bytes().decode("latin1")
    check_measure(answer("measure", out))


def test_apply_refuses_to_overwrite_its_input(tmp_path, light_models):
    recipe = tmp_path / "r.yaml"
    recipe.write_text("version: 1\npasses: [{name: onnx-graph-level}]\n")
    before = light_models[0].read_bytes()
    assert "is the input model" in complaint("apply", light_models[0], "--recipe", recipe, "-o", light_models[0])
    assert light_models[0].read_bytes() == before


def test_doctor_names_every_runtime_and_the_machine():
    found = answer("doctor")
    assert {r["name"] for r in found["runtimes"]} >= {"onnxruntime", "litert", "tensorflow"}
    assert found["machine"] and all(m["present"] for m in found["models"])
    onnx = next(r for r in found["runtimes"] if r["name"] == "onnxruntime")
    assert onnx["devices"]["cpu"] is None


@pytest.mark.parametrize("args,said", [
    (("inspect", "nothing.onnx"), "no such model"),
    (("inspect",), "required"),
    (("fly",), "invalid choice"),
    (("measure", "cnn", "--recipe", "nothing.yaml"), "cannot read recipe"),
    (("measure", "cnn", "--data", "nothing.npz"), "nothing.npz"),
    (("measure", "cnn", "--seconds", "-1"), "allowed: 0.1"),
    (("inspect", "cnn", "--fix", "x"), "not INPUT="),
])
def test_bad_input_is_one_line(args, said):
    assert said in complaint(*args)


@pytest.mark.parametrize("text,said", [
    ("passes: [{name: fly}]", "unknown pass 'fly'"),
    ("passes: [{name: onnx-int8-static, percentile: 300}]", "allowed"),
    ("version: 7", "version 7"),
    ("runtime: {name: abacus}", "unknown runtime 'abacus'"),
    ("threads: -1", "'threads' is -1"),
    ("passes: {a: 1", "not valid YAML"),
    ("!!python/object/apply:os.system ['touch /tmp/owned']", "not valid YAML"),
    ("passes: 5", "must be a list"),
])
def test_bad_recipe_is_one_line(tmp_path, text, said):
    recipe = tmp_path / "r.yaml"
    recipe.write_text(text)
    assert said in complaint("measure", "cnn", "--recipe", recipe)
