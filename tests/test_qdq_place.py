"""Where pairs of QuantizeLinear and DequantizeLinear stand, and that each runtime fuses what it is to fuse."""

from collections import Counter

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper as h
from onnx import numpy_helper as nh

from workbench import bundled, datasets, variant
from workbench import model as models
from workbench import recipe as recipes
from workbench.chain import complete
from workbench.views import choices

from . import pass_parts as parts

PASSES = ("onnx-int8-static", "onnx-int8-mixed")


@pytest.fixture(scope="module")
def silu(tmp_path_factory):
    """Two convolutions, each with x * sigmoid(x) behind it, and a Gemm that makes the output: a small detector."""
    nodes, last = [], "image"
    for i in (1, 2):
        nodes += [h.make_node("Conv", [last, f"w{i}", f"b{i}"], [f"c{i}"], f"conv{i}", pads=[1, 1, 1, 1]),
                  h.make_node("Sigmoid", [f"c{i}"], [f"s{i}"], f"gate{i}"),
                  h.make_node("Mul", [f"c{i}", f"s{i}"], [f"m{i}"], f"silu{i}")]
        last = f"m{i}"
    nodes += [h.make_node("GlobalAveragePool", [last], ["pool"], "pool"),
              h.make_node("Flatten", ["pool"], ["flat"], "flat"),
              h.make_node("Gemm", ["flat", "w3", "b3"], ["scores"], "dense")]
    weights = [parts.weight("w1", 8, 3, 3, 3), parts.weight("b1", 8), parts.weight("w2", 8, 8, 3, 3),
               parts.weight("b2", 8), parts.weight("w3", 8, 4, scale=1.0), parts.weight("b3", 4)]
    return parts.save(tmp_path_factory.mktemp("silu") / "silu.onnx", nodes, [parts.value("image", "batch", 3, 12, 12)],
                      [parts.value("scores", "batch", 4)], weights)


@pytest.fixture(scope="module")
def places(silu, tmp_path_factory):
    """(pass, setting) -> path of what it makes."""
    folder = tmp_path_factory.mktemp("made")
    return {(name, after): parts.apply(name, silu, folder / f"{name}-{after}", count=24, qdq_after=after)[1].path
            for name in PASSES for after in ("conv", "activation")}


def quantized(path):
    """How many tensors are quantized, by the operator that makes them."""
    graph = onnx.load(path).graph
    makers = {o: n.op_type for n in graph.node for o in n.output}
    return Counter(makers.get(n.input[0], "input") for n in graph.node if n.op_type == "QuantizeLinear")


@pytest.mark.parametrize("name", PASSES)
def test_pairs_stand_behind_the_convolution_or_behind_its_activation_alone(places, name):
    assert quantized(places[name, "conv"])["Conv"] == 2
    behind = quantized(places[name, "activation"])
    assert behind["Conv"] == 0 and behind["Mul"] >= 1 and behind["input"] == 1


@pytest.mark.parametrize("name", PASSES)
def test_a_result_that_no_integer_node_reads_is_not_rounded_and_an_output_keeps_its_name(places, silu, name):
    feeds = parts.context(models.load(silu), silu.parent / "fresh", 40).calibration
    for after in ("conv", "activation"):
        path = places[name, after]
        assert quantized(path)["Gemm"] == 0
        assert [o.name for o in onnx.load(path).graph.output] == ["scores"]
        scores = np.concatenate([parts.run(path, f)[0].ravel() for f in feeds])
        steps = np.diff(np.unique(scores))  # of a rounded output all are multiples of one scale
        assert np.abs(steps / steps.min() - np.round(steps / steps.min())).max() > 0.05


@pytest.mark.parametrize("name", PASSES)
def test_rounding_once_is_closer_to_float(places, silu, name):
    feeds = parts.context(models.load(silu), silu.parent / "fresh", 40).calibration[24:]

    def loss(path):
        return float(np.mean([np.abs(parts.run(path, f)[0] - parts.run(silu, f)[0]).mean() for f in feeds]))

    assert loss(places[name, "activation"]) < loss(places[name, "conv"])


def test_onnxruntime_has_integer_kernels_for_what_it_gets(places, tmp_path):
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    ort.InferenceSession(str(places[PASSES[0], "conv"]), options, providers=["CPUExecutionProvider"])
    ops = Counter(n.op_type for n in onnx.load(tmp_path / "optimized.onnx").graph.node)
    assert ops["QLinearConv"] == 2 and ops["QGemm"] == 1 and ops["Conv"] == ops["Gemm"] == 0


