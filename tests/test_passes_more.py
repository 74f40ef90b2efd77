"""Visible graph steps and the further precisions for ONNX: what they keep, what they change, when they say no."""

import hashlib
from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import helper as h
from onnx import numpy_helper as nh

from workbench import model as models
from workbench import passes as registry
from workbench import recipe
from workbench.chain import problem
from workbench.errors import NotApplicable
from workbench.passes import PassContext, _onnx_io, _onnx_prepare, _ort_steps

from . import pass_parts as parts

GRAPH = ("onnx-normalize", "onnx-simplify", "onnx-fold-constants", "onnx-fuse-transformer", "onnx-layout-nchwc",
         "onnx-freeze-shapes")
PRECISION = ("onnx-bfloat16", "onnx-int8w-int16a", "onnx-weight-only", "onnx-int8-mixed")
LOOSE = {"onnx-weight-only": 0.97, "onnx-int8-mixed": 0.98, "onnx-bfloat16": 0.999, "onnx-int8w-int16a": 0.995}


def block_net(path):
    """A transformer's feed-forward block as old exporters write it: LayerNormalization, MatMul, Gelu with Erf, Add."""
    weights = [parts.weight("scale", 32), parts.weight("bias", 32), parts.weight("w1", 32, 64, scale=0.2),
               parts.weight("b1", 64), parts.weight("w2", 64, 32, scale=0.2), parts.weight("b2", 32),
               nh.from_array(np.float32(2**0.5), "root"), nh.from_array(np.float32(1), "one"),
               nh.from_array(np.float32(0.5), "half")]
    nodes = [h.make_node("LayerNormalization", ["x", "scale", "bias"], ["n"], "norm", axis=-1),
             h.make_node("MatMul", ["n", "w1"], ["m1"], "wide"), h.make_node("Add", ["m1", "b1"], ["a1"], "add1"),
             h.make_node("Div", ["a1", "root"], ["d"], "div"), h.make_node("Erf", ["d"], ["e"], "erf"),
             h.make_node("Add", ["e", "one"], ["p"], "plus"), h.make_node("Mul", ["a1", "p"], ["g1"], "mul1"),
             h.make_node("Mul", ["g1", "half"], ["g"], "mul2"), h.make_node("MatMul", ["g", "w2"], ["m2"], "narrow"),
             h.make_node("Add", ["m2", "b2"], ["a2"], "add2"), h.make_node("Add", ["a2", "x"], ["y"], "residual")]
    return parts.save(path, nodes, [parts.value("x", "batch", "length", 32)], [parts.value("y", "batch", "length", 32)],
                      weights)


def untidy_net(path, opset=11):
    """What old exporters leave: unnamed nodes, weights in Constant nodes, dead and repeated code, shape arithmetic."""
    kernel = parts.weight("unused", 16, 3, 3, 3)
    nodes = [h.make_node("Constant", [], ["w"], value=kernel),
             h.make_node("Conv", ["image", "w"], ["c"], pads=[1, 1, 1, 1]),
             h.make_node("Relu", ["c"], ["r1"]), h.make_node("Relu", ["c"], ["r2"]),
             h.make_node("Add", ["r1", "r2"], ["s"]), h.make_node("Exp", ["s"], ["dead"]),
             h.make_node("GlobalAveragePool", ["s"], ["p"]),
             h.make_node("Constant", [], ["a"], value=nh.from_array(np.array([-1, 8], np.int64), "")),
             h.make_node("Constant", [], ["b"], value=nh.from_array(np.array([0, 8], np.int64), "")),
             h.make_node("Add", ["a", "b"], ["shape"]), h.make_node("Reshape", ["p", "shape"], ["y"])]
    return parts.save(path, nodes, [parts.value("image", "batch", 3, 8, 8)], [parts.value("y", "batch", 16)], [],
                      opset=opset)


NETS = {"convolutions": parts.conv_net, "tokens": parts.embedding_net, "block": block_net, "untidy": untidy_net}


def sizes(spec):
    """Shape with open axes as None: their names may change, their openness may not."""
    return tuple(d if isinstance(d, int) else None for d in spec.shape)


