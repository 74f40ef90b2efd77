"""TensorFlow's graph passes: freezing, Grappler and XLA as steps that can be seen, and where they do not fit."""

import hashlib
import re

import pytest

from workbench import bundled, chain, datasets, variant
from workbench import recipe as recipes
from workbench.passes import _hlo
from workbench.views import choices, graph_pairs

PASSES = ("tf-freeze", "tf-grappler", "tf-xla")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Pass name -> the variant of the small CNN; names and bytes are checked on the way."""
    model = bundled.model("cnn")
    data, cache = datasets.load("fashion-mnist", model), variant.Cache(tmp_path_factory.mktemp("tf"))
    before = hashlib.sha256(model.path.read_bytes()).hexdigest()
    made = {name: variant.build(model, recipes.make(name, runtime="tensorflow"), data, cache=cache) for name in PASSES}
    assert hashlib.sha256(model.path.read_bytes()).hexdigest() == before
    return model, data, cache, made


@pytest.mark.parametrize("name", PASSES)
def test_names_shapes_and_answers_stay(name, built):
    source, made = built[0], built[3][name].model
    assert made.format == "saved_model"
    assert [(s.name, s.dtype, s.shape) for s in made.inputs] == [(s.name, s.dtype, s.shape) for s in source.inputs]
    assert [(s.name, s.shape) for s in made.outputs] == [(s.name, s.shape) for s in source.outputs]
    notes = built[3][name].stages[-1]["notes"]
    assert float(re.search(r"cosine to the outputs before ([\d.]+)", " ".join(notes))[1]) > 0.9999


def test_grappler_fuses_and_the_graph_shows_it(built):
    model, _, _, made = built
    details = made["tf-grappler"].stages[-1]["details"]
    assert details["after"] < 0.6 * details["before"]
    assert details["ops_after"]["_FusedConv2D"] == 2 and "_FusedConv2D" not in details["ops_before"]
    pair = graph_pairs.Pair("Grappler", made["tf-freeze"].stages[-1]["path"], made["tf-grappler"].stages[-1]["path"])
    shown = graph_pairs.payload(pair)
    before, after = (shown[side]["nodes"] for side in ("before", "after"))
    assert len(after) < 0.6 * len(before) and {n["op"] for n in after} >= {"_FusedConv2D", "_FusedMatMul"}


def test_freezing_leaves_no_variable(built):
    folder = built[3]["tf-freeze"].model.path
    assert sum(f.stat().st_size for f in (folder / "variables").iterdir()) < 1000
    assert (folder / "saved_model.pb").stat().st_size > 4 * built[0].parameters


def test_xla_compiles_and_tells_what_became_one_step(built):
    made = built[3]["tf-xla"]
    assert b"_XlaMustCompile" in (made.model.path / "saved_model.pb").read_bytes()
    stage = made.stages[-1]
    fused = [k for k in stage["details"]["kernels"] if len(k["sources"]) > 1]
    assert fused and any("Relu" in s for k in fused for s in k["sources"])
    assert any(n.startswith("fused: ") for n in stage["notes"])


def test_a_frozen_model_converts_like_the_original(built):
    model, data, cache, _ = built
    for step, runtime in (("onnx-convert", "onnxruntime"), ("tflite-convert", "litert")):
        made = variant.build(model, recipes.make("tf-freeze", step, runtime=runtime), data, cache=cache).model
        assert [s.name for s in (*made.inputs, *made.outputs)] == [s.name for s in (*model.inputs, *model.outputs)]


@pytest.mark.parametrize("steps,runtime,said", [
    (["tf-grappler"], "litert", r"Grappler \(tf-grappler\) is for TensorFlow alone: choose that runtime"),
    (["tf-xla"], "openvino", r"XLA \(tf-xla\) is for TensorFlow alone"),
    (["tf-xla", "tf-grappler"], "tensorflow", "cannot follow XLA: the model is then already compiled by XLA"),
    (["keras-qat", "tf-grappler"], "tensorflow", "cannot follow QAT: the model is then trained for INT8"),
    (["onnx-convert", "tf-freeze"], "onnxruntime", "works on Keras or Keras 2 or SavedModel, which ONNX cannot become"),
])
def test_what_does_not_fit_is_refused_before_anything_runs(steps, runtime, said):
    assert re.search(said, chain.problem(bundled.model("mlp"), recipes.make(*steps, runtime=runtime)))


def test_the_picker_moves_to_tensorflow_for_what_is_tensorflows_alone():
    moved, line = choices.change(choices.Selection(runtime="litert"), "graph", "tf-xla")
    assert moved.runtime == "tensorflow" and "Runtime moved to TensorFlow: XLA" in line
    back, line = choices.change(moved, "runtime", "onnxruntime")
    assert "tf-xla" not in back.checks and "XLA is off" in line
    kept, _ = choices.change(choices.Selection(runtime="litert"), "graph", "tf-freeze")
    assert kept.runtime == "litert"


def test_the_steps_of_a_program_and_what_they_were_made_of():
    text = """HloModule m, entry_computation_layout={(f32[2]{0})->f32[2]{0}}

%fused (p: f32[2]) -> f32[2] {
  %p = f32[2]{0} parameter(0)
  %a = f32[2]{0} add(%p, %p), metadata={op_type="BiasAdd" op_name="net/conv_1/BiasAdd"}
  ROOT %m = f32[2]{0} maximum(%a, %p), metadata={op_type="Relu" op_name="net/conv_1/Relu"}
}

ENTRY %main.5 (arg: f32[2]) -> (f32[2]) {
  %arg = f32[2]{0} parameter(0)
  %f = f32[2]{0} fusion(%arg), kind=kLoop, calls=%fused, metadata={op_type="Relu" op_name="net/conv_1/Relu"}
  %c = f32[2]{0} custom-call(%f), metadata={op_type="MatMul" op_name="net/dense/MatMul"}
  ROOT %t = (f32[2]{0}) tuple(%c)
}
"""
    assert _hlo.kernels(text) == [_hlo.Kernel("f", "fusion", ("conv_1/Relu", "conv_1/BiasAdd")),
                                  _hlo.Kernel("c", "custom-call", ("dense/MatMul",))]
