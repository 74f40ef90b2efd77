"""Which nodes INT8 hurts, and mixtures of INT8 and float: a planted bad layer, by hand, models from others."""

import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from onnx import helper as h
from onnx import numpy_helper as nh

from workbench import datasets, sensitivity, variant
from workbench import model as models
from workbench import passes as registry
from workbench.errors import Cancelled, InputError, NotApplicable
from workbench.passes import (
    PassContext,
    _mixture,
    _onnx_fit,
    _onnx_io,
    _onnx_prepare,
    _qdq,
    _sensitivity,
    onnx_int8_mixed,
)
from workbench.passes._node_times import node_times

from . import pass_parts as parts
from .rendered_text import text_feeds

BAD = "second"
LAYERS = ("first", "second", "third", "fourth")


def planted_net(path: Path, answers: int = 10) -> Path:
    """Four convolutions and a Gemm. One input channel of the second convolution is always zero, and its weights there
    are huge: they never reach an output, but spoil the scale of every weight beside them."""
    rng = np.random.default_rng(0)

    def array(name, *shape, scale):
        return nh.from_array((rng.standard_normal(shape) * scale).astype(np.float32), name)

    bias = rng.standard_normal(16).astype(np.float32) * 0.1
    bias[3] = -1000.0  # channel 3 is dead behind the Relu
    bad = (rng.standard_normal((16, 16, 3, 3)) * 0.1).astype(np.float32)
    bad[:, 3, 1, 1] = 10.0
    weights = [array("w1", 16, 3, 3, 3, scale=0.3), nh.from_array(bias, "b1"), nh.from_array(bad, "w2"),
               array("w3", 16, 16, 3, 3, scale=0.1), array("w4", 16, 16, 3, 3, scale=0.1),
               array("w5", 16, answers, scale=0.5)]
    nodes, last = [], "image"
    for i, name in enumerate(LAYERS, 1):
        inputs = [last, f"w{i}"] + (["b1"] if i == 1 else [])
        nodes += [h.make_node("Conv", inputs, [f"c{i}"], name, pads=[1, 1, 1, 1]),
                  h.make_node("Relu", [f"c{i}"], [f"r{i}"], f"act{i}")]
        last = f"r{i}"
    nodes += [h.make_node("GlobalAveragePool", [last], ["pool"], "pool"),
              h.make_node("Flatten", ["pool"], ["flat"], "flat"),
              h.make_node("Gemm", ["flat", "w5"], ["scores"], "dense")]
    return parts.save(path, nodes, [parts.value("image", "batch", 3, 12, 12)],
                      [parts.value("scores", "batch", answers)], weights)


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return planted_net(tmp_path_factory.mktemp("planted") / "planted.onnx")


def apply(path, folder, count=24, labels=None, **settings):
    source, found = models.load(path), registry.get("onnx-int8-mixed")
    context = parts.context(source, folder, count)
    return found.apply(source, found.Settings(**settings), PassContext(folder, context.calibration, labels))


def held_out(path, made, start=24, count=16):
    """Mean cosine on feeds that the pass never saw."""
    feeds = parts.context(models.load(path), made.parent / "held", start + count).calibration[start:]
    return float(np.mean([parts.cosine(*(parts.run(p, f)[0] for p in (made, path))) for f in feeds]))


# --- a planted bad layer ----------------------------------------------------------------------------------------


def test_a_planted_bad_layer_ranks_first_by_its_weights_and_restoring_it_recovers_the_loss(planted, tmp_path):
    all_int8 = apply(planted, tmp_path / "int8", target=0.0)
    ranking = all_int8.details["ranking"]
    assert BAD in [r["name"] for r in ranking[:3]]
    bad = next(r for r in ranking if r["name"] == BAD)
    assert bad["weight_damage"] > 10 * max(r["weight_damage"] for r in ranking if r["name"] != BAD)
    assert bad["weight_damage"] > 10 * bad["activation_damage"]
    restored = apply(planted, tmp_path / "restored", target=0.0, exclude_nodes=(BAD,))
    lost = 1 - held_out(planted, all_int8.path)
    left = 1 - held_out(planted, restored.path)
    assert lost > 0.01, "the plant does no harm: the test tests nothing"
    assert left <= 0.2 * lost


