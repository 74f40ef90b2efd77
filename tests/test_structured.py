"""Structured pruning: what is removed is gone from the file, zeros change nothing, tied channels go together."""

import numpy as np
import pytest

from workbench.errors import NotApplicable
from workbench.passes import _keras_importance, _keras_layers, _keras_shrink

from . import keras_parts as parts

NETS = {"residual": parts.residual_net, "plain": parts.plain_net, "squeezing": parts.squeezing_net,
        "attending": parts.attending_net, "operators": parts.operators_net}


@pytest.fixture(scope="module")
def nets():
    """name -> functional model with random weights, and its channels."""
    models = {name: parts.stirred(_keras_shrink.functional(make())) for name, make in NETS.items()}
    return {name: (model, _keras_layers.trace(model)) for name, model in models.items()}


def outputs(model, feed):
    given = feed if len(feed) > 1 else feed[0]
    answer = model(given, training=False)
    return [np.asarray(a) for a in (answer if isinstance(answer, (list, tuple)) else [answer])]


@pytest.mark.parametrize("name", NETS)
def test_removing_what_is_zero_changes_no_output(name, nets):
    import keras

    source, _ = nets[name]
    model = keras.models.clone_model(source)
    model.set_weights(source.get_weights())
    found = _keras_layers.trace(model)
    removed = np.concatenate([g.roots[1::3] for g in found.groups()])
    assert len(removed)
    parts.silence(found, removed)
    parts.shift_silence(model, found, removed)
    made = _keras_shrink.shrink(model, found, removed)
    assert made.count_params() < model.count_params()
    feed = parts.feed(model)
    before, after = outputs(model, feed), outputs(made, feed)
    assert float(np.std(before[0])) > 1e-4, "the network answers nothing: the test tests nothing"
    for a, b in zip(before, after, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NETS)
