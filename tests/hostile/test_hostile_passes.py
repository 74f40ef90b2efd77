"""Damaged files, hostile recipes and a broken cache: one clear line each, nothing executed, nothing left running."""

import json
import os
import shutil

import numpy as np
import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

from workbench import datasets, recipe, variant
from workbench import model as models
from workbench.cache import Cache
from workbench.errors import InputError, NotApplicable, WorkbenchError
from workbench.passes import wire

from .. import pass_parts as parts

ONNX_PASSES = ("onnx-graph-level", "onnx-float16", "onnx-int8-dynamic", "onnx-int8-static")


def refuse(text: str, *words: str) -> None:
    with pytest.raises(InputError) as caught:
        recipe.from_yaml(text)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 700 and all(w in message for w in words), message


# --- recipes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", [
    "version: *z", "threads: *z", "device: *z", "runtime: *z", "passes: [{name: onnx-convert, opset: *z}]",
    "passes: [{name: onnx-int8-static, exclude_nodes: *z}]"])
def test_an_alias_bomb_gives_a_short_error(where):
    bomb = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for previous, name in zip("abcdefghijkl", "bcdefghijklz", strict=True):
        bomb.append(f"{name}: &{name} [{', '.join(['*' + previous] * 9)}]")
    refuse("x:\n  " + "\n  ".join(bomb) + f"\n{where}\n")  # refused at the key that holds the bomb
    keyless = f"- &a [x, x]\n- &z [{', '.join(['*a'] * 9)}]\n"
    refuse(keyless, "mapping")


def test_a_bomb_as_a_value_gives_a_short_error():
    value = ["x"] * 9
    for _ in range(12):
        value = [value] * 9
    for d in ({"version": value}, {"threads": value}, {"device": value}, {"batch": value},
              {"passes": [{"name": "onnx-convert", "opset": value}]}, {"passes": [{"name": "onnx-int8-static",
                                                                                 "exclude_nodes": value}]}):
        with pytest.raises(InputError) as caught:
            recipe.from_dict(d)
        assert len(str(caught.value)) < 700


@pytest.mark.parametrize("text", [
    "!!python/object/apply:os.system ['touch /tmp/owned']",
    "version: !!python/object/apply:os.system ['touch /tmp/owned']",
    "passes: [!!python/name:os.system ]",
])
def test_yaml_tags_execute_nothing(text):
    refuse(text, "not valid YAML")


@pytest.mark.parametrize("text", [
    "[" * 5000, "{" * 5000, "a: " * 300, "version: 99999-99-99", "\x00", "? [a, b]\n: c", "&a [*a]", "version: &a [*a]",
    "passes: [[[]]]", "passes: [null]", "passes: [{name: null}]", "passes: [{name: [onnx-convert]}]",
    "passes: [{name: onnx-convert, 1: 2}]", "passes: [{name: onnx-convert, opset: .nan}]",
    "passes: [{name: onnx-int8-static, percentile: .inf}]", "passes: [{name: onnx-int8-static, percentile: .nan}]",
    "passes: [{name: onnx-int8-static, exclude_nodes: [{a: b}]}]", "runtime: 7", "runtime: [a]",
    "threads: 1e309", "threads: 99999999999999999999", "batch: 4097", "passes: [{name: ../../etc/passwd}]",
    "passes: [{name: base}]", "passes: [{name: onnx_convert}]", "runtime: _onnxruntime"])
def test_odd_recipes_are_refused_in_one_line(text):
    refuse(text)


# --- models ------------------------------------------------------------------------------------------------------


def test_a_file_that_is_damaged_after_it_was_opened_is_a_reason(tmp_path):
    path = parts.conv_net(tmp_path / "m.onnx")
    model = models.load(path)
    path.write_bytes(path.read_bytes()[:200])
    for name in ONNX_PASSES:
        with pytest.raises(WorkbenchError) as caught:
            variant.build(model, recipe.make(name), datasets.random(model, 4), cache=Cache(tmp_path / "c"))
        assert "\n" not in str(caught.value) and "m.onnx" in str(caught.value)
    path.unlink()
    with pytest.raises(WorkbenchError, match="m.onnx"):
        variant.build(model, recipe.make("onnx-float16"), None, cache=Cache(tmp_path / "c"))


