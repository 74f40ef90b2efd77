"""Sweeps measure a grid once, best guess first; a budget re-picks without measuring; clients load a worker."""

import json
import math
import threading
import time

import pytest

from tests.small_onnx import classifier
from workbench import cli, datasets, load, recipe, sweeps
from workbench.engine import Engine
from workbench.errors import InputError
from workbench.loads import LoadTest, load_test
from workbench.measure import environment
from workbench.measure.clients import Load
from workbench.measure.stats import Estimate
from workbench.study import Study
from workbench.sweeps import Cell, Sweep, order, sweep
from workbench.views import figures, resource_figures, sweep_figures
from workbench.views.show import show
from workbench.views.sweep_view import SweepView, sweep_view

GRID = dict(threads=(1,), batch=(1, 16), runtimes=("onnxruntime", "openvino", "torch"))


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    model = load(classifier(folder / "m.onnx"))
    with Engine(model, datasets.random(model), Study(folder / "s.sqlite")) as made:
        yield made


@pytest.fixture(scope="module")
def swept(engine):
    heard = []
    return sweep(engine, **GRID, on_cell=lambda *told: heard.append(told)), heard


# --- measuring ----------------------------------------------------------------------------------------------------


def test_every_cell_has_a_number_or_a_reason(swept):
    found, heard = swept
    assert found.complete and len(found.cells) == 6 and found.is_random
    measured = [c for c in found.cells if c.measured]
    assert {(c.recipe.runtime, c.recipe.batch) for c in measured} == {(r, b) for r in GRID["runtimes"][:2]
                                                                      for b in GRID["batch"]}
    barred = [c for c in found.cells if not c.measured]
    assert all(c.recipe.runtime == "torch" and "PyTorch runs" in c.reason and c.result is None for c in barred)
    assert [done for _, done, _ in heard] == [1, 2, 3, 4, 5, 6] and {total for _, _, total in heard} == {6}
    assert all(c.latency_s >= c.result.median_s and c.throughput_per_s > 0 for c in measured)


def test_known_cells_are_not_measured_again(engine, swept):
    runs = len(engine.study)
    again = sweep(engine, **GRID)
    assert len(engine.study) == runs and all(c.reused for c in again.cells if c.measured)
    assert [c.recipe for c in again.cells] == [c.recipe for c in swept[0].cells]
    assert {c.result.run_id for c in again.cells if c.measured} == {
        c.result.run_id for c in swept[0].cells if c.measured}


def test_asked_to_it_measures_again(engine, swept):
    found = sweep(engine, **{**GRID, "batch": (1,), "runtimes": ("openvino",)}, again=True)
    before = next(c for c in swept[0].cells if c.recipe == found.cells[0].recipe)
    assert found.cells[0].result.samples > before.result.samples


def test_a_stopped_sweep_goes_on_where_it_was(engine):
    cancel, grid = threading.Event(), {**GRID, "batch": (4, 2), "runtimes": ("onnxruntime",)}
    stopped = sweep(engine, **grid, cancel=cancel, on_cell=lambda *told: cancel.set())
    assert not stopped.complete and sum(c.measured for c in stopped.cells) == 1
    first = next(c for c in stopped.cells if c.measured)
    assert first.recipe.batch == 2, "of the batches the smallest is the first guess"
    done = sweep(engine, **grid)
    assert done.complete and [c.reused for c in done.cells] == [True, False]
    assert done.cells[0].result.run_id == first.result.run_id


def test_passes_are_shared_by_all_cells(engine):
    int8 = recipe.make("onnx-int8-static")
    found = sweeps.cells(engine, threads=(1,), batch=(1,), recipe=int8)
    assert {c.recipe.runtime for c in found} == {"onnxruntime", "openvino"}
    assert all([s.name for s in c.recipe.steps][-1] == "onnx-int8-static" for c in found)