def test_names_and_shapes_are_kept_and_removing_nothing_is_a_copy(name, nets):
    model, found = nets[name]
    everything = np.concatenate([g.roots[1:] for g in found.groups()])
    for removed in (np.array([], int), everything):
        made = _keras_shrink.shrink(model, found, removed)
        assert [t.name for t in made.inputs] == [t.name for t in model.inputs]
        assert [tuple(t.shape) for t in made.outputs] == [tuple(t.shape) for t in model.outputs]
        assert made.output_names == model.output_names
        assert {layer.name for layer in made.layers} == {layer.name for layer in model.layers}
    feed = parts.feed(model)
    for a, b in zip(outputs(model, feed), outputs(_keras_shrink.shrink(model, found, np.array([], int)), feed),
                    strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_channels_that_a_sum_ties_are_one_group_and_shrink_together(nets):
    model, found = nets["residual"]
    groups = {g.layers: len(g.roots) for g in found.groups()}
    assert groups == {("stem", "separable", "pointwise"): 16, ("side",): 8, ("hidden",): 24}
    tied = next(g for g in found.groups() if "stem" in g.layers)
    made = _keras_shrink.shrink(model, found, tied.roots[:6])
    widths = {n: made.get_layer(n).output.shape[-1] for n in ("stem", "separable", "depthwise", "pointwise", "both")}
    assert widths == {"stem": 10, "separable": 10, "depthwise": 20, "pointwise": 10, "both": 18}
    assert made.get_layer("stem_norm").gamma.shape == (10,)


def test_rows_behind_a_flatten_follow_their_filters(nets):
    model, found = nets["plain"]
    group = next(g for g in found.groups() if g.layers == ("second",))
    made = _keras_shrink.shrink(model, found, group.roots[[0, 5]])
    kernel = np.asarray(model.get_layer("hidden").kernel).reshape(3, 3, 24, 32)
    left = np.delete(kernel, [0, 5], axis=2).reshape(-1, 32)
    np.testing.assert_array_equal(np.asarray(made.get_layer("hidden").kernel), left)


def test_the_residual_stream_of_a_transformer_stays_unless_it_is_trained_anew(nets):
    model, found = nets["attending"]
    groups = {(*g.layers, g.what): len(g.roots) for g in found.groups()}
    assert groups == {("attention", "heads"): 4, ("up", "units"): 32}
    assert "LayerNormalization" in found.why_frozen()["down"]
    loose = {g.what: g.layers for g in _keras_layers.trace(model, exact=False).groups() if len(g.layers) > 1}
    assert loose == {"units": ("embedding", "attention", "down")}


def test_what_is_not_understood_stays_as_it_is():
    model = parts.refusing_net()
    found = _keras_layers.trace(model)
    assert found.groups() == []
    assert "grouped" in found.why_frozen()["before"]


@pytest.mark.parametrize("method", _keras_importance.METHODS)
def test_planted_useless_filters_are_the_ones_chosen(method):
    model = _keras_shrink.functional(parts.plain_net())
    parts.stirred(model, seed=1)
    found = _keras_layers.trace(model)
    group = next(g for g in found.groups() if g.layers == ("first",))
    useless = group.roots[[2, 3, 11, 12]]
    for variable in model.get_layer("first").weights:
        values = variable.numpy()
        values[..., [2, 3, 11, 12]] *= 0.01
        variable.assign(values)
    feed, labels = parts.feed(model, 64), np.arange(64) % 4
    importance = _keras_importance.scores(model, found, method, feed, labels)
    chosen = dict((g.layers, r) for g, r in _keras_importance.choose(
        found.groups(), importance, {"first": 0.25}, 0.0, scope="layer", multiple=1))
    assert set(chosen["first",]) == set(useless)
    assert not len(chosen["second",]) and not len(chosen["hidden",])


def test_what_is_left_is_a_multiple_and_the_network_scope_spares_the_important_layer():
    from workbench.passes._keras_channels import Group

    groups = [Group(("a",), "filters", np.arange(32)), Group(("b",), "filters", np.arange(32, 64)),
              Group(("c",), "heads", np.arange(64, 68))]
    importance = np.concatenate([np.linspace(1, 2, 32), np.linspace(5, 6, 32), np.full(4, 9.0)])
    left = {g.layers[0]: len(g.roots) - len(r) for g, r in _keras_importance.choose(
        groups, importance, {}, 0.4, scope="layer", multiple=8)}
    assert left == {"a": 16, "b": 16, "c": 2}
    left = {g.layers[0]: len(g.roots) - len(r) for g, r in _keras_importance.choose(
        groups, importance, {}, 0.4, scope="network", multiple=8)}
    assert left == {"a": 8, "b": 32, "c": 4}


def test_a_model_of_a_class_of_its_own_is_refused_with_a_way_out():
    import keras

    class Own(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(NotApplicable, match="functional API"):
        _keras_shrink.functional(Own())


@pytest.mark.parametrize("name,widths", [("cnn", {"conv_1": 16, "dense": 64}),
                                         ("separable", {"stem": 16, "block_1_pointwise": 16, "block_6_add": 64}),
                                         ("language", {"feed_forward_1_up": 64, "tokens": 32})])
def test_the_bundled_models_lose_half_of_every_layer(name, widths):
    import keras

    from workbench import bundled

    model = _keras_shrink.functional(keras.saving.load_model(bundled.path(name), compile=False))
    found = _keras_layers.trace(model)
    importance = _keras_importance.scores(model, found, "l1")
    removed = np.concatenate([roots for _, roots in _keras_importance.choose(
        found.groups(), importance, {}, 0.5, scope="layer", multiple=8)])
    made = _keras_shrink.shrink(model, found, removed)
    assert {n: made.get_layer(n).output.shape[-1] for n in widths} == widths
    assert made.output_names == model.output_names and made.output_shape == model.output_shape
    assert _keras_shrink.why_not(bundled.model(name)) is None


def test_passes_compose_and_what_does_not_is_refused_before_anything_runs():
    from workbench import bundled, recipe, variant

    model = bundled.model("cnn")
    for steps in (("keras-prune-structured", "keras-qat", "tflite-convert"), ("keras-distill", "onnx-int8-mixed"),
                  ("keras-prune-structured", "keras-distill", "tflite-int8")):
        assert variant.problem(model, recipe.make(*steps)) is None, steps
    assert "works on Keras" in variant.problem(model, recipe.make("keras-qat", "keras-prune-structured"))
    assert "share" in variant.problem(model, recipe.make(("keras-prune-structured", {"layer_ratios": ["conv_1"]})))
