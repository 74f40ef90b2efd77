"""Passes that train: what they promise holds in the artefact that comes out and in the ONNX and TFLite after it."""

import hashlib
import json
import re
import threading
import zipfile
from dataclasses import replace

import h5py
import numpy as np
import onnx
import pytest

from workbench import assemble, bundled, chain, datasets, passes, variant
from workbench import recipe as recipes
from workbench.datasets import split
from workbench.errors import Cancelled, InputError, NotApplicable
from workbench.passes import _keras2_config, _onnx_trained_int8
from workbench.views import choices, curves, panes

QUICK = {"epochs": 2, "batch_size": 32}
SCHEDULE = {**QUICK, "end": 0.5}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return variant.Cache(tmp_path_factory.mktemp("training"))


@pytest.fixture(scope="module")
def mlp():
    model = bundled.model("mlp")
    return model, datasets.load("mlp", model)


@pytest.fixture(scope="module")
def cnn():
    model = bundled.model("cnn")
    return model, datasets.load("fashion-mnist", model)


def build(pair, cache, *steps, runtime="tensorflow", **options):
    return variant.build(pair[0], recipes.make(*steps, runtime=runtime), pair[1], cache=cache, **options)


def kernels(path):
    """Kernels (two axes or more) of a legacy Keras file by layer, read without Keras."""
    found = {}
    with h5py.File(path) as file:
        file["model_weights"].visititems(
            lambda name, item: found.__setitem__(name.split("/")[0], item[()])
            if isinstance(item, h5py.Dataset) and item.ndim >= 2 else None)
    return found


def onnx_weights(path):
    return [a for a in map(onnx.numpy_helper.to_array, onnx.load(path).graph.initializer)
            if a.ndim >= 2 and a.dtype == np.float32]


def litert(path):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    return interpreter


def int8_weights(path):
    """(name, values) of the kernels that a TFLite file holds as INT8 after quantization-aware training."""
    interpreter = litert(path)
    return [(d["name"], interpreter.get_tensor(d["index"])) for d in interpreter.get_tensor_details()
            if d["dtype"] == np.int8 and "LastValueQuant" in d["name"]]


def zeros(array):
    return float((array == 0).mean())


# ---- training data ----

@pytest.mark.parametrize("name", ["mlp", "cnn", "separable"])
def test_bundled_training_samples_are_labelled_and_never_held_out(name):
    model = bundled.model(name)
    data = datasets.load(bundled.dataset_name(name), model)
    assert len(data.training) >= 1000 and len(data.training.labels) == len(data.training) and not data.training_note
    assert not set(split.digests(data.training)) & set(split.digests(data.evaluation))


def test_a_file_without_a_training_part_lends_its_calibration_samples(tmp_path, mlp):
    model, _ = mlp
    x = np.random.default_rng(0).random((80, 10), np.float32)
    np.savez(tmp_path / "d.npz", features=x, labels=np.arange(80) % 2)
    data = datasets.load(tmp_path / "d.npz", model)
    assert data.training is data.calibration and data.training.labels is not None
    assert "20 calibration samples" in data.training_note


def test_a_training_file_is_used_and_must_not_hold_what_is_held_out(tmp_path, mlp):
    model, _ = mlp
    x = np.random.default_rng(0).random((80, 10), np.float32)
    np.savez(tmp_path / "d.npz", features=x, labels=np.arange(80) % 2)
    np.savez(tmp_path / "t.npz", features=x + 1, labels=np.arange(80) % 2)
    plain = datasets.load(tmp_path / "d.npz", model)
    data = datasets.load(tmp_path / "d.npz", model, training=tmp_path / "t.npz")
    assert len(data.training) == 80 and not data.training_note
    assert data.sha256 == plain.sha256  # a study stays valid when training samples are added
    with pytest.raises(InputError, match="60 of 60 evaluation samples are also among the 80 training samples"):
        datasets.load(tmp_path / "d.npz", model, training=tmp_path / "d.npz")


# ---- Keras 3 to Keras 2 ----

def _layer(kind, module="keras.layers", **settings):
    return {"module": module, "class_name": kind, "name": "here", "config": {"name": "here", **settings},
            "inbound_nodes": []}