def test_a_gpu_that_is_not_there_is_a_reason(engine):
    from workbench.runtimes import _common

    if _common.nvidia_gpu():
        pytest.skip("there is a GPU here")
    found = sweeps.cells(engine, threads=(1,), batch=(1,), runtimes=("onnxruntime",), devices=("cpu", "gpu"))
    assert [bool(c.reason) for c in found] == [False, True] and "NVIDIA" in found[1].reason


@pytest.mark.parametrize("threads, batch, first", [
    ((1, 2, 4, 8), (1, 8, 32), [(4, 1), (4, 32), (2, 1)]), ((8, 1), (16,), [(1, 16), (8, 16)])])
def test_the_best_guess_comes_first(threads, batch, first):
    ranked = order(threads, batch, 4)
    assert ranked[:len(first)] == first and len(set(ranked)) == len(threads) * len(batch)


@pytest.mark.parametrize("grid, words", [
    (dict(threads=(0,)), "whole numbers from 1"), (dict(batch=()), "whole numbers from 1"),
    (dict(runtimes=("caffe",)), "unknown runtime 'caffe'"), (dict(threads=range(1, 200)), "at most 400"),
    (dict(devices=()), "no runtime here")])
def test_a_wrong_grid_is_one_line(engine, grid, words):
    with pytest.raises(InputError, match=words):
        sweeps.cells(engine, **{**GRID, **grid})


# --- the budget ---------------------------------------------------------------------------------------------------


def cell(median, batch, runtime="litert", width=0.05, threads=1):
    from tests.view_parts import result

    made = recipe.make("tflite-convert" if runtime == "litert" else "onnx-convert", runtime=runtime, threads=threads,
                       batch=batch)
    return Cell(made, result(made, median, width))


def test_the_best_cell_within_a_budget():
    found = Sweep("m", (cell(1e-3, 1), cell(4e-3, 8), cell(20e-3, 32), Cell(recipe.make(runtime="torch"), None, "no")),
                  True, False)
    assert found.best().recipe.batch == 8, "most samples a second"
    assert found.best(4.1e-3).recipe.batch == 1, "the interval's upper end counts, not the median"
    assert found.best(1e-4) is None and found.quickest().recipe.batch == 1
    assert [s.budget_s for s in sweeps.SCENARIOS] == [0.033, 0.016, 0.010, 0.005, 1.0, 2.0]


def test_the_slider_picks_again_at_once_and_measures_nothing(engine, swept):
    view, runs = SweepView(swept[0]), len(engine.study)
    fast = swept[0].quickest()
    assert view.best == swept[0].best() and math.isinf(view.budget_s)
    begin = time.perf_counter()
    view.set_budget(fast.latency_s * 1.001)
    spent = time.perf_counter() - begin
    assert view.best.latency_s <= view.budget_s and view.scenario.value == "own budget"
    assert "Within" in view.answer.value and len(engine.study) == runs
    for scenario in sweeps.SCENARIOS:
        view.scenario.value = next(o for o in view.scenario.options if o.startswith(scenario.name))
        assert view.budget_s == pytest.approx(scenario.budget_s) and view.best is not None
    assert spent < 60  # it answers; how quickly is a matter of the machine


def test_the_view_measures_in_the_background(engine):
    view = sweep_view(engine, threads=(1,), batch=(3,), runtimes=("onnxruntime",))
    assert view.button.description == "Measure 1 cell" and "Nothing measured" in view.answer.value
    view.start()
    view.wait()
    assert view.sweep.complete and view.sweep.cells[0].measured and view.button.description == "All measured"
    assert "ONNX Runtime" in view.answer.value
    view.load_button.click()
    assert view.load_button.disabled and view.button.description == "Cancel"
    view.wait()
    assert "to one client" in view.loaded.value and not view.load_button.disabled


