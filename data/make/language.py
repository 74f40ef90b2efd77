"""Trains data/language.keras: a byte-level transformer that tells in which language a source file is written.

It learns from files of the packages that are installed (all extras help); packages kept for evaluation are never
read here except to print the accuracy. Only the weights are kept.

Run with: python data/make/language.py
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import keras
import numpy as np
from keras import layers

from workbench.datasets import source_files

DATA = Path(__file__).resolve().parent.parent
TOKENS, WIDTH, HEADS, BLOCKS = source_files.WINDOW // 4, 64, 4, 2
MINIFIED = [source_files.LANGUAGES.index(name) for name in ("CSS", "JSON")]


def build() -> keras.Model:
    """Bytes -> embedding -> one token for every 4 bytes -> positions -> transformer blocks -> mean -> softmax."""
    text = keras.Input((source_files.WINDOW,), dtype="int32", name="bytes")
    x = layers.Embedding(256, 32, name="embedding")(text)
    x = layers.Dropout(0.1, name="embedding_dropout")(x)
    x = layers.Conv1D(WIDTH, 8, strides=4, padding="same", activation="relu", name="tokens")(x)
    # A projection with a bias of its own for every place is a learned position embedding in standard layers.
    x = layers.EinsumDense("bld,de->ble", (TOKENS, WIDTH), bias_axes="le", bias_initializer="random_normal",
                           name="positions")(x)
    for i in range(1, BLOCKS + 1):
        y = layers.LayerNormalization(epsilon=1e-5, name=f"attention_norm_{i}")(x)
        y = layers.MultiHeadAttention(HEADS, WIDTH // HEADS, dropout=0.1, name=f"attention_{i}")(y, y)
        x = layers.Add(name=f"attention_add_{i}")([x, y])
        y = layers.LayerNormalization(epsilon=1e-5, name=f"feed_forward_norm_{i}")(x)
        y = layers.Dense(2 * WIDTH, activation="relu", name=f"feed_forward_{i}_up")(y)
        y = layers.Dense(WIDTH, name=f"feed_forward_{i}_down")(y)
        x = layers.Add(name=f"feed_forward_add_{i}")([x, y])
    x = layers.LayerNormalization(epsilon=1e-5, name="norm")(x)
    x = layers.GlobalAveragePooling1D(name="pool")(x)
    x = layers.Dropout(0.2, name="pool_dropout")(x)
    out = layers.Dense(len(source_files.LANGUAGES), activation="softmax", name="probabilities")(x)
    return keras.Model(text, out, name="language")


def training_files() -> list:
    """Files of all installed packages but the held-out ones, without bundled copies of other packages."""
    held = {f.digest for f in source_files.files() if source_files.is_held_out(f.package)}
    return [f for f in source_files.files(everything=True) if f.digest not in held and "_vendor" not in f.path
            and not source_files.is_held_out(f.package)]


def crop(row: bytes, language: int, rng: np.random.Generator) -> bytes:
    """A window out of a wider one, at random; some are minified first, as published CSS and JSON often are."""
    row = row.rstrip(b"\0")
    if language in MINIFIED and rng.random() < 0.4:
        row = re.sub(rb"\s*([{}\[\]:;,=>()])\s*", rb"\1", re.sub(rb"\s+", b" ", row))
    row = row[rng.integers(0, max(1, len(row) - source_files.WINDOW // 2)):]
    newline = row.find(b"\n", 0, source_files.WINDOW // 2)
    return row[newline + 1:][:source_files.WINDOW].ljust(source_files.WINDOW, b"\0")


def epoch_of(wide: np.ndarray, labels: np.ndarray, per_language: int, rng: np.random.Generator) -> tuple:
    """Fresh windows for one epoch, as many of every language."""
    chosen = np.concatenate([rng.choice(np.flatnonzero(labels == c), per_language) for c in np.unique(labels)])
    chosen = rng.permutation(chosen)
    rows = [crop(wide[i].tobytes(), labels[i], rng) for i in chosen]
    return np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), -1).astype(np.int32), labels[chosen]


def report(model: keras.Model) -> None:
    """Prints the accuracy on held-out packages, in all and for each language."""
    held = [f for f in source_files.files() if source_files.is_held_out(f.package)]
    text, labels = source_files.sample(held, 150, seed=1)
    said = model.predict(text, verbose=0).argmax(axis=1)
    print(f"accuracy {(said == labels).mean():.4f} on {len(said)} windows of held-out packages", flush=True)
    for i, language in enumerate(source_files.LANGUAGES):
        mine = labels == i
        print(f"  {language}: {(said[mine] == i).mean():.3f} of {mine.sum()}; "
              f"taken for {np.bincount(said[mine], minlength=len(source_files.LANGUAGES))}", flush=True)


def main(epochs: int = 6, rate: float = 2e-3, per_language: int = 4000) -> None:
    """Trains on fresh windows every epoch, then reports and saves."""
    draws = [source_files.sample(training_files(), 1500, seed=s, width=1024) for s in range(100, 104)]
    wide, labels = (np.concatenate(part) for part in zip(*draws, strict=True))
    wide = wide.astype(np.uint8)
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    model = build()
    steps = -(-per_language * len(source_files.LANGUAGES) // 64)
    schedule = keras.optimizers.schedules.CosineDecay(0.0, epochs * steps - 200, warmup_steps=200, warmup_target=rate)
    model.compile(keras.optimizers.AdamW(schedule, weight_decay=0.02), "sparse_categorical_crossentropy",
                  metrics=["accuracy"])
    start = time.perf_counter()
    for epoch in range(epochs):
        model.fit(*epoch_of(wide, labels, per_language, rng), batch_size=64, initial_epoch=epoch, epochs=epoch + 1,
                  verbose=2)
    print(f"language: {model.count_params()} parameters, {len(wide)} wide training windows "
          f"({np.bincount(labels)}), {time.perf_counter() - start:.0f} s of training")
    report(model)
    keras.Model(model.input, model.output, name="language").save(DATA / "language.keras")


if __name__ == "__main__":
    main()
