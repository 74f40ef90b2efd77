"""ONNX passes on real and on awkward files: what they change, what they keep, and when they say no."""

import hashlib
from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import helper as h
from onnx import numpy_helper as nh

from workbench import model as models
from workbench import passes
from workbench.errors import InputError, NotApplicable
from workbench.passes import _cpu, _onnx_fit, _onnx_flatten, _onnx_io, _onnx_names, _onnx_prepare, _onnx_scope

from . import pass_parts as parts

ONNX_PASSES = ("onnx-graph-level", "onnx-float16", "onnx-int8-dynamic", "onnx-int8-static")


def sizes(spec):
    """Shape with open axes as None: their names may change, their openness may not."""
    return tuple(d if isinstance(d, int) else None for d in spec.shape)


@pytest.fixture
def conv(tmp_path):
    return parts.conv_net(tmp_path / "conv.onnx")


# --- what holds for every pass ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ONNX_PASSES)
@pytest.mark.parametrize("build", [parts.conv_net, parts.embedding_net], ids=["convolutions", "int32 tokens"])
def test_names_shapes_and_input_file_are_kept(name, build, tmp_path):
    path = build(tmp_path / "m.onnx")
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    source, result, made = parts.apply(name, path, tmp_path / "out")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before
    for kept, new in ((source.inputs, result.inputs), (source.outputs, result.outputs)):
        assert [(s.name, s.dtype, sizes(s)) for s in kept] == [(s.name, s.dtype, sizes(s)) for s in new]
    assert [p.name for p in made.path.parent.iterdir()] == [made.path.name], "leftovers beside the artefact"
    assert made.notes and all("\n" not in n for n in made.notes)
    feed = parts.context(source, tmp_path / "x").calibration[0]
    for ours, theirs in zip(parts.run(made.path, feed), parts.run(path, feed), strict=True):
        assert ours.shape == theirs.shape
        assert parts.cosine(ours, theirs) > 0.97


@pytest.mark.parametrize("name", ONNX_PASSES)
def test_the_same_input_gives_the_same_bytes(name, conv, tmp_path):
    first, second = (parts.apply(name, conv, tmp_path / d)[2].path.read_bytes() for d in ("a", "b"))
    assert first == second


@pytest.mark.parametrize("name", ONNX_PASSES)
def test_a_graph_level_file_that_is_quantized_or_a_mere_shape_is_refused_with_a_reason(name, tmp_path):
    path = parts.save(tmp_path / "m.onnx", [h.make_node("Relu", ["x"], ["y"], "r")], [parts.value("x", 1, 4)],
                      [parts.value("y", 1, 4)])
    if name == "onnx-graph-level":
        parts.apply(name, path, tmp_path / "out")
    else:
        with pytest.raises(NotApplicable, match="no |weights"):
            parts.apply(name, path, tmp_path / "out")


# --- static INT8 ------------------------------------------------------------------------------------------------


def test_static_int8_reports_what_it_did(conv, tmp_path):
    _, _, made = parts.apply("onnx-int8-static", conv, tmp_path / "out", exclude_nodes=("second",))
    assert sorted(made.details["quantized"]) == ["dense", "first"]
    assert made.details["float"] == ["second"] and "as asked" in made.details["float_reasons"]["second"]
    assert any("2 of 3 compute nodes are INT8" in n for n in made.notes)


def test_static_int8_quarters_the_weights(tmp_path):
    nodes = [h.make_node("MatMul", ["x", "w"], ["y"], "big")]
    path = parts.save(tmp_path / "m.onnx", nodes, [parts.value("x", "n", 300)], [parts.value("y", "n", 300)],
                      [parts.weight("w", 300, 300)])
    source, result, _ = parts.apply("onnx-int8-static", path, tmp_path / "out")
    assert result.size_bytes < 0.3 * source.size_bytes


@pytest.mark.parametrize("settings", [
    {"format": "qoperator"}, {"per_channel": False}, {"method": "entropy"},
    {"method": "percentile", "percentile": 99.9}, {"symmetric_activations": True}, {"symmetric_weights": False},
    {"op_types": ("Conv",)}, {"calibration_samples": 1}], ids=str)