def odd_models(folder):
    """Files that load as models and are awkward to rewrite."""
    x, y = parts.value("x", 1, 4), parts.value("y", 1, 4)
    w = parts.weight("w", 4, 4)
    matmul = h.make_node("MatMul", ["x", "w"], ["y"], "m")
    yield "weights of NaN", parts.save(folder / "nan.onnx", [matmul], [x], [y],
                                       [nh.from_array(np.full((4, 4), np.nan, np.float32), "w")])
    yield "weights of infinity", parts.save(folder / "inf.onnx", [matmul], [x], [y],
                                            [nh.from_array(np.full((4, 4), np.inf, np.float32), "w")])
    yield "weights of zero", parts.save(folder / "zero.onnx", [matmul], [x], [y],
                                        [nh.from_array(np.zeros((4, 4), np.float32), "w")])
    yield "an output that is an input", parts.save(folder / "through.onnx", [matmul], [x],
                                                   [y, parts.value("x", 1, 4)], [w])
    yield "an output that is a weight", parts.save(folder / "const.onnx", [matmul], [x],
                                                   [y, parts.value("w", 4, 4)], [w])
    yield "a dead branch", parts.save(folder / "dead.onnx", [matmul, h.make_node("Exp", ["x"], ["unused"], "e")], [x],
                                      [y], [w])
    yield "an unused input", parts.save(folder / "unused.onnx", [matmul], [x, parts.value("other", 1)], [y], [w])
    yield "names with odd letters", parts.save(
        folder / "names.onnx", [h.make_node("MatMul", ["x/ö:0", "w"], ["y\u200b;'\"\\"], "m\n'")],
        [parts.value("x/ö:0", 1, 4)], [parts.value("y\u200b;'\"\\", 1, 4)], [w])
    yield "an empty batch", parts.save(folder / "empty.onnx", [matmul], [parts.value("x", 0, 4)],
                                       [parts.value("y", 0, 4)], [w])
    yield "text", parts.save(folder / "text.onnx", [h.make_node("Identity", ["x"], ["y"], "i")],
                             [parts.value("x", 1, kind=T.STRING)], [parts.value("y", 1, kind=T.STRING)])
    yield "no nodes", parts.save(folder / "none.onnx", [], [x], [parts.value("x", 1, 4)])
    yield "float64", parts.save(folder / "double.onnx", [matmul], [parts.value("x", 1, 4, kind=T.DOUBLE)],
                                [parts.value("y", 1, 4, kind=T.DOUBLE)],
                                [nh.from_array(np.eye(4), "w")])


@pytest.mark.parametrize("name", ONNX_PASSES)
def test_awkward_models_end_in_a_model_that_runs_or_in_a_reason(name, tmp_path):
    outcomes = {}
    for label, path in odd_models(tmp_path):
        try:
            source = models.load(path)
        except InputError:
            continue  # the reader refuses it already
        try:
            data = datasets.random(source, 4)
            built = variant.build(source, recipe.make(name), data, cache=Cache(tmp_path / "cache"))
        except (NotApplicable, InputError) as error:
            assert "\n" not in str(error) and len(str(error)) < 600
            outcomes[label] = "reason"
            continue
        assert [s.name for s in built.model.inputs] == [s.name for s in source.inputs], label
        assert [s.name for s in built.model.outputs] == [s.name for s in source.outputs], label
        if label != "an empty batch":
            parts.run(built.model.path, data.evaluation.feeds(1, 1)[0])
        outcomes[label] = "model"
    assert outcomes["a dead branch"] == "model" and len(outcomes) > 6, outcomes


def test_external_weights_are_read_and_a_missing_one_is_named(tmp_path):
    path = parts.conv_net(tmp_path / "m.onnx")
    onnx.save(onnx.load(path), tmp_path / "ext.onnx", save_as_external_data=True, location="ext.onnx.data",
              size_threshold=0)
    model = models.load(tmp_path / "ext.onnx")
    data = datasets.random(model, 4)
    for name in ONNX_PASSES:
        built = variant.build(model, recipe.make(name), data, cache=Cache(tmp_path / "c"))
        moved = tmp_path / f"alone-{name}.onnx"
        shutil.copy(built.model.path, moved)
        parts.run(moved, data.evaluation.feeds(1, 1)[0])  # the artefact needs no file beside it
    (tmp_path / "ext.onnx.data").unlink()
    with pytest.raises(WorkbenchError, match="ext.onnx"):
        variant.build(model, recipe.make(("onnx-float16", {"keep_io": False})), None, cache=Cache(tmp_path / "c"))


# --- the cache ---------------------------------------------------------------------------------------------------


def test_a_damaged_entry_is_made_again_or_named(tmp_path):
    model = models.load(parts.conv_net(tmp_path / "m.onnx"))
    cache = Cache(tmp_path / "c")
    variant.build(model, recipe.make("onnx-float16"), None, cache=cache)
    meta = next((cache.root / "artefacts").glob("*/meta.json"))
    meta.write_text("{not json")
    again = variant.build(model, recipe.make("onnx-float16"), None, cache=cache)
    assert again.model.path.exists() and json.loads(meta.read_text())["file"] == "model.onnx"
    again.model.path.unlink()
    assert variant.build(model, recipe.make("onnx-float16"), None, cache=cache).model.path.exists()


def test_a_cache_entry_cannot_point_elsewhere(tmp_path):
    model = models.load(parts.conv_net(tmp_path / "m.onnx"))
    cache = Cache(tmp_path / "c")
    variant.build(model, recipe.make("onnx-float16"), None, cache=cache)
    meta = next((cache.root / "artefacts").glob("*/meta.json"))
    stored = json.loads(meta.read_text())
    meta.write_text(json.dumps({**stored, "file": "../../../m.onnx"}))
    built = variant.build(model, recipe.make("onnx-float16"), None, cache=cache)
    assert built.model.path.resolve().is_relative_to(cache.root.resolve()) and built.model.sha256 != model.sha256


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_that_cannot_be_written_says_so(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="WORKBENCH_CACHE"):
        Cache(tmp_path / "c")


def test_a_cache_path_that_is_a_file_says_so(tmp_path):
    (tmp_path / "c").write_text("")
    with pytest.raises(InputError, match="WORKBENCH_CACHE"):
        Cache(tmp_path / "c")


def test_calibration_files_hold_no_objects(tmp_path):
    feeds = ({"x": np.array([print], dtype=object)},)
    with pytest.raises(InputError):
        wire.write_feeds(tmp_path / "f.npz", feeds, None)
    np.savez(tmp_path / "evil.npz", names=np.array(["x"]), count=np.array(1), a0=np.array([print], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        wire.read_feeds(tmp_path / "evil.npz")
