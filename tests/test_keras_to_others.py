"""What Keras writes and no other runtime knows: each becomes something that runs there, answers alike, and is fused."""

from collections import Counter

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from workbench import model as models
from workbench import passes as registry
from workbench.passes import _onnx_norms

from . import keras_parts
from . import pass_parts as parts

pytestmark = pytest.mark.slow


def saved(folder, body, shape=(8, 8, 8), name="net"):
    """A network of one ``body`` between an input 'x' and a dense layer, every weight random."""
    import keras
    from keras import layers

    x = keras.Input(shape, name="x")
    y = layers.Dense(3, name="answer")(layers.Flatten(name="flat")(body(x)))
    keras_parts.stirred(keras.Model(x, y, name=name)).save(folder / f"{name}.keras")
    return models.load(folder / f"{name}.keras")


def apply(name, model, folder):
    folder.mkdir()
    found = registry.get(name)
    return found.apply(model, found.Settings(), parts.context(model, folder, 4))


def answers(model, made, feed):
    """Of the Keras file, and of the ONNX file made of it."""
    import keras

    return keras.saving.load_model(model.path, compile=False)(feed).numpy(), parts.run(made.path, {"x": feed})[0]


def as_loaded(path, folder):
    """Operators of the graph that ONNX Runtime runs."""
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(folder / "loaded.onnx")
    ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return Counter(n.op_type for n in onnx.load(options.optimized_model_filepath).graph.node)


@pytest.mark.parametrize("activation, kernel", [("gelu", "Gelu"), ("celu", "Conv"), ("silu", "Conv")])
def test_an_activation_that_onnx_lacks_is_written_with_what_it_has(activation, kernel, tmp_path):
    import keras

    model = saved(tmp_path, keras.layers.Conv2D(8, 3, activation=activation, name="conv"))
    made = apply("onnx-convert", model, tmp_path / "onnx")
    feed = np.random.default_rng(0).normal(size=(4, 8, 8, 8)).astype(np.float32) * 3
    wanted, given = answers(model, made, feed)
    np.testing.assert_allclose(given, wanted, rtol=1e-4, atol=1e-4)
    loaded = as_loaded(made.path, tmp_path)
    assert kernel in loaded or "FusedConv" in loaded
    if activation == "gelu":
        assert "Erf" not in loaded


def test_swish_becomes_a_litert_file(tmp_path):
    """The mark of its gradient, which no other process knows, ended the conversion of every EfficientNet."""
    import keras

    model = saved(tmp_path, keras.layers.Conv2D(8, 3, activation="swish", name="conv"))
    made = apply("tflite-convert", model, tmp_path / "lite")
    assert made.details["cosine"] > 0.9999 and "LOGISTIC" in made.details["ops"]


