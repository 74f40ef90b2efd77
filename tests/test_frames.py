"""What the trade-off shows: fronts that respect intervals, names, sentences, rows, toggles, labels, figures."""

import dataclasses
import math
import random
from datetime import datetime

import pytest

from workbench import bundled, variant
from workbench import passes as pass_registry
from workbench import recipe as recipes
from workbench.errors import InputError
from workbench.export import report_svg
from workbench.runtimes import registry
from workbench.views import choices, figures, frames, labels, panes, sentences, theme
from workbench.views.widgets import table

from .view_parts import BASE, LITERT_INT8, ORT, ORT_INT8, fidelity, result


def shown(*results, **more):
    return frames.tradeoff(results, **more)


BASELINE = result(BASE, 8e-3, ratio=1.0)
FAST = result(LITERT_INT8, 1e-3, ratio=0.125, verdict="faster", fidelity=fidelity(0.898, -0.002))
SLOW = result(ORT_INT8, 20e-3, ratio=2.5, verdict="slower", fidelity=fidelity(0.9, 0.0))


def test_an_interval_that_says_nothing_is_drawn_as_none():
    """As a study of other origin may hold it, of one round alone."""
    nothing = dataclasses.replace(FAST, interval_s=(0.0, math.inf), ratio_interval=(0.0, math.inf))
    told = shown(BASELINE, nothing)
    point = told.point(FAST.recipe.key)
    assert point.latency_interval_s == (point.latency_s,) * 2 and point.speedup_interval is None
    assert figures.tradeoff_figure(told).data
    assert "<svg" in report_svg.tradeoff(told, tried=(point,))


# --- the front ---------------------------------------------------------------------------------------------------


def test_surely_slower_and_no_better_is_dominated():
    points = {p.key: p for p in shown(BASELINE, FAST, SLOW).points}
    assert points[SLOW.recipe.key].standing == "dominated"
    assert points[FAST.recipe.key].standing == "front"


def test_overlapping_latency_intervals_are_never_dominated():
    near = result(ORT, 8.1e-3, width=0.05, ratio=1.01, verdict="undecided")
    point = shown(BASELINE, near).point(ORT.key)
    assert point.standing == "undecided", "behind by the estimates, but the intervals overlap"


def test_less_accurate_within_the_interval_does_not_dominate():
    faster_but_lower = shown(BASELINE, FAST).baseline
    assert faster_but_lower.standing == "front", "0.2 points less, interval +-0.4: nothing is proved"


def test_dominates_agrees_with_a_plain_reading_of_the_rule():
    rng = random.Random(1)
    made = shown(BASELINE, FAST).points[0]
    for _ in range(500):
        draws = [(rng.uniform(1, 3), rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(0, 0.3)) for _ in range(2)]
        a, b = (made._replace(latency_s=x, latency_interval_s=(x - w, x + w), quality=q,
                              quality_interval=(q - v, q + v)) for x, w, q, v in draws)
        if frames.dominates(a, b):
            assert a.latency_s <= b.latency_s and a.quality >= b.quality
            assert a.latency_interval_s[1] < b.latency_interval_s[0] or a.quality_interval[0] > b.quality_interval[1]
            assert not frames.dominates(b, a)


def test_front_steps_up_from_the_fastest():
    front = shown(BASELINE, FAST, SLOW).front
    assert front == ((1e-3, 0.898), (8e-3, 0.9))


def test_machines_and_batches_never_share_a_plot():
    elsewhere = result(ORT, 1e-4, machine="machine-two", created="2026-11-23T06:00:00+00:00")
    batched = result(recipes.make(runtime="tensorflow", threads=2, batch=32), 50e-3)
    found = shown(BASELINE, elsewhere, batched)
    assert [p.key for p in found.points] == [BASE.key]
    assert found.others == 1
    assert [p.key for p in shown(BASELINE, elsewhere, batched, batch=32).points] == [batched.recipe.key]


def test_failed_variants_are_failures_not_points():
    failed = result(ORT, status="failed", reason="worker crashed: signal 11")
    found = shown(BASELINE, failed)
    assert [f.reason for f in found.failures] == ["worker crashed: signal 11"]
    assert found.point(ORT.key) is None
    assert frames.rows([BASELINE, failed], found)[-1].status == "failed"


def test_live_results_replace_stored_ones_and_keep_their_fidelity():
    live = dataclasses.replace(result(LITERT_INT8, 1.2e-3, ratio=0.15, verdict="faster"), fidelity=None, size_bytes=0)
    point = shown(BASELINE, FAST, live=[live]).point(LITERT_INT8.key)
    assert point.live and point.latency_s == 1.2e-3
    assert point.quality == 0.898 and point.size_bytes == FAST.size_bytes


