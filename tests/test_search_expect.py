"""What the search expects before and after trials, and whom it picks of equally fast ones. Nothing is timed here."""

import threading
from dataclasses import replace

import pytest

from tests.pass_parts import conv_net
from tests.test_search import measured
from workbench import bundled, datasets, passes
from workbench import model as models
from workbench import recipe as recipes
from workbench.chain import complete
from workbench.recipe import Recipe
from workbench.results import Fidelity
from workbench.search import Goal
from workbench.search.expect import TRIAL_S, Expectation
from workbench.search.labs import Delivery
from workbench.search.ranking import Ranking, changes
from workbench.search.space import Point, Space
from workbench.search.tuner import Calls, Search

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
    assert gain[point("openvino half")] == 0  # the same passes, another runtime
    assert gain[point("openvino int8")] > 0  # rounds elsewhere
    fine = gains(told(space, (point("onnxruntime int8"), 0.2, True), (point("litert half"), 0.1, True)), space)
    assert gain[point("litert int8 half")] < 0.3 * fine[point("litert int8 half")]  # quantizing on top heals nothing


def test_less_precision_in_the_rest_follows_what_the_passes_did_to_the_answers():
    space = Space(bundled.model("mlp"), Goal(), fingerprint=VNNI)
    place = point("openvino int8 bf16")
    right = gains(told(space, (point("openvino int8"), 0.3, True)), space, 0.3)
    wrong = gains(told(space, (point("openvino int8"), 0.3, False)), space, 0.3)
    assert 0 < wrong[place] < 0.2 * right[place]


def test_bfloat16_that_answers_wrong_says_nothing_of_float32():
    space = Space(bundled.model("mlp"), Goal(), fingerprint=VNNI)
    after = gains(told(space, (point("openvino"), 0.3, True), (point("openvino bf16"), 0.2, False)), space, 0.3)
    assert after[point("openvino simplified")] > 0 == after[point("openvino bf16", 1)]


def test_a_pass_that_does_not_suit_the_model_is_not_tried_on_the_way_to_another(space):
    expected, place = Expectation(space), point("onnxruntime fused int8 dynamic")
    failed = replace(measured(), status="failed", ratio=None, recipe=space.recipe(place),
                     reason="fuse transformer: no pattern of a transformer was found")
    expected.tell(place, failed, False)
    gain = gains(expected, space, 0.5)
    assert gain[point("onnxruntime fused")] == 0 < gain[point("onnxruntime int8 dynamic")]


def test_only_a_quantized_file_goes_back_to_float(space):
    assert space.ruled_out["onnxruntime dequantized"] == "the original is not quantized"


def test_what_is_built_costs_no_second_time(space):
    expected = told(space, (point("litert narrower"), 0.1, True))
    assert expected.seconds(point("litert narrower", 1)) == pytest.approx(TRIAL_S)
    assert expected.seconds(point("onnxruntime narrower")) < 20 < expected.seconds(point("litert half"))


def test_passes_that_took_longer_are_expected_to_take_longer(space):
    expected, mixed, trained = Expectation(space), point("onnxruntime int8 mixed"), point("litert half")
    before = {p: expected.seconds(p) for p in (mixed, trained)}
    expected.took(point("onnxruntime int8"), 5 * expected.seconds(point("onnxruntime int8")))
    assert expected.seconds(mixed) > 2 * before[mixed]
    assert expected.seconds(trained) < 1.2 * before[trained]  # a slow conversion says little about training
    expected.took(trained, 0.5 * expected.seconds(trained))
    assert expected.seconds(trained) < 0.9 * before[trained]


def test_without_training_samples_nothing_is_trained():
    space = Space(bundled.model("mlp"), Goal(), fingerprint=OLD)
    assert space.ruled_out["litert narrower"] == "there are no training samples"
    assert not any("narrower" in r.traits for r in space.routes.values())


def test_what_needs_fine_tuning_can_be_forbidden():
    model = bundled.model("mlp")
    assert "litert narrower" in Space(model, Goal(), fingerprint=OLD, training=True).routes
    space = Space(model, Goal(finetune=False), fingerprint=OLD, training=True)
    assert space.ruled_out["litert narrower"] == "the goal does not allow fine-tuning"
    assert not any(passes.get(s.name).needs_training for p in space.points() for s in space.recipe(p).steps)


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
    assert [r.run_id for r in ranking.finalists(2)] == ["t", "i", "f"]


def dropped(points, half, ratio, run_id, n=667, **more):
    """A variant whose accuracy fell by so many points, with half the width of its 95 % interval."""
    delta = -points / 100
    fidelity = Fidelity(n, "accuracy", 0.9, (0.89, 0.91), delta, (delta - half / 100, delta + half / 100))
    steps = ("keras-prune-structured", "tflite-int8") if run_id == "risky" else ("tflite-int8",)
    recipe = recipes.make(*steps, runtime="litert", threads=1)
    return replace(measured(ratio=ratio, run_id=run_id, verdict="faster", recipe=recipe), fidelity=fidelity, **more)


