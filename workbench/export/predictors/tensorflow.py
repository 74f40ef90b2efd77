"""Runs the model of this bundle. Needs numpy and tensorflow (requirements.txt has the versions)."""

import os
from pathlib import Path

import numpy as np

CONFIG: dict = {}
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1" if CONFIG.get("settings", {}).get("onednn", True) else "0")
if CONFIG.get("format") == "keras2":
    os.environ["TF_USE_LEGACY_KERAS"] = "1"

import tensorflow as tf  # noqa: E402  (its switches are read when it is imported)


class Predictor:
    """``Predictor().run({input_name: array}) -> {output_name: array}``"""

    def __init__(self, folder=None):
        tf.config.threading.set_intra_op_parallelism_threads(CONFIG["threads"])
        tf.config.threading.set_inter_op_parallelism_threads(CONFIG["settings"]["inter_threads"] or CONFIG["threads"])
        path = str(Path(folder or Path(__file__).parent) / CONFIG["model"])
        mode = CONFIG["settings"]["mode"]
        if CONFIG["format"] == "saved_model":
            self._keep = tf.saved_model.load(path)  # its variables die with it
            signature = self._keep.signatures["serving_default"]
            self._call = lambda arrays: signature(**arrays)
            return
        model = self._keep = tf.keras.models.load_model(path, compile=False, safe_mode=True)
        order, names = list(CONFIG["inputs"].values()), list(CONFIG["outputs"].values())

        def forward(*arrays):
            return tf.nest.flatten(model(arrays[0] if len(arrays) == 1 else list(arrays), training=False))

        graph = forward if mode in ("eager", "predict") else tf.function(
            forward, jit_compile=mode == "xla", autograph=False)
        self._call = lambda arrays: dict(zip(names, graph(*[arrays[n] for n in order]), strict=True))

    def run(self, inputs):
        """One forward pass; arrays are keyed by the original model's input names, batch axis included."""
        arrays = {CONFIG["inputs"][n]: tf.convert_to_tensor(np.asarray(a, dtype=CONFIG["dtypes"][n]))
                  for n, a in inputs.items()}
        found = self._call(arrays)
        return {theirs: np.asarray(found[mine]) for theirs, mine in CONFIG["outputs"].items()}


if __name__ == "__main__":
    zeros = {n: np.zeros([d or 1 for d in CONFIG["shapes"][n]], CONFIG["dtypes"][n]) for n in CONFIG["inputs"]}
    print({n: a.shape for n, a in Predictor().run(zeros).items()})
