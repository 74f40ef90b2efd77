"""The engine on a bundled model: real passes, real workers, results in the study."""

import threading
from dataclasses import replace

import pytest

from workbench import bundled, datasets, recipe
from workbench.engine import Engine
from workbench.measure import Measurement, Plan
from workbench.study import Study

INT8 = recipe.make("onnx-int8-static", runtime="onnxruntime", threads=1)


@pytest.fixture(scope="module")
def engine():
    model = bundled.model("mlp")
    with Engine(model, datasets.load("mlp", model), Study()) as made:
        yield made


def test_a_recipe_is_measured_beside_the_baseline_and_kept(engine):
    seen, heard = [], []
    results = engine.measure([INT8], on_result=seen.append, on_progress=heard.append)
    base, mine = results
    assert base.is_baseline and base.recipe == engine.baseline and base.ratio == 1.0
    assert mine.recipe.key == engine.complete(INT8).key and mine.status == "ok"
    assert mine.verdict in ("faster", "slower", "undecided") and mine.ratio_interval[0] < mine.ratio_interval[1]
    assert mine.fidelity.metric_name == "accuracy" and mine.fidelity.metric > 0.8
    assert mine.size_bytes > 0 and mine.compressed_bytes > 0 and len(mine.rounds) >= 3
    assert [r.run_id for r in seen] == [r.run_id for r in results]
    assert any(p.partial is not None and p.partial.median_s for p in heard)
    assert all(0 <= p.fraction <= 1 for p in heard) and heard[-1].fraction == 1
    assert {r.run_id for r in engine.results()} == {base.run_id, mine.run_id}


def test_measuring_again_adds_samples(engine):
    engine.measure([INT8])
    before = engine.find(INT8)
    engine.measure([INT8])
    after = engine.find(INT8)
    assert after.samples > before.samples and after.run_id != before.run_id


def test_what_cannot_be_built_is_a_failed_result_with_a_reason(engine):
    wrong = recipe.make("tflite-int8", runtime="onnxruntime")
    failed = engine.measure([wrong])[-1]
    assert failed.status == "failed" and engine.problem(wrong) == failed.reason
    assert len(failed.reason) > 20 and "\n" not in failed.reason
    assert engine.find(wrong).status == "failed"


def test_larger_batches_are_compared_with_a_baseline_of_that_batch(engine):
    base, mine = engine.measure([replace(INT8, batch=8)])
    assert base.recipe.batch == mine.recipe.batch == 8 and base.is_baseline


def test_cancel_keeps_what_is_finished_and_stops_soon(engine):
    cancel = threading.Event()
    engine.plan, plan = replace(Plan.default(), rounds_min=100_000, rounds_max=200_000, max_s=120), engine.plan
    try:
        stopped = engine.measure([recipe.make("onnx-convert", runtime="onnxruntime")], cancel=cancel,
                                 on_progress=lambda p: cancel.set() if p.partial is not None else None)
    finally:
        engine.plan = plan
    assert stopped and all(r.stopped == "cancelled" for r in stopped)
    assert all(r.fidelity is None for r in stopped if not r.is_baseline)


def test_what_was_cancelled_before_an_interval_can_be_given_is_not_kept(engine, monkeypatch):
    def one_round(candidates, feeds, **more):
        return {c.id: Measurement(status="cancelled", reason="cancelled", stopped="cancelled", rounds=[[1e-4, 2e-4]])
                for c in candidates}

    monkeypatch.setattr("workbench.engine.measure", one_round)
    asked = recipe.make("onnx-convert", runtime="onnxruntime", threads=1, batch=2)
    assert engine.measure([asked]) == [] and engine.find(asked) is None


def test_an_old_study_is_shown_without_measuring(tmp_path):
    model = bundled.model("mlp")
    data = datasets.load("mlp", model)
    path = tmp_path / "s.sqlite"
    with Engine(model, data, Study(path)) as first:
        first.measure([INT8])
    with Engine(model, data, Study(path)) as second:
        assert second.find(INT8).status == "ok" and len(second.results()) == 2
        assert Study(path).models()[model.sha256]["name"] == "mlp"
