"""What notebooks call: work in the background, one selection for all views, figures that say what they are given."""

import threading

import numpy as np
import plotly.graph_objects as go
import pytest

from tests import view_parts as parts
from workbench.errors import Cancelled, InputError
from workbench.passes._sensitivity import NodeDamage
from workbench.study import Study
from workbench.teaching import mlp, optimizers
from workbench.views import lessons, shared, theme
from workbench.views.charts import base, learning, nodes, rounding, training, trials
from workbench.views.notebook import bench, edge, pages, serving
from workbench.views.notebook.training import step
from workbench.views.notebook.variants import Variants
from workbench.views.notebook.work import Work
from workbench.views.widgets import chart


def texts(figure):
    return " ".join(str(a.text) for a in figure.layout.annotations)


# --- work in the background ---------------------------------------------------------------------------------------


def test_work_shows_its_value_in_place_of_the_line():
    work = Work(lambda task: 21, lambda v: pages.html(pages.note(f"it is {2 * v}")), title="a sum")
    assert work.value == 21
    assert "it is 42" in work.body.children[0].value
    assert work.bar.layout.display == "none"


def test_work_runs_one_after_the_other_and_may_use_what_came_before():
    order = []
    first = Work(lambda task: order.append("first") or 1)
    second = Work(lambda task: order.append("second") or first.value + 1)
    assert second.value == 2
    assert order == ["first", "second"]


def test_a_failure_is_one_line_where_the_cell_is():
    def fail(task):
        raise InputError("the path is wrong: check it")

    work = Work(fail, title="loading")
    with pytest.raises(InputError):
        work.wait()
    assert (work.bar.line, work.bar.tone) == ("the path is wrong: check it", "failed")


def test_cancel_reaches_the_work_and_says_how_to_go_on():
    started = threading.Event()

    def wait(task):
        started.set()
        assert task.cancel.wait(20)
        raise Cancelled("stopped")

    work = Work(wait, title="long")
    assert started.wait(20)
    work._on_action({"type": "action", "id": "cancel"}, [])
    with pytest.raises(Cancelled):
        work.wait()
    assert "run the cell again" in work.bar.line


def test_progress_tells_the_time_that_is_left():
    gate, told = threading.Event(), threading.Event()

    def run(task):
        task.progress(0.25, "half way to half", 12.0)
        told.set()
        gate.wait(20)

    work = Work(run, title="long")
    assert told.wait(20)
    assert work.bar.line == "half way to half · about 12 s left"
    assert work.bar.fraction == 0.25
    gate.set()
    work.wait()


def test_cells_that_are_run_again_find_the_bench_and_what_goes_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("workbench.engine.Engine.prewarm", lambda self: None)
    gate = threading.Event()
    first = bench.bench("mlp")
    assert bench.bench("mlp") is first
    going = first._once(("measure", 1), lambda: Work(lambda task: gate.wait(20)))
    assert first._once(("measure", 1), lambda: Work(lambda task: 0)) is going
    assert first._once(("measure", 2), lambda: Work(lambda task: 0)) is not going
    gate.set()
    going.wait()
    again = first._once(("measure", 1), lambda: Work(lambda task: 7))
    assert again is not going and again.value == 7
    other = bench.bench("mlp", "random")  # other data: what ran for the first is stopped
    assert other is not first and again.task.cancel.is_set()
    bench.close_all()


# --- one selection ------------------------------------------------------------------------------------------------


def test_views_of_one_study_show_the_same_variant(tmp_path):
    results = [parts.result(parts.BASE, 4e-3), parts.result(parts.ORT, 2e-3, ratio=0.5, verdict="faster"),
               parts.result(parts.LITERT_INT8, 1e-3, ratio=0.25, verdict="faster")]
    study = Study(tmp_path / "one.sqlite")
    chosen = shared.selection(study)
    assert shared.selection(Study(study.path)) is chosen and shared.selection(Study()) is not chosen
    views = [Variants(chosen, parts.MACHINE, {parts.ORT.key: "my name"}, lambda run: ()) for _ in range(2)]
    for view in views:
        view.show(results)
    views[0].chart._receive_event({"type": "select", "key": parts.ORT.key}, [])
    assert [v.table.selected for v in views] == [parts.ORT.key] * 2
    views[1].table._receive(None, {"type": "select", "key": parts.LITERT_INT8.key}, [])
    assert [v.table.selected for v in views] == [parts.LITERT_INT8.key] * 2
    assert "my name" in [r["name"] for r in views[0].table.rows]