def attempt(name, path, folder, **settings):
    """Source, result and the pass's own result; None where the pass has a reason not to."""
    try:
        return parts.apply(name, path, folder, count=4, **settings)
    except NotApplicable as error:
        reason = str(error)
        assert reason and "\n" not in reason and len(reason) < 400
        return None


# --- what holds for every pass ----------------------------------------------------------------------------------


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("name", GRAPH + PRECISION)
def test_names_shapes_and_input_file_are_kept_and_twice_does_no_harm(name, net, tmp_path):
    path = NETS[net](tmp_path / f"{net}.onnx")
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    done = attempt(name, path, tmp_path / "out")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before
    if done is None:
        return
    source, result, made = done
    check_kept(name, source, result, made)
    feed = parts.context(source, tmp_path / "x").calibration[0]
    least = LOOSE.get(name, 0.9999)
    for ours, theirs in zip(parts.run(made.path, feed), parts.run(path, feed), strict=True):
        assert ours.shape == theirs.shape and parts.cosine(ours, theirs) > least
    again = attempt(name, made.path, tmp_path / "again")
    if again is not None:
        for ours, theirs in zip(parts.run(again[2].path, feed), parts.run(made.path, feed), strict=True):
            assert parts.cosine(ours, theirs) > least


def check_kept(name, source, result, made):
    for kept, new in ((source.inputs, result.inputs), (source.outputs, result.outputs)):
        assert [(s.name, s.dtype) for s in kept] == [(s.name, s.dtype) for s in new]
        if name != "onnx-freeze-shapes":  # the declared change
            assert [sizes(s) for s in kept] == [sizes(s) for s in new]
    assert [p.name for p in made.path.parent.iterdir()] == [made.path.name], "leftovers beside the artefact"
    assert made.notes and all("\n" not in n for n in made.notes)


@pytest.mark.parametrize("name", GRAPH + PRECISION)
def test_every_pass_applies_to_some_net_and_says_in_one_line_why_not_to_others(name, tmp_path):
    applied = [net for net, build in NETS.items() if attempt(name, build(tmp_path / f"{net}.onnx"), tmp_path / net)]
    expected = {"onnx-fuse-transformer": ["block"], "onnx-layout-nchwc": ["convolutions", "untidy"],
                "onnx-int8-mixed": ["convolutions", "tokens", "block", "untidy"]}
    assert applied == expected.get(name, applied) and applied


@pytest.mark.slow
@pytest.mark.parametrize("name", GRAPH + PRECISION[:3])
@pytest.mark.parametrize("which", ["light_squeezenet", "common"])
def test_models_of_others_keep_names_and_answers(name, which, light_models, ocr_models, tmp_path):
    path = next(p for p in (*light_models, *ocr_models) if p.stem == which)
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    source, found = models.load(path), registry.get(name)
    context = parts.context(source, tmp_path / "out", 2, 200)
    try:
        made = found.apply(source, found.Settings(), context)
    except NotApplicable as error:
        assert str(error) and "\n" not in str(error)
        return
    finally:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == before
    check_kept(name, source, models.load(made.path), made)
    feed = context.calibration[0]
    for ours, theirs in zip(parts.run(made.path, feed), parts.run(path, feed), strict=True):
        assert parts.cosine(ours, theirs) > LOOSE.get(name, 0.999)


# --- graph steps ------------------------------------------------------------------------------------------------


def ops(path):
    return Counter(n.op_type for n in onnx.load(path).graph.node)


def test_normalize_makes_an_untidy_file_tidy_without_folding(tmp_path):
    _, _, made = parts.apply("onnx-normalize", untidy_net(tmp_path / "m.onnx"), tmp_path / "out", opset=17)
    graph = onnx.load(made.path)
    names = [n.name for n in graph.graph.node]
    assert all(names) and len(set(names)) == len(names)
    assert _onnx_prepare.opset_of(graph) == 17
    assert ops(made.path)["Constant"] == 0 and ops(made.path)["Exp"] == 0 and ops(made.path)["Relu"] == 1
    typed = {v.name for v in graph.graph.value_info}
    assert all(o in typed for n in graph.graph.node[:-1] for o in n.output), "shapes of all inner tensors are known"


