"""Data sets fit their model, keep their two sides apart, and say in one line what does not fit."""

import gzip
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import workbench.model
from workbench import datasets
from workbench.datasets import full, source_files, split
from workbench.errors import InputError, MissingError
from workbench.model import Model, ModelFormat, TensorSpec


def model(*inputs, out=("b", 10), fix=()):
    """A model's description; inputs are (name, dtype, shape)."""
    outputs = (TensorSpec("probabilities", "float32", out),)
    return Model(Path("m.onnx"), ModelFormat.ONNX, tuple(TensorSpec(*i) for i in inputs), outputs, 0, 0, 0, "0" * 64,
                 "m", fix=fix)


TABLE = model(("x", "float32", ("b", 4)), out=("b", 3))
IMAGE = model(("image", "float32", (None, 8, 6, 3)), out=(None, 12))


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


def rows(count, width=4, seed=0):
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


def keys(samples):
    return set(split.digests(samples))


# ---- splitting ----

def test_one_file_gives_a_quarter_to_calibration_and_nothing_twice(tmp_path):
    data = datasets.load(save(tmp_path / "d.npz", x=rows(100), labels=np.arange(100) % 3), TABLE)
    assert (len(data.calibration), len(data.evaluation)) == (25, 75)
    assert not keys(data.calibration) & keys(data.evaluation)
    assert data.task == "classification" and not data.is_random


def test_calibration_is_at_most_512_samples(tmp_path):
    data = datasets.load(save(tmp_path / "d.npz", x=rows(4000)), TABLE)
    assert (len(data.calibration), len(data.evaluation)) == (512, 3488)


def test_split_does_not_depend_on_the_order_of_the_file(tmp_path):
    x = rows(60)
    a = datasets.load(save(tmp_path / "a.npz", x=x), TABLE)
    b = datasets.load(save(tmp_path / "b.npz", x=x[::-1]), TABLE)
    assert keys(a.calibration) == keys(b.calibration)


def test_labels_travel_with_their_samples(tmp_path):
    x = rows(90)
    x[:, 0] = np.arange(90) % 3
    data = datasets.load(save(tmp_path / "d.npz", x=x, labels=np.arange(90) % 3), TABLE)
    for side in (data.calibration, data.evaluation):
        assert (side.rows["x"][:, 0] == side.labels).all()


def test_equal_samples_stand_on_one_side(tmp_path):
    data = datasets.load(save(tmp_path / "d.npz", x=np.repeat(rows(20), 5, axis=0)), TABLE)
    assert not keys(data.calibration) & keys(data.evaluation)
    assert len(data.calibration) + len(data.evaluation) == 100
    assert len(data.calibration) == 25


@pytest.mark.parametrize("x", [rows(3), np.repeat(rows(1), 50, axis=0)])
def test_too_little_to_split_leaves_everything_to_evaluation_and_says_so(tmp_path, x):
    data = datasets.load(save(tmp_path / "d.npz", x=x), TABLE)
    assert data.calibration is None and len(data.evaluation) == len(x)
    assert any("too few" in note for note in data.notes)


def test_overlap_with_a_second_file_is_refused_with_counts(tmp_path):
    x = rows(40)
    first, second = save(tmp_path / "e.npz", x=x), save(tmp_path / "c.npz", x=np.concatenate([rows(10, seed=1), x[:7]]))
    with pytest.raises(InputError, match="7 of 40 evaluation samples .* 17 calibration samples"):
        datasets.load(first, TABLE, calibration=second)


def test_a_second_file_without_overlap_calibrates_whole(tmp_path):
    first, second = save(tmp_path / "e.npz", x=rows(40)), save(tmp_path / "c.npz", x=rows(10, seed=1))
    data = datasets.load(first, TABLE, calibration=second)
    assert (len(data.calibration), len(data.evaluation)) == (10, 40)


def test_the_hash_follows_values_and_labels(tmp_path):
    x, labels = rows(8), np.zeros(8, int)
    hashes = [datasets.load(save(tmp_path / f"{i}.npz", x=a, labels=b), TABLE).sha256
              for i, (a, b) in enumerate([(x, labels), (x, labels), (x + 1, labels), (x, labels + 1)])]
    assert hashes[0] == hashes[1] and len(set(hashes)) == 3


