"""Every runtime on the same weights, interleaved: the seed's CNN and MobileNetV2 at 224x224, and a published model.

MobileNetV2 is Keras's own (`keras.applications`) with random weights and normalized activations, since the trained
ones take a network; for PyTorch the same file is loaded with Keras's torch backend, which turns every
NHWC tensor and folds no batch normalization. The published model is an ONNX file
that others trained.

    python -m benchmarks.runtimes [--seconds 60] [--threads N]

Prints Markdown tables: median latency with its 95 % interval, the speed-up over the first row, and how well the
answers agree with it. Inputs are random images; speed is compared, not accuracy.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.common import machine_line
from workbench import assemble, datasets, recipe, variant
from workbench.errors import WorkbenchError
from workbench.measure import Candidate, Plan, environment, measure, stats
from workbench.model import Model, load
from workbench.runtimes import registry
from workbench.units import duration, times

SIDE, CLASSES, SAMPLES = 224, 10, 16


class Entry(NamedTuple):
    """A row: precision, the model it starts from, and the recipe."""

    precision: str
    model: Model
    recipe: recipe.Recipe


def build(folder: Path) -> None:
    """The seed's CNN in Keras (two 3x3 convolutions, Dense 128), and its weights for the twin in PyTorch."""
    import keras

    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential([
        keras.Input((SIDE, SIDE, 3), name="image"), layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(),
        layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(), layers.Flatten(),
        layers.Dense(128, activation="relu"), layers.Dense(CLASSES, activation="softmax")])
    model.save(folder / "cnn.keras")
    np.savez(folder / "weights.npz", *[w.numpy() for w in model.weights])
    mobile = keras.applications.MobileNetV2((SIDE, SIDE, 3), weights=None, classes=CLASSES, classifier_activation=None)
    # Untrained, its activations fade to 1e-12 from layer to layer, where kernels are slow and INT8 has no range: one
    # pass in training mode gives every batch normalization the statistics of real activations.
    for layer in mobile.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.0
    mobile(np.random.default_rng(0).random((8, SIDE, SIDE, 3), dtype=np.float32), training=True)
    mobile.save(folder / "mobilenet.keras")


