"""Runs the model of this bundle. Needs numpy and onnxruntime (requirements.txt has the versions)."""

from pathlib import Path

import numpy as np
import onnxruntime as ort

CONFIG: dict = {}
_LEVELS = {"disabled": "ORT_DISABLE_ALL", "basic": "ORT_ENABLE_BASIC", "extended": "ORT_ENABLE_EXTENDED",
           "all": "ORT_ENABLE_ALL"}
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider",
              "directml": "DmlExecutionProvider", "coreml": "CoreMLExecutionProvider"}


class Predictor:
    """``Predictor().run({input_name: array}) -> {output_name: array}``"""

    def __init__(self, folder=None):
        settings = CONFIG["settings"]
        parallel = settings["execution"] == "parallel"
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, _LEVELS[settings["graph_level"]])
        options.execution_mode = ort.ExecutionMode.ORT_PARALLEL if parallel else ort.ExecutionMode.ORT_SEQUENTIAL
        options.intra_op_num_threads = CONFIG["threads"]
        options.inter_op_num_threads = (settings["inter_threads"] or CONFIG["threads"]) if parallel else 1
        options.enable_cpu_mem_arena = settings["memory_arena"]
        options.enable_mem_pattern = settings["memory_pattern"] and not parallel
        spin = "1" if settings["spinning"] else "0"
        options.add_session_config_entry("session.intra_op.allow_spinning", spin)
        options.add_session_config_entry("session.inter_op.allow_spinning", spin)
        provider = _PROVIDERS[settings["provider"] or ("cpu" if CONFIG["device"] == "cpu" else "cuda")]
        path = Path(folder or Path(__file__).parent) / CONFIG["model"]
        self._session = ort.InferenceSession(str(path), options, providers=[provider])
        self._outputs = list(CONFIG["outputs"].values())

    def run(self, inputs):
        """One forward pass; arrays are keyed by the original model's input names, batch axis included."""
        feeds = {CONFIG["inputs"][n]: np.asarray(a, dtype=CONFIG["dtypes"][n]) for n, a in inputs.items()}
        found = self._bound(feeds) if CONFIG["settings"].get("io_binding") else self._session.run(self._outputs, feeds)
        return dict(zip(CONFIG["outputs"], found, strict=True))

    def _bound(self, feeds):
        binding = self._session.io_binding()
        for name, array in feeds.items():
            binding.bind_cpu_input(name, np.ascontiguousarray(array))
        for name in self._outputs:
            binding.bind_output(name, "cpu" if CONFIG["device"] == "cpu" else "cuda")
        self._session.run_with_iobinding(binding)
        return binding.copy_outputs_to_cpu()


if __name__ == "__main__":
    zeros = {n: np.zeros([d or 1 for d in CONFIG["shapes"][n]], CONFIG["dtypes"][n]) for n in CONFIG["inputs"]}
    print({n: a.shape for n, a in Predictor().run(zeros).items()})