def test_simplify_folds_and_its_parts_can_be_left_out(tmp_path):
    path = untidy_net(tmp_path / "m.onnx")
    _, _, made = parts.apply("onnx-simplify", path, tmp_path / "all")
    assert ops(made.path)["Add"] <= 1 and made.details["after"] < made.details["before"]
    _, _, kept = parts.apply("onnx-simplify", path, tmp_path / "kept", remove_repeated=False)
    assert ops(kept.path)["Relu"] == 2


def test_fold_constants_folds_and_does_nothing_else(tmp_path):
    _, _, made = parts.apply("onnx-fold-constants", untidy_net(tmp_path / "m.onnx"), tmp_path / "out")
    left = ops(made.path)
    assert left["Relu"] == 2, "merging repeated nodes is another step"
    assert left["Add"] == 1 and left["Constant"] == 0


def test_layout_changes_convolutions_and_nothing_else(tmp_path):
    path = parts.conv_net(tmp_path / "m.onnx")
    _, _, made = parts.apply("onnx-layout-nchwc", path, tmp_path / "out")
    new = {(n.op_type, n.domain) for n in onnx.load(made.path).graph.node}
    assert ("Conv", "com.microsoft.nchwc") in new and ("ReorderOutput", "com.microsoft.nchwc") in new
    assert ops(made.path)["Gemm"] == ops(path)["Gemm"] and ops(made.path)["Softmax"] == 1


def test_a_single_optimizer_leaves_what_the_others_would_change(tmp_path):
    path = block_net(tmp_path / "m.onnx")
    (tmp_path / "step").mkdir()
    before = _onnx_io.load(path)
    made = _ort_steps.only(before, "NchwcTransformer", "all", PassContext(tmp_path / "step"))
    assert [n.op_type for n in made.graph.node] == [n.op_type for n in before.graph.node]


def test_shapes_are_frozen_from_settings_pins_or_a_sample(tmp_path):
    path = block_net(tmp_path / "m.onnx")
    found = registry.get("onnx-freeze-shapes")

    def frozen(source, folder, calibration=True, **settings):
        (tmp_path / folder).mkdir()
        context = parts.context(source, tmp_path / folder, 1, 10) if calibration else PassContext(tmp_path / folder)
        return models.load(found.apply(source, found.Settings(**settings), context).path).inputs[0].shape

    source = models.load(path)
    assert frozen(source, "sample")[1:] == (10, 32) and not isinstance(frozen(source, "open")[0], int)
    assert frozen(source, "given", shapes=("x=1x12x32",), batch=2) == (2, 12, 32)
    assert frozen(models.load(path, fix={"x": (1, 7, 32)}), "pinned", calibration=False)[1:] == (7, 32)
    with pytest.raises(NotApplicable, match="no open size could be fixed"):
        frozen(source, "nothing", calibration=False)
    with pytest.raises(NotApplicable, match="set 'batch'"):
        frozen(models.load(parts.conv_net(tmp_path / "c.onnx")), "batch")


def constant(path, folder, feeds, **settings):
    source, found = models.load(path), registry.get("onnx-constant-inputs")
    return found.apply(source, found.Settings(**settings), PassContext(folder, tuple(feeds)))


