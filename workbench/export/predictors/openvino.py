"""Runs the model of this bundle. Needs numpy and openvino (requirements.txt has the versions)."""

import re
from pathlib import Path

import numpy as np
import openvino as ov

CONFIG: dict = {}
_HINTS = {"latency": "LATENCY", "throughput": "THROUGHPUT"}


class Predictor:
    """``Predictor().run({input_name: array}) -> {output_name: array}``"""

    def __init__(self, folder=None):
        settings, device = CONFIG["settings"], CONFIG["device"].upper()
        options = {"PERFORMANCE_HINT": _HINTS[settings["hint"]]}
        if settings["precision"]:
            options["INFERENCE_PRECISION_HINT"] = settings["precision"]
        if settings["streams"]:
            options["NUM_STREAMS"] = settings["streams"]
        if device == "CPU":
            options["ENABLE_CPU_PINNING"] = settings["pinning"]
            options["INFERENCE_NUM_THREADS"] = CONFIG["threads"]
        self._core, self._device, self._options = ov.Core(), device, options
        self._model = self._core.read_model(str(Path(folder or Path(__file__).parent) / CONFIG["model"]))
        self._inputs = _places(self._model.inputs, list(CONFIG["inputs"].values()))
        self._outputs = _places(self._model.outputs, list(CONFIG["outputs"].values()))
        self._fixed, self._shapes = settings["fixed_shapes"], None
        self._request = None if self._fixed else self._compile()

    def run(self, inputs):
        """One forward pass; arrays are keyed by the original model's input names, batch axis included."""
        arrays = {self._inputs[CONFIG["inputs"][n]]: np.ascontiguousarray(a, dtype=CONFIG["dtypes"][n])
                  for n, a in inputs.items()}
        shapes = {i: list(a.shape) for i, a in arrays.items()}
        if self._fixed and shapes != self._shapes:
            self._model.reshape({self._model.inputs[i]: shape for i, shape in shapes.items()})
            self._request, self._shapes = self._compile(), shapes
        found = self._request.infer(arrays, share_inputs=True)
        return {theirs: found[self._outputs[mine]] for theirs, mine in CONFIG["outputs"].items()}

    def _compile(self):
        return self._core.compile_model(self._model, self._device, self._options).create_infer_request()


def _plain(name):
    return re.sub(r"^(serving_default_|keras_tensor_)|(:\d+)$", "", name)


def _places(ports, names):
    """Name -> place among the model's ports: by name, else by the order."""
    found = {n: [i for i, p in enumerate(ports) if n in p.get_names()] or
             [i for i, p in enumerate(ports) if n in map(_plain, p.get_names())] for n in names}
    if all(found.values()):
        return {n: places[0] for n, places in found.items()}
    return {n: i for i, n in enumerate(names)}


if __name__ == "__main__":
    zeros = {n: np.zeros([d or 1 for d in CONFIG["shapes"][n]], CONFIG["dtypes"][n]) for n in CONFIG["inputs"]}
    print({n: a.shape for n, a in Predictor().run(zeros).items()})
