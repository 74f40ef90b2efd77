"""Training passes that make a network smaller: a student, fine-tuning after filters went, the seed's table."""

import numpy as np
import pytest

from workbench import bundled, datasets, seed, variant
from workbench import model as models
from workbench import passes as registry
from workbench.errors import InputError, NotApplicable
from workbench.passes import PassContext, _keras_teaching, _training

from . import keras_parts as parts

FEW = {"epochs": 1, "max_samples": 600, "batch_size": 64}


def saved(model, path):
    model.save(path)
    return models.load(path)


@pytest.fixture(scope="module")
def mlp():
    model = bundled.model("mlp")
    return model, datasets.load("mlp", model)


def apply(name, model, data, folder, labelled=True, **settings):
    import keras

    folder.mkdir(parents=True, exist_ok=True)
    found, told = registry.get(name), []
    context = PassContext(folder, training=dict(data.training.rows),
                          training_labels=data.training.labels if labelled else None,
                          progress=lambda fraction, line, curves=None: told.append(curves))
    made = found.apply(model, found.Settings(**settings), context)
    return keras.saving.load_model(made.path), made, [c for c in told if c]


def right(network, data):
    x = next(iter(data.evaluation.rows.values()))
    return float((network.predict(x, verbose=0).argmax(-1) == data.evaluation.labels).mean())


@pytest.mark.parametrize("name,share", [("keras-prune-structured", {"ratio": 0.5}), ("keras-distill", {"width": 0.5})])
def test_half_the_units_go_and_the_accuracy_stays(name, share, mlp, tmp_path):
    import keras

    model, data = mlp
    before = model.path.read_bytes()
    network, made, told = apply(name, model, data, tmp_path, epochs=6, learning_rate=5e-3, **share)
    original = keras.saving.load_model(model.path)
    assert network.count_params() < original.count_params() / 2
    assert [tuple(t.shape) for t in network.outputs] == [(None, 2)] and network.output_names == original.output_names
    assert right(network, data) > right(original, data) - 0.04
    assert made.details["parameters_after"] == network.count_params()
    assert told[-1]["epoch"] == list(range(len(told[-1]["epoch"]))) and told[-1]["measure"] == "accuracy"
    assert made.details["training"]["val_loss"] and any("fewer" in n for n in made.notes)
    assert model.path.read_bytes() == before


def test_a_student_learns_without_labels(mlp, tmp_path):
    model, data = mlp
    network, made, _ = apply("keras-distill", model, data, tmp_path, labelled=False, epochs=6, learning_rate=5e-3)
    assert right(network, data) > 0.84
    assert made.details["training"]["measure"] == "agreement with the original"


def test_a_fresh_student_knows_nothing_of_the_teachers_weights(mlp, tmp_path):
    model, data = mlp
    _, fresh, _ = apply("keras-distill", model, data, tmp_path / "a", start="fresh", **FEW)
    _, heir, _ = apply("keras-distill", model, data, tmp_path / "b", **FEW)
    assert fresh.details["training"]["val_accuracy"][0] < heir.details["training"]["val_accuracy"][0]


def test_a_transformer_gets_narrower_everywhere(tmp_path):
    import keras

    model = saved(parts.attending_net(), tmp_path / "attending.keras")
    rng = np.random.default_rng(0)
    context = PassContext(tmp_path, training={"tokens": rng.integers(0, 50, (64, 10)).astype("int32")})
    found = registry.get("keras-distill")
    made = found.apply(model, found.Settings(epochs=1), context)
    network = keras.saving.load_model(made.path)
    assert network.get_layer("embedding").output_dim == 8
    assert network.get_layer("attention").get_config()["num_heads"] == 2
    assert network.output_shape == (None, 3)


def test_soft_answers_at_a_temperature_are_those_of_the_formula():
    said, soft = np.array([[0.2, 0.5, 0.3]], "float32"), np.array([[0.1, 0.7, 0.2]], "float32")
    loss = _keras_teaching._loss("labels", 0.5, 2.0)(np.concatenate([[[1.0]], soft], 1).astype("float32"), said)

    def heated(p):
        q = p ** (1 / 2.0)
        return q / q.sum()

    kl = float((heated(soft) * np.log(heated(soft) / heated(said))).sum())
    assert float(np.asarray(loss)[0]) == pytest.approx(0.5 * -np.log(0.5) + 0.5 * 4 * kl, rel=1e-4)