def test_a_file_can_calibrate_whole(tmp_path):
    data = datasets.calibration_only(save(tmp_path / "c.npz", x=rows(10)), TABLE)
    assert len(data.calibration) == 10 and data.task is None and any("none is held out" in n for n in data.notes)


# ---- feeds ----

def test_feeds_hold_the_samples_in_order_and_drop_the_incomplete_batch(tmp_path):
    side = datasets.load(save(tmp_path / "d.npz", x=rows(3)), TABLE).evaluation
    assert [f["x"].shape for f in side.feeds()] == [(1, 4)] * 3
    pair = side.feeds(2)
    assert len(pair) == 1 and np.array_equal(pair[0]["x"], side.rows["x"][:2])
    assert len(side.feeds(1, limit=2)) == 2


def test_a_fixed_batch_is_the_only_one(tmp_path):
    m = model(("x", "float32", (2, 4)))
    side = datasets.load(save(tmp_path / "d.npz", x=rows(20)), m).evaluation
    assert side.feeds(2)[0]["x"].shape == (2, 4)
    with pytest.raises(InputError, match="fixed to 2: choose batch 2"):
        side.feeds(1)


def test_a_batch_larger_than_the_data_is_named(tmp_path):
    side = datasets.load(save(tmp_path / "d.npz", x=rows(3)), TABLE).evaluation
    with pytest.raises(InputError, match="batch 8 is more than the 3 samples"):
        side.feeds(8)


def state_model(path):
    """A real ONNX file with a recurrent state and a scalar, as voice models have: y = x * scale + state."""
    import onnx
    from onnx import TensorProto, helper
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "scale"], ["scaled"]), helper.make_node("ReduceSum", ["state"], ["sum"]),
         helper.make_node("Add", ["scaled", "sum"], ["y"])], "g",
        [value("x", TensorProto.FLOAT, ["batch", 4]), value("state", TensorProto.FLOAT, [2, 1, 3]),
         value("scale", TensorProto.FLOAT, [])], [value("y", TensorProto.FLOAT, None)])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(made, path)
    return workbench.model.load(path)


def test_state_and_scalar_inputs_reach_a_real_session(tmp_path):
    import onnxruntime
    m = state_model(tmp_path / "state.onnx")
    x, state = rows(12), np.random.default_rng(1).normal(size=(12, 2, 1, 3)).astype(np.float32)
    side = datasets.load(save(tmp_path / "d.npz", x=x, state=state, scale=np.float32(2)), m).evaluation
    session = onnxruntime.InferenceSession(str(m.path))
    for i, feed in enumerate(side.feeds()):
        want = side.rows["x"][i] * 2 + side.entries["state"][i].sum()
        assert np.allclose(session.run(None, feed)[0], want, atol=1e-5)
    with pytest.raises(InputError, match="'state' is one whole input, so only batch 1"):
        side.feeds(2)


def test_one_state_for_all_samples_goes_into_every_feed(tmp_path):
    m = state_model(tmp_path / "state.onnx")
    state = np.ones((2, 1, 3), np.float32)
    data = datasets.load(save(tmp_path / "d.npz", x=rows(12), state=state, scale=np.ones(12, np.float32)), m)
    feed = data.evaluation.feeds(3)[0]
    assert np.array_equal(feed["state"], state) and feed["x"].shape == (3, 4) and feed["scale"].shape == ()


def test_a_missing_state_is_named_with_its_shape(tmp_path):
    m = state_model(tmp_path / "state.onnx")
    with pytest.raises(InputError, match=r"lacks 'state' \(float32 \[2, 1, 3\]\).*it has scale, x"):
        datasets.load(save(tmp_path / "d.npz", x=rows(12), scale=np.float32(1)), m)


def test_scalars_that_differ_are_one_an_entry(tmp_path):
    m = model(("x", "float32", ("b", 4)), ("rate", "int64", ()))
    side = datasets.load(save(tmp_path / "d.npz", x=rows(3), rate=np.array([8, 16, 8])), m).evaluation
    assert [int(f["rate"]) for f in side.feeds()] == [8, 16, 8]
    assert side.feeds()[0]["rate"].shape == ()


