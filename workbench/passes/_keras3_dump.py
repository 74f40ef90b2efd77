"""A process of its own that tells what legacy Keras must know of a Keras 3 model: architecture, weights, answers.

Current and legacy Keras never meet in one process. Arguments: the model's file, an .npz with samples by input name, the
.npz to write. It writes 'config' (JSON), 'w|layer|i' (weights) and 'o|i' (answers, in the model's order).
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import NotApplicable, WorkerError
from .process import worker_environment

_TIMEOUT_S = 900


def start(model: Path, feed: Path, target: Path) -> subprocess.Popen:
    """Starts the process; :func:`finish` waits for it."""
    command = [sys.executable, "-P", "-m", __name__, str(model), str(feed), str(target)]
    return subprocess.Popen(command, env=worker_environment(legacy_keras=False), stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, encoding="utf-8",
                            errors="replace")


def finish(process: subprocess.Popen, target: Path) -> tuple[dict[str, Any], dict[str, list[np.ndarray]], list]:
    """Config, weights by layer, and answers.

    Raises:
        NotApplicable: the model cannot be loaded.
        WorkerError: the process hung.
    """
    try:
        _, said = process.communicate(timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        raise WorkerError("reading the model with current Keras took too long") from None
    if process.returncode or not target.is_file():
        last = [line for line in said.splitlines() if line.strip()][-1:] or ["it ended without a word"]
        raise NotApplicable(f"current Keras cannot read the model: {last[0].strip()[:240]}")
    weights: dict[str, list[np.ndarray]] = {}
    with np.load(target, allow_pickle=False) as archive:
        for name in archive.files:
            if name.startswith("w|"):
                weights.setdefault(name.split("|")[1], []).append(archive[name])
        answers = [archive[n] for n in archive.files if n.startswith("o|")]
        return json.loads(str(archive["config"])), weights, answers


def main(path: str, feed: str, target: str) -> None:
    """Loads the model and writes what :func:`finish` reads."""
    import keras

    network = keras.saving.load_model(path, compile=False, safe_mode=True)
    found = {"config": np.array(json.dumps(keras.saving.serialize_keras_object(network)))}
    for name, layer in _layers(network, ""):
        for i, array in enumerate(layer.get_weights()):
            found[f"w|{name}|{i}"] = array
    with np.load(feed, allow_pickle=False) as samples:
        given = [samples[t.name] for t in network.inputs]
    structure = getattr(network, "_inputs_struct", None)
    if isinstance(structure, dict):
        answers = network({key: given[[t.name for t in network.inputs].index(t.name)] for key, t in structure.items()},
                          training=False)
    else:
        answers = network(given if len(given) > 1 else given[0], training=False)
    for i, answer in enumerate(keras.tree.flatten(answers)):
        found[f"o|{i}"] = keras.ops.convert_to_numpy(answer)
    with open(target, "wb") as stream:
        np.savez(stream, **found)


def _layers(network: Any, prefix: str) -> list[tuple[str, Any]]:
    """Every layer with weights, those of nested models under the model's name."""
    found = []
    for layer in network.layers:
        inner = getattr(layer, "layers", None)
        found += _layers(layer, f"{prefix}{layer.name}/") if inner else [(prefix + layer.name, layer)]
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