def test_a_bound_that_is_only_just_met_loses_to_one_that_likely_holds_on_other_samples():
    """The CNN's fastest met 1 point on the search's samples and lost 1.35 on the next."""
    original = replace(dropped(0, 0.5, 1.0, "base"), is_baseline=True, verdict="", recipe=recipes.make())
    risky, sound = dropped(0.9, 1.3, 0.2, "risky"), dropped(0.2, 0.8, 0.3, "sound")
    ranking = Ranking(Goal(max_drop=1.0), lambda recipe: "tflite")
    assert not ranking.likely(risky) and ranking.likely(sound)
    assert ranking.pick([original, risky, sound]) is sound
    assert ranking.pick([original, risky]) is risky  # it meets the goal, and nothing sounder is faster
    for result in (original, risky, sound):
        ranking.take(result)
    assert [r.run_id for r in ranking.finalists(1)] == ["risky", "sound"]
    more = dropped(-0.3, 0.9, 0.2, "risky-2")  # on other samples: both together say enough
    assert ranking.likely(replace(more, recipe=risky.recipe))


def test_without_a_bound_every_answer_will_do_and_unchecked_ones_never():
    ranking = Ranking(Goal(), lambda recipe: "tflite")
    assert ranking.likely(dropped(50, 1, 0.2, "x"))
    assert not ranking.likely(replace(dropped(0, 1, 0.2, "x"), fidelity=None))


class Made:
    """A lab with latencies by rule: what a route's runtime and techniques make of them, on a clock of its own."""

    def __init__(self, space):
        self.now, self.orders, self.space = 0.0, [], space
        self.baseline = complete(space.model, Recipe())
        self._by_key = {space.recipe(p).key: p for p in space.points()}

    def find(self, recipe):
        return None

    def start(self, order, cancel):
        self.orders.append(order)

    def wait(self):
        order = self.orders[-1]
        self.now += 60.0 if any("narrower" in self._traits(r) for r in order.recipes) else 3.0
        return Delivery(order, [self._result(r) for r in order.recipes])

    slots = 1

    def _traits(self, recipe):
        place = self._by_key.get(recipe.key)
        return self.space.routes[place.route].traits if place else ()

    def _result(self, recipe):
        speed = {"litert": 0.1, "onnxruntime": 0.2, "openvino": 0.4}.get(recipe.runtime, 1.0)
        ratio = speed * (0.5 if "int8" in self._traits(recipe) else 1.0) * (0.4 if "narrower" in self._traits(
            recipe) else 1.0) * (1.0 if recipe.threads == 1 else 1.1)
        base = recipe.key == self.baseline.key
        return replace(measured(ratio=1.0 if base else ratio), recipe=recipe, is_baseline=base, stopped="narrow",
                       median_s=1e-3 * ratio, ratio_interval=(0.97 * ratio, 1.03 * ratio), verdict="faster",
                       run_id=f"{recipe.key}{len(self.orders)}")


def searched(budget_s):
    labs, data = [], datasets.load("mlp", bundled.model("mlp"))
    search = Search(bundled.model("mlp"), data, Goal(max_drop=1.0), budget_s, 0, Calls(), threading.Event(),
                    clock=lambda: labs[0].now if labs else 0.0, fingerprint=OLD)
    labs.append(Made(search.space))
    return search.run(labs[0]), labs[0]


class Flattering(Made):
    """The first short measurement of a variant that is no good says that it is twenty times as fast."""

    flattered = None

    def _result(self, recipe):
        made = super()._result(recipe)
        self.flattered = self.flattered or (recipe.key if recipe.runtime == "openvino" else None)
        if recipe.key != self.flattered or self.orders[-1].stage != "screen":
            return made
        return replace(made, ratio=0.01, ratio_interval=(0.009, 0.011), median_s=1e-5)


def test_a_lucky_measurement_does_not_end_the_search():
    labs, data = [], datasets.load("mlp", bundled.model("mlp"))
    goal = Goal(max_drop=1.0, runtimes=("openvino", "onnxruntime"))
    search = Search(bundled.model("mlp"), data, goal, 400.0, 0, Calls(), threading.Event(),
                    clock=lambda: labs[0].now if labs else 0.0, fingerprint=OLD)
    labs.append(Flattering(search.space))
    found = search.run(labs[0])
    stages = [o.stage for o in labs[0].orders]
    assert "screen" in stages[stages.index("full"):], "it looks on after the longer measurement"
    assert found.best.recipe.runtime == "onnxruntime" and found.best.ratio < 0.15


def test_training_is_tried_where_it_fits_into_the_time():
    short, lab = searched(60.0)
    assert not any("narrower" in lab._traits(r) for o in lab.orders for r in o.recipes)
    assert short.best.recipe.runtime == "litert" and short.best.ratio == pytest.approx(0.05)
    long, lab = searched(400.0)
    assert {"narrower", "int8"} <= set(lab._traits(long.best.recipe)) and long.seconds <= 460


def test_the_last_measurement_holds_the_best_variant_that_changes_no_answer():
    found, lab = searched(400.0)
    assert lab.orders[-1].stage == "final" and any(not changes(r) and not r.is_baseline for r in found.contenders)


def test_screening_goes_to_the_runtime_that_won():
    _, lab = searched(400.0)
    tried = [o.recipes[0].runtime for o in lab.orders if o.stage == "screen"]
    assert tried[:12].count("litert") > max(tried[:12].count("onnxruntime"), tried[:12].count("openvino"))
