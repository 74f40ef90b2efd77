"""Fidelity tells good variants from bad ones, and never praises a broken one."""

import math

import numpy as np
import pytest

from workbench.errors import InputError
from workbench.fidelity import Pair as P
from workbench.fidelity import evaluate, predictions, similarity

RNG = np.random.default_rng(7)


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return (e / e.sum(axis=-1, keepdims=True)).astype(np.float32)


@pytest.fixture
def scores():
    return softmax(RNG.normal(size=(200, 10)) * 2)


def noisy(array, size):
    return (array + RNG.normal(size=array.shape) * size).astype(array.dtype)


def test_identical_outputs_are_perfect(scores):
    found = evaluate({"y": scores.copy()}, {"y": scores})
    assert (found.metric_name, found.samples, found.metric, found.cosine_mean, found.cosine_p5) == (
        "cosine", 200, 1.0, 1.0, 1.0)
    assert found.sqnr_db == math.inf and found.top1_agreement == 1.0 and found.changed == () and found.notes == ()
    assert found.metric_interval == (1.0, 1.0) and found.delta == 0.0


def test_cosine_and_sqnr_equal_their_definitions():
    theirs = RNG.normal(size=(50, 3, 4)).astype(np.float32)
    ours = noisy(theirs, 0.3)
    found = evaluate({"y": ours}, {"y": theirs})
    a, b = ours.reshape(50, -1).astype(float), theirs.reshape(50, -1).astype(float)
    cosines = [x @ y / math.sqrt((x @ x) * (y @ y)) for x, y in zip(a, b, strict=True)]
    assert found.cosine_mean == pytest.approx(np.mean(cosines), rel=1e-12)
    assert found.cosine_p5 == pytest.approx(np.percentile(cosines, 5), rel=1e-12)
    assert found.sqnr_db == pytest.approx(10 * np.log10((b**2).sum() / ((a - b) ** 2).sum()), rel=1e-9)
    low, high = found.metric_interval
    assert low < found.metric < high and found.delta == pytest.approx(found.metric - 1)


def test_accuracy_is_paired_with_the_reference(scores):
    labels = scores.argmax(axis=1)
    labels[:40] = (labels[:40] + 1) % 10  # the reference is wrong on 40 of 200
    ours = scores.copy()
    ours[[100, 150]] = np.roll(ours[[100, 150]], 1, axis=1)  # two good ones lost
    ours[3] = np.eye(10, dtype=np.float32)[labels[3]]  # one bad one gained
    found = evaluate({"y": ours}, {"y": scores}, labels=labels)
    assert (found.metric_name, found.metric, found.delta) == ("accuracy", 159 / 200, pytest.approx(-1 / 200))
    assert found.changed == (3, 100, 150) and found.top1_agreement == 197 / 200
    assert found.metric_interval[0] < 159 / 200 < found.metric_interval[1]
    assert found.delta_interval[0] < -1 / 200 < 0 < found.delta_interval[1]


def test_an_interval_excludes_zero_when_accuracy_collapses(scores):
    found = evaluate({"y": np.roll(scores, 1, axis=1)}, {"y": scores}, labels=scores.argmax(axis=1))
    assert found.metric == 0.0 and found.delta == -1.0 and found.delta_interval[1] < -0.9


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_broken_variant_cannot_look_good(scores, bad):
    labels = scores.argmax(axis=1)
    ours = scores.copy()
    ours[:, 0] = bad
    for found in (evaluate({"y": ours}, {"y": scores}), evaluate({"y": ours}, {"y": scores}, labels=labels)):
        assert found.metric == 0.0 and found.cosine_mean == 0.0 and found.sqnr_db == -math.inf
        assert found.top1_agreement == 0.0 and len(found.changed) == 200
        assert any("200 of 200" in note for note in found.notes)


def test_nan_is_wrong_even_when_the_reference_has_it_too(scores):
    both = scores.copy()
    both[5] = np.nan
    found = evaluate({"y": both}, {"y": both.copy()})
    assert found.metric == pytest.approx(199 / 200) and found.changed == (5,) and found.notes


