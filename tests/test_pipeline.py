"""The served model: stages in a worker, post-processing against references, thresholds, a monitor with a log."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from PIL import Image, ImageDraw

from tests.small_onnx import classifier
from workbench import bundled, datasets, load, pipeline, recipe
from workbench.errors import InputError, WorkerError
from workbench.pipeline import Boxes, Monitor, Pipeline, Scores, clean_boxes, detect, from_centres, read, suppress
from workbench.pipeline import steps as post
from workbench.pipeline.thresholds import at, best_threshold, curve
from workbench.views import figures, pipeline_figures
from workbench.views.monitor_view import ReplayView
from workbench.views.show import show
from workbench.views.threshold_view import ThresholdView

RNG = np.random.default_rng(0)
ORT = recipe.make(runtime="onnxruntime", threads=1)


@pytest.fixture(scope="module")
def served():
    with Pipeline("cnn", ORT) as made:
        yield made


# --- post-processing ----------------------------------------------------------------------------------------------


def test_softmax_is_stable_and_not_applied_twice():
    logits = np.array([[1000.0, 1001.0], [-1e4, 0.0], [3.0, 3.0]])
    found = post.softmax(logits)
    assert np.allclose(found.sum(1), 1) and found[0, 1] == pytest.approx(1 / (1 + np.exp(-1)))
    assert np.array_equal(post.probabilities(found), found.astype(np.float32)), "probabilities stay as they are"
    assert np.allclose(post.probabilities(np.array([0.2, 0.9]))[:, 1], [0.2, 0.9], atol=1e-6)
    assert post.probabilities(np.array([[-700.0], [700.0]]))[:, 1].tolist() == pytest.approx([0, 1])
    with pytest.raises(InputError, match="a classifier's is"):
        post.probabilities(np.zeros((2, 3, 4)))


def test_a_sample_with_nan_gets_no_answer():
    steps = post.classify(("a", "b", "c"), k=2, threshold=0.1)
    value = {"scores": np.array([[0.7, 0.2, 0.1], [np.nan, 0.5, 0.5], [0.05, 0.05, 0.9]], np.float32)}
    for step in steps:
        value = step.run(value)
    assert [[p.label for p in row] for row in value] == [["a", "b"], [], ["c"]]
    assert value[0][0].score == pytest.approx(0.7) and value[0][0].index == 0
    assert [s.name for s in steps] == ["softmax", "clean", "threshold and top-k", "labels"]


def test_settings_out_of_range_are_one_line():
    with pytest.raises(InputError, match="k is at least 1"):
        post.classify(k=0)
    with pytest.raises(InputError, match="between 0 and 1"):
        detect(lambda outputs: [], iou=1.5)
    with pytest.raises(InputError, match="no output 'y'; it has: x"):
        post.chosen({"x": np.zeros(1)}, "y")


def boxes(n, classes, seed):
    rng = np.random.default_rng(seed)
    centres = np.column_stack([rng.random((n, 2)) * 60, 5 + rng.random((n, 2)) * 40]).astype(np.float32)
    scores = np.round(rng.random(n), 2).astype(np.float32) + np.float32(0.005)  # with ties
    return Boxes(from_centres(centres), scores, rng.integers(0, classes, n))


def reference_nms(found, iou, most, classes):
    """ONNX's own reference implementation of NonMaxSuppression."""
    ends = [helper.make_tensor_value_info(n, t, None) for n, t in (
        ("boxes", TensorProto.FLOAT), ("scores", TensorProto.FLOAT), ("most", TensorProto.INT64),
        ("iou", TensorProto.FLOAT), ("least", TensorProto.FLOAT))]
    node = helper.make_node("NonMaxSuppression", [e.name for e in ends], ["kept"])
    out = helper.make_tensor_value_info("kept", TensorProto.INT64, None)
    graph = helper.make_graph([node], "g", ends, [out])
    run = ReferenceEvaluator(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))
    scores = np.zeros((1, classes, len(found.scores)), np.float32)
    scores[0, found.classes, np.arange(len(found.scores))] = found.scores
    kept = run.run(None, {"boxes": found.corners[None], "scores": scores, "most": np.array([most]),
                          "iou": np.array([iou], np.float32), "least": np.array([0.0], np.float32)})[0]
    return {int(i) for _, _, i in kept}