@pytest.mark.parametrize("layer,said", [
    (_layer("RMSNormalization"), "has no counterpart of layer 'here' \\(RMSNormalization\\)"),
    (_layer("Sin", "keras.src.ops.numpy"), "'here' is the operation keras.ops Sin"),
    (_layer("Dense", activation="hard_sigmoid"), "hard_sigmoid has another slope"),
    (_layer("Dense", dtype={"config": {"name": "int8_from_float32"}}), "already quantized"),
])
def test_what_legacy_keras_lacks_is_named(layer, said):
    config = {"class_name": "Functional", "config": {"name": "m", "layers": [layer]}}
    assert re.search(said, _keras2_config.obstacle(config))


def test_all_bundled_models_can_become_keras_2():
    for row in bundled.MODELS:
        assert _keras2_config.obstacle(_keras2_config.read(row.path)) is None


@pytest.mark.slow
def test_keras_2_answers_as_keras_3_does(cnn, cache):
    import onnxruntime

    feeds = cnn[1].evaluation.feeds(64, 64)[0]
    answers = []
    for steps in (["onnx-convert"], ["keras2-convert", "onnx-convert"]):
        built = build(cnn, cache, *steps, runtime="onnxruntime")
        assert [s.name for s in built.model.outputs] == ["probabilities"]
        answers.append(onnxruntime.InferenceSession(str(built.model.path)).run(None, feeds)[0])
    assert np.abs(answers[0] - answers[1]).max() < 1e-4


# ---- pruning ----

@pytest.fixture(scope="module")
def pruned(mlp, cache):
    told, lines = [], []
    before = hashlib.sha256(mlp[0].path.read_bytes()).hexdigest()
    built = build(mlp, cache, ("keras-prune-magnitude", {**SCHEDULE, "sparsity": 0.8, "skip": ["probabilities"]}),
                  on_training=lambda curves: told.append(dict(curves)),
                  progress=lambda fraction, line: lines.append(line))
    assert hashlib.sha256(mlp[0].path.read_bytes()).hexdigest() == before
    return built, told, lines


def test_the_target_sparsity_is_reached_and_skipped_layers_stay_dense(pruned, mlp):
    built, _, _ = pruned
    found = kernels(built.model.path)
    assert zeros(found["dense_1"]) == pytest.approx(0.8, abs=0.01)
    assert zeros(found["dense_2"]) == pytest.approx(0.8, abs=0.01)
    assert zeros(found["probabilities"]) < 0.05
    assert [s.name for s in (*built.model.inputs, *built.model.outputs)] == ["features", "probabilities"]
    assert [s.shape for s in built.model.outputs] == [s.shape for s in mlp[0].outputs]
    assert built.stages[-1]["details"]["sparsity"]["dense_1"] == pytest.approx(zeros(found["dense_1"]))


def test_curves_come_live_and_with_the_result(pruned):
    built, told, lines = pruned
    assert [len(t["epoch"]) for t in told] == sorted(len(t["epoch"]) for t in told) and len(told[0]["epoch"]) == 1
    curves = built.stages[-1]["details"]["training"]
    assert curves["epoch"] == [0, 1, 2] and curves["measure"] == "accuracy" and curves["epochs"] == 2
    assert all(len(curves[name]) == 3 for name in ("loss", "accuracy", "val_loss", "val_accuracy", "seconds"))
    assert any(re.search(r"epoch 2 of 2 · loss [\d.]+ · val\. accuracy [\d.]+ %", line) for line in lines)


def test_zeros_survive_in_onnx_and_tflite(pruned, mlp, cache):
    steps = ["keras2-convert", ("keras-prune-magnitude", {**SCHEDULE, "sparsity": 0.8, "skip": ["probabilities"]})]
    written = onnx_weights(build(mlp, cache, *steps, "onnx-convert", runtime="onnxruntime").model.path)
    assert sorted(round(zeros(w), 1) for w in written if w.size > 100) == [0.8, 0.8]
    interpreter = litert(build(mlp, cache, *steps, "tflite-convert", runtime="litert").model.path)
    held = [interpreter.get_tensor(d["index"]) for d in interpreter.get_tensor_details()
            if tuple(d["shape"]) in ((64, 10), (32, 64))]
    assert len(held) == 2 and all(zeros(w) == pytest.approx(0.8, abs=0.01) for w in held)