def test_a_model_of_one_number_shows_its_bad_layer_too(tmp_path):
    """The cosine of one number is 1 whatever it is: nothing would have a rank, and anything would do."""
    path = planted_net(tmp_path / "one.onnx", answers=1)
    all_int8 = apply(path, tmp_path / "int8", target=0.0)
    assert BAD in [r["name"] for r in all_int8.details["ranking"][:3]] and all_int8.details["fidelity"] < 0.99
    made = apply(path, tmp_path / "mixed")
    assert BAD in made.details["kept_float"] and made.details["fidelity"] >= 0.99 and made.details["target_met"]
    static = registry.get("onnx-int8-static")
    context = parts.context(models.load(path), tmp_path / "s", 24)
    assert "mean R²" in static.apply(models.load(path), static.Settings(), context).notes[1]


def test_the_mixture_keeps_the_bad_layer_in_float_and_little_else(planted, tmp_path):
    made = apply(planted, tmp_path / "mixed", target=0.999)
    kept = {r["name"]: r for r in made.details["ranking"] if r["kept_float"]}
    assert BAD in kept and kept[BAD]["why"] == "ranking" and len(kept) <= 3
    assert made.details["target_met"] and made.details["fidelity"] > 0.999 > made.details["fidelity_all_int8"]
    assert held_out(planted, made.path) > 0.999
    assert any("kept in float: " in n and BAD in n for n in made.notes)
    graph = _onnx_io.load(made.path).graph
    makers = {o: n.op_type for n in graph.node for o in n.output}
    sources = {n.name: [makers.get(i) for i in n.input[:2]] for n in graph.node}
    assert sources[BAD][1] is None, "its weights are still float"
    assert sources["third"] == ["DequantizeLinear", "DequantizeLinear"]


# --- by hand ----------------------------------------------------------------------------------------------------


def test_nodes_are_toggled_by_hand_and_the_ranking_is_not_made_again(planted, tmp_path, monkeypatch):
    apply(planted, tmp_path / "a", target=0.0)
    monkeypatch.setattr(onnx_int8_mixed._sensitivity, "rank", lambda *a, **k: pytest.fail("ranked again"))
    made = apply(planted, tmp_path / "b", target=0.999, exclude_nodes=("dense",), int8_nodes=(BAD,))
    rows = {r["name"]: r for r in made.details["ranking"]}
    assert rows["dense"]["kept_float"] and rows["dense"]["why"] == "asked"
    assert not rows[BAD]["kept_float"]


def test_a_limit_on_float_nodes_is_kept_and_a_missed_target_is_said(planted, tmp_path):
    made = apply(planted, tmp_path / "a", target=0.999, max_float_nodes=1, int8_nodes=(BAD,))
    assert sum(r["kept_float"] for r in made.details["ranking"]) <= 1
    assert not made.details["target_met"]
    assert any("the target is not met" in n for n in made.notes)


def test_contradictions_and_unknown_names_are_said(planted, tmp_path):
    with pytest.raises(NotApplicable, match="'dense' is in exclude_nodes and in int8_nodes"):
        apply(planted, tmp_path / "a", exclude_nodes=("dense",), int8_nodes=("dense",))
    made = apply(planted, tmp_path / "b", target=0.0, exclude_nodes=("nowhere",))
    assert any(n == "not in the graph: nowhere" for n in made.notes)


def test_nothing_left_in_int8_is_refused(planted, tmp_path):
    with pytest.raises(NotApplicable, match="no node can be INT8"):
        apply(planted, tmp_path / "a", target=0.0, exclude_nodes=(*LAYERS, "dense"))


# --- metrics ----------------------------------------------------------------------------------------------------


def test_predictions_and_accuracy_can_be_the_target(planted, tmp_path):
    feeds = parts.context(models.load(planted), tmp_path / "x", 24).calibration
    labels = np.array([int(parts.run(planted, f)[0].argmax()) for f in feeds])
    for metric in ("top1", "accuracy"):
        made = apply(planted, tmp_path / metric, labels=labels, metric=metric, target=1.0)
        assert made.details["metric"] == metric and made.details["fidelity"] == 1.0
    with pytest.raises(NotApplicable, match="needs labelled"):
        apply(planted, tmp_path / "none", metric="accuracy")