@pytest.mark.parametrize("iou", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("most", [2, 1000])
def test_suppression_agrees_with_onnx(iou, most):
    for seed in range(6):
        found = boxes(40, 3, seed)
        found = found._replace(scores=found.scores + np.arange(40, dtype=np.float32) * 1e-4)  # ties have no order there
        kept = suppress(found, iou=iou, most=most)
        expected = reference_nms(found, iou, most, 3)
        assert {tuple(b) for b in kept.corners.tolist()} == {tuple(found.corners[i].tolist()) for i in expected}
        assert (np.diff(kept.scores) <= 0).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 30), st.integers(1, 4), st.integers(0, 10_000), st.floats(0.05, 0.95))
def test_suppression_keeps_exactly_what_brute_force_keeps(n, classes, seed, iou):
    found = boxes(n, classes, seed)

    def area(b):
        return (b[2] - b[0]) * (b[3] - b[1])

    def overlap(a, b):
        shared = (max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3]))
        inside = max(0.0, shared[2] - shared[0]) * max(0.0, shared[3] - shared[1])
        return inside / (area(a) + area(b) - inside)

    expected = []
    for i in sorted(range(n), key=lambda i: -found.scores[i]):  # stable: ties keep their order
        rivals = [j for j in expected if found.classes[j] == found.classes[i]]
        if all(overlap(found.corners[i], found.corners[j]) <= iou for j in rivals):
            expected.append(i)
    kept = suppress(found, iou=iou)
    assert np.array_equal(kept.corners, found.corners[expected]) and np.array_equal(kept.scores, found.scores[expected])


def test_broken_and_repeated_boxes_go():
    corners = np.array([[0, 0, 4, 4], [0, 0, 4, 4], [0, 0, 4, 4], [np.nan, 0, 1, 1], [5, 5, 5, 9], [1, 1, 2, 2]], float)
    found = clean_boxes(Boxes(corners, np.array([0.5, 0.9, 0.8, 1, 1, 0.1]), np.array([1, 1, 2, 1, 1, 1])), 0.2)
    assert found.scores.tolist() == [0.9, 0.8] and found.classes.tolist() == [1, 2]
    assert len(clean_boxes(Boxes(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int))).scores) == 0


# --- the forward pass ---------------------------------------------------------------------------------------------


def test_a_request_gets_predictions_and_the_time_of_every_stage(served):
    sample = served.samples(3)[2]
    label = served.dataset.evaluation.labels[2]
    answer = served(sample)
    assert answer.value[0][0].index == label and answer.value[0][0].label == served.dataset.class_names[label]
    assert list(answer.seconds) == ["preprocess", "forward", "softmax", "clean", "threshold and top-k", "labels",
                                    "hand-over"]
    assert all(s >= 0 for s in answer.seconds.values()) and answer.seconds["forward"] > 0
    assert answer.latency_s == pytest.approx(sum(answer.seconds.values()) - answer.seconds["hand-over"])
    assert answer.rss_bytes > 1e6


def test_no_framework_loads_in_the_kernel(tmp_path):
    code = ("import sys, numpy\nfrom workbench.pipeline import Pipeline\n"
            "with Pipeline(sys.argv[1]) as p: p(numpy.zeros((1, 10), numpy.float32))\n"
            "print([m for m in ('tensorflow', 'onnxruntime', 'torch', 'openvino', 'ipywidgets') if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code, str(classifier(tmp_path / "m.onnx"))], capture_output=True,
                          text=True, cwd=Path(__file__).parents[1])
    assert done.stdout.strip() == "[]", done.stdout + done.stderr[-1000:]


def test_pictures_arrays_and_feeds_are_the_same_request(served, tmp_path):
    pixels = (served.samples(1)[0][served.model.inputs[0].name][0, ..., 0] * 255).round().astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "shirt.png")
    wanted = {served.model.inputs[0].name: pixels[None, ..., None].astype(np.float32) / 255}
    answers = [served(s).value[0] for s in (wanted, tmp_path / "shirt.png", Image.fromarray(pixels), pixels[..., None],
                                            wanted[served.model.inputs[0].name][0])]
    assert all([p.index for p in a] == [p.index for p in answers[0]] for a in answers)
    with pytest.raises(InputError, match="is no image"):
        served(object())
    with pytest.raises(InputError, match="not an image that can be read"):
        served(tmp_path / "no.png")