def test_every_setting_of_static_int8_gives_a_model_close_to_float(settings, conv, tmp_path):
    source, _, made = parts.apply("onnx-int8-static", conv, tmp_path / "out", **settings)
    feed = parts.context(source, tmp_path / "x").calibration[0]
    assert parts.cosine(parts.run(made.path, feed)[0], parts.run(conv, feed)[0]) > 0.97
    assert made.details["quantized"]


@pytest.mark.parametrize("choice,largest", [("on", 64), ("off", 127)])
def test_reduced_range_keeps_weights_to_seven_bits(choice, largest, conv, tmp_path):
    _, _, made = parts.apply("onnx-int8-static", conv, tmp_path / "out", reduce_range=choice)
    weights = [nh.to_array(i) for i in onnx.load(made.path).graph.initializer if i.name.startswith("w")
               and i.data_type == onnx.TensorProto.INT8 and len(i.dims) > 1]
    assert len(weights) == 3
    assert max(int(np.abs(w.astype(int)).max()) for w in weights) in (largest, largest - 1)


def test_auto_range_asks_the_cpu(conv, tmp_path, monkeypatch):
    def note(has_dot: bool) -> bool:
        monkeypatch.setattr(_cpu, "has_int8_dot", lambda: has_dot)
        return any("7 bits" in n for n in parts.apply("onnx-int8-static", conv, tmp_path / str(has_dot))[2].notes)

    assert note(False) and not note(True)


def test_samples_of_different_sizes_calibrate_every_method(tmp_path):
    path = parts.embedding_net(tmp_path / "m.onnx")
    source, found = models.load(path), passes.get("onnx-int8-static")
    (tmp_path / "out").mkdir()
    feeds = tuple(parts.context(source, tmp_path / "x", 1, n).calibration[0] for n in (3, 9, 5))
    for method in ("minmax", "entropy", "percentile"):
        made = found.apply(source, found.Settings(method=method), passes.PassContext(tmp_path / "out", feeds))
        assert made.details["quantized"] == ["mix"]


def test_static_int8_without_samples_says_what_to_do(conv, tmp_path):
    source, found = models.load(conv), passes.get("onnx-int8-static")
    with pytest.raises(InputError, match="calibration"):
        found.apply(source, found.Settings(), passes.PassContext(tmp_path))


def test_unknown_operator_is_named(conv):
    found = passes.get("onnx-int8-static")
    reason = found.why_not(models.load(conv), found.Settings(op_types=("Konv",)))
    assert "'Konv'" in reason and "Conv" in reason


@pytest.mark.parametrize("name", ["onnx-int8-static", "onnx-int8-dynamic", "onnx-float16"])
def test_a_quantized_file_is_not_quantized_again(name, conv, tmp_path):
    _, result, _ = parts.apply("onnx-int8-static", conv, tmp_path / "out")
    found = passes.get(name)
    assert "quantized already" in found.why_not(result, found.Settings())


# --- dynamic INT8, float16, graph level -------------------------------------------------------------------------


def test_dynamic_int8_leaves_convolutions_unless_asked_and_warns(conv, tmp_path):
    plain = parts.apply("onnx-int8-dynamic", conv, tmp_path / "a")[2]
    assert plain.details["quantized"] == ["dense"] and "slow" in " ".join(plain.notes)
    asked = parts.apply("onnx-int8-dynamic", conv, tmp_path / "b", convolutions=True)[2]
    assert sorted(asked.details["quantized"]) == ["dense", "first", "second"]
    assert any("slower than float" in n for n in asked.notes)


def test_work_inside_an_if_is_quantized_dynamically_and_refused_statically(tmp_path):
    path = parts.branching_net(tmp_path / "if.onnx")
    _, _, made = parts.apply("onnx-int8-dynamic", path, tmp_path / "dynamic")
    assert sorted(made.details["quantized"]) == ["mm_no", "mm_yes"]
    with pytest.raises(NotApplicable, match="inside If"):
        parts.apply("onnx-int8-static", path, tmp_path / "static")