def test_masked_classes_are_no_defect(scores):
    theirs = scores.copy()
    theirs[:, 4] = -np.inf
    ours = theirs.copy()
    assert evaluate({"y": ours}, {"y": theirs}).metric == 1.0
    ours[:, 4] = -65504.0  # what float16 makes of it
    assert evaluate({"y": ours}, {"y": theirs}).metric == 1.0
    ours[:, 4] = 0.5
    assert evaluate({"y": ours}, {"y": theirs}).metric == 0.0


def test_zero_vectors():
    theirs = np.zeros((3, 4), np.float32)
    theirs[1:] = 1
    ours = theirs.copy()
    ours[2] = 0
    alike = similarity(P("y", ours, theirs))
    assert alike.share.tolist() == [1.0, 1.0, 0.0]
    assert evaluate({"y": theirs * 0 + 1}, {"y": theirs * 0}).sqnr_db == -math.inf


def test_scale_does_not_overflow_or_vanish():
    theirs = np.array([[1e200, 2e200], [1e-200, 3e-200]])
    found = evaluate({"y": theirs * 2}, {"y": theirs})
    assert found.cosine_mean == pytest.approx(1.0)


def test_integers_compare_by_equality():
    theirs = np.arange(40).reshape(20, 2)
    ours = theirs.copy()
    ours[:5, 1] += 1
    found = evaluate({"ids": ours}, {"ids": theirs})
    assert (found.metric_name, found.metric) == ("agreement", 0.875)
    assert found.changed == (0, 1, 2, 3, 4) and found.metric_interval[0] < 0.875 < found.metric_interval[1]
    same = evaluate({"ids": theirs}, {"ids": theirs.copy()})
    assert same.metric == 1.0 and same.sqnr_db == math.inf


def test_text_predictions_and_labels():
    theirs = np.array(["cat", "dog"] * 10)
    ours = theirs.copy()
    ours[0] = "dog"
    found = evaluate({"label": ours}, {"label": theirs}, labels=theirs)
    assert found.metric_name == "accuracy" and found.metric == 0.95 and found.changed == (0,)
    assert found.sqnr_db == -math.inf


def test_names_may_differ(scores):
    other = RNG.normal(size=(200, 4, 4)).astype(np.float32)
    by_suffix = evaluate({"aux": other, "probs:0": scores}, {"probs": scores, "aux": other})
    by_shape = evaluate({"output_0": other, "output_1": scores}, {"probs": scores, "aux": other})
    by_place = evaluate({"output_0": scores, "output_1": scores * 0}, {"probs": scores, "again": scores * 0})
    for found in (by_suffix, by_shape, by_place):
        assert found.metric == 1.0 and found.notes == ()


def test_axes_of_size_one_are_no_difference(scores):
    found = evaluate({"y": scores[:, :, None, None]}, {"y": scores}, labels=scores.argmax(axis=1)[:, None])
    assert found.metric_name == "accuracy" and found.metric == 1.0


def test_another_output_that_is_much_worse_is_named(scores):
    other = RNG.normal(size=(200, 8)).astype(np.float32)
    found = evaluate({"y": scores, "aux": -other}, {"y": scores, "aux": other})
    assert found.metric == 1.0 and any("'aux'" in n and "-1.0000" in n for n in found.notes)
    chosen = evaluate({"y": scores, "aux": -other}, {"y": scores, "aux": other}, output="aux")
    assert chosen.metric == 0.0 and chosen.cosine_mean == pytest.approx(-1.0)


def test_an_output_that_cannot_be_compared_is_named_unless_it_is_the_first(scores):
    ours, theirs = {"y": scores, "aux": scores[:, :3]}, {"y": scores, "aux": scores}
    assert any("'aux'" in n and "[200, 3]" in n for n in evaluate(ours, theirs).notes)
    with pytest.raises(InputError, match=r"'aux' has shape \[200, 3\], the reference \[200, 10\]"):
        evaluate(ours, theirs, output="aux")
    assert any("'aux' is missing" in n for n in evaluate({"y": scores}, theirs).notes)