def test_stage_times_have_intervals_and_add_up(served):
    found = served.stage_times(requests=30)
    assert found.requests == 30 and list(found.stages)[-1] == "hand-over"
    assert all(e.low <= e.value <= e.high for e in found.stages.values())
    inside = sum(e.value for n, e in found.stages.items() if n != "hand-over")
    assert inside == pytest.approx(found.latency.value, rel=0.5)
    drawn = pipeline_figures.stages_figure(found)
    assert list(drawn.data[0].y) == list(found.stages)[:-1]
    assert "no part" not in show(found).children[0].value and "is not part of it" in show(found).children[0].value
    with pytest.raises(InputError, match="at least one sample"):
        served.stage_times([])


def test_a_closed_pipeline_says_so():
    with Pipeline("mlp", ORT) as made:
        assert made(made.samples(1)[0]).value[0]
    with pytest.raises(WorkerError, match="the pipeline is closed"):
        made(made.samples(1)[0])


def test_a_published_detector_finds_what_was_drawn(ocr_models):
    """A YOLOX detector that nobody here trained, with its decoding as a step of one's own."""
    model = load(next(p for p in ocr_models if "det" in p.name))
    side = 416
    rows = [(x, y, s) for s in (8, 16, 32) for y in range(side // s) for x in range(side // s)]
    x, y, stride = (np.array(v, np.float32) for v in zip(*rows, strict=True))

    def decode(outputs):
        found = next(iter(outputs.values()))[0]
        centres = np.column_stack([(found[:, 0] + x) * stride, (found[:, 1] + y) * stride,
                                   np.exp(found[:, 2]) * stride, np.exp(found[:, 3]) * stride])
        return Boxes(from_centres(centres), found[:, 4] * found[:, 5], np.zeros(len(found), int))

    def preprocess(image):
        return {model.inputs[0].name: np.asarray(image, np.float32).transpose(2, 0, 1)[None]}

    ground = np.zeros((220, side, 3), np.uint8) + np.array([0, 0, 120], np.uint8)
    ground[..., 0] = np.linspace(80, 220, side)
    ground[..., 1] = np.linspace(60, 180, 220)[:, None]
    image = Image.new("RGB", (side, side), (114, 114, 114))
    image.paste(Image.fromarray(ground))
    draw = ImageDraw.Draw(image)
    draw.text((60, 50), "K", fill=(20, 20, 160), font_size=80)
    draw.text((260, 110), "R", fill=(160, 20, 20), font_size=80)
    with Pipeline(model, ORT, preprocess=preprocess,
                  postprocess=detect(decode, ("text",), threshold=0.3, iou=0.45)) as made:
        answer = made(image)
    assert list(answer.seconds)[2:6] == ["decode", "clean", "suppress overlaps", "labels"]
    found = answer.value[0]
    assert len(found) == 2 and all(d.label == "text" and d.score >= 0.3 for d in found), found
    for cx, cy in ((88, 98), (288, 158)):
        assert sum(d.box[0] < cx < d.box[2] and d.box[1] < cy < d.box[3] for d in found) == 1, found


# --- thresholds ---------------------------------------------------------------------------------------------------


def scores(n=400, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    logits = rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[labels]
    return Scores.of(post.softmax(logits), labels, tuple("abcdefgh"[:classes]), "model")


@pytest.mark.parametrize("positive", [None, 0, 3])
def test_the_curve_is_what_counting_gives(positive):
    found = scores()
    over = curve(found, positive, 41)
    for i in range(0, 41, 4):
        one = at(found, float(over.thresholds[i]), positive)
        value = np.nan if one.precision.value is None else one.precision.value
        assert over.precision[i] == pytest.approx(value, nan_ok=True)
        assert over.recall[i] == pytest.approx(one.recall.value)
        if one.f1 is not None:
            assert over.f1[i] == pytest.approx(one.f1)
        assert one.matrix.sum() == one.samples == 400
    best = best_threshold(found, positive)
    assert at(found, best, positive).f1 >= np.nanmax(over.f1) - 1e-9


def test_one_class_against_the_rest_by_hand():
    found = Scores.of(np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.2, 0.8]]), np.array([0, 1, 1, 0]))
    one = at(found, 0.5, positive=1)
    assert one.matrix.tolist() == [[1, 1], [1, 1]] and one.precision.value == one.recall.value == one.f1 == 0.5
    assert one.precision.low < 0.5 < one.precision.high and one.rows == ("1", "rest")
    none = at(found, 0.95, positive=1)
    assert none.precision.value is None and none.recall.value == 0 and none.f1 is None