# ---- names, shapes, types, labels ----

def test_one_array_for_one_input_needs_no_name(tmp_path):
    data = datasets.load(save(tmp_path / "d.npz", anything=rows(8), labels=np.zeros(8, int)), TABLE)
    assert set(data.evaluation.feeds()[0]) == {"x"}


def test_plain_names_match_and_spare_arrays_are_noted(tmp_path):
    data = datasets.load(save(tmp_path / "d.npz", spare=rows(8), **{"serving_default_x:0": rows(8)}), TABLE)
    assert any("spare" in note for note in data.notes)


@pytest.mark.parametrize("arrays,message", [
    ({"x": rows(8, 5)}, r"wants \[b, 4\], the data has \[8, 5\]: size 5 must be 4"),
    ({"x": rows(8)[None, None]}, "rank 2 with samples along the first axis, or rank 3"),
    ({"x": np.zeros((0, 4), np.float32)}, "is empty"),
    ({"a": rows(8), "b": rows(8)}, r"lacks 'x' \(float32 \[b, 4\]\); it has a, b"),
    ({"x": np.full((8, 4), np.nan, np.float32)}, "32 NaN values"),
    ({"x": np.full((8, 4), 1e300)}, "too large for float32"),
    ({"x": np.array([["a"] * 4] * 8)}, "wants float32, the data is str"),
    ({"x": rows(8).astype(complex)}, "wants float32, the data is complex128"),
    ({"x": np.zeros((8, 4), "M8[s]")}, "wants float32, the data is datetime64"),
    ({"x": rows(8), "labels": np.zeros(7, int)}, r"labels have shape \[7\], the data has 8 samples"),
    ({"x": rows(8), "labels": np.eye(8, 3, dtype=int)}, "use argmax"),
    ({"x": rows(8), "labels": np.zeros(8)}, "must be whole numbers.*float64"),
    ({"x": rows(8), "labels": np.arange(8)}, "labels run from 0 to 7; .* admits 0 to 2"),
    ({"x": rows(8), "labels": np.full(8, -1)}, "labels run from -1"),
    ({"labels": np.zeros(8, int)}, "holds no data"),
])
def test_what_does_not_fit_is_one_clear_line(tmp_path, arrays, message):
    with pytest.raises(InputError, match=message) as caught:
        datasets.load(save(tmp_path / "d.npz", **arrays), TABLE)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype,array,message", [
    ("int64", rows(8), r"wants int64, the data is float32: convert it with .astype\('int64'\)"),
    ("int8", np.full((8, 4), 300), "holds 300 to 300, outside int8"),
    ("uint8", np.full((8, 4), -1), "holds -1 to -1, outside uint8"),
    ("bool", np.full((8, 4), 2), "outside bool"),
    ("int4", np.zeros((8, 4), int), "int4, which data files cannot hold"),
])
def test_whole_number_inputs_take_no_values_that_would_change(tmp_path, dtype, array, message):
    with pytest.raises(InputError, match=message):
        datasets.load(save(tmp_path / "d.npz", x=array), model(("x", dtype, ("b", 4))))


def test_casts_that_keep_values_are_made(tmp_path):
    whole = np.arange(32).reshape(8, 4)
    as_float = datasets.load(save(tmp_path / "f.npz", x=whole), TABLE)
    assert as_float.evaluation.rows["x"].dtype == np.float32 and any("not scaled" in n for n in as_float.notes)
    as_int = datasets.load(save(tmp_path / "i.npz", x=whole), model(("x", "int32", ("b", 4))))
    assert as_int.evaluation.rows["x"].dtype == np.int32
    text = datasets.load(save(tmp_path / "s.npz", x=np.array([["a"], ["b"]])), model(("x", "str", ("b", 1))))
    assert text.evaluation.feeds()[0]["x"].tolist() == [["a"]]