def test_float16_halves_the_weights_and_keeps_or_changes_the_boundary(conv, tmp_path):
    source, kept, _ = parts.apply("onnx-float16", conv, tmp_path / "a")
    assert kept.inputs[0].dtype == "float32" and kept.size_bytes < 0.75 * source.size_bytes
    _, half, _ = parts.apply("onnx-float16", conv, tmp_path / "b", keep_io=False)
    assert half.inputs[0].dtype == half.outputs[0].dtype == "float16"


def large(tmp_path, factor: float):
    """x * factor, then a Gemm that brings it down again."""
    weights = [nh.from_array(np.diag(np.float32([factor, 1.0])), "w"), nh.from_array(np.float32([[1], [-1]]), "v")]
    nodes = [h.make_node("MatMul", ["x", "w"], ["big"], "grow"), h.make_node("Gemm", ["big", "v"], ["y"], "shrink")]
    return parts.save(tmp_path / "m.onnx", nodes, [parts.value("x", 1, 2)],
                      [parts.value("big", 1, 2), parts.value("y", 1, 1)], weights)


def test_float16_overflow_is_a_reason(tmp_path):
    path = large(tmp_path, 6e4)
    source = models.load(path)
    found = passes.get("onnx-float16")
    feed = ({"x": np.float32([[3.0, 1.0]])},)
    with pytest.raises(NotApplicable, match="65504.*keep_ops"):
        found.apply(source, found.Settings(keep_io=False), passes.PassContext(tmp_path, feed))


def test_float16_says_when_large_weights_are_cut(tmp_path):
    nodes = [h.make_node("MatMul", ["x", "w"], ["y"], "grow")]
    weights = [nh.from_array(np.diag(np.float32([1e6, 6e4])), "w")]
    path = parts.save(tmp_path / "m.onnx", nodes, [parts.value("x", 1, 2)], [parts.value("y", 1, 2)], weights)
    notes = parts.apply("onnx-float16", path, tmp_path / "a")[2].notes
    assert any("that is low" in n and "keep_ops" in n for n in notes)
    with pytest.raises(NotApplicable, match="no float32 weights"):
        parts.apply("onnx-float16", path, tmp_path / "b", keep_ops=("MatMul",))


@pytest.mark.parametrize("level", ["basic", "extended", "all"])
def test_graph_level_counts_nodes_and_keeps_answers(level, conv, tmp_path):
    source, result, made = parts.apply("onnx-graph-level", conv, tmp_path / "out", level=level)
    assert made.details["after"] <= made.details["before"] == 8
    # How far it goes is the CPU's affair: blocks of 16 channels may cost as many reorders as fusions save.
    assert any(op.startswith("com.microsoft") for op in made.details["ops_after"]) == (level != "basic")
    assert made.details["after"] == sum(made.details["ops_after"].values()) == result.nodes
    feed = parts.context(source, tmp_path / "x").calibration[0]
    np.testing.assert_allclose(parts.run(made.path, feed)[0], parts.run(conv, feed)[0], rtol=1e-4, atol=1e-6)
    assert any("this CPU" in n for n in made.notes) == any("nchwc" in op for op in made.details["ops_after"])


def test_graph_level_leaves_a_disabled_optimizer_out(conv, tmp_path):
    fused = parts.apply("onnx-graph-level", conv, tmp_path / "a")[2].details["ops_after"]
    apart = parts.apply("onnx-graph-level", conv, tmp_path / "b", disabled=("ConvActivationFusion",
                                                                            "ConvAddActivationFusion"))[2]
    assert "com.microsoft.FusedConv" in fused and "com.microsoft.FusedConv" not in apart.details["ops_after"]


# --- preparation: what real files do to the stock tools ----------------------------------------------------------


def test_weights_listed_as_inputs_and_an_old_opset_do_not_stop_any_pass(tmp_path):
    path = parts.conv_net(tmp_path / "new.onnx", opset=11)
    old = onnx.load(path)
    old.ir_version = 3
    old.graph.input.extend(h.make_tensor_value_info(i.name, i.data_type, i.dims) for i in old.graph.initializer)
    onnx.save(old, path)
    for name in ONNX_PASSES:
        source, result, made = parts.apply(name, path, tmp_path / name)
        assert [s.name for s in result.inputs] == ["image"]
        parts.run(made.path, parts.context(source, tmp_path / "x").calibration[0])