@pytest.mark.parametrize("name", ["onnx-convert", "tflite-convert", "tf-freeze", "tf-grappler"])
def test_a_grouped_convolution_which_keras_hands_to_xla_goes_everywhere(name, tmp_path):
    import keras

    model = saved(tmp_path, keras.layers.Conv2D(16, 3, groups=4, name="grouped"), name=f"grouped_{name[:6]}")
    made = apply(name, model, tmp_path / "made")
    assert any("cosine" in n for n in made.notes)
    if name == "onnx-convert":
        convolution = next(n for n in onnx.load(made.path).graph.node if n.op_type == "Conv")
        assert next(a.i for a in convolution.attribute if a.name == "group") == 4
        feed = np.random.default_rng(0).normal(size=(4, 8, 8, 8)).astype(np.float32)
        np.testing.assert_allclose(*answers(model, made, feed)[::-1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("options, axis_shape", [
    ({}, (10, 16)), ({"scale": False}, (10, 16)), ({"center": False}, (10, 16)),
    ({"scale": False, "center": False}, (10, 16)), ({}, (6, 6, 16)), ({"epsilon": 0.1}, (16,))], ids=str)
def test_layer_normalization_is_one_node(options, axis_shape, tmp_path):
    import keras

    model = saved(tmp_path, keras.layers.LayerNormalization(name="norm", **options), axis_shape)
    made = apply("onnx-convert", model, tmp_path / "onnx")
    ops = Counter(n.op_type for n in onnx.load(made.path).graph.node)
    assert ops["LayerNormalization"] == 1 and not ops["Sqrt"] and not ops["Sub"]
    feed = np.random.default_rng(0).normal(size=(4, *axis_shape)).astype(np.float32) * 5 + 2
    wanted, given = answers(model, made, feed)
    np.testing.assert_allclose(given, wanted, rtol=1e-4, atol=1e-4)


def test_between_a_convolution_and_a_dense_layer_it_takes_the_transpose_that_is_there(tmp_path):
    """As in every block of ConvNeXt; two of them, so that the second is matched in a graph that the first changed."""
    from keras import layers

    def body(x):
        for i in range(2):
            x = layers.Conv2D(16, 3, padding="same", name=f"conv_{i}")(x)
            x = layers.Dense(16, activation="gelu", name=f"up_{i}")(layers.LayerNormalization(name=f"norm_{i}")(x))
        return x

    model = saved(tmp_path, body)
    made = apply("onnx-convert", model, tmp_path / "onnx")
    ops = Counter(n.op_type for n in onnx.load(made.path).graph.node)
    assert ops["LayerNormalization"] == 2 and ops["Transpose"] <= 4 and not ops["ReduceMean"]
    feed = np.random.default_rng(0).normal(size=(4, 8, 8, 8)).astype(np.float32)
    wanted, given = answers(model, made, feed)
    np.testing.assert_allclose(given, wanted, rtol=1e-3, atol=1e-3)


def test_what_only_looks_like_a_normalization_stays(tmp_path):
    """The variance around another tensor's mean, and a mean over two axes."""
    from keras import ops

    def other_mean(x):
        mean, apart = ops.mean(x, -1, keepdims=True), ops.mean(x * 2.0, -1, keepdims=True)
        scale = 1.0 / ops.sqrt(ops.mean(ops.square(x - apart), -1, keepdims=True) + 1e-3)
        return x * scale + (0.5 + (-mean) * scale)

    def two_axes(x):
        mean = ops.mean(x, (1, 2), keepdims=True)
        scale = 1.0 / ops.sqrt(ops.mean(ops.square(x - mean), (1, 2), keepdims=True) + 1e-3)
        return x * scale + (0.5 + (-mean) * scale)

    for name, body in (("other", other_mean), ("axes", two_axes)):
        model = saved(tmp_path, body, (10, 16), name)
        made = apply("onnx-convert", model, tmp_path / name)
        assert "LayerNormalization" not in {n.op_type for n in onnx.load(made.path).graph.node}
        feed = np.random.default_rng(0).normal(size=(4, 10, 16)).astype(np.float32)
        np.testing.assert_allclose(*answers(model, made, feed)[::-1], rtol=1e-4, atol=1e-4)


def test_an_older_operator_set_keeps_the_arithmetic(tmp_path):
    import keras

    model = saved(tmp_path, keras.layers.LayerNormalization(name="norm"), (10, 16))
    (tmp_path / "old").mkdir()
    found = registry.get("onnx-convert")
    older = found.Settings(opset=_onnx_norms.FROM_OPSET - 1)
    made = found.apply(model, older, parts.context(model, tmp_path / "old", 4))
    assert "LayerNormalization" not in {n.op_type for n in onnx.load(made.path).graph.node}


def test_attention_is_products_of_matrices_and_transposes(tmp_path):
    """Its einsum became a dozen nodes that compute shapes, in an order that changed with the process."""
    from keras import layers

    model = saved(tmp_path, lambda x: layers.MultiHeadAttention(2, 4, name="attention")(x, x), (10, 8))
    made = apply("onnx-convert", model, tmp_path / "onnx")
    ops = Counter(n.op_type for n in onnx.load(made.path).graph.node)
    assert not {"Shape", "Unsqueeze", "Gather", "Einsum"} & set(ops) and ops["MatMul"] + ops["Gemm"] == 7
    feed = np.random.default_rng(0).normal(size=(4, 10, 8)).astype(np.float32)
    np.testing.assert_allclose(*answers(model, made, feed)[::-1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("equation, shapes", [
    ("abc,acd->abd", [(6, 8), (8, 5)]), ("abc,abd->acd", [(6, 8), (6, 5)]), ("abcd,aecd->acbe", [(6, 4, 8), (5, 4, 8)]),
    ("abc,abd->adc", [(6, 8), (6, 5)]), ("abc,abc->abc", [(6, 8), (6, 8)]), ("abc,acd->ad", [(6, 8), (8, 5)])], ids=str)
def test_any_einsum_answers_alike(equation, shapes, tmp_path):
    import keras
    from keras import layers

    x = keras.Input((6, 8), name="x")
    sides = [layers.Reshape(s)(layers.Dense(int(np.prod(s)), name=f"side_{i}")(layers.Flatten()(x)))
             for i, s in enumerate(shapes)]
    y = layers.Dense(3, name="answer")(layers.Flatten()(keras.ops.einsum(equation, *sides)))
    keras_parts.stirred(keras.Model(x, y, name="sums")).save(tmp_path / "sums.keras")
    model = models.load(tmp_path / "sums.keras")
    made = apply("onnx-convert", model, tmp_path / "onnx")
    feed = np.random.default_rng(0).normal(size=(4, 6, 8)).astype(np.float32)
    np.testing.assert_allclose(*answers(model, made, feed)[::-1], rtol=1e-3, atol=1e-3)