def test_a_wrong_path_in_a_cell_is_one_line(capsys):
    from IPython.core.interactiveshell import InteractiveShell

    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    try:
        shell.run_cell("import workbench as wb\nwb.bench('no-such.onnx')")
        told = capsys.readouterr().out.strip()
    finally:
        InteractiveShell.clear_instance()
    assert "no-such.onnx" in told and "Traceback" not in told and "\n" not in told


# --- figures ------------------------------------------------------------------------------------------------------


def test_figures_leave_the_theme_to_the_page():
    made = chart.Chart(base.figure("A <title>", "ms", x="step", log_y=True))
    assert "template" not in made.spec["layout"]
    assert set(made.templates) == {"light", "dark"}
    assert made.label == "A &lt;title&gt; ms"
    assert [theme.INK["light"], theme.INK["dark"]] in made.inks


def test_large_text_reaches_figures_that_are_open():
    made = chart.Chart(base.figure("title"))
    chart.large_text(True)
    assert made.templates["light"]["layout"]["font"]["size"] == theme.FONT_SIZES[1]
    chart.large_text(False)
    assert made.templates["light"]["layout"]["font"]["size"] == theme.FONT_SIZES[0]


def test_labels_that_would_overlap_move_apart_and_keep_their_order():
    assert base.apart([1.0, 1.01, 5.0], 0.5) == pytest.approx([0.755, 1.255, 5.0])
    assert base.apart([3.0, 1.0], 0.5) == [3.0, 1.0]


def test_node_counts_say_how_many_are_left():
    made = nodes.operators({"as it is": {"Conv": 10, "Relu": 5}, "fused": {"Conv": 10}})
    assert "<b>15</b>" in texts(made) and "<b>10</b> (−5)" in texts(made)


def test_damage_names_the_worst_node_and_marks_what_stays_in_float():
    rows = (NodeDamage("worst", "Conv", 1e-2, 1e-3, 9e-3, 1e-3, 5e-4, 0.2, True, "ranking"),
            NodeDamage("fine", "Conv", 1e-6, 1e-7, 9e-7, 3e-3, 1e-3, 0.8))
    made = nodes.damage(rows)
    assert "worst" in texts(made) and "kept in float" in texts(made)
    assert {trace.name: len(trace.x) for trace in made.data} == {"INT8": 1, "kept in float": 1}
    assert "nothing measurable" in texts(nodes.damage(()))


def test_speedups_carry_interval_verdict_and_loss():
    fast = parts.result(parts.LITERT_INT8, 1e-3, ratio=0.25, verdict="faster")
    unsure = parts.result(parts.ORT, 4e-3, ratio=0.99, verdict="undecided")
    made = trials.speedups([parts.result(parts.BASE, 4e-3), fast, unsure], {fast.recipe.key: "tiny"}, "How fast?")
    assert list(made.data[0].y)[0] == "tiny"
    assert made.data[0].x[0] == pytest.approx(4)
    assert made.data[0].error_x.arrayminus[0] > 0
    assert made.data[0].marker.color[1] == theme.GROUND["light"]
    assert "4.0x ▲" in texts(made)
    assert "RANDOM" in texts(trials.speedups([fast], {}, "How fast?", True))


def test_scaling_draws_a_line_a_variant_with_intervals():
    from dataclasses import replace

    rows = [parts.result(replace(parts.ORT, batch=b), b * 1e-3) for b in (1, 8)]
    made = trials.scaling({"ORT": rows}, "batch", "Which batch?", "ms", per_sample=True)
    assert list(made.data[0].x) == [1, 8]
    assert list(made.data[0].y) == pytest.approx([1.0, 1.0])
    assert "ORT" in texts(made)


def test_training_curves_begin_before_the_fine_tuning():
    run = {"epoch": [0, 1], "loss": [None, 0.4], "accuracy": [None, 0.9], "val_loss": [0.9, 0.5],
           "val_accuracy": [0.4, 0.88], "seconds": [0.0, 1.0], "epochs": 1, "measure": "accuracy"}
    made = learning.curves({"half": run})
    assert list(made.data[0].x) == [0, 1] and list(made.data[0].y) == pytest.approx([40, 88])
    assert "half 88.0 %" in texts(made)


def test_an_answer_shows_image_probabilities_and_label():
    made = learning.answer(np.zeros((28, 28)), [("Coat", 0.7), ("Shirt", 0.2)], "Shirt")
    assert {type(t) for t in made.data} == {go.Bar, go.Heatmap}
    assert base.ORANGE in made.data[0].marker.color and base.BLUE in made.data[0].marker.color