def test_constant_nodes_become_weights(conv):
    model = onnx.load(conv)
    moved = [i for i in model.graph.initializer if i.name in ("w1", "w3")]
    for tensor in moved:
        model.graph.initializer.remove(tensor)
        model.graph.node.insert(0, h.make_node("Constant", [], [tensor.name], value=tensor))
    ready = _onnx_prepare.prepare(model, None, simplify=False)
    assert "Constant" not in {n.op_type for n in ready.model.graph.node}
    assert {"w1", "w3"} <= {i.name for i in ready.model.graph.initializer}
    assert any("2 Constant nodes" in n for n in ready.notes)


def test_a_wrong_declared_output_shape_is_not_believed(tmp_path):
    """A published OCR model declares [1, length] for an output of rank 3; a slimmer then reshapes the answer."""
    nodes = [h.make_node("Shape", ["x"], ["s"], "s"), h.make_node("Relu", ["x"], ["r"], "r"),
             h.make_node("Reshape", ["r", "s"], ["y"], "again")]
    path = parts.save(tmp_path / "m.onnx", nodes, [parts.value("x", "a", 2, 3)], [parts.value("y", 1, "length")])
    feed = {"x": np.ones((4, 2, 3), np.float32)}
    ready = _onnx_prepare.prepare(onnx.load(path), feed)
    assert _onnx_io.run(ready.model, feed)[0].shape == (4, 2, 3)


def test_preparation_folds_constants_names_nodes_and_keeps_symbols(tmp_path):
    nodes = [h.make_node("Add", ["two", "two"], ["four"]), h.make_node("Mul", ["x", "four"], ["p"], "same"),
             h.make_node("Mul", ["p", "four"], ["y"], "same")]
    path = parts.save(tmp_path / "m.onnx", nodes, [parts.value("x", "rows", 3)], [parts.value("y", "rows", 3)],
                      [nh.from_array(np.float32([2, 2, 2]), "two")])
    feed = {"x": np.ones((5, 3), np.float32)}
    ready = _onnx_prepare.prepare(onnx.load(path), feed).model
    names = [n.name for n in ready.graph.node]
    assert len(names) < 3 and len(set(names)) == len(names) and all(names)
    assert ready.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "rows"
    np.testing.assert_allclose(_onnx_io.run(ready, feed)[0], 16.0)


def test_an_optional_step_that_changes_answers_is_dropped(conv):
    def spoil(model):
        other = onnx.ModelProto()
        other.CopyFrom(model)
        other.graph.node[1].op_type = "Sigmoid"
        return other

    model, notes = onnx.load(conv), []
    feed = {"image": np.random.default_rng(0).random((1, 3, 12, 12), np.float32)}
    assert _onnx_prepare._if_same(model, spoil, feed, notes) is model
    assert "would have changed the outputs" in notes[0]


def test_an_opset_that_cannot_be_raised_is_a_reason(tmp_path):
    nodes = [h.make_node("Nonsense", ["x"], ["y"], "n", domain="my.own")]
    path = parts.save(tmp_path / "m.onnx", nodes, [parts.value("x", 1)], [parts.value("y", 1)], opset=9)
    model = onnx.load(path)
    model.opset_import.append(h.make_opsetid("my.own", 1))
    with pytest.raises(NotApplicable, match="set 9 cannot be raised to 13"):
        _onnx_prepare.prepare(model, None)


# --- scope, biases, layout, names --------------------------------------------------------------------------------


def test_int8_carries_a_residual_but_not_a_bias_nor_a_tail(conv):
    model = _onnx_prepare.infer_shapes(onnx.load(conv))
    left = _onnx_scope.float_nodes(model, ())
    assert not {"act", "residual", "pool", "flat"} & set(left), "these lie between compute nodes"
    nodes = [h.make_node("MatMul", ["x", "w"], ["m"], "mm"), h.make_node("Add", ["m", "b"], ["y"], "bias")]
    graph = h.make_graph(nodes, "g", [parts.value("x", 1, 2, 4)], [parts.value("y", 1, 2, 4)],
                         [parts.weight("w", 4, 4), parts.weight("b", 4)])
    assert _onnx_scope.float_nodes(h.make_model(graph), ()) == ["bias"]