def test_pinned_sizes_count_but_the_batch_stays_free(tmp_path):
    m = model(("x", "float32", (None, None)), fix=(("x", (1, 4)),))
    assert datasets.load(save(tmp_path / "d.npz", x=rows(8)), m).evaluation.feeds(2)
    with pytest.raises(InputError, match="size 5 must be 4"):
        datasets.load(save(tmp_path / "e.npz", x=rows(8, 5)), m)


def test_labels_are_left_out_where_the_output_is_no_score_per_class(tmp_path):
    m = model(("x", "float32", ("b", 4)), out=("b", 5, 7))
    data = datasets.load(save(tmp_path / "d.npz", x=rows(8), labels=np.zeros(8, int)), m)
    assert data.task is None and data.evaluation.labels is None and any("not used" in n for n in data.notes)


def test_one_score_admits_two_classes(tmp_path):
    m = model(("x", "float32", ("b", 4)), out=("b", 1))
    assert datasets.load(save(tmp_path / "d.npz", x=rows(8), labels=np.arange(8) % 2), m).task == "classification"


def test_arrays_of_different_lengths_are_counted(tmp_path):
    m = model(("a", "float32", ("b", 4)), ("c", "float32", ("b", 4)))
    with pytest.raises(InputError, match=r"\('a' 8, 'c' 9\)"):
        datasets.load(save(tmp_path / "d.npz", a=rows(8), c=rows(9)), m)


# ---- CSV ----

def test_csv_last_column_or_the_one_called_label_holds_the_labels(tmp_path):
    (tmp_path / "a.csv").write_text("p,q,r,s,kind\n" + "1,2,3,4,0\n1,2,3,5,2\n")
    (tmp_path / "b.csv").write_text("label;p;q;r;s\n" + "cat;1;2;3;4\nant;1;2;3;5\n")
    a, b = (datasets.load(tmp_path / n, TABLE) for n in ("a.csv", "b.csv"))
    assert a.evaluation.labels.tolist() == [0, 2] and a.class_names is None
    assert b.evaluation.labels.tolist() == [1, 0] and b.class_names == ("ant", "cat")
    assert np.array_equal(a.evaluation.rows["x"], b.evaluation.rows["x"])


def test_csv_columns_go_to_the_inputs_of_their_name(tmp_path):
    m = model(("age", "float32", ("b", 1)), ("code", "int64", ("b", 2)), ("flag", "int32", ("b",)))
    (tmp_path / "d.csv").write_text("code_1,age,code_0,flag,label\n" + "11,1.5,10,1,0\n21,2.5,20,0,1\n")
    side = datasets.load(tmp_path / "d.csv", m).evaluation
    feed = side.feeds(2)[0]
    assert feed["code"].tolist() == [[10, 11], [20, 21]] and feed["age"].tolist() == [[1.5], [2.5]]
    assert feed["flag"].tolist() == [1, 0] and feed["code"].dtype == np.int64


# ---- images ----

def picture(path, size, colour, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)


@pytest.fixture
def folder(tmp_path):
    for name, colour in (("10", (0, 0, 255)), ("2", (255, 0, 0)), ("1", (0, 255, 0))):
        for i in range(4):
            picture(tmp_path / "set" / name / f"{i}.png", (9 + i, 7), tuple(max(0, c - i) for c in colour))
    return tmp_path / "set"


@pytest.mark.parametrize("shape,axis", [((None, 8, 6, 3), -1), ((None, 3, 8, 6), 1)])
def test_a_folder_of_class_folders_reaches_either_layout(folder, shape, axis):
    data = datasets.load(folder, model(("image", "float32", shape), out=(None, 12)))
    assert data.class_names == ("1", "2", "10")  # numbers in number order
    assert len(data.calibration) == 3 and len(data.evaluation) == 9
    for side in (data.calibration, data.evaluation):
        strongest = side.rows["image"].mean(axis=tuple(i for i in (1, 2, 3) if i != axis % 4)).argmax(axis=1)
        assert (np.array([1, 0, 2])[side.labels] == strongest).all()  # class 1 is green, 2 red, 10 blue
        assert side.rows["image"].shape[1:] == shape[1:]
        assert side.rows["image"].max() <= 1
    assert any("0..1" in n for n in data.notes) and any("8x6" in n for n in data.notes)