def test_two_of_four_are_zero(mlp, cache):
    built = build(mlp, cache, ("keras-prune-2-4", QUICK))
    found = kernels(built.model.path)
    for name in ("dense_2", "probabilities"):
        groups = found[name].T.reshape(-1, 4)  # along the inputs, as sparse tensor cores read them
        assert ((groups == 0).sum(axis=1) >= 2).all()
    assert zeros(found["dense_1"]) < 0.05  # ten inputs are no whole number of groups
    assert any("left as they were: dense_1" in n for n in built.stages[-1]["notes"])


def test_blocks_are_zero_as_a_whole(mlp, cache):
    built = build(mlp, cache, ("keras-prune-block", {**SCHEDULE, "sparsity": 0.5, "block": "4x4"}))
    kernel = kernels(built.model.path)["dense_2"]
    blocks = (kernel == 0).reshape(16, 4, 8, 4).transpose(0, 2, 1, 3).reshape(-1, 16)
    assert set(blocks.sum(axis=1)) <= {0, 16} and blocks.all(axis=1).mean() == pytest.approx(0.5, abs=0.02)


# ---- clustering and quantization-aware training ----

@pytest.mark.slow
def test_clusters_survive_the_training_that_keeps_them(mlp, cache):
    steps = [("keras-cluster", {**QUICK, "clusters": 8})]
    for kernel in kernels(build(mlp, cache, *steps).model.path).values():
        assert len(np.unique(kernel)) <= 8
    small = build(mlp, cache, *steps, ("keras-cqat", {**QUICK, "epochs": 1}), runtime="litert")
    written = [w for _, w in int8_weights(small.model.path) if w.size > 60]
    assert len(written) == 3 and all(len(np.unique(w)) <= 8 for w in written)


@pytest.mark.slow
def test_zeros_and_clusters_both_survive(mlp, cache):
    steps = [("keras-prune-magnitude", {**SCHEDULE, "sparsity": 0.6}), ("keras-cluster", {**QUICK, "clusters": 8})]
    small = build(mlp, cache, *steps, ("keras-pcqat", {**QUICK, "epochs": 1}), runtime="litert")
    written = [w for _, w in int8_weights(small.model.path) if w.size > 100]
    assert len(written) == 2
    for w in written:
        assert zeros(w) >= 0.59 and len(np.unique(w)) <= 9


@pytest.mark.slow
def test_a_convolutional_model_trained_for_int8_keeps_its_accuracy_in_tflite(cnn, cache):
    built = build(cnn, cache, ("keras-qat", {"epochs": 1, "max_samples": 2000}), runtime="litert")
    plain = build(cnn, cache, "tflite-convert", runtime="litert").model
    assert built.model.size_bytes < 0.3 * plain.size_bytes
    assert len(int8_weights(built.model.path)) == 4
    assert built.stages[-1]["details"]["int8_ops"].get("CONV_2D") == 2
    held = cnn[1].evaluation.take(np.arange(600))
    right = [(litert(path).get_signature_runner()(image=held.rows["image"])["probabilities"].argmax(axis=1)
              == held.labels).mean() for path in (plain.path, built.model.path)]
    assert right[0] > 0.8 and right[1] > right[0] - 0.02, right


@pytest.mark.slow
def test_zeros_kept_in_training_for_int8(cnn, cache):
    steps = [("keras-prune-magnitude", {"epochs": 1, "max_samples": 1000, "sparsity": 0.7})]
    built = build(cnn, cache, *steps, ("keras-pqat", {"epochs": 1, "max_samples": 1000}), runtime="litert")
    for name, w in int8_weights(built.model.path):
        if w.size > 1000:
            assert zeros(w) >= 0.69, name


# ---- the integers of quantization-aware training in ONNX ----

def stored(path):
    """(name, levels around zero) of the kernels that an ONNX file holds as 8-bit integers."""
    found = [(i.name, onnx.numpy_helper.to_array(i)) for i in onnx.load(path).graph.initializer if len(i.dims) >= 2]
    assert all(a.dtype in (np.int8, np.uint8) for _, a in found), [n for n, _ in found]
    return [(n, a.astype(int) - (128 if a.dtype == np.uint8 else 0)) for n, a in found]