def test_a_bias_is_fused_exactly_and_only_where_it_may(tmp_path):
    nodes = [h.make_node("MatMul", ["x", "w"], ["m"], "mm"), h.make_node("Add", ["b", "m"], ["y"], "bias")]
    for rank, fused in ((2, 1), (3, 0)):
        shape = ["n", 3, 4][3 - rank:] if rank == 3 else ["n", 4]
        path = parts.save(tmp_path / f"{rank}.onnx", nodes, [parts.value("x", *shape)],
                          [parts.value("y", *shape[:-1], 5)], [parts.weight("w", 4, 5), parts.weight("b", 5)])
        model = _onnx_prepare.infer_shapes(onnx.load(path))
        feed = {"x": np.random.default_rng(1).random([2 if d == "n" else d for d in shape], np.float32)}
        before = _onnx_io.run(model, feed)[0]
        assert _onnx_fit.fuse_bias(model) == fused
        np.testing.assert_allclose(_onnx_io.run(model, feed)[0], before, rtol=1e-5)


@pytest.mark.parametrize("dense", ["MatMul", "Gemm", "Gemm transposed"])
def test_a_flatten_transpose_moves_into_the_weights(dense, tmp_path):
    flipped = dense.endswith("transposed")
    last = h.make_node(dense.split()[0], ["f", "w"], ["y"], "dense", **({"transB": 1} if flipped else {}))
    nodes = [h.make_node("Transpose", ["x"], ["t"], "t", perm=[0, 2, 3, 1]),
             h.make_node("Reshape", ["t", "flat"], ["f"], "f"), last]
    weights = [nh.from_array(np.array([-1, 24]), "flat"), parts.weight("w", *((5, 24) if flipped else (24, 5)))]
    path = parts.save(tmp_path / "m.onnx", nodes, [parts.value("x", "n", 4, 2, 3)], [parts.value("y", "n", 5)], weights)
    model = _onnx_prepare.infer_shapes(onnx.load(path))
    feed = {"x": np.random.default_rng(2).random((3, 4, 2, 3), np.float32)}
    before = _onnx_io.run(model, feed)[0]
    assert _onnx_flatten.fold_transposes(model) == 1
    assert Counter(n.op_type for n in model.graph.node)["Transpose"] == 0
    np.testing.assert_allclose(_onnx_io.run(model, feed)[0], before, rtol=1e-5)


def test_a_transpose_that_others_read_stays(tmp_path):
    nodes = [h.make_node("Transpose", ["x"], ["t"], "t", perm=[0, 2, 3, 1]),
             h.make_node("Reshape", ["t", "flat"], ["f"], "f"), h.make_node("MatMul", ["f", "w"], ["y"], "dense")]
    weights = [nh.from_array(np.array([-1, 24]), "flat"), parts.weight("w", 24, 5)]
    path = parts.save(tmp_path / "m.onnx", nodes, [parts.value("x", "n", 4, 2, 3)],
                      [parts.value("y", "n", 5), parts.value("t", "n", 2, 3, 4)], weights)
    model = _onnx_prepare.infer_shapes(onnx.load(path))
    assert _onnx_flatten.fold_transposes(model) == 0


def test_names_do_not_depend_on_a_converters_counter(conv):
    def renamed(start: int) -> bytes:
        model = onnx.load(conv)
        for offset, node in enumerate(model.graph.node):
            node.name = f"{node.name}__{start + offset}"
        _onnx_names.rename(model.graph, "c2", f"c2__{start}")
        _onnx_names.canonical(model.graph)
        return model.SerializeToString(deterministic=True)

    assert renamed(3) == renamed(40)
    assert [n.name for n in onnx.load_from_string(renamed(3)).graph.node][:2] == ["first", "act"]