def test_the_range_of_pixels_is_a_choice(folder):
    def extremes(pixels):
        values = datasets.load(folder, IMAGE, pixels=pixels).evaluation.rows["image"]
        return values.min(), values.max()

    assert extremes("-1..1")[0] == -1 and extremes("0..255")[1] > 200
    assert extremes("imagenet")[0] == pytest.approx(-123.675 / 58.395)
    with pytest.raises(InputError, match="pixels is 'bgr'; allowed: 0..1"):
        extremes("bgr")


def test_grey_upright_and_16_bit(tmp_path):
    deep = Image.fromarray(np.full((4, 4), 0x8000, np.uint16))
    deep.save(tmp_path / "deep.png")
    turned = Image.new("RGB", (4, 4), 0)
    turned.paste((255, 255, 255), (0, 0, 4, 1))  # top row white; the tag says: turn by 180 degrees
    exif = Image.Exif()
    exif[0x0112] = 3
    turned.save(tmp_path / "turned.png", exif=exif)
    data = datasets.load(tmp_path, model(("image", "float32", (None, 4, 4, 1))))
    means = {round(float(image.mean()), 2): image[..., 0] for image in data.evaluation.rows["image"]}
    assert data.task is None and set(means) == {0.25, 0.5}
    assert means[0.25][3].min() == 1 and means[0.25][0].max() == 0


def test_whole_number_image_inputs_keep_pixel_values(folder):
    data = datasets.load(folder, model(("image", "uint8", (None, 8, 6, 3)), out=(None, 12)))
    assert data.evaluation.rows["image"].dtype == np.uint8 and data.evaluation.rows["image"].max() > 200


def test_free_image_sizes_follow_the_first_image(folder):
    data = datasets.load(folder, model(("image", "float32", (None, None, None, 3)), out=(None, 12)))
    assert data.evaluation.rows["image"].shape[1:3] == (7, 9)


# ---- sets known by name ----

def test_fashion_mnist_fits_models_of_any_image_layout():
    keras = datasets.load("fashion-mnist", model(("image", "float32", (None, 28, 28, 1))))
    torch = datasets.load("fashion-mnist", model(("image", "float32", (None, 1, 28, 28))))
    wide = datasets.load("fashion-mnist", model(("image", "float32", (None, 32, 32, 3))))
    assert (len(keras.calibration), len(keras.evaluation)) == (1000, 2000)
    assert np.bincount(keras.evaluation.labels).tolist() == [200] * 10 and len(keras.class_names) == 10
    assert np.array_equal(keras.evaluation.rows["image"][..., 0], torch.evaluation.rows["image"][:, 0])
    assert wide.evaluation.rows["image"].shape == (2000, 32, 32, 3)
    assert not keys(keras.calibration) & keys(keras.evaluation)


def test_mlp_data_is_scaled():
    data = datasets.load("mlp", model(("features", "float32", (None, 10)), out=(None, 2)))
    values = data.evaluation.rows["features"]
    assert values.min() >= 0 and values.max() <= 1 and len(data.evaluation) == 1000


def test_source_files_are_split_by_package_and_share_no_window():
    files = source_files.files()
    sides = {held: {f.package for f in files if source_files.is_held_out(f.package) == held} for held in (True, False)}
    assert sides[True] and sides[False] and not sides[True] & sides[False]
    data = datasets.load("source-files", model(("bytes", "int32", (None, 256)), out=(None, 7)))
    assert not keys(data.calibration) & keys(data.evaluation)
    assert np.bincount(data.evaluation.labels, minlength=7).min() >= 40
    again = datasets.load("source-files", model(("bytes", "int32", (None, 256)), out=(None, 7)))
    assert again.sha256 == data.sha256
    python = data.evaluation.rows["bytes"][data.evaluation.labels == 0].astype(np.uint8)
    assert sum(b"def " in bytes(w) or b"self" in bytes(w) or b"import" in bytes(w) for w in python) > len(python) / 4


def idx_file(path, array):
    head = b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(head + array.astype(np.uint8).tobytes()))