def test_answers_that_are_numbers_are_taught_as_numbers(tmp_path):
    import keras

    model = keras.Sequential([keras.Input((4,), name="x"), keras.layers.Dense(16, "relu"), keras.layers.Dense(2)])
    source = saved(model, tmp_path / "numbers.keras")
    x = np.random.default_rng(0).standard_normal((64, 4)).astype("float32")
    found = registry.get("keras-prune-structured")
    made = found.apply(source, found.Settings(epochs=1), PassContext(tmp_path, training={"x": x}))
    assert made.details["training"]["measure"] == "agreement with the original"
    assert keras.saving.load_model(made.path).output_shape == (None, 2)


def test_what_cannot_be_done_is_said_in_one_sentence(mlp, tmp_path):
    model, data = mlp
    for settings, words in (({"layer_ratios": ("nowhere=0.5",)}, "there are: dense_1, dense_2"),
                            ({"layer_ratios": ("dense_1",)}, "layer=share"), ({"ratio": 0.0}, "nothing is removed")):
        with pytest.raises(NotApplicable, match=words):
            apply("keras-prune-structured", model, data, tmp_path, **settings)
    with pytest.raises(NotApplicable, match="needs labelled"):
        apply("keras-prune-structured", model, data, tmp_path, labelled=False, importance="taylor")
    with pytest.raises(NotApplicable, match="no layer has filters"):
        source = saved(parts.refusing_net(), tmp_path / "refusing.keras")
        images = {"image": np.zeros((32, 6, 8, 8), "float32")}
        found = registry.get("keras-prune-structured")
        found.apply(source, found.Settings(), PassContext(tmp_path, training=images))


def test_single_layers_get_shares_of_their_own(mlp, tmp_path):
    model, data = mlp
    network, _, _ = apply("keras-prune-structured", model, data, tmp_path, layer_ratios=("dense_1=0.75", "dense_2=0"),
                          **FEW)
    assert [network.get_layer(n).units for n in ("dense_1", "dense_2")] == [16, 32]


def test_the_share_of_a_pass_comes_before_its_training():
    names = list(registry.get("keras-prune-structured").Settings.bounds())
    assert names[0] == "ratio" and names.index("epochs") > names.index("teacher")
    assert issubclass(registry.get("keras-distill").Settings, _training.TrainingSettings)


@pytest.mark.slow
def test_the_seeds_table_measures_what_is_there_and_says_what_is_not(mlp, tmp_path):
    model, data = mlp
    quick = {n: FEW for n in ("keras-prune-structured", "keras-distill")}
    found = seed.seed_table(model, data, study=tmp_path / "seed.sqlite", settings=quick,
                            only=("ptq", "structured", "distilled"))
    assert [r.technique.key for r in found.rows] == ["original", "converted", "ptq", "structured", "distilled"]
    assert all(r.result is not None for r in found.rows), str(found)
    smaller = found.row("structured")
    assert smaller.result.size_bytes < found.row("converted").result.size_bytes
    assert smaller.verdict in ("faster", "slower", "undecided") and smaller.ratio.low <= smaller.ratio.value
    assert found.row("ptq").claimed_speedup == pytest.approx(10.5 / 5.2)
    page = found._repr_html_()
    assert "10.5 s" in page and "5.2 s" in page and page.count("<tr>") == 6
    variant.close()


def test_a_technique_without_a_pass_is_listed_with_the_reason(monkeypatch):
    monkeypatch.setattr(seed, "TECHNIQUES", (*seed.TECHNIQUES[:2], seed.Technique(
        "magic", "Magic", ("keras-magic",), "no such pass")))
    made, reason = seed._recipe(None, seed.TECHNIQUES[-1], {}, 1)
    assert made is None and reason == "not available: this release has no pass keras-magic"
    row = seed.SeedRow(seed.TECHNIQUES[-1], None, None, reason, None)
    page = seed.SeedTable((row,), "m", "d", "cpu", 1)._repr_html_()
    assert "no pass keras-magic" in page and "Magic" in page
    with pytest.raises(InputError, match="no technique 'alchemy'"):
        seed._chosen(["alchemy"])