def test_an_input_that_never_changes_settles_its_branch_and_int8_gets_inside(tmp_path):
    path = parts.branching_net(tmp_path / "m.onnx")
    rng = np.random.default_rng(0)
    feeds = [{"x": rng.random((1, 8), np.float32), "flag": np.array(True)} for _ in range(8)]
    with pytest.raises(NotApplicable, match="constant inputs"):
        static = registry.get("onnx-int8-static")
        static.apply(models.load(path), static.Settings(), PassContext(tmp_path, tuple(feeds)))
    made = constant(path, tmp_path, feeds)
    assert "flag = True in all 8 calibration samples" in made.notes
    assert "nodes that branch or loop: 1 before, 0 now" in made.notes
    assert [s.name for s in models.load(made.path).inputs] == ["x", "flag"]
    for flag in (True, False):  # still taken, no longer read
        feed = {**feeds[0], "flag": np.array(flag)}
        np.testing.assert_allclose(parts.run(made.path, feed)[0], parts.run(path, feeds[0])[0], rtol=1e-5)
    (tmp_path / "int8").mkdir()
    int8 = static.apply(models.load(made.path), static.Settings(), PassContext(tmp_path / "int8", tuple(feeds)))
    assert parts.cosine(parts.run(int8.path, feeds[0])[0], parts.run(path, feeds[0])[0]) > 0.99


def test_inputs_that_vary_or_hold_the_data_are_no_constants(tmp_path):
    path = parts.branching_net(tmp_path / "m.onnx")
    feeds = [{"x": np.full((1, 8), i, np.float32), "flag": np.array(i % 2 == 0)} for i in range(4)]
    with pytest.raises(NotApplicable, match="'flag' is not the same"):
        constant(path, tmp_path, feeds, inputs=("flag",))
    with pytest.raises(NotApplicable, match="no input of a few values"):
        constant(path, tmp_path, feeds)
    with pytest.raises(NotApplicable, match="nothing would be left"):
        constant(path, tmp_path, [feeds[0]] * 3)
    found = registry.get("onnx-constant-inputs")
    assert "'z' is no input" in found.why_not(models.load(path), found.Settings(inputs=("z",)))
    plain = models.load(parts.conv_net(tmp_path / "c.onnx"))
    assert "one input only" in found.why_not(plain, found.Settings())


@pytest.mark.parametrize("name", ["?", "any"])
def test_one_name_for_two_sizes_is_no_name(name, tmp_path):
    nodes = [h.make_node("Relu", ["x"], ["y"], "relu")]
    path = parts.save(tmp_path / "m.onnx", nodes, [parts.value("x", "n", name, name)],
                      [parts.value("y", "n", name, name)])
    source, found = models.load(path), registry.get("onnx-freeze-shapes")
    context = PassContext(tmp_path, ({"x": np.zeros((1, 4, 6), np.float32)},))
    assert models.load(found.apply(source, found.Settings(batch=1), context).path).inputs[0].shape == (1, 4, 6)


@pytest.mark.parametrize(("shapes", "words"), [
    (("x:1x2",), "not of the form"), (("y=1x2",), "'y' is no input"), (("x=0x2",), "not of the form")])
def test_shapes_that_cannot_be_are_said(shapes, words, tmp_path):
    source = models.load(block_net(tmp_path / "m.onnx"))
    found = registry.get("onnx-freeze-shapes")
    assert words in found.why_not(source, found.Settings(shapes=shapes))


def test_fusion_names_what_it_fused(tmp_path):
    _, _, made = parts.apply("onnx-fuse-transformer", block_net(tmp_path / "m.onnx"), tmp_path / "out")
    assert made.details["fused"] and made.details["after"] < made.details["before"]
    assert any(n.startswith("patterns of ") for n in made.notes)


def test_a_net_without_a_transformer_is_told_so_before_anything_runs(tmp_path):
    source = models.load(untidy_net(tmp_path / "m.onnx"))
    found = registry.get("onnx-fuse-transformer")
    assert "is no transformer" in found.why_not(source, found.Settings())


# --- precision --------------------------------------------------------------------------------------------------


def test_bfloat16_halves_the_weights_and_rounds_to_nearest_even(tmp_path):
    path = block_net(tmp_path / "m.onnx")
    _, _, made = parts.apply("onnx-bfloat16", path, tmp_path / "out")
    stored = {i.name: i for i in onnx.load(made.path).graph.initializer}
    assert stored["w1/bfloat16"].data_type == onnx.TensorProto.BFLOAT16
    torch_like = np.array([1.0, 1.00390625, 1.01171875, -3.14159], np.float32)  # exact, two ties, one that rounds
    wanted = np.array([1.0, 1.0, 1.015625, -3.140625], np.float32)
    tie = parts.save(tmp_path / "t.onnx", [h.make_node("Mul", ["x", "w"], ["y"], "m")], [parts.value("x", 4)],
                     [parts.value("y", 4)], [nh.from_array(torch_like, "w")])
    _, _, made = parts.apply("onnx-bfloat16", tie, tmp_path / "tie", smallest=1)
    np.testing.assert_array_equal(parts.run(made.path, {"x": np.ones(4, np.float32)})[0], wanted)