def test_renaming_onto_a_taken_name_moves_the_other_aside(conv):
    model = onnx.load(conv)
    feed = {"image": np.random.default_rng(0).random((1, 3, 12, 12), np.float32)}
    before = _onnx_io.run(model, feed)[0]
    _onnx_names.rename(model.graph, "probabilities", "c1")
    assert model.graph.output[0].name == "c1"
    np.testing.assert_array_equal(_onnx_io.run(model, feed)[0], before)


@pytest.mark.parametrize("name, settings", [("onnx-int8-static", {}), ("onnx-int8-static", {"format": "qoperator"}),
                                            ("onnx-int8-mixed", {"target": 0.0}), ("onnx-int8w-int16a", {})], ids=str)
def test_a_branch_that_reads_a_relu_of_the_graph_around_it_still_does(name, settings, tmp_path):
    """The stock quantizer hands it the values from before the Relu (found on a published voice detector)."""
    def branch(op: str) -> onnx.GraphProto:
        return h.make_graph([h.make_node(op, ["r"], [f"{op}_out"], op)], op, [],
                            [parts.value(f"{op}_out", None, 4, 8, 8)])

    nodes = [h.make_node("Conv", ["x", "w"], ["c"], "conv", pads=[1, 1, 1, 1]),
             h.make_node("Relu", ["c"], ["r"], "relu"), h.make_node("ReduceSum", ["x"], ["s"], "sum", keepdims=0),
             h.make_node("Cast", ["s"], ["decides"], "cast", to=onnx.TensorProto.BOOL),
             h.make_node("If", ["decides"], ["y"], "if", then_branch=branch("Identity"),
                         else_branch=branch("Neg"))]
    path = parts.save(tmp_path / "m.onnx", nodes, [parts.value("x", "n", 3, 8, 8)], [parts.value("y", "n", 4, 8, 8)],
                      [parts.weight("w", 4, 3, 3, 3)])
    source, _, made = parts.apply(name, path, tmp_path / "out", **settings)
    feed = parts.context(source, tmp_path / "x").calibration[0]
    ours, theirs = parts.run(made.path, feed)[0], parts.run(path, feed)[0]
    assert theirs.min() == 0 and parts.cosine(ours, theirs) > 0.999


@pytest.mark.parametrize("name", ["onnx-int8-static", "onnx-int8-mixed", "onnx-int8w-int16a"])
def test_a_shared_bias_and_a_tensor_called_like_its_copy(name, tmp_path):
    """As a published pitch detector has them: 18 convolutions with one bias 'x', and a tensor 'x2'."""
    nodes, last = [], "image"
    for i in range(4):
        nodes += [h.make_node("Conv", [last, f"w{i}", "b"], [f"b{i}"], f"conv{i}", pads=[1, 1, 1, 1]),
                  h.make_node("Sigmoid", [f"b{i}"], [f"s{i}"], f"sigmoid{i}")]
        last = f"s{i}"
    weights = [parts.weight("w0", 8, 3, 3, 3), *(parts.weight(f"w{i}", 8, 8, 3, 3) for i in (1, 2, 3)),
               parts.weight("b", 8)]
    path = parts.save(tmp_path / "m.onnx", nodes, [parts.value("image", "n", 3, 8, 8)],
                      [parts.value("s3", "n", 8, 8, 8)], weights)
    source, _, made = parts.apply(name, path, tmp_path / "out")
    feed = parts.context(source, tmp_path / "x").calibration[0]
    assert parts.cosine(parts.run(made.path, feed)[0], parts.run(path, feed)[0]) > 0.98


@pytest.mark.parametrize("name", ONNX_PASSES)
def test_a_size_written_as_minus_one_is_an_open_one(name, tmp_path):
    """As the published text orientation classifier of PaddleOCR has it."""
    path = parts.conv_net(tmp_path / "m.onnx")
    model = onnx.load(path)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = -1
    onnx.save(model, path)
    source, _, made = parts.apply(name, path, tmp_path / "out")
    assert source.inputs[0].shape[0] is None
    feed = parts.context(source, tmp_path / "x").calibration[0]
    assert parts.cosine(parts.run(made.path, feed)[0], parts.run(path, feed)[0]) > 0.97