def build_mobile_torch(folder: Path) -> None:
    """MobileNetV2 as an exported PyTorch program, through Keras's torch backend (chosen by the environment)."""
    import keras
    import torch

    class Forward(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = keras.saving.load_model(folder / "mobilenet.keras")

        def forward(self, image):
            return self.model(image, training=False)

    example = torch.rand(2, SIDE, SIDE, 3)
    batch = {"image": {0: torch.export.Dim("batch")}}
    torch.export.save(torch.export.export(Forward().eval(), (example,), dynamic_shapes=batch), folder / "mobilenet.pt2")


def build_torch(folder: Path) -> None:
    """The same network and weights in PyTorch; it takes the same NHWC images."""
    import torch
    from torch import nn

    class Twin(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            flat = 64 * ((((SIDE - 2) // 2) - 2) // 2) ** 2
            self.conv1, self.conv2 = nn.Conv2d(3, 32, 3), nn.Conv2d(32, 64, 3)
            self.dense1, self.dense2 = nn.Linear(flat, 128), nn.Linear(128, CLASSES)

        def forward(self, image):
            x = torch.max_pool2d(torch.relu(self.conv1(image.permute(0, 3, 1, 2))), 2)
            x = torch.max_pool2d(torch.relu(self.conv2(x)), 2).permute(0, 2, 3, 1).flatten(1)
            return torch.softmax(self.dense2(torch.relu(self.dense1(x))), -1)

    twin = Twin().eval()
    with np.load(folder / "weights.npz") as archive:
        values = [torch.from_numpy(archive[n]) for n in archive.files]
    with torch.no_grad():
        for i, layer in enumerate((twin.conv1, twin.conv2, twin.dense1, twin.dense2)):
            kernel = values[2 * i]
            layer.weight.copy_(kernel.permute(3, 2, 0, 1) if kernel.ndim == 4 else kernel.T)
            layer.bias.copy_(values[2 * i + 1])
    example = torch.rand(2, SIDE, SIDE, 3)
    program = torch.export.export(twin, (example,), dynamic_shapes={"image": {0: torch.export.Dim("batch")}})
    torch.export.save(program, folder / "cnn.pt2")


def entries(folder: Path, name: str, threads: int) -> list[Entry]:
    """Float and INT8 of one model, wherever a runtime has it."""
    keras, torch = load(folder / f"{name}.keras"), load(folder / f"{name}.pt2")

    def make(*steps, runtime, **settings):
        return recipe.make(*steps, runtime=runtime, runtime_settings=settings, threads=threads)

    modes = ("function", "xla", "predict")
    found = [Entry("float32", keras, make(runtime="tensorflow", mode=mode)) for mode in modes]
    found += [Entry("float32", keras, make(runtime=name)) for name in ("litert", "onnxruntime", "openvino")]
    found += [Entry("float32", torch, make(runtime="torch", mode=mode)) for mode in ("inference", "script")]
    found += [Entry("INT8", keras, make("tflite-int8", runtime="litert"))]
    found += [Entry("INT8", keras, make("onnx-int8-static", runtime=name)) for name in ("onnxruntime", "openvino")]
    found += [Entry("INT8 dynamic", keras, make("onnx-int8-dynamic", runtime="onnxruntime"))]
    return found


def published_entries(model: Model, threads: int) -> list[Entry]:
    """What loads an ONNX file: there is no conversion from ONNX to the other frameworks' formats."""
    found = []
    precisions = {"float32": (), "INT8": ("onnx-int8-static",), "INT8 dynamic": ("onnx-int8-dynamic",)}
    for precision, steps in precisions.items():
        for name in ("onnxruntime", "openvino"):
            found.append(Entry(precision, model, recipe.make(*steps, runtime=name, threads=threads)))
    return found


def table(entries: list[Entry], seconds: float) -> str:
    """Measures all entries side by side; rows as Markdown, failures with their reason."""
    first = entries[0].model
    data = datasets.random(first, samples=3 * SAMPLES)
    candidates, reasons = {}, {}
    for entry in entries:
        done = variant.complete(entry.model, entry.recipe)
        try:
            built = variant.build(entry.model, done, data).model
        except WorkbenchError as error:
            reasons[done.key] = str(error)
            continue
        candidates[done.key] = Candidate(done.key, built.path, built.format, first.inputs, done.runtime,
                                         done.runtime_settings, done.threads, "cpu")
    feeds = data.evaluation.feeds(1, SAMPLES)
    found = measure(list(candidates.values()), feeds, evaluation=feeds, plan=replace(Plan(), max_s=seconds))
    lines = ["| runtime | precision | median | 95 % interval | against the first row | cosine to the first row |",
             "|---|---|---|---|---|---|"]
    base = next(iter(found.values()))
    for entry in entries:
        done = variant.complete(entry.model, entry.recipe)
        raw = found.get(done.key)
        reason = reasons.get(done.key) or (raw.reason if raw.status != "ok" else "")
        cells = f"{reason} | | |" if reason else _cells(raw, base)
        title = f"{registry.info(done.runtime).title} {getattr(done.runtime_settings, 'mode', '')}".strip()
        lines.append(f"| {title} | {entry.precision} | {cells} |")
    others = base.environment.get("noise", {}).get("others_cores")
    told = f"; {others:.1f} cores were busy with other programs" if others is not None else ""
    return "\n".join([*lines, "", f"All rows interleaved, {len(base.rounds)} rounds{told}."])


def _cells(raw, base) -> str:
    median = stats.median_interval(raw.rounds)
    ratio = stats.ratio_interval(raw.rounds, base.rounds)
    pair = [next(iter(assemble.load_outputs(m.outputs_path).values())).astype(np.float64).ravel() for m in (raw, base)]
    cosine = pair[0] @ pair[1] / np.sqrt((pair[0] @ pair[0]) * (pair[1] @ pair[1])) if pair[0].size == pair[1].size \
        else float("nan")
    return (f"{duration(median.value)} | {duration(median.low)} to {duration(median.high)} | {times(1 / ratio.value)} "
            f"({times(1 / ratio.high)} to {times(1 / ratio.low)}) | {cosine:.5f}")


# Step -> what it builds, and the backend of Keras while it does.
BUILDS = {"build": (build, "tensorflow"), "build-torch": (build_torch, "torch"),
          "build-mobile-torch": (build_mobile_torch, "torch")}


def main() -> None:
    """All tables."""
    if len(sys.argv) == 3 and sys.argv[1] in BUILDS:
        return BUILDS[sys.argv[1]][0](Path(sys.argv[2]))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="time limit of each table's timing (default 60)")
    parser.add_argument("--threads", type=int, default=environment.physical_threads())
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="workbench-") as name:
        for step, (_, backend) in BUILDS.items():
            subprocess.run([sys.executable, "-m", "benchmarks.runtimes", step, name], check=True, capture_output=True,
                           env={**os.environ, "KERAS_BACKEND": backend})
        print(machine_line())
        for model, title in (("cnn", "The seed's CNN"), ("mobilenet", "MobileNetV2 of Keras, random weights")):
            print(f"\n{title}, {SIDE}x{SIDE}, batch 1, {args.threads} threads\n")
            print(table(entries(Path(name), model, args.threads), args.seconds), flush=True)
    package = importlib.util.find_spec("ddddocr")
    if package is None:
        print("\nThe published model needs the ddddocr package: pip install ddddocr")
        return None
    path = Path(package.origin).parent / "common.onnx"
    model = load(path, fix={"input1": [1, 1, 64, 96]})
    print(f"\nddddocr {path.name}, 64x96, batch 1, {args.threads} threads\n")
    print(table(published_entries(model, args.threads), args.seconds))
    return None


if __name__ == "__main__":
    main()