@pytest.mark.parametrize("bits", [4, 8])
def test_weight_only_stores_fewer_bits_and_eight_are_closer(bits, tmp_path):
    path = block_net(tmp_path / "m.onnx")
    _, _, made = parts.apply("onnx-weight-only", path, tmp_path / "out", bits=bits)
    packed = {i.name: i for i in onnx.load(made.path).graph.initializer if i.data_type == onnx.TensorProto.UINT8}
    assert ops(made.path)["MatMulNBits"] == 2 and packed
    elements = 32 * 64 * bits // 8
    assert sum(int(np.prod(i.dims)) == elements for i in packed.values()) == 2
    assert made.details["cosine"] > (0.97 if bits == 4 else 0.9995)


def test_weight_only_handles_gemm_and_keeps_nodes_in_float(tmp_path):
    path = parts.conv_net(tmp_path / "m.onnx")
    _, _, made = parts.apply("onnx-weight-only", path, tmp_path / "out", bits=8, block_size=16)
    assert ops(made.path)["MatMulNBits"] == 1
    with pytest.raises(NotApplicable, match="no MatMul or Gemm with a constant"):
        parts.apply("onnx-weight-only", path, tmp_path / "none", exclude_nodes=("dense",))


def test_sixteen_bit_activations_are_closer_than_eight(tmp_path):
    path = parts.conv_net(tmp_path / "m.onnx")
    _, _, wide = parts.apply("onnx-int8w-int16a", path, tmp_path / "wide")
    zeros = {nh.to_array(i).dtype for i in onnx.load(wide.path).graph.initializer if "zero_point" in i.name}
    assert np.dtype(np.uint16) in zeros and np.dtype(np.int8) in zeros
    source, _, narrow = parts.apply("onnx-int8-static", path, tmp_path / "narrow")
    feeds = parts.context(source, tmp_path / "feeds").calibration

    def error(made):
        return np.mean([np.abs(parts.run(made.path, f)[0] - parts.run(path, f)[0]).mean() for f in feeds])

    assert error(wide) < error(narrow)


@pytest.mark.slow
def test_tflite_with_sixteen_bit_activations(tmp_path):
    from workbench import bundled, datasets, variant

    model = bundled.model("mlp")
    made = variant.build(model, recipe.make("tflite-int16x8"), datasets.load("mlp", model),
                         cache=variant.Cache(tmp_path / "c"))
    stage = made.stages[-1]
    assert stage["details"]["cosine"] > 0.999 and any("calibrated on" in n for n in stage["notes"])


# --- chains -----------------------------------------------------------------------------------------------------


def test_steps_compose_and_clashes_are_refused_before_anything_runs(tmp_path):
    source = models.load(block_net(tmp_path / "m.onnx"))
    chain = recipe.make("onnx-normalize", "onnx-simplify", "onnx-fuse-transformer", "onnx-int8-mixed",
                        runtime="onnxruntime")
    assert problem(source, chain) is None
    clash = recipe.make("onnx-int8-static", "onnx-int8-mixed", runtime="onnxruntime")
    assert "already INT8" in problem(source, clash)


def test_a_fused_transformer_can_be_quantized(tmp_path):
    _, _, fused = parts.apply("onnx-fuse-transformer", block_net(tmp_path / "m.onnx"), tmp_path / "fused")
    _, _, made = parts.apply("onnx-int8-mixed", fused.path, tmp_path / "int8", target=0.9)
    assert ops(made.path)["DequantizeLinear"] > 0 and made.details["fidelity"] > 0.9
