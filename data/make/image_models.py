"""Trains data/cnn.keras and data/separable.keras on the 60,000 training images of Fashion-MNIST.

Run with: python data/make/image_models.py [cnn] [separable]
Prints the accuracy on the 10,000 test images; ten to fifty minutes each on two busy cores.
"""

from __future__ import annotations

import sys
import time

import keras
import numpy as np
from fashion_mnist_subset import DATA, original
from keras import layers


def cnn() -> keras.Model:
    """Two 3x3 convolutions with max-pooling, Dense 128, softmax over 10 classes."""
    image = keras.Input((28, 28, 1), name="image")
    x = layers.Conv2D(32, 3, activation="relu", name="conv_1")(image)
    x = layers.MaxPooling2D(name="pool_1")(x)
    x = layers.Conv2D(64, 3, activation="relu", name="conv_2")(x)
    x = layers.MaxPooling2D(name="pool_2")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(128, activation="relu", name="dense")(x)
    return keras.Model(image, layers.Dense(10, activation="softmax", name="probabilities")(x), name="cnn")


def separable() -> keras.Model:
    """Depthwise-separable convolutions with batch norm after each, and residual adds."""
    image = keras.Input((28, 28, 1), name="image")
    x = _norm(layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False, name="stem")(image), "stem", relu=True)
    x = _residual(x, 32, "block_1")
    x = _separable(x, 64, "block_2", strides=2)
    x = _residual(x, 64, "block_3")
    x = _residual(x, 64, "block_4")
    x = _separable(x, 128, "block_5", strides=2)
    x = _residual(x, 128, "block_6")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, layers.Dense(10, activation="softmax", name="probabilities")(x), name="separable")


def _norm(x, name: str, *, relu: bool):
    x = layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if relu else x


def _separable(x, channels: int, name: str, *, strides: int = 1, relu: bool = True):
    x = layers.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False, name=f"{name}_depthwise")(x)
    x = _norm(x, f"{name}_depthwise", relu=True)
    x = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_pointwise")(x)
    return _norm(x, f"{name}_pointwise", relu=relu)


def _residual(x, channels: int, name: str):
    y = layers.Add(name=f"{name}_add")([x, _separable(x, channels, name, relu=False)])
    return layers.ReLU(name=f"{name}_relu")(y)


def train(model: keras.Model, *, epochs: int, rate: float, flip: bool) -> None:
    """Fits with Adam and a cosine schedule, saves for inference only, prints the test accuracy."""
    images, labels, test, test_labels = original()
    images, test = (a[..., None].astype(np.float32) / 255 for a in (images, test))
    schedule = keras.optimizers.schedules.CosineDecay(rate, epochs * -(-len(images) // 128))
    model.compile(keras.optimizers.Adam(schedule), "sparse_categorical_crossentropy", metrics=["accuracy"])
    start = time.perf_counter()
    rng = np.random.default_rng(0)
    for epoch in range(epochs):
        flipped = np.where(rng.random(len(images))[:, None, None, None] < 0.5, images[:, :, ::-1], images)
        model.fit(flipped if flip else images, labels, 128, initial_epoch=epoch, epochs=epoch + 1, verbose=2)
    accuracy = model.evaluate(test, test_labels, 500, verbose=0)[1]
    print(f"{model.name}: {model.count_params()} parameters, accuracy {accuracy:.4f} on {len(test)} test images, "
          f"{time.perf_counter() - start:.0f} s of training")
    keras.Model(model.input, model.output, name=model.name).save(DATA / f"{model.name}.keras")


if __name__ == "__main__":
    keras.utils.set_random_seed(0)
    for name in sys.argv[1:] or ["cnn", "separable"]:
        if name == "cnn":
            train(cnn(), epochs=8, rate=2e-3, flip=True)
        else:
            train(separable(), epochs=12, rate=5e-3, flip=True)