@pytest.mark.parametrize("ours, theirs, message", [
    ({}, {"y": np.ones((2, 2))}, "no outputs"),
    ({"y": np.ones((2, 2))}, {"y": np.ones((3, 2))}, "2 samples, the reference 3"),
    ({"y": np.ones((0, 2))}, {"y": np.ones((0, 2))}, "no samples"),
    ({"y": np.ones((2, 2, 3))}, {"y": np.ones((2, 6))}, "cannot be compared"),
])
def test_what_does_not_fit_is_one_clear_line(ours, theirs, message):
    with pytest.raises(InputError, match=message) as caught:
        evaluate(ours, theirs)
    assert "\n" not in str(caught.value)


def test_unknown_output_names_those_there_are(scores):
    with pytest.raises(InputError, match="no output is called 'z'; there are: y"):
        evaluate({"y": scores}, {"y": scores}, output="z")


def test_fewer_labels_than_samples_are_refused_more_are_cut(scores):
    labels = scores.argmax(axis=1)
    with pytest.raises(InputError, match="150 labels for 200 samples"):
        evaluate({"y": scores}, {"y": scores}, labels=labels[:150])
    assert evaluate({"y": scores[:150]}, {"y": scores[:150]}, labels=labels).metric == 1.0


def test_labels_that_do_not_fit_are_said_so_and_not_used(scores):
    for labels in (np.full(200, 0.5), np.array(["a"] * 200), np.zeros((200, 3))):
        found = evaluate({"y": scores}, {"y": scores}, labels=labels)
        assert found.metric_name == "cosine" and any("not used" in n for n in found.notes)
    image = RNG.normal(size=(20, 3, 8, 8))
    assert any("no classifier" in n for n in evaluate({"y": image}, {"y": image}, labels=np.zeros(20)).notes)


def test_labels_of_other_classes_are_pointed_out(scores):
    found = evaluate({"y": scores}, {"y": scores}, labels=scores.argmax(axis=1) + 10)
    assert found.metric == 0.0 and any("10 classes" in n for n in found.notes)
    assert any("right on no sample" in n for n in found.notes)


def test_one_hot_labels_and_one_column(scores):
    assert evaluate({"y": scores}, {"y": scores}, labels=np.eye(10)[scores.argmax(axis=1)]).metric == 1.0
    for outputs in (np.linspace(0, 1, 100, dtype=np.float32)[:, None], np.linspace(-4, 4, 100)[:, None]):
        found = evaluate({"y": outputs}, {"y": outputs}, labels=np.arange(100) >= 50)
        assert found.metric_name == "accuracy" and found.metric == 1.0
    assert evaluate({"y": outputs}, {"y": outputs}).top1_agreement is None


def test_a_collapsed_variant_is_pointed_out(scores):
    ours = np.tile(np.eye(10, dtype=np.float32)[0], (200, 1))
    assert any("same for every sample" in n for n in evaluate({"y": ours}, {"y": scores}).notes)


def test_sequences_of_class_scores_have_predictions_boxes_and_embeddings_have_none():
    logits = RNG.normal(size=(30, 12, 500))
    winners = RNG.integers(0, 500, (30, 12))
    np.put_along_axis(logits, winners[..., None], 25.0, axis=2)
    ours = logits.copy()
    ours[4, 2] = np.roll(ours[4, 2], 1)
    for theirs, mine in ((logits, ours), (softmax(logits), softmax(ours))):
        found = evaluate({"y": mine}, {"y": theirs}, labels=winners)
        assert found.changed == (4,) and found.metric_name == "accuracy" and found.metric == pytest.approx(29 / 30)
        assert evaluate({"y": mine}, {"y": theirs}).changed == (4,)
    embeddings = RNG.normal(size=(8, 16, 256))
    embeddings[..., 30] += 40
    for other in (RNG.random((4, 300, 6)) * 400, embeddings, RNG.random((4, 32, 32))):
        assert predictions(P("y", other, other)) == (None, None)


