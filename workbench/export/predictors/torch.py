"""Runs the model of this bundle. Needs numpy and torch (requirements.txt has the versions)."""

from pathlib import Path

import numpy as np
import torch

CONFIG: dict = {}


class Predictor:
    """``Predictor().run({input_name: array}) -> {output_name: array}``"""

    def __init__(self, folder=None):
        self._settings = CONFIG["settings"]
        self._device = torch.device("cuda" if CONFIG["device"] == "gpu" else "cpu")
        torch.set_num_threads(CONFIG["threads"] or torch.get_num_threads())
        try:
            torch.set_num_interop_threads(self._settings.get("inter_threads", 1))
        except RuntimeError:  # another predictor of this process has set it
            pass
        path = str(Path(folder or Path(__file__).parent) / CONFIG["model"])
        if CONFIG["format"] == "torchscript":
            self._module = torch.jit.load(path, map_location=self._device).eval()
        else:
            self._module = torch.export.load(path).module().to(self._device)
        if self._settings["channels_last"]:
            self._module = self._module.to(memory_format=torch.channels_last)
        self._call = None if self._settings["mode"] == "script" else self._module
        if self._settings["mode"] == "compile":
            self._call = torch.compile(self._module)

    def run(self, inputs):
        """One forward pass; arrays are keyed by the original model's input names, batch axis included."""
        tensors = [self._tensor(np.asarray(inputs[n], dtype=CONFIG["dtypes"][n])) for n in CONFIG["inputs"]]
        if self._call is None:
            self._call = self._script(tensors)
        with torch.inference_mode(self._settings["mode"] != "eager"):
            found = _flatten(self._call(*tensors))
        return {n: t.detach().cpu().numpy() for n, t in zip(CONFIG["outputs"], found, strict=True)}

    def _tensor(self, array):
        tensor = torch.from_numpy(array if array.flags.writeable else array.copy())
        if self._settings["channels_last"] and tensor.ndim == 4:
            tensor = tensor.contiguous(memory_format=torch.channels_last)
        return tensor.to(self._device)

    def _script(self, tensors):
        module = self._module
        with torch.no_grad():
            if CONFIG["format"] != "torchscript":  # an exported program is traced for the sizes of its first input
                module = torch.jit.trace(module, tuple(tensors), check_trace=False)
            return torch.jit.optimize_for_inference(torch.jit.freeze(module.eval()))


def _flatten(value):
    if isinstance(value, torch.Tensor):
        return [value]
    value = list(value.values()) if isinstance(value, dict) else value
    return [t for item in value for t in _flatten(item)] if isinstance(value, (list, tuple)) else []


if __name__ == "__main__":
    zeros = {n: np.zeros([d or 1 for d in CONFIG["shapes"][n]], CONFIG["dtypes"][n]) for n in CONFIG["inputs"]}
    print({n: a.shape for n, a in Predictor().run(zeros).items()})
