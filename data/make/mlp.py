"""Makes data/mlp.npz and trains data/mlp.keras: 10 features, two classes, an MLP with two ReLU layers.

The first 1,000 samples train the model (the calibration samples are among them), the next 1,000 are held out.
The classes follow a seeded non-linear rule; 5 % of all labels are flipped, so no model can honestly pass 95 %.

Run with: python data/make/mlp.py
"""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

DATA = Path(__file__).resolve().parent.parent
FLIPPED = 0.05


def samples(count: int, rng: np.random.Generator, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features [count, 10] in uneven units, and labels 0 or 1 with noise."""
    x = rng.normal(size=(count, 10))
    score = x @ weights + 0.5 * x[:, 0] * x[:, 1] - 0.5 * np.abs(x[:, 2])
    labels = (score > -0.2).astype(np.int64)
    labels = np.where(rng.random(count) < FLIPPED, 1 - labels, labels)
    return x * np.logspace(-1, 2, 10) + np.linspace(-5, 50, 10), labels


def main() -> None:
    """Scales the features to [0, 1] by the training range, trains, prints accuracy, recall and F1."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=10)
    x, labels = samples(1000, rng, weights)
    held, held_labels = samples(1000, rng, weights)
    low, high = x.min(axis=0), x.max(axis=0)
    x, held = (np.clip((a - low) / (high - low), 0, 1).astype(np.float32) for a in (x, held))

    keras.utils.set_random_seed(0)
    features = keras.Input((10,), name="features")
    y = keras.layers.Dense(64, activation="relu", name="dense_1")(features)
    y = keras.layers.Dense(32, activation="relu", name="dense_2")(y)
    y = keras.layers.Dense(2, activation="softmax", name="probabilities")(y)
    model = keras.Model(features, y, name="mlp")
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    model.fit(x, labels, batch_size=32, epochs=100, verbose=0)

    said = model.predict(held, verbose=0).argmax(axis=1)
    recall = (said[held_labels == 1] == 1).mean()
    precision = (held_labels[said == 1] == 1).mean()
    print(f"mlp: {model.count_params()} parameters, accuracy {(said == held_labels).mean():.3f}, "
          f"recall {recall:.3f}, F1 {2 * precision * recall / (precision + recall):.3f}")
    keras.Model(model.input, model.output, name="mlp").save(DATA / "mlp.keras")
    np.savez_compressed(DATA / "mlp.npz", calibration_features=x[:250], calibration_labels=labels[:250],
                        evaluation_features=held, evaluation_labels=held_labels,
                        training_features=x, training_labels=labels)


if __name__ == "__main__":
    main()