def test_the_heat_map_says_everything_in_the_cell_or_on_hover():
    reason = "PyTorch runs torch.export <only>"
    cells = (cell(1e-3, 1), cell(4e-3, 8), Cell(recipe.make(runtime="torch", threads=1), None, reason),
             cell(2e-3, 1, "onnxruntime"), Cell(recipe.make(runtime="onnxruntime", threads=1, batch=8)))
    found = sweep_figures.heat_map(Sweep("m", cells, False, True), 3e-3)
    assert found.rows == ("LiteRT · 1 thread", "PyTorch · 1 thread", "ORT · 1 thread") and found.columns == (1, 8)
    by_place = {(c.row, c.column): c for c in found.cells}
    assert found.best == (0, 0) and by_place[0, 0].inside and not by_place[0, 1].inside
    assert by_place[0, 0].text == "1.00 ms · 1000/s" and "950 µs to 1.05 ms" in by_place[0, 0].hover
    assert by_place[1, 0].state == "barred" and "&lt;only&gt;" in by_place[1, 0].hover
    assert by_place[2, 1].state == "open" and by_place[0, 1].shade == 1
    for mode in ("light", "dark"):
        drawn = sweep_figures.heat_figure(found, figures.View(mode=mode))
        words = [a.text for a in drawn.layout.annotations]
        assert "<b>1.00 ms · 1000/s</b>" in words and "RANDOM INPUTS" in words and "– cannot run" in words
        assert len(drawn.layout.shapes) == 3  # the ring, and a line between runtimes


# --- the load test --------------------------------------------------------------------------------------------------


def test_a_load_test_is_told_in_a_sentence_and_a_figure():
    def level(n, rate, gain=None):
        return Load(n, Estimate(rate, rate * 0.9, rate * 1.1), Estimate(n / rate, n / rate, n / rate), {"p90": None},
                    gain, 100, 1000)

    found = LoadTest("ORT", recipe.make(runtime="onnxruntime"), False,
                     (level(1, 1000.0), level(2, 1800.0, Estimate(1.8, 1.7, 1.9))), True)
    assert "1.80x (1.70x to 1.90x)" in found.sentence and "1800/s to 2" in found.sentence
    one_client = found._replace(levels=found.levels[:1])
    assert "bring nothing" in one_client.sentence
    drawn = resource_figures.load_figure(found)
    assert list(drawn.data[1].y) == [1000.0, 1800.0] and drawn.data[1].error_y.array[0] == pytest.approx(100)
    assert show(found).pane.spec["data"]


def test_a_model_under_load(engine):
    found = load_test(engine, recipe.make(runtime="onnxruntime", threads=1), clients=(2,))
    assert [n.clients for n in found.levels] == [1, 2] and "ONNX Runtime" in found.sentence and found.is_random


# --- the shell ----------------------------------------------------------------------------------------------------


def test_the_commands_print_text_and_json(tmp_path, capsys):
    study = str(tmp_path / "s.sqlite")
    model = str(classifier(tmp_path / "m.onnx"))
    asked = ["sweep", model, "--threads", "1", "--batch", "1", "--runtimes", "onnxruntime,torch", "--study", study]
    assert cli.main(asked) == 0
    shown = capsys.readouterr()
    assert "cannot run  1 cell: PyTorch runs" in shown.out and "video, 30 frames a second" in shown.out
    assert cli.main([*asked, "--budget-ms", "1000", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["complete"] and told["best"]["runtime"] == "onnxruntime" and told["cells"][0]["reused"]
    assert told["best"]["interval_s"][0] <= told["best"]["median_s"] <= told["best"]["interval_s"][1]
    assert len(told["scenarios"]) == len(sweeps.SCENARIOS)
    assert cli.main(["sweep", "mlp", "--threads", "one"]) == 2 and "--threads 'one'" in capsys.readouterr().err
    assert cli.main(["sweep", "mlp", "--budget-ms", "-1"]) == 2
    assert cli.main(["load", model, "--clients", "2", "--seconds", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [n["clients"] for n in told["levels"]] == [1, 2] and told["levels"][1]["gain_interval"][0] > 0
    assert cli.main(["load", model, "--clients", "many"]) == 2 and "--clients 'many'" in capsys.readouterr().err


def test_physical_threads_are_among_the_default_counts(engine):
    found = sweeps.cells(engine, batch=(1,), runtimes=("onnxruntime",))
    assert {c.recipe.threads for c in found} == {1, environment.physical_threads()}