def test_the_full_sets_come_from_a_local_copy(tmp_path, monkeypatch):
    monkeypatch.setenv(full.FOLDER_VARIABLE, str(tmp_path))
    (tmp_path / "cifar-10-batches-bin").mkdir()
    (tmp_path / "fashion-mnist").mkdir()
    rng = np.random.default_rng(0)
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        records = rng.integers(0, 256, (8, 3073), np.uint8)
        records[:, 0] = np.arange(8)
        records.tofile(tmp_path / "cifar-10-batches-bin" / f"{name}.bin")
    for kind, count in (("train", 30), ("t10k", 12)):
        idx_file(tmp_path / "fashion-mnist" / f"{kind}-images-idx3-ubyte.gz", rng.integers(0, 256, (count, 28, 28)))
        idx_file(tmp_path / "fashion-mnist" / f"{kind}-labels-idx1-ubyte.gz", np.arange(count) % 10)
    cifar = datasets.load("cifar-10", model(("image", "float32", (None, 32, 32, 3))))
    assert (len(cifar.calibration), len(cifar.evaluation)) == (40, 8) and cifar.class_names[3] == "cat"
    assert cifar.evaluation.labels.tolist() == list(range(8))
    raw = np.fromfile(tmp_path / "cifar-10-batches-bin" / "test_batch.bin", np.uint8)
    assert cifar.evaluation.rows["image"][0, 0, 1, 2] == np.float32(raw[1 + 2 * 1024 + 1]) / np.float32(255)
    fashion = datasets.load("fashion-mnist-full", model(("image", "float32", (None, 28, 28, 1))))
    assert (len(fashion.calibration), len(fashion.evaluation)) == (30, 12)


@pytest.mark.slow
def test_a_set_that_cannot_be_fetched_says_where_to_put_it(tmp_path, monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens: like a machine without a network
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv(full.FOLDER_VARIABLE, raising=False)
    with pytest.raises(MissingError, match="cifar-10-batches-bin.*WORKBENCH_DATASETS") as caught:
        datasets.load("cifar-10", model(("image", "float32", (None, 32, 32, 3))))
    assert len(str(caught.value)) < 500


def test_an_unknown_name_lists_those_there_are():
    with pytest.raises(InputError, match="'nonesuch' is neither a data set .*fashion-mnist.*cifar-10"):
        datasets.load("nonesuch", TABLE)


# ---- random inputs ----

def test_random_inputs_are_marked_and_repeatable():
    m = model(("ids", "int64", ("b", 5)), ("mask", "bool", ("b", 5)), ("x", "float16", ("b", 3)))
    a, b, c = datasets.random(m, 6, seed=1), datasets.random(m, 6, seed=1), datasets.random(m, 6, seed=2)
    assert a.is_random and a.sha256 == "random" and a.task is None and len(a.evaluation) == 6
    assert set(np.unique(a.evaluation.rows["ids"])) <= {0, 1} and a.evaluation.rows["x"].dtype == np.float16
    assert np.array_equal(a.evaluation.rows["x"], b.evaluation.rows["x"])
    assert not np.array_equal(a.evaluation.rows["x"], c.evaluation.rows["x"])
    assert a.evaluation.feeds(3)[1]["ids"].shape == (3, 5)


def test_random_inputs_keep_fixed_and_state_sizes(tmp_path):
    import onnxruntime
    fixed = datasets.random(model(("x", "float32", (8, 3))), 2).evaluation
    assert [f["x"].shape for f in fixed.feeds(8)] == [(8, 3)] * 2
    m = state_model(tmp_path / "state.onnx")
    session = onnxruntime.InferenceSession(str(m.path))
    side = datasets.random(m, 4).evaluation
    assert all(np.isfinite(session.run(None, f)[0]).all() for f in side.feeds()) and len(side.feeds()) == 4


def test_random_inputs_ask_about_open_sizes():
    with pytest.raises(InputError, match="(?s)x"):
        datasets.random(model(("x", "float32", ("b", None, 3))))


def test_reading_data_loads_no_framework():
    code = ("from workbench import datasets, bundled; import sys; "
            "print([m for m in ('tensorflow', 'keras', 'torch', 'onnxruntime', 'PIL', 'plotly') if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