def test_lists_of_different_lengths_compare_entry_by_entry():
    theirs = RNG.random((5, 6, 4)).astype(np.float32)
    ours = theirs[:, :5]
    found = evaluate({"boxes": ours}, {"boxes": theirs})
    assert 0.7 < found.metric < 1.0 and any("different lengths" in n for n in found.notes)


def test_scalar_outputs():
    found = evaluate({"loss": np.float32(2.0)}, {"loss": np.array([2.0], np.float32)})
    assert found.samples == 1 and found.metric == 1.0


def test_one_number_a_sample_is_judged_by_its_variance():
    """The cosine of any two positive numbers is 1, so a broken voice detector or regression would look perfect."""
    rng = np.random.default_rng(7)
    theirs = rng.random((200, 1)).astype(np.float32)
    ours = theirs + rng.normal(scale=0.05, size=theirs.shape).astype(np.float32)
    found = evaluate({"y": ours}, {"y": theirs})
    r2 = 1 - ((ours - theirs) ** 2).sum() / ((theirs - theirs.mean()) ** 2).sum()
    assert found.metric_name == found.likeness == "R²" and found.metric == pytest.approx(r2, abs=1e-5) and r2 < 0.99
    assert any("one number a sample" in n for n in found.notes)
    for broken in (theirs.mean(keepdims=True) + 0 * theirs, rng.permutation(theirs), 3 * theirs):
        assert evaluate({"y": broken}, {"y": theirs}).metric < 0.3  # no sample counts for less than -1
    assert evaluate({"y": theirs.copy()}, {"y": theirs}).metric == 1.0
    ours[:20] = np.nan
    assert evaluate({"y": ours}, {"y": theirs}).metric == pytest.approx(0.9 * r2, abs=0.02)


def test_numbers_that_hardly_vary_may_be_off_by_a_little():
    theirs = (5 + 1e-6 * RNG.normal(size=(50, 1))).astype(np.float32)
    assert evaluate({"y": theirs * 1.001}, {"y": theirs}).metric > 0.999
    assert evaluate({"y": theirs * 1.1}, {"y": theirs}).metric < 0.01
    zero = np.zeros((50, 1), np.float32)
    assert evaluate({"y": zero}, {"y": zero}).metric == 1.0 and evaluate({"y": zero + 1}, {"y": zero}).metric == 0.0


def test_labels_of_a_one_number_classifier_still_give_its_accuracy():
    theirs = RNG.random((100, 1)).astype(np.float32)
    found = evaluate({"y": 1 - theirs}, {"y": theirs}, labels=(theirs[:, 0] > 0.5).astype(int))
    assert found.metric_name == "accuracy" and found.metric == 0.0 and found.likeness == "R²"
    assert found.cosine_mean < 0


def test_the_interval_covers_and_the_seed_decides():
    theirs = RNG.normal(size=(40, 16))
    ours = noisy(theirs, 0.5)
    one, two = (evaluate({"y": ours}, {"y": theirs}, seed=s) for s in (1, 2))
    assert one == evaluate({"y": ours}, {"y": theirs}, seed=1) and one.metric_interval != two.metric_interval


def test_at_most_a_thousand_changed_samples_are_listed():
    theirs = np.tile(np.eye(3), (500, 1))
    found = evaluate({"y": np.roll(theirs, 1, axis=1)}, {"y": theirs})
    assert len(found.changed) == 1000 and found.top1_agreement == 0.0


def test_large_outputs_are_cut_into_pieces_with_the_same_result(monkeypatch):
    theirs = RNG.normal(size=(37, 11))
    pair = P("y", noisy(theirs, 0.1), theirs)
    whole = similarity(pair)
    monkeypatch.setattr("workbench.fidelity._CHUNK", 25)
    parts = similarity(pair)
    assert np.array_equal(whole.share, parts.share) and parts.sqnr_db == pytest.approx(whole.sqnr_db)


def test_inputs_stay_as_they_are(scores):
    ours, theirs = noisy(scores, 0.1), scores.copy()
    ours[0, 0] = np.nan
    before = ours.copy(), theirs.copy()
    evaluate({"y": ours}, {"y": theirs})
    assert np.array_equal(ours, before[0], equal_nan=True) and np.array_equal(theirs, before[1])
