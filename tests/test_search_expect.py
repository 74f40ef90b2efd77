"""What the search expects before and after trials, and whom it picks of equally fast ones. Nothing is timed here."""

from dataclasses import replace

import pytest

from tests.pass_parts import conv_net
from tests.test_search import measured
from workbench import bundled
from workbench import model as models
from workbench import recipe as recipes
from workbench.search import Goal
from workbench.search.expect import TRIAL_S, Expectation
from workbench.search.ranking import Ranking
from workbench.search.space import Point, Space

OLD = {"isa": ["avx2"], "physical_cores": 2}
VNNI = {"isa": ["avx2", "avx512f", "avx512_vnni"], "physical_cores": 2}


@pytest.fixture(scope="module")
def space():
    return Space(bundled.model("mlp"), Goal(), fingerprint=OLD, training=True)


def point(route, threads=2, option=0):
    return Point(route, threads, option)


def told(space, *trials):
    """An expectation after trials of (point, ratio, right)."""
    made = Expectation(space)
    for place, ratio, right in trials:
        recipe = space.recipe(place)
        made.tell(place, replace(measured(ratio=ratio), recipe=recipe, median_s=ratio * 1e-2), right)
    return made


def gains(expected, space, best=0.1):
    return {b.point: b.gain for b in expected.bets(space.points(), best)}


def first(expected, space, best, seen=()):
    return expected.bets([p for p in space.points() if p not in seen], best)[0].point


def test_what_is_cheap_and_changes_no_answer_comes_first(space):
    route = space.routes[first(Expectation(space), space, 1.0).route]
    assert not any(t.startswith(("int8", "narrower", "half")) for t in route.traits)
    assert Expectation(space).seconds(point("litert")) < 10 < Expectation(space).seconds(point("litert narrower"))


def test_the_runtime_that_won_is_refined(space):
    seen = (point("litert"), point("onnxruntime"), point("openvino"))
    expected = told(space, *zip(seen, (0.1, 0.5, 0.6), (True,) * 3, strict=True))
    assert space.routes[first(expected, space, 0.1, seen).route].runtime == "litert"
    gain = gains(expected, space)
    assert gain[point("litert int8")] > gain[point("onnxruntime int8")]


def test_a_technique_that_is_slow_here_is_expected_to_be_slow_again(space):
    float_seen = (point("onnxruntime"), 0.5, True), (point("openvino"), 0.5, True)
    before = gains(told(space, *float_seen), space, 0.5)
    after = gains(told(space, *float_seen, (point("onnxruntime int8"), 0.9, True)), space, 0.5)
    for route in ("onnxruntime int8 symmetric", "openvino int8"):
        assert after[point(route)] < 0.7 * before[point(route)]
    assert after[point("onnxruntime int8 symmetric")] < after[point("openvino int8")]  # the same runtime says more


def test_threads_that_cost_on_one_route_cost_on_its_runtime(space):
    seen = (point("onnxruntime"), 0.5, True), (point("onnxruntime", 1), 0.4, True)
    after = gains(told(space, *seen), space, 0.4)
    assert after[point("onnxruntime simplified", 1)] > after[point("onnxruntime simplified", 2)]


def test_int8_is_expected_to_win_where_the_processor_has_the_instruction():
    space = Space(bundled.model("mlp"), Goal(), fingerprint=VNNI)
    old = Space(bundled.model("mlp"), Goal(), fingerprint=OLD)
    seen = (point("onnxruntime"), 0.5, True)
    place = point("onnxruntime int8")
    assert gains(told(space, seen), space, 0.5)[place] > 2 * gains(told(old, seen), old, 0.5)[place]


def test_passes_whose_answers_were_wrong_promise_nothing(space):
    wrong = told(space, (point("onnxruntime int8"), 0.2, False), (point("litert half"), 0.1, False))
    gain = gains(wrong, space)
    assert gain[point("openvino int8")] == gain[point("openvino half")] == 0  # the same passes, another runtime
    fine = gains(told(space, (point("onnxruntime int8"), 0.2, True), (point("litert half"), 0.1, True)), space)
    assert gain[point("litert int8 half")] < 0.3 * fine[point("litert int8 half")]  # quantizing on top heals nothing


def test_what_is_built_costs_no_second_time(space):
    expected = told(space, (point("litert narrower"), 0.1, True))
    assert expected.seconds(point("litert narrower", 1)) == pytest.approx(TRIAL_S)
    assert expected.seconds(point("onnxruntime narrower")) < 20 < expected.seconds(point("litert half"))


def test_passes_that_took_longer_are_expected_to_take_longer(space):
    expected = Expectation(space)
    before = expected.seconds(point("litert half"))
    expected.took(point("onnxruntime int8"), 5 * expected.seconds(point("onnxruntime int8")))
    assert expected.seconds(point("litert half")) > 2 * before


def test_without_training_samples_nothing_is_trained():
    space = Space(bundled.model("mlp"), Goal(), fingerprint=OLD)
    assert space.ruled_out["litert narrower"] == "there are no training samples"
    assert not any("narrower" in r.traits for r in space.routes.values())


def test_sizes_are_fixed_where_the_file_leaves_them_open(space, tmp_path):
    settings = space.recipe(point("openvino")).runtime_settings
    assert settings.fixed_shapes and not space.recipe(point("openvino", 2, 1)).runtime_settings.fixed_shapes
    loaded = models.load(conv_net(tmp_path / "m.onnx"))
    for shape, variants in (("batch", 3, 12, 12), 4), ((1, 3, 12, 12), 2):
        net = replace(loaded, inputs=(replace(loaded.inputs[0], shape=shape),))
        found = [p for p in Space(net, Goal(), fingerprint=OLD).points() if p.route == "openvino"]
        assert len(found) == variants  # two thread counts, and open sizes both ways


def test_of_equally_fast_ones_the_least_changed_is_picked():
    trained = measured(ratio=0.100, run_id="t", verdict="faster", recipe=recipes.make(
        "keras-prune-structured", "tflite-convert", runtime="litert", threads=1))
    small = measured(ratio=0.101, run_id="i", verdict="faster", recipe=recipes.make(
        "tflite-int8", runtime="litert", threads=1))
    plain = measured(ratio=0.1015, run_id="f", verdict="faster", recipe=recipes.make(
        "tflite-convert", runtime="litert", threads=1))
    ranking = Ranking(Goal(max_drop=1.0), lambda recipe: "tflite")
    assert ranking.pick([trained, small, plain]) is plain
    assert ranking.pick([trained, small, replace(plain, ratio=0.11)]) is small
    assert ranking.pick([trained, replace(small, ratio=0.2), replace(plain, ratio=0.2)]) is trained
    for result in (trained, small, replace(plain, ratio=0.5)):
        ranking.take(result)
    assert ranking.safest().run_id == "f"