@pytest.mark.slow
def test_a_trained_int8_model_is_small_and_runs_on_integer_kernels_in_onnx_runtime(cnn, cache, tmp_path):
    import onnxruntime

    steps = [("keras-qat", {"epochs": 1, "max_samples": 2000})]
    built = build(cnn, cache, *steps, runtime="onnxruntime")
    plain = build(cnn, cache, "onnx-convert", runtime="onnxruntime").model
    assert built.model.size_bytes < 0.3 * plain.size_bytes and len(stored(built.model.path)) == 4
    assert built.stages[-1]["details"]["cosine"] > 0.999
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = str(tmp_path / "run.onnx"), 3
    session = onnxruntime.InferenceSession(str(built.model.path), options)
    ops = [n.op_type for n in onnx.load(tmp_path / "run.onnx").graph.node]
    assert ops.count("QLinearConv") == 2 and "Conv" not in ops and not {"Gemm", "MatMul"} & set(ops), ops
    assert assemble.compressed_size(cnn[0].path) > 4 * assemble.compressed_size(built.model.path)
    held = cnn[1].evaluation
    ours = session.run(None, {"image": held.rows["image"]})[0]
    whole = onnxruntime.InferenceSession(str(plain.path)).run(None, {"image": held.rows["image"]})[0]
    theirs = litert(build(cnn, cache, *steps, runtime="litert").model.path).get_signature_runner()(
        image=held.rows["image"])["probabilities"]
    assert (ours.argmax(axis=1) == theirs.argmax(axis=1)).mean() > 0.98
    assert (ours.argmax(axis=1) == held.labels).mean() > (whole.argmax(axis=1) == held.labels).mean() - 0.01


@pytest.mark.slow
def test_kept_zeros_and_clusters_are_in_the_integers_of_the_onnx_file(mlp, cache):
    pruned, short = ("keras-prune-magnitude", {**SCHEDULE, "sparsity": 0.6}), {**QUICK, "epochs": 1}
    clustered = ("keras-cluster", {**QUICK, "clusters": 8})
    for steps, least, most in (([pruned, ("keras-pqat", short)], 0.59, 256),
                               ([clustered, ("keras-cqat", short)], 0.0, 8),
                               ([pruned, clustered, ("keras-pcqat", short)], 0.59, 9)):
        built = build(mlp, cache, *steps, runtime="onnxruntime")
        found = [w for _, w in stored(built.model.path) if w.size > 100]
        assert len(found) == 2 and built.stages[-1]["details"]["cosine"] > 0.999
        assert [s.name for s in (*built.model.inputs, *built.model.outputs)] == ["features", "probabilities"]
        assert all(zeros(w) >= least and len(np.unique(w)) <= most for w in found), steps


def test_values_on_an_8_bit_grid_are_found_and_others_are_not():
    rng = np.random.default_rng(0)
    levels = rng.integers(-127, 128, (16, 8, 3, 3)).astype(np.float32)
    levels[:, 0, 0, 0] = 127
    whole, channels = np.float32(0.013), rng.uniform(0.001, 0.1, 16).astype(np.float32)
    assert _onnx_trained_int8.grid(levels * whole, 0) == pytest.approx(whole, rel=1e-5)
    folded = levels * channels[:, None, None, None]
    np.testing.assert_allclose(_onnx_trained_int8.grid(folded, 0), channels, rtol=1e-5)
    folded[3] = np.clip(levels[3], -50, 50) * channels[3]  # its largest value is not the last level
    steps = _onnx_trained_int8.grid(folded, 0)
    assert np.abs(folded[3] / steps[3] - np.round(folded[3] / steps[3])).max() < 1e-3
    assert _onnx_trained_int8.grid(rng.standard_normal((16, 8, 3, 3)).astype(np.float32), 0) is None


# ---- what cannot follow what ----

@pytest.mark.parametrize("steps,said", [
    (["keras-pqat"], "needs Magnitude pruning or 2:4 sparsity or Block sparsity.* before it"),
    (["keras-cqat"], "needs Weight clustering before it"),
    (["keras-prune-magnitude", "keras-pcqat"], "needs Weight clustering before it"),
    (["keras-cluster", "keras-prune-magnitude"], "cannot follow Weight clustering"),
    (["keras-prune-2-4", "keras-prune-magnitude"], "cannot follow 2:4 sparsity"),
    (["keras-qat", "tflite-int8"], "cannot follow QAT: the model is then already INT8"),
    (["keras-qat", "onnx-int8-static"], "cannot follow QAT: the model is then already INT8"),
    (["onnx-convert", "keras-qat"], "works on Keras 2, which ONNX cannot become"),
])
def test_what_does_not_fit_is_refused_before_anything_runs(mlp, steps, said):
    assert re.search(said, chain.problem(mlp[0], recipes.make(*steps)))