def test_the_lower_bound_is_below_the_mean():
    reference = [[np.array([[1.0, 2.0, 3.0]])] for _ in range(4)]
    outputs = [[np.array([[1.0, 2.0, 3.0 + 0.3 * i]])] for i in range(4)]
    fidelity = _sensitivity.Fidelity("cosine", reference)
    assert fidelity.safe(outputs) < fidelity.of(outputs) < 1.0
    assert fidelity.safe(reference) == pytest.approx(1.0)


# --- the simulation and the times -------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["conv", "activation"])
def probe(request, planted, tmp_path_factory):
    source = models.load(planted)
    feeds = list(parts.context(source, tmp_path_factory.mktemp("probe"), 8).calibration)
    prepared = _onnx_prepare.prepare(_onnx_io.load(planted), feeds[0]).model
    _onnx_fit.fuse_bias(prepared)
    ranges = _qdq.calibrate(prepared, feeds)
    return _sensitivity.Probe(prepared, ranges, _qdq.Options(reduce_range=True, after=request.param), feeds)


@pytest.mark.parametrize("keep", [(), (BAD,), ("first", "dense"), ("third", "fourth")], ids=str)
def test_simulated_mixtures_answer_like_the_real_graph(probe, keep):
    session = _onnx_io.session(probe.build(keep))
    for simulated, feed in zip(probe.outputs(keep), probe.feeds, strict=True):
        assert parts.cosine(simulated[0], session.run(None, feed)[0]) > 0.998


def test_with_all_switches_off_the_simulation_is_the_float_model(probe, planted):
    for reference, feed in zip(probe.reference, probe.feeds, strict=True):
        np.testing.assert_allclose(reference[0], parts.run(planted, feed)[0], rtol=1e-4, atol=1e-4)


def test_node_times_bear_the_names_of_the_file(probe):
    float_times, int8_times = (node_times(m, probe.feeds, runs=3) for m in (probe.model, probe.all_int8))
    assert {*LAYERS, "dense"} <= set(float_times) and min(float_times.values()) >= 0
    assert {*LAYERS, "dense"} <= set(int8_times)


def test_the_cheaper_of_two_equal_nodes_is_kept_in_float():
    """Two nodes hurt alike and one of them suffices: the one that costs less time is chosen."""
    class Halves:
        def outputs(self, keep):
            return [[np.array([[1.0, 0.0 if keep else 1.0]])]]

    fidelity = _sensitivity.Fidelity("cosine", [[np.array([[1.0, 0.0]])]])
    rows = [_sensitivity.NodeDamage("slow", "Conv", 0.3, 0.0, 0.3, float_s=0.010, int8_s=0.002),
            _sensitivity.NodeDamage("quick", "Conv", 0.3, 0.0, 0.3, float_s=0.002, int8_s=0.001)]
    assert _mixture.Chooser(Halves(), rows, fidelity, 0.99).choose(lambda fraction, line: None) == ("quick",)


class Flips:
    """Eight samples, of which rounding turns one round while any node is INT8; a stand-in for model and session."""

    feeds = list(range(8))

    def outputs(self, keep):
        return [[np.array([[1.0, 0.4 if i == 4 and len(keep) < 3 else 0.0]])] for i in range(8)]

    def build(self, keep):
        return SimpleNamespace(run=lambda names, i: self.outputs(keep)[i])