def test_speed_interval_is_the_inverse_of_the_ratio():
    point = shown(BASELINE, FAST).point(LITERT_INT8.key)
    assert point.speedup == pytest.approx(8.0)
    assert point.speedup_interval == pytest.approx((8 / 1.02, 8 / 0.98))


def test_variants_checked_on_other_samples_compare_by_their_paired_change():
    half = dataclasses.replace(fidelity(0.88, -0.002), samples=1000)  # on these, the baseline itself has 0.882
    point = shown(BASELINE, dataclasses.replace(FAST, fidelity=half)).point(LITERT_INT8.key)
    assert point.quality == pytest.approx(0.9 - 0.002)
    assert point.quality_interval == pytest.approx((0.894, 0.902))


def test_random_inputs_are_said():
    assert shown(dataclasses.replace(BASELINE, data_sha256="random")).is_random
    assert not shown(BASELINE).is_random


# --- names and sentences ----------------------------------------------------------------------------------------


def test_names_speak_of_precision_and_runtime_not_of_files():
    assert frames.name_of(LITERT_INT8, 2) == "INT8 static on LiteRT"
    assert frames.name_of(ORT_INT8, 2) == "INT8 static on ONNX Runtime"
    assert frames.name_of(ORT, 2) == "ONNX Runtime"
    assert frames.name_of(ORT, 4) == "ONNX Runtime, 2 threads"
    assert frames.short_name(ORT_INT8, 2) == "ORT INT8 static"
    assert frames.precision_of(LITERT_INT8) == "int8"
    assert frames.precision_of(ORT) == "float32"


@pytest.mark.parametrize("results,key,text,tone", [
    ((), LITERT_INT8, "Nothing measured yet", "plain"),
    ((BASELINE, FAST), LITERT_INT8, "INT8 static on LiteRT is 8.0x faster (7.8 to 8.2) at −0.2 points (−0.6 to +0.2).",
     "faster"),
    ((BASELINE, SLOW), ORT_INT8, "INT8 static on ONNX Runtime is 2.5x slower (2.45 to 2.55)", "slower"),
    ((BASELINE, result(ORT, 8e-3, ratio=1.0, verdict="undecided")), ORT, "undecided: between 0.98x and 1.02x",
     "undecided"),
    ((BASELINE, FAST), ORT, "ONNX Runtime is not measured yet. Fastest so far: INT8 static on LiteRT", "plain"),
    ((BASELINE, FAST), BASE, "Baseline: TensorFlow (function) takes 8.00 ms (7.84 to 8.16 ms) with 90.0 % accuracy",
     "plain"),
    ((BASELINE, result(ORT, status="failed", reason="out of memory")), ORT, "ONNX Runtime failed: out of memory",
     "failed"),
])
def test_headline_says_it_in_plain_words(results, key, text, tone):
    found = sentences.headline(shown(*results), key.key, frames.name_of(key, 2))
    assert text in found.text
    assert found.tone == tone


def test_a_fast_variant_that_lost_its_accuracy_is_not_recommended():
    broken = result(LITERT_INT8, 1e-3, ratio=0.125, verdict="faster", fidelity=fidelity(0.2, -0.7))
    assert "Fastest so far" not in sentences.headline(shown(BASELINE, broken), ORT.key, "x").text


def test_interval_digits_grow_until_the_ends_differ():
    assert sentences.span(12.96, 13.31) == "13.0 to 13.3"
    assert sentences.span(4.7, 5.1) == "4.7 to 5.1"
    assert sentences.span(0.145, 0.186) == "0.14 to 0.19"


# --- toggles ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cnn():
    return bundled.model("cnn")


@pytest.mark.parametrize("precision,runtime", [
    (p.id, r) for p in choices.precisions() for r in ("onnxruntime", "litert", "tensorflow") if choices.runs(p.id, r)])
def test_selection_and_recipe_are_each_others_inverse(cnn, precision, runtime):
    selection = choices.Selection(precision=precision, runtime=runtime, threads=2)
    complete = variant.complete(cnn, choices.to_recipe(selection))
    assert choices.from_recipe(complete) == selection
    assert variant.complete(cnn, choices.to_recipe(choices.from_recipe(complete))) == complete


def test_one_precision_means_each_runtimes_own_pass():
    assert choices.precision_pass("int8-static", "onnxruntime") == "onnx-int8-static"
    assert choices.precision_pass("int8-static", "litert") == "tflite-int8"
    assert choices.precision_pass("int8-static", "tensorflow") is None


def test_a_precision_takes_its_runtime_along_and_says_so():
    moved, note = choices.change(choices.Selection(runtime="tensorflow"), "precision", "int8-static")
    assert moved.runtime == "onnxruntime"
    assert "Runtime moved to ONNX Runtime: TensorFlow has no INT8 static" in note
    back, note = choices.change(moved, "runtime", "tensorflow")
    assert back.precision == choices.FLOAT and "Precision back to float32" in note


