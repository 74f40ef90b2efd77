"""The ranking in a notebook: what the figure draws, switches by hand, the recipe that follows."""

import pytest

from workbench.errors import InputError
from workbench.sensitivity import NodeDamage, Ranking
from workbench.views import sensitivity_figure as figure
from workbench.views.figures import View
from workbench.views.sensitivity_view import SensitivityView


def ranking(count: int = 30) -> Ranking:
    rows = tuple(NodeDamage(f"block_{i}/conv", "Conv", 0.1 / 2**i, 0.08 / 2**i, 0.03 / 2**i, 0.002, 0.001, 1 / count,
                            i < 2, "ranking" if i < 2 else "") for i in range(count))
    return Ranking(rows, "cosine", 0.9951, 0.91, 0.99, True, 0.06, 0.03, ())


def test_the_figure_draws_the_split_the_times_and_the_decisions():
    shown = figure.sensitivity(ranking())
    made = figure.sensitivity_figure(shown, View(900, figure.height_of(shown)))
    by_name = {trace.name: trace for trace in made.data if trace.name}
    assert set(by_name) == {"whole node", "weights only", "activations only", "in float", "in INT8"}
    whole = by_name["whole node"]
    assert len(whole.x) == figure.MOST_ROWS and whole.x[0] == pytest.approx(0.1)
    assert len(set(whole.marker.color[:2])) == 1 and whole.marker.color[0] != whole.marker.color[2]
    assert by_name["in float"].x[0] == pytest.approx(2.0) and by_name["in INT8"].x[0] == pytest.approx(1.0)
    assert any("and 6 nodes" in a.text for a in made.layout.annotations)
    assert "2 nodes of 30 in float, which take 7%" in figure.sentence(shown)


def test_damage_of_nothing_stays_on_the_axis():
    row = NodeDamage("a", "Gemm", 0.0, 0.0, 0.0)
    shown = figure.sensitivity(Ranking((row,), "cosine", 1.0, 1.0, 0.0, True, 0.0, 0.0, ()))
    made = figure.sensitivity_figure(shown)
    assert all(x > 0 for trace in made.data if trace.type == "scatter" and trace.mode == "markers"
               for x in trace.x)


def test_a_switch_changes_the_figure_and_the_recipe():
    heard = []
    view = SensitivityView(ranking(), on_change=heard.append, method="entropy")
    assert view.keep == ("block_0/conv", "block_1/conv")
    for name, on in (("block_1/conv", False), ("block_5/conv", True)):
        view.table._receive(None, {"type": "keep", "name": name, "on": on}, [])
    assert view.keep == ("block_0/conv", "block_5/conv") == heard[-1]
    settings = view.recipe.steps[0].settings
    assert view.recipe.steps[0].name == "onnx-int8-mixed" and settings.method == "entropy"
    assert settings.exclude_nodes == ("block_0/conv", "block_5/conv") and settings.target == 0.0
    assert view.table.keep == list(view.keep)
    reasons = {r.name: r.why for r in view.shown.rows if r.decision == "float"}
    assert reasons == {"block_0/conv": "ranking", "block_5/conv": "asked"}
    with pytest.raises(InputError, match="not in the ranking"):
        view.set_keep(["nowhere"])


def test_the_view_shows_itself_in_a_notebook():
    data, _ = SensitivityView(ranking())._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert "block_3/conv" in data["text/html"] and "weights only" in data["text/html"]
