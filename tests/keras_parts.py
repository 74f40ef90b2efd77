"""Small Keras 3 networks for the tests of pruning and distillation, one of each kind of connection."""

import numpy as np


def residual_net():
    """Two residual sums over a stem, a separable and a depthwise convolution, batch norm, global pooling."""
    import keras
    from keras import layers

    image = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(16, 3, padding="same", use_bias=False, name="stem")(image)
    x = layers.ReLU()(layers.BatchNormalization(name="stem_norm")(x))
    y = layers.SeparableConv2D(16, 3, padding="same", activation="relu", name="separable")(x)
    x = layers.Add(name="sum_1")([x, y])
    y = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="depthwise")(x)
    y = layers.Conv2D(16, 1, name="pointwise")(y)
    x = layers.Add(name="sum_2")([x, layers.BatchNormalization(name="norm_2")(y)])
    x = layers.Concatenate(name="both")([x, layers.Conv2D(8, 1, activation="relu", name="side")(x)])
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dense(24, activation="relu", name="hidden")(x)
    return keras.Model(image, layers.Dense(5, activation="softmax", name="probabilities")(x), name="residual")


def plain_net():
    """Two convolutions, Flatten, Dense: the flattened rows must follow the filters."""
    import keras
    from keras import layers

    return keras.Sequential([
        keras.Input((12, 12, 1), name="image"), layers.Conv2D(16, 3, activation="relu", name="first"),
        layers.MaxPooling2D(), layers.Conv2D(24, 3, activation="relu", name="second"), layers.Flatten(),
        layers.Dropout(0.3), layers.Dense(32, activation="relu", name="hidden"),
        layers.Dense(4, activation="softmax", name="probabilities")], name="plain")


def squeezing_net():
    """A squeeze-and-excitation gate (Reshape, Multiply), a nested model, a shared layer, two outputs, two inputs."""
    import keras
    from keras import layers

    inner_input = keras.Input((6, 6, 16))
    inner = keras.Model(inner_input, layers.Conv2D(16, 3, padding="same", activation="relu", name="inner_conv")(
        inner_input), name="inner")
    left, right = keras.Input((6, 6, 2), name="left"), keras.Input((6, 6, 2), name="right")
    shared = layers.Conv2D(16, 3, padding="same", activation="relu", name="shared")
    x = layers.Concatenate()([shared(left), shared(right)])
    x = inner(layers.Conv2D(16, 1, activation="relu", name="mix")(x))
    gate = layers.Dense(8, activation="relu", name="squeeze")(layers.GlobalAveragePooling2D()(x))
    gate = layers.Reshape((1, 1, 16))(layers.Dense(16, activation="sigmoid", name="excite")(gate))
    x = layers.GlobalMaxPooling2D()(layers.Multiply()([x, gate]))
    outputs = [layers.Dense(3, activation="softmax", name="kind")(x), layers.Dense(1, name="size")(x)]
    return keras.Model([left, right], outputs, name="squeezing")


def attending_net():
    """A transformer block on tokens: embedding, attention, feed-forward, layer normalization."""
    import keras
    from keras import layers

    tokens = keras.Input((10,), dtype="int32", name="tokens")
    x = layers.Embedding(50, 16, name="embedding")(tokens)
    y = layers.LayerNormalization(name="norm_1")(x)
    x = layers.Add()([x, layers.MultiHeadAttention(4, 4, name="attention")(y, y)])
    y = layers.Dense(32, activation="gelu", name="up")(layers.LayerNormalization(name="norm_2")(x))
    x = layers.Add()([x, layers.Dense(16, name="down")(y)])
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(tokens, layers.Dense(3, activation="softmax", name="probabilities")(x), name="attending")


def operators_net():
    """Sums and gates as plain operators, a depthwise convolution by groups, a transposed one, a vector as image."""
    import keras
    from keras import layers, ops

    image = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(16, 3, padding="same", name="first")(image)
    x = x + ops.relu(layers.Conv2D(16, 3, padding="same", name="second")(x))
    x = x * layers.Conv2D(16, 1, activation="sigmoid", name="gate")(x)
    x = layers.Conv2D(16, 3, groups=16, name="by_groups")(layers.Rescaling(0.5)(ops.maximum(x, 0.0)))
    x = layers.GlobalAveragePooling2D()(layers.Conv2DTranspose(12, 3, strides=2, name="up")(x))
    x = layers.Reshape((4, 4, 8))(layers.Dense(4 * 4 * 8, name="image_again")(x))
    x = ops.mean(layers.Conv2D(6, 1, name="last")(x), axis=(1, 2))
    return keras.Model(image, layers.Dense(2, name="answer")(x), name="operators")


def refusing_net():
    """A grouped convolution and a Permute of the channels: nothing in front of them may shrink."""
    import keras
    from keras import layers

    image = keras.Input((6, 8, 8), name="image")
    x = layers.Conv2D(8, 1, name="before")(image)
    x = layers.Conv2D(8, 3, groups=2, padding="same", name="grouped")(x)
    x = layers.Permute((1, 3, 2))(x)
    return keras.Model(image, layers.Dense(2, name="answer")(x), name="refusing")


def feed(model, count: int = 4, seed: int = 0) -> list[np.ndarray]:
    """Random samples in the order of the model's inputs."""
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 50, (count, *t.shape[1:])) if t.dtype == "int32"
            else rng.standard_normal((count, *t.shape[1:])).astype("float32") for t in model.inputs]


def stirred(model, seed: int = 0):
    """The model with random values in every weight (biases, scales and moving averages too)."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        values = rng.normal(0.0, 0.3, variable.shape)
        variable.assign(np.abs(values) + 0.5 if "variance" in variable.path or "gamma" in variable.path else values)
    return model


def silence(found, roots) -> None:
    """Sets to zero all weights that make these units, scales and shifts of normalizations included."""
    gone = np.isin(np.arange(len(found.channels)), roots)
    makers = [(k, axis, p.ids) for p in found.producers for k, axis in p.kernels]
    for producer in found.producers:
        bias = getattr(producer.layer, "bias", None)
        if bias is not None and producer.what != "heads":
            makers.append((bias, 0, producer.ids))
    makers += [(gamma, 0, ids) for gamma, ids in found.norms]
    for variable, axis, ids in makers:
        _clear(variable, axis, gone[found.channels.roots(ids)])


def shift_silence(model, found, roots) -> None:
    """The same for the shifts of batch normalizations and biases of depthwise and attention layers."""
    gone = np.isin(np.arange(len(found.channels)), roots)
    for variable in model.weights:
        if variable.path.endswith(("beta", "bias")):
            for axis, ids in found.axes.get(id(variable), ()):
                _clear(variable, axis, gone[found.channels.roots(ids)])


def _clear(variable, axis: int, mask: np.ndarray) -> None:
    values = np.moveaxis(variable.numpy(), axis, 0)
    values[mask] = 0.0
    variable.assign(np.moveaxis(values, 0, axis))