def test_a_graph_pass_takes_its_runtime_along_too():
    moved, note = choices.change(choices.Selection(runtime="tensorflow"), "graph", "onnx-graph-level")
    assert (moved.runtime, moved.checks) == ("onnxruntime", ("onnx-graph-level",))
    assert note.startswith("Runtime moved to ONNX Runtime")
    gone, note = choices.change(moved, "runtime", "litert")
    assert gone.checks == () and "is off" in note


def test_every_precision_pass_of_the_registry_is_in_the_rail():
    names = [n for n, _, _ in pass_registry.PASSES if pass_registry.get(n).group == "precision"]
    assert sorted(names) == sorted(n for row in choices.precisions() for n in row.passes)


def test_every_runtime_of_the_registry_is_in_the_rail_and_the_unusable_say_why(cnn, monkeypatch):
    missing = registry.missing
    monkeypatch.setattr(registry, "missing", lambda name: "pip install it" if name == "litert" else missing(name))
    groups = {g.id: g for g in choices.groups(choices.Selection(runtime="tensorflow"), problem_of(cnn), 4)}
    found = {c.id: c for c in groups["runtime"].choices}
    assert list(found) == [r.name for r in registry.RUNTIMES]
    assert found["litert"].reason == "pip install it"
    assert [c.id for c in groups["threads"].choices] == ["1", "2", "4"]


def test_settings_become_controls_and_go_into_the_recipe(cnn):
    selection = choices.Selection(precision="int8-static", runtime="onnxruntime")
    precision = next(g for g in choices.groups(selection, problem_of(cnn), 2) if g.id == "precision")
    chosen = next(c for c in precision.choices if c.on)
    assert {f.name for f in chosen.fields} == set(pass_registry.get("onnx-int8-static").Settings.bounds())
    flag = next(f for f in chosen.fields if f.kind == "bool")
    changed = choices.with_setting(selection, chosen.owner, flag.name, not flag.value)
    step = next(s for s in choices.to_recipe(changed).steps if s.name == "onnx-int8-static")
    assert getattr(step.settings, flag.name) is not flag.value
    assert choices.with_setting(changed, chosen.owner, flag.name, flag.value) == selection


def test_a_setting_out_of_range_is_refused_with_what_is_allowed():
    name = next(iter(pass_registry.get("onnx-int8-static").Settings.defaults()))
    with pytest.raises(InputError, match="onnx-int8-static"):
        choices.with_setting(choices.Selection(), "onnx-int8-static", name, ["nonsense"])


def test_gpu_is_disabled_with_a_reason_where_there_is_none():
    group = choices.device_group(choices.Selection(runtime="onnxruntime"))
    assert [c.id for c in group.choices] == ["cpu", "gpu"]
    reasons = registry.adapter("onnxruntime").devices()
    assert group.choices[1].reason == (reasons["gpu"] or "")


def problem_of(model):
    return lambda recipe: variant.problem(model, variant.complete(model, recipe))


# --- labels and figures -------------------------------------------------------------------------------------------


def shared(a, b):
    """Area that two boxes have in common."""
    width, height = min(a.right, b.right) - max(a.left, b.left), min(a.bottom, b.bottom) - max(a.top, b.top)
    return max(0.0, width) * max(0.0, height)


def test_placed_labels_overlap_neither_each_other_nor_markers():
    rng = random.Random(3)
    anchors = [labels.Anchor(rng.uniform(0, 600), rng.uniform(0, 300), 8, f"variant {i}") for i in range(25)]
    placed = labels.place(anchors, 600, 300, 12)
    kept = [p.box for p in placed if p.fits]
    assert len(kept) >= 12
    for i, box in enumerate(kept):
        area = (box.right - box.left) * (box.bottom - box.top)
        assert sum(shared(box, other) for other in kept[:i]) < 0.13 * area


def test_a_crowded_dominated_point_loses_its_label_and_an_important_one_moves():
    anchors = [labels.Anchor(300 + i, 150, 8, "a long name of a variant", may_move=i < 5) for i in range(30)]
    placed = labels.place(anchors, 600, 300, 12)
    assert any(p.far for p in placed[:5] if p.fits)
    assert not all(p.fits for p in placed)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_figure_draws_points_intervals_failures_and_front(mode):
    failed = result(ORT, status="failed", reason="no kernel for <Op>")
    content = shown(BASELINE, FAST, SLOW, failed)
    figure = figures.tradeoff_figure(content, figures.View(mode=mode), selected=LITERT_INT8.key, samples=(1e-3, 1.1e-3))
    traces = {t.name: t for t in figure.data}
    assert set(traces["variants"].ids) == {BASE.key, LITERT_INT8.key}
    assert list(traces["dominated"].ids) == [ORT_INT8.key]
    assert traces["variants"].error_x.array[0] == pytest.approx(0.02)
    assert list(traces["failed"].ids) == [ORT.key]
    assert "&lt;Op&gt;" in traces["failed"].customdata[0]
    assert len(traces["front"].x) == 2 and traces["front"].line.shape == "hv"
    assert len(traces["samples"].x) == 2
    assert figure.layout.xaxis.type == "log"
    texts = " ".join(a.text for a in figure.layout.annotations)
    assert "latency, ms (log)" in texts and "accuracy, %" in texts and "TF" in texts
    assert figure.layout.template.layout.paper_bgcolor == "rgba(0,0,0,0)"


