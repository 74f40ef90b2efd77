"""Runs the model of this bundle. Needs numpy and ai-edge-litert (requirements.txt has the versions)."""

from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

CONFIG: dict = {}


class Predictor:
    """``Predictor().run({input_name: array}) -> {output_name: array}``"""

    def __init__(self, folder=None):
        path = Path(folder or Path(__file__).parent) / CONFIG["model"]
        fast = CONFIG["settings"]["xnnpack"]
        kernels = OpResolverType.AUTO if fast else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        self._it = Interpreter(str(path), num_threads=CONFIG["threads"], experimental_op_resolver_type=kernels,
                               experimental_default_delegate_latest_features=CONFIG["settings"]["latest"])
        self._in, self._out = self._ports()
        self._shapes = None

    def run(self, inputs):
        """One forward pass; arrays are keyed by the original model's input names, batch axis included."""
        arrays = {CONFIG["inputs"][n]: np.asarray(a) for n, a in inputs.items()}
        shapes = {n: a.shape for n, a in arrays.items()}
        if shapes != self._shapes:
            for name, shape in shapes.items():
                self._it.resize_tensor_input(self._in[name]["index"], list(shape))
            self._it.allocate_tensors()
            self._shapes = shapes
        for name, array in arrays.items():
            self._it.set_tensor(self._in[name]["index"], _quantize(array, self._in[name]))
        self._it.invoke()
        found = {n: _dequantize(self._it.get_tensor(d["index"]), d) for n, d in self._out.items()}
        return {theirs: found[mine] for theirs, mine in CONFIG["outputs"].items()}

    def _ports(self):
        keys = list(self._it.get_signature_list())
        if not keys:
            inputs, outputs = self._it.get_input_details(), self._it.get_output_details()
            return {d["name"]: d for d in inputs}, {d["name"]: d for d in outputs}
        runner = self._it.get_signature_runner("serving_default" if "serving_default" in keys else keys[0])
        return runner.get_input_details(), runner.get_output_details()


def _quantize(array, port):
    scale, zero = port["quantization"]
    if array.dtype.kind != "f" or np.dtype(port["dtype"]).kind == "f" or not scale:
        return array.astype(port["dtype"], copy=False)
    limits = np.iinfo(port["dtype"])
    return np.clip(np.rint(array / np.float32(scale)) + zero, limits.min, limits.max).astype(port["dtype"])


def _dequantize(array, port):
    scale, zero = port["quantization"]
    if array.dtype.kind == "f" or not scale:
        return array
    return (array.astype(np.float32) - np.float32(zero)) * np.float32(scale)


if __name__ == "__main__":
    zeros = {n: np.zeros([d or 1 for d in CONFIG["shapes"][n]], CONFIG["dtypes"][n]) for n in CONFIG["inputs"]}
    print({n: a.shape for n, a in Predictor().run(zeros).items()})