@pytest.mark.parametrize("steps", [
    ["keras-prune-magnitude", "keras-qat", "tflite-convert"], ["keras-cluster", "onnx-convert", "onnx-int8-static"],
    ["keras-prune-magnitude", "keras-cluster", "keras-pcqat", "onnx-convert"], ["keras-prune-2-4", "tflite-int8"],
])
def test_what_fits_is_not_refused(mlp, steps):
    assert chain.problem(mlp[0], recipes.make(*steps)) is None


def test_a_model_without_such_layers_says_so(tmp_path):
    model = bundled.model("mlp")
    config = {"class_name": "Functional", "config": {"name": "m", "layers": [_layer("LSTM")]}}
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
    found = passes.get("keras-qat")
    assert "no layer that can be trained for INT8" in found.why_not(replace(model, path=path), found.Settings())


# ---- what the picker and the panes show ----

def test_the_picker_says_why_a_pass_cannot_follow(mlp):
    selection = choices.Selection(checks=("keras-prune-magnitude",), runtime="litert")
    shown = choices.groups(selection, lambda recipe: chain.problem(mlp[0], recipe), cores=2)
    rows = {c.id: c for g in shown for c in g.choices}
    assert not rows["keras-prune-magnitude"].reason and not rows["keras-pqat"].reason and not rows["keras-qat"].reason
    assert "already pruned" in rows["keras-prune-2-4"].reason
    assert "needs Weight clustering" in rows["keras-cqat"].reason
    fields = {f.name: f for f in rows["keras-prune-magnitude"].fields}
    assert fields["sparsity"].kind == "float" and fields["schedule"].choices == ("polynomial", "constant")
    assert fields["batch_size"].advanced and not fields["epochs"].advanced


def test_curves_are_drawn_once_there_is_an_epoch():
    told = {"epoch": [0], "loss": [None], "accuracy": [None], "val_loss": [0.4], "val_accuracy": [0.9],
            "seconds": [0.0], "epochs": 3, "measure": "accuracy"}
    assert curves.training(told) == "" and "begin with the first epoch" in panes.learning(told, "epoch 1 of 3")
    told |= {"epoch": [0, 1], "loss": [None, 0.3], "accuracy": [None, 0.91], "val_loss": [0.4, 0.35],
             "val_accuracy": [0.9, 0.925], "seconds": [0.0, 2.0]}
    drawn = panes.learning(told, "epoch 2 of 3 <b>")
    assert drawn.count("<svg") == 2 and "validation 92.5 %" in drawn and "<b>" not in drawn


# ---- data without labels, and training that fails ----

@pytest.mark.slow
def test_without_labels_the_model_follows_its_own_answers(tmp_path, mlp, cache):
    model, data = mlp
    np.savez(tmp_path / "d.npz", features=data.training.rows["features"][:400])
    plain = datasets.load(tmp_path / "d.npz", model)
    built = build((model, plain), cache, ("keras-prune-magnitude", {**SCHEDULE, "sparsity": 0.5}))
    stage = built.stages[-1]
    assert stage["details"]["training"]["measure"] == "agreement with the original"
    assert any("self-distillation" in n for n in stage["notes"])
    assert any("100 calibration samples" in n for n in stage["notes"])


def test_a_loss_that_is_no_number_is_one_line(tmp_path, mlp, cache):
    model, _ = mlp
    np.savez(tmp_path / "d.npz", features=np.full((80, 10), 3e38, np.float32) * np.arange(1, 81)[:, None] / 80,
             labels=np.arange(80) % 2)
    with pytest.raises(NotApplicable, match="the loss became .* learning rate"):
        build((model, datasets.load(tmp_path / "d.npz", model)), cache, ("keras-prune-magnitude", QUICK))


def test_cancel_ends_the_training(mlp, cache):
    cancel = threading.Event()

    def told(curves):
        if len(curves["epoch"]) > 1:
            cancel.set()

    with pytest.raises(Cancelled):
        build(mlp, cache, ("keras-prune-magnitude", {"epochs": 200, "patience": 0}), cancel=cancel, on_training=told)
