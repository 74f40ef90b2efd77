"""Node times on both sides of a graph pair, from real profiles of the bundled CNN."""

import pytest

from workbench import recipe as recipes
from workbench import variant
from workbench.errors import NotApplicable
from workbench.views import graph_pairs, graph_times, opening
from workbench.views.graph_pairs import Pair


@pytest.fixture(scope="module")
def timed():
    """The CNN as ONNX, as the runtime runs it: recipe, pair and times."""
    opened = opening.open_engine("cnn", study=":memory:")
    with opened.engine as engine:
        recipe = engine.complete(recipes.make("onnx-convert", runtime="onnxruntime"))
        path = str(variant.build(engine.model, recipe, engine.dataset, cache=engine.cache).model.path)
        pair = Pair("as ONNX Runtime runs it", path, path, "onnxruntime", (("level", "all"),))
        yield pair, graph_times.measured(engine, recipe, pair)


def test_both_sides_carry_the_times_of_their_nodes(timed):
    pair, times = timed
    found = graph_pairs.payload(pair, *times)
    for side in ("before", "after"):
        nodes = found[side]["nodes"]
        assert len(nodes) >= 7 and all(n["time_s"] is not None and 0 <= n["time_s"] < 0.1 for n in nodes), nodes
        assert sum(n["time_s"] for n in nodes) > 1e-5


def test_a_fused_group_has_a_time_before_and_after(timed):
    pair, times = timed
    found = graph_pairs.payload(pair, *times)
    fused = [g for g in found["groups"] if g["status"] == "fused"]
    assert fused
    for group in fused:
        assert all(found["before"]["nodes"][i]["time_s"] is not None for i in group["before"])
        assert all(found["after"]["nodes"][i]["time_s"] is not None for i in group["after"])


def test_a_pair_without_a_runtime_says_what_to_choose():
    pair = Pair("INT8 static", "a.onnx", "b.onnx")
    assert "runs it" in graph_times.why_not(pair)
    with pytest.raises(NotApplicable, match="runs it"):
        graph_times.measured(None, None, pair)