@pytest.mark.parametrize("after, fused", [("conv", False), ("activation", True)])
def test_openvino_fuses_the_activation_into_the_convolution(places, after, fused):
    import openvino

    model = openvino.Core().read_model(str(places[PASSES[0], after]))
    model.reshape([1, 3, 12, 12])
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    inside = [set(info["originalLayersNames"].astype(str).split(",")) for info in
              (n.get_rt_info() for n in compiled.get_runtime_model().get_ops())
              if info["layerType"].astype(str) == "Convolution"]
    assert len(inside) == 2 and all(("silu1" in names or "silu2" in names) == fused for names in inside)


def test_auto_follows_the_runtime_and_a_choice_stays():
    model = bundled.model("cnn")

    def after(runtime, **settings):
        recipe = complete(model, recipes.make(("onnx-int8-static", settings), runtime=runtime))
        return recipe.steps[-1].settings.qdq_after

    assert after("onnxruntime") == "conv" and after("openvino") == "activation"
    assert after("openvino", qdq_after="conv") == "conv"


def test_a_restored_recipe_moves_with_the_runtime_unless_it_was_chosen():
    def restored(**settings):
        recipe = complete(bundled.model("cnn"), recipes.make(("onnx-int8-static", settings), runtime="openvino"))
        selection, _ = choices.change(choices.from_recipe(recipe), "runtime", "onnxruntime")
        return complete(bundled.model("cnn"), choices.to_recipe(selection)).steps[-1].settings

    assert restored().qdq_after == "conv"
    chosen = restored(qdq_after="conv", per_channel=False)
    assert chosen.qdq_after == "conv" and not chosen.per_channel


def test_each_runtime_gets_an_artefact_of_its_own(silu, tmp_path):
    model, cache = models.load(silu), variant.Cache(tmp_path)
    data = datasets.random(model)
    made = [variant.build(model, recipes.make("onnx-int8-static", runtime=r), data, cache=cache).model.path
            for r in ("onnxruntime", "openvino")]
    assert quantized(made[0])["Conv"] == 2 and quantized(made[1])["Conv"] == 0


@pytest.mark.parametrize("after", ["conv", "activation"])
@pytest.mark.parametrize("op", ["Relu", "Clip"])
def test_an_activation_that_the_rounding_does_is_not_lost_with_the_pair(op, after, tmp_path):
    limits = ["zero", "six"] if op == "Clip" else []
    nodes = [h.make_node("Gemm", ["rows", "w1", "b1"], ["g1"], "first"),
             h.make_node(op, ["g1", *limits], ["a1"], "act"),
             h.make_node("Sigmoid", ["a1"], ["gate"], "gate"),
             h.make_node("Gemm", ["gate", "w2", "b2"], ["scores"], "second")]
    weights = [parts.weight("w1", 16, 16, scale=1.0), parts.weight("b1", 16), parts.weight("w2", 16, 8, scale=1.0),
               parts.weight("b2", 8), nh.from_array(np.float32(0), "zero"), nh.from_array(np.float32(6), "six")]
    path = parts.save(tmp_path / "gate.onnx", nodes, [parts.value("rows", "batch", 16)],
                      [parts.value("scores", "batch", 8)], weights)
    _, made, _ = parts.apply("onnx-int8-static", path, tmp_path, count=24, qdq_after=after)
    feed = parts.context(models.load(path), tmp_path, 1).calibration[0]
    assert parts.cosine(parts.run(made.path, feed)[0], parts.run(path, feed)[0]) > 0.999


def test_the_note_says_for_whom_and_integer_operators_stay_what_they_are(silu, tmp_path):
    _, made, done = parts.apply("onnx-int8-static", silu, tmp_path / "qdq", count=24, qdq_after="activation")
    assert any("OpenVINO fuses" in n for n in done.notes)
    _, other, done = parts.apply("onnx-int8-static", silu, tmp_path / "ops", count=24, qdq_after="activation",
                                 format="qoperator")
    assert not any("OpenVINO fuses" in n for n in done.notes)
    assert Counter(n.op_type for n in onnx.load(other.path).graph.node)["QLinearConv"] == 2