def test_the_memory_budget_is_answered_in_words():
    small = parts.result(parts.LITERT_INT8, 2e-3, memory={"rss_peak_bytes": 5e6})
    big = parts.result(parts.ORT, 1e-3, memory={"rss_peak_bytes": 50e6})
    names = {small.recipe.key: "small", big.recipe.key: "big"}
    assert "small is fastest" in edge.sentence([small, big], names, 10)
    assert "big is fastest" in edge.sentence([small, big], names, 100)
    assert "No variant stays within 1 MB; small needs least" in edge.sentence([small, big], names, 1)


def test_tables_escape_what_came_from_a_file():
    assert "<script>" not in pages.table(["<script>"], [["<script>x"]]) + pages.said("<script>") + pages.facts(
        [("<script>", "<script>")])


def test_the_workflow_is_drawn_with_its_times():
    from workbench.measure.stats import Estimate
    from workbench.pipeline import StageTimes

    e = Estimate(1e-3, 0.9e-3, 1.1e-3)
    stages = {"preprocess": e, "forward": Estimate(5e-3, 4e-3, 6e-3), "clean": e, "label": e, "hand-over": e}
    svg = serving.drawing(StageTimes("ORT <b>", stages, e, 50), load_s=0.25)
    assert "250 ms" in svg and "5.00 ms" in svg and "2.00 ms" in svg and "ORT &lt;b&gt;" in svg


def test_training_is_short_under_the_suites_switch(monkeypatch):
    monkeypatch.setenv("WORKBENCH_QUICK", "1")
    assert step("keras-distill", epochs=8, width=0.5) == ("keras-distill", {"epochs": 1, "max_samples": 400,
                                                                             "width": 0.5})
    monkeypatch.delenv("WORKBENCH_QUICK")
    assert step("keras-distill", epochs=8) == ("keras-distill", {"epochs": 8})


# --- lessons ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def case():
    return lessons.load()


def test_the_bundled_weights_answer_as_the_bundled_model_does(case):
    assert case.x.shape == (1000, 10)
    right = mlp.forward(case.bundled, case.held).probabilities.argmax(axis=1) == case.held_labels
    assert right.mean() == pytest.approx(0.899, abs=0.002)  # data/README.md


def test_sliders_move_the_curves(case):
    lesson = lessons.DescentLesson(case, steps=20)
    before = lesson.curves.figure.data[0].y[-1]
    lesson.rate.value = 1e-3
    assert lesson.curves.figure.data[0].y[-1] > before
    lesson.step.value = 3
    assert "step 3" in lesson.numbers.value
    first = lesson.runs["Adam"].update[0]
    lesson.correct.value = False
    assert abs(lesson.runs["Adam"].update[0] / first) == pytest.approx(0.1 / np.sqrt(0.001), rel=1e-3)


def test_a_rate_that_is_too_high_says_so():
    run = optimizers.Run(np.array([0.7, np.nan]), np.empty(0), np.empty(0), *[np.array([1.0])] * 4)
    assert "diverged" in texts(training.losses({"gradient descent": run}))


def test_dragging_an_end_of_the_range_moves_the_slider_and_the_error(case):
    lesson = lessons.RoundingLesson(case)
    before = lesson.numbers.value
    lesson.chart._receive_event({"type": "drag", "change": {"shapes[1].x0": 0.5, "shapes[1].x1": 0.5}}, [])
    assert lesson.high.value == pytest.approx(0.5, abs=lesson.high.step)
    assert lesson.numbers.value != before and "clipped" in lesson.numbers.value
    lesson.low.value = lesson.high.value
    assert "must lie below" in lesson.numbers.value


def test_fewer_bits_cost_six_decibels_each():
    x = np.random.default_rng(0).uniform(-1, 1, 4000)
    made = rounding.bits(x, -1.0, 1.0, False, rounding.best(x, False))
    y = dict(zip(made.data[0].x, made.data[0].y, strict=True))
    assert y[8] - y[7] == pytest.approx(6.02, abs=0.4)


def test_a_short_measuring_plan_shortens_the_search():
    from dataclasses import replace

    from workbench.measure import Plan
    from workbench.views.notebook.searching import minutes_of

    assert minutes_of(Plan(), 5.0) == 5.0
    assert minutes_of(replace(Plan(), max_s=2.0), 5.0) == pytest.approx(5 / 36)
    assert minutes_of(replace(Plan(), max_s=2.0), 0.1) == 0.1