def test_a_mixture_that_few_samples_leave_unsure_is_kept_and_called_so(tmp_path, monkeypatch):
    """The mean meets the target, its lower bound does not; 'no node can be INT8' was said, and float would be left."""
    fidelity = _sensitivity.Fidelity("cosine", [[np.array([[1.0, 0.0]])] for _ in range(8)])
    assert fidelity.safe(Flips().outputs(())) < 0.98 and fidelity.of(Flips().outputs(())) > 0.99
    rows = [_sensitivity.NodeDamage(name, "Conv", 0.1, 0.0, 0.1, float_s=0.01, int8_s=0.002) for name in "abc"]
    chooser = _mixture.Chooser(Flips(), rows, fidelity, 0.985)
    assert chooser.all_float(chooser.choose(lambda fraction, line: None))
    mixture = chooser.unsure(0.985)
    assert mixture is not None and not chooser.all_float(mixture)
    assert chooser.unsure(0.999) is None
    monkeypatch.setattr(onnx_int8_mixed._onnx_io, "session", lambda made: made)
    settings = onnx_int8_mixed.Settings(target=0.985)
    built = onnx_int8_mixed._build(Flips(), chooser, mixture, fidelity, settings, PassContext(tmp_path))
    assert not chooser.all_float(built.mixture) and built.fidelity > 0.985 > built.sure
    lines = onnx_int8_mixed._verdict({
        "metric": "cosine", "target": 0.985, "fidelity": built.fidelity, "fidelity_sure": built.sure,
        "fidelity_all_int8": built.fidelity, "target_met": False, "samples_checked": 8})
    assert "meets the target 0.985" in lines[0] and "give more calibration samples" in lines[1]


# --- as calls, in the worker ------------------------------------------------------------------------------------


@pytest.fixture
def planted_data(planted, tmp_path):
    model = models.load(planted)
    images = np.random.default_rng(1).random((60, 3, 12, 12), dtype=np.float32)
    np.savez(tmp_path / "images.npz", image=images)
    return model, datasets.load(tmp_path / "images.npz", model)


def test_rank_and_mixed_are_calls_that_run_in_the_worker(planted_data, tmp_path):
    model, data = planted_data
    cache = variant.Cache(tmp_path / "cache")
    ranking = sensitivity.rank(model, data, cache=cache)
    assert ranking.rows[0].name == BAD and ranking.fidelity == pytest.approx(ranking.fidelity_all_int8, abs=0.01)
    assert sum(r.time_share for r in ranking.rows) <= 1.0 and ranking.float_s > 0
    made = sensitivity.mixed(model, data, target=0.999, cache=cache)
    table = sensitivity.ranking(made)
    assert table.target_met and [r.name for r in table.rows if r.kept_float][0] == BAD
    with pytest.raises(InputError, match="add the pass onnx-int8-mixed"):
        sensitivity.ranking(variant.build(model, variant.complete(model, made.recipe.__class__()), data))


def test_a_ranking_can_be_cancelled(planted_data, tmp_path):
    model, data = planted_data
    cancel = threading.Event()
    with pytest.raises(Cancelled):
        sensitivity.rank(model, data, cache=variant.Cache(tmp_path / "c"), cancel=cancel, method="entropy",
                         progress=lambda fraction, line: cancel.set())


# --- models that nobody here trained ----------------------------------------------------------------------------


@pytest.mark.slow
def test_mixed_precision_of_an_ocr_model_keeps_the_answers_on_held_out_text(ocr_models, tmp_path):
    path = next(p for p in ocr_models if p.name == "common.onnx")
    model = models.load(path)
    count = 32
    feeds = text_feeds(model, count + 8)
    found = registry.get("onnx-int8-mixed")
    made = found.apply(model, found.Settings(target=0.99, rank_samples=1), PassContext(tmp_path, tuple(feeds[:count])))
    ours, theirs = _onnx_io.session(made.path), _onnx_io.session(path)
    cosines = [parts.cosine(ours.run(None, f)[0], theirs.run(None, f)[0]) for f in feeds[count:]]
    assert np.mean(cosines) >= 0.99
    assert made.details["target_met"] and any(not r["kept_float"] for r in made.details["ranking"])


@pytest.mark.slow
def test_mixed_precision_of_a_transformer_from_torch(tmp_path):
    from .torch_transformer import export, token_feeds

    path = export(tmp_path / "transformer.onnx")
    model = models.load(path)
    feeds = token_feeds(model, 40)
    found = registry.get("onnx-int8-mixed")
    (tmp_path / "out").mkdir()
    made = found.apply(model, found.Settings(), PassContext(tmp_path / "out", tuple(feeds[:32])))
    ours, theirs = _onnx_io.session(made.path), _onnx_io.session(path)
    assert np.mean([parts.cosine(ours.run(None, f)[0], theirs.run(None, f)[0]) for f in feeds[32:]]) >= 0.99
    assert any(r["op"] == "MatMul" or r["op"] == "Gemm" for r in made.details["ranking"])