def test_broken_rows_answer_nothing_and_wrong_shapes_are_refused():
    rows = np.array([[np.nan, 1.0], [0.4, 0.6]])
    assert at(Scores.of(rows, np.array([1, 1])), 0.0).answered == 1
    assert curve(Scores.of(rows, np.array([1, 1]))).recall[0] == 0.5
    for wrong, labels in ((np.zeros((3, 1)), [0, 0, 0]), (np.zeros((3, 2)), [0, 1]), (np.zeros((2, 2)), [0, 2])):
        with pytest.raises(InputError):
            Scores.of(wrong, np.array(labels))
    with pytest.raises(InputError, match="allowed: 0 to 1"):
        at(scores(), 1.2)


def test_the_slider_moves_everything_from_stored_scores():
    found = pipeline.scores_of("cnn", ORT)
    assert found.probabilities.shape[1] == 10 and len(found.labels) == len(found.probabilities)
    view = ThresholdView(found)
    begin = time.perf_counter()
    view.slider.value = 0.9
    spent = time.perf_counter() - begin
    assert view.outcome.threshold == pytest.approx(0.9) and "At 0.900" in view.answer.value
    assert view.outcome.columns[-1] == "no answer" and view.outcome.matrix.shape == (10, 11)
    before = view.outcome
    view.which.value = 6
    view.button.click()
    assert view.outcome.columns == (found.class_names[6], "rest") and view.outcome.f1 != before.f1
    line = view.pane.spec["layout"]["shapes"][0]
    assert line["x0"] == pytest.approx(view.slider.value)
    assert spent < 60  # it answers; the quickness is seen in a benchmark, not asserted here
    drawn = pipeline_figures.threshold_figure(before, curve(found), figures.View(mode="dark"))
    assert drawn.data[3].z.shape == (10, 11)


def test_scores_need_labels():
    with pytest.raises(InputError, match="has no labels"):
        pipeline.scores_of("mlp", ORT, "random")


def test_two_classes_have_a_positive_one():
    model = bundled.model("mlp")
    found = pipeline.scores_of(model, ORT, datasets.load("mlp", model))
    view = ThresholdView(found)
    assert view.which.value == 1 and view.outcome.matrix.shape == (2, 2)


# --- the monitor --------------------------------------------------------------------------------------------------


def test_the_monitor_writes_a_log_that_can_be_replayed(served, tmp_path):
    heard = []
    monitor = Monitor(served, tmp_path / "logs" / "run.jsonl", span_s=0.05, on_point=heard.append)
    monitor.start(seconds=2.0)
    with pytest.raises(InputError, match="runs already"):
        monitor.start()
    monitor.wait()
    found = read(monitor.log)
    assert list(found.points) == heard == monitor.points and len(heard) >= 2 and found.ended == "time"
    assert found.about["model"] == "cnn" and found.about["machine"]
    for point in heard:
        assert point.requests >= 1 and point.latency_s > 0 and point.throughput_per_s > 0 and point.rss_bytes > 1e6
        assert "forward" in point.stages_s
    assert [p.t for p in heard] == sorted(p.t for p in heard)
    view = show(found)
    assert isinstance(view, ReplayView) and "Recorded" in view.answer.value
    view.slider.value = 0
    assert len(view.pane.spec["data"][1]["x"]) <= len(heard)


def test_the_monitor_stops_when_told(served, tmp_path):
    monitor = Monitor(served, tmp_path / "run.jsonl", span_s=0.02)
    view = show(monitor)
    view.start()
    view.stop()
    assert not monitor.running and read(monitor.log).ended == "stopped"


def test_a_log_that_was_cut_off_or_is_none(tmp_path):
    start = {"kind": "start", "version": 1, "name": "m", "created": "now"}
    point = dict(kind="point", t=0.5, requests=1, latency_s=0.1, p90_s=None, throughput_per_s=10.0, rss_bytes=5,
                 stages_s={"forward": 0.1})
    path = tmp_path / "log"
    path.write_text("\n".join([json.dumps(start), json.dumps(point), json.dumps(point)[:20]]))
    found = read(path)
    assert len(found.points) == 1 and found.ended == "" and "cut off" in show(found).answer.value
    for text, words in (("", "no log"), ("[1]", "no log"), (json.dumps({**start, "version": 9}), "version 9"),
                        (json.dumps(start) + "\n" + json.dumps({"kind": "point", "x": 1}), "damaged")):
        path.write_text(text)
        with pytest.raises(InputError, match=words):
            read(path)
    with pytest.raises(InputError, match="cannot read"):
        read(tmp_path / "none")
    with pytest.raises(InputError, match="there is no view of int"):
        show(3)
