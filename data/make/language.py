"""Trains data/language.keras: a byte-level transformer that tells in which language a source file is written.

It learns from files of the packages that the project installs; packages kept for evaluation are never read here
except to print the accuracy. Only the weights are kept.

Run with: python data/make/language.py
"""

from __future__ import annotations

import time
from pathlib import Path

import keras
import numpy as np
from keras import layers

from workbench.datasets import source_files

DATA = Path(__file__).resolve().parent.parent
TOKENS, WIDTH, HEADS, BLOCKS = source_files.WINDOW // 4, 64, 4, 2


def build() -> keras.Model:
    """Bytes -> embedding -> one token for every 4 bytes -> positions -> transformer blocks -> mean -> softmax."""
    text = keras.Input((source_files.WINDOW,), dtype="int32", name="bytes")
    x = layers.Embedding(256, 32, name="embedding")(text)
    x = layers.Conv1D(WIDTH, 8, strides=4, padding="same", activation="relu", name="tokens")(x)
    # A projection with a bias of its own for every place is a learned position embedding in standard layers.
    x = layers.EinsumDense("bld,de->ble", (TOKENS, WIDTH), bias_axes="le", bias_initializer="random_normal",
                           name="positions")(x)
    for i in range(1, BLOCKS + 1):
        y = layers.LayerNormalization(epsilon=1e-5, name=f"attention_norm_{i}")(x)
        y = layers.MultiHeadAttention(HEADS, WIDTH // HEADS, name=f"attention_{i}")(y, y)
        x = layers.Add(name=f"attention_add_{i}")([x, y])
        y = layers.LayerNormalization(epsilon=1e-5, name=f"feed_forward_norm_{i}")(x)
        y = layers.Dense(2 * WIDTH, activation="relu", name=f"feed_forward_{i}_up")(y)
        y = layers.Dense(WIDTH, name=f"feed_forward_{i}_down")(y)
        x = layers.Add(name=f"feed_forward_add_{i}")([x, y])
    x = layers.LayerNormalization(epsilon=1e-5, name="norm")(x)
    x = layers.GlobalAveragePooling1D(name="pool")(x)
    out = layers.Dense(len(source_files.LANGUAGES), activation="softmax", name="probabilities")(x)
    return keras.Model(text, out, name="language")


def balanced(files: list, per_language: int, seeds: range) -> tuple[np.ndarray, np.ndarray]:
    """Windows of several draws; languages with few files are repeated until all have as many."""
    draws = [source_files.sample(files, per_language // len(seeds), seed=s) for s in seeds]
    text, labels = (np.concatenate(part) for part in zip(*draws, strict=True))
    rng = np.random.default_rng(0)
    chosen = np.concatenate([rng.choice(np.flatnonzero(labels == c), per_language) for c in np.unique(labels)])
    chosen = rng.permutation(chosen)
    return text[chosen], labels[chosen]


def main(epochs: int = 6, rate: float = 2e-3) -> None:
    """Trains on the training packages, prints the accuracy on held-out ones in all and for each language."""
    files = source_files.files()
    held = [f for f in files if source_files.is_held_out(f.package)]
    text, labels = balanced([f for f in files if not source_files.is_held_out(f.package)], 4000, range(100, 104))
    held_text, held_labels = source_files.sample(held, 150, seed=1)
    keras.utils.set_random_seed(0)
    model = build()
    schedule = keras.optimizers.schedules.CosineDecay(rate, epochs * len(text) // 64, warmup_steps=200,
                                                      warmup_target=rate)
    model.compile(keras.optimizers.AdamW(schedule, weight_decay=0.01), "sparse_categorical_crossentropy",
                  metrics=["accuracy"])
    start = time.perf_counter()
    model.fit(text, labels, batch_size=64, epochs=epochs, verbose=2)
    said = model.predict(held_text, verbose=0).argmax(axis=1)
    print(f"language: {model.count_params()} parameters, {len(text)} training windows, "
          f"{time.perf_counter() - start:.0f} s of training")
    print(f"accuracy {(said == held_labels).mean():.4f} on {len(said)} windows of held-out packages")
    for i, language in enumerate(source_files.LANGUAGES):
        mine = held_labels == i
        print(f"  {language}: {(said[mine] == i).mean():.3f} of {mine.sum()}; taken for {np.bincount(said[mine])}")
    keras.Model(model.input, model.output, name="language").save(DATA / "language.keras")


if __name__ == "__main__":
    main()
