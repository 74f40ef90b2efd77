"""The 1,000 x 10 case: samples to learn from, samples that judge, and the bundled model's weights."""

from __future__ import annotations

import io
import zipfile
from typing import NamedTuple

import numpy as np

from ... import bundled, datasets
from ...teaching import mlp

SIZES = (10, 24, 12, 2)  # small enough that a slider answers at once
CLAIMED = {"accuracy": 0.90, "recall": 0.85, "f1": 0.87}  # what the project was started with, without intervals


class Case(NamedTuple):
    """Everything that the lessons compute with, in float64.

    Attributes:
        x: training samples, [1000, 10], scaled to 0..1.
        labels: their classes, 0 or 1.
        held: samples that judge, [1000, 10].
        held_labels: their classes.
        start: He-normal weights for a new training.
        bundled: the shipped model's weights.
    """

    x: np.ndarray
    labels: np.ndarray
    held: np.ndarray
    held_labels: np.ndarray
    start: mlp.Params
    bundled: mlp.Params


def load(seed: int = 0) -> Case:
    """Reads the bundled data and weights; ``seed`` draws the new start."""
    model = bundled.model("mlp")
    data = datasets.load(bundled.dataset_name("mlp"), model)
    taught = data.training
    name = model.inputs[0].name
    return Case(taught.rows[name].astype(float), taught.labels, data.evaluation.rows[name].astype(float),
                data.evaluation.labels, mlp.init(SIZES, seed), weights("mlp"))


def weights(name: str) -> mlp.Params:
    """Kernels and biases of a bundled Keras file of dense layers, in order."""
    import h5py

    with zipfile.ZipFile(bundled.path(name)) as archive, \
            h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
        layers = file["layers"]
        dense = sorted((n for n in layers if "0" in layers[n].get("vars", {})), key=lambda n: (len(n), n))
        return tuple((layers[n]["vars"]["0"][()].astype(float), layers[n]["vars"]["1"][()].astype(float))
                     for n in dense)