def test_random_inputs_watermark_the_figure_and_real_ones_do_not():
    def texts(*results):
        return [a.text for a in figures.tradeoff_figure(shown(*results)).layout.annotations]

    assert "RANDOM INPUTS" in texts(dataclasses.replace(BASELINE, data_sha256="random"))
    assert "RANDOM INPUTS" not in texts(BASELINE)


def test_verdict_is_the_fill_and_never_colour_alone():
    undecided = result(ORT, 7e-3, ratio=0.98, verdict="undecided")
    figure = figures.tradeoff_figure(shown(BASELINE, FAST, undecided))
    trace = next(t for t in figure.data if t.name == "variants")
    fills = dict(zip(trace.ids, trace.marker.color, strict=True))
    assert fills[ORT.key] == theme.GROUND["light"], "hollow"
    assert fills[LITERT_INT8.key] == theme.color("int8")
    assert len(set(trace.marker.symbol)) == 3


def test_marker_area_follows_the_size():
    assert figures.marker_size(4_000_000, 4_000_000) == pytest.approx(2 * figures.marker_size(1_000_000, 4_000_000))


@pytest.mark.parametrize("low,high", [(0.01, 0.02), (0.3, 40), (1, 1.05), (100, 90_000)])
def test_ticks_are_round_few_and_inside(low, high):
    a, b = figures._latency_range(low, high)
    ticks = figures._ticks(a, b, 9)
    assert 1 <= len(ticks) <= 9
    assert all(10**a <= t <= 10**b for t in ticks)


def test_an_empty_study_still_draws_its_axes():
    figure = figures.tradeoff_figure(shown())
    assert any("Nothing measured yet" in a.text for a in figure.layout.annotations)


# --- panes --------------------------------------------------------------------------------------------------------


def test_panes_escape_what_comes_from_files():
    evil = "<img src=x onerror=alert(1)>"
    bad = result(ORT, status="failed", reason=evil, stages=({"name": evil, "format": evil, "notes": [evil]},))
    assert "<img" not in panes.stages(bad, evil) + panes.log([panes.Entry(datetime.now(), evil)])
    assert "&lt;img" in panes.stages(bad, "")


def test_accuracy_pane_lists_changed_predictions():
    found = panes.accuracy(dataclasses.replace(FAST, fidelity=fidelity(0.898, -0.002, changed=(3, 17))), shown(FAST))
    assert "2 of 2000 predictions changed; samples 3, 17" in found
    assert "−0.2 points (−0.6 to +0.2)" in found


def test_timing_pane_says_when_the_tail_is_not_known():
    found = panes.timing(dataclasses.replace(FAST, percentiles_s={"p90": 1.1e-3, "p99": None}), BASELINE, (1e-3,) * 9,
                         (8e-3,) * 9)
    assert "1.10 ms" in found and "too few samples" in found and "<svg" in found


def test_processor_in_a_few_words():
    line = panes.cpu_line({"cpu_model": "AMD EPYC 7B13 64-Core Processor", "usable_cores": 2, "isa": ["avx2", "fma"]})
    assert line == "EPYC 7B13, 2 cores, AVX2"
    assert "VNNI" in panes.cpu_line({"cpu_model": "Intel(R) Xeon(R) CPU @ 2.20GHz", "isa": ["avx2", "avx512_vnni"]})


def test_the_size_of_the_download_stands_beside_the_latency():
    pruned = dataclasses.replace(FAST, size_bytes=900_000, compressed_bytes=250_000)
    found = shown(BASELINE, pruned)
    row = next(r for r in frames.rows([BASELINE, pruned], found) if r.key == LITERT_INT8.key)
    drawn = table.row(row, found)
    assert (drawn["cells"]["size"], drawn["cells"]["packed"]) == ("900 kB", "250 kB")
    assert [c["id"] for c in table.columns(found)][-2:] == ["size", "packed"]
    assert "900 kB on disk, 250 kB compressed" in figures.hover_text(found.point(LITERT_INT8.key), found)
    assert "900 kB, 250 kB" in panes.timing(pruned, BASELINE)
