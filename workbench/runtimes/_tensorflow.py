"""TensorFlow adapter: Keras 3, Keras 2 and SavedModel, by predict, eager, tf.function or XLA."""

from __future__ import annotations

import logging
import os
import re
import sys
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import feeds as feed_names
from ..errors import InputError, MissingError, WorkbenchError
from ..formats import keras_config
from ..model import ModelFormat, TensorSpec
from ..settings import SettingsBase, setting
from ._common import natural_order, nvidia_gpu, one_line, package_version, thread_environment
from .base import SessionRequest

_INSTALL_GPU = "pip install 'tensorflow[and-cuda]'"
SHARES_SESSIONS = True  # one session may run for several threads at the same time
_NODE_NOISE = re.compile(r"\s*(\[\[\{\{node.*|\[Op:.*|Stack trace for op.*|Detected at node.*|"
                         r"Arguments received by.*)$")


@dataclass(frozen=True)
class Settings(SettingsBase):
    """How TensorFlow runs a model."""

    mode: str = setting("function", "predict and eager run layer by layer; function makes a graph; xla compiles it",
                        choices=("predict", "eager", "function", "xla"))
    onednn: bool = setting(True, "oneDNN kernels on x86: usually faster, results differ in the last digits")
    inter_threads: int = setting(0, "Threads across independent operations; 0 takes the thread count",
                                 low=0, high=256, advanced=True)


def environment(threads: int, device: str, settings: Settings, format: ModelFormat) -> dict[str, str]:
    """Variables that TensorFlow reads once, when it is imported."""
    return {
        **thread_environment(threads, device),
        "TF_NUM_INTRAOP_THREADS": str(threads),
        "TF_NUM_INTEROP_THREADS": str(settings.inter_threads or threads),
        "TF_ENABLE_ONEDNN_OPTS": "1" if settings.onednn else "0",
        "TF_USE_LEGACY_KERAS": "1" if format is ModelFormat.KERAS2 else "0",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "KERAS_BACKEND": "tensorflow",
    }


def devices() -> dict[str, str | None]:
    """Devices and why they cannot be used; looks at files, does not import TensorFlow."""
    reason = None
    if sys.platform in ("darwin", "win32"):
        reason = "TensorFlow's own wheels run on a GPU under Linux (or WSL2) only"
    elif not nvidia_gpu():
        reason = f"no NVIDIA GPU with a driver was found on this machine; where there is one: {_INSTALL_GPU}"
    return {"cpu": None, "gpu": reason}


def preload() -> None:
    """Imports the framework, so that neither its time nor its memory is taken for the model's."""
    import tensorflow as tf

    _ = tf.keras.models  # Keras loads on first use


def open_session(request: SessionRequest) -> TfSession:
    """Loads the model; the graph is traced, and for 'xla' compiled, when there is an example.

    Raises:
        InputError: the file cannot be loaded, holds code, or does not fit the mode.
        MissingError: a GPU is asked for and TensorFlow sees none.
    """
    reason = devices().get(request.device)
    if reason:
        raise MissingError(f"tensorflow on device {request.device}: {reason}")
    tf = _start(request)
    if request.device == "gpu" and not tf.config.list_physical_devices("GPU"):
        raise MissingError(f"TensorFlow sees no GPU, although there is a driver; install its libraries: {_INSTALL_GPU}")
    loaded = _saved_model(tf, request) if request.path.is_dir() else _keras_model(tf, request)
    return TfSession(tf, request, loaded)


@dataclass
class _Loaded:
    """A model ready to call: ``call(list of arrays in input order) -> list of tensors or arrays``."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    call: Callable[[list], list]
    kind: str
    keep: Any  # a SavedModel's variables die with the object that loaded them


class TfSession:
    """See :class:`workbench.runtimes.base.Session`. Outputs are numpy arrays: the copy is part of a run."""

    def __init__(self, tf: Any, request: SessionRequest, loaded: _Loaded) -> None:
        self._tf, self._request, self._loaded = tf, request, loaded
        self.inputs, self.outputs = loaded.inputs, loaded.outputs
        self._wanted = [s.name for s in self.inputs]
        self._names = [s.name for s in self.outputs]
        if request.example:
            names = feed_names.match(list(request.example), self.inputs)
            example = {s.name: _as(request.example[names[s.name]], s) for s in self.inputs}
            self.run(example)  # traces and compiles now, so that it counts as loading

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One forward pass.

        Raises:
            InputError: an input is missing or does not fit, or XLA cannot compile an operation.
        """
        try:
            values = self._loaded.call([feeds[n] for n in self._wanted])
            return {n: v if isinstance(v, np.ndarray) else v.numpy() for n, v in zip(self._names, values, strict=True)}
        except KeyError as error:
            raise InputError(f"TensorFlow: input {error} is missing; the model wants "
                             f"{', '.join(self._wanted)}") from None
        except (self._tf.errors.OpError, ValueError, TypeError) as error:
            mode = self._request.settings.mode
            raise InputError(f"TensorFlow could not run the model in mode '{mode}': {_cause(error)}") from None

    def resident(self, feeds: dict[str, np.ndarray]) -> Callable[[], Any]:
        """A run between tensors of the device, see :class:`workbench.runtimes.base.Session`; it returns tensors.

        Raises:
            NotImplementedError: in mode 'predict', which hands arrays back.
        """
        if self._request.settings.mode == "predict":
            raise NotImplementedError("Keras's predict takes and gives arrays of main memory")
        tf = self._tf
        tensors = [tf.convert_to_tensor(feeds[n]) for n in self._wanted]

        def run() -> Any:
            outputs = self._loaded.call(tensors)
            tf.test.experimental.sync_devices()  # kernels are only queued when the call returns
            return outputs

        return run

    def describe(self) -> dict[str, Any]:
        """Mode, Keras generation, threads as TensorFlow has them, devices, version."""
        threading = self._tf.config.threading
        device = "GPU" if self._request.device == "gpu" else "CPU"
        return {
            "runtime": "tensorflow", "version": self._tf.__version__, "model": self._loaded.kind,
            "mode": self._request.settings.mode, "device": self._request.device,
            "devices": [d.name for d in self._tf.config.list_logical_devices(device)],
            "threads": threading.get_intra_op_parallelism_threads(),
            "inter_threads": threading.get_inter_op_parallelism_threads(),
            "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "") != "0", "notes": [],
        }

    def close(self) -> None:
        """Frees the model."""
        self._loaded = None


def _start(request: SessionRequest) -> Any:
    """Imports TensorFlow quietly and sets its thread pools, which cannot change afterwards."""
    settings: Settings = request.settings
    for name, value in environment(request.threads, request.device, settings, request.format).items():
        os.environ.setdefault(name, value)
    warnings.filterwarnings("ignore", module=r"(tf_)?keras")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")
    wanted = (request.threads, settings.inter_threads or request.threads)
    pools = tf.config.threading
    try:
        pools.set_intra_op_parallelism_threads(wanted[0])
        pools.set_inter_op_parallelism_threads(wanted[1])
    except RuntimeError:
        raise InputError("TensorFlow already runs in this process with other thread counts; "
                         "it takes them only in a fresh worker") from None
    if request.format is ModelFormat.KERAS2 and _keras_version(tf).startswith("3"):
        raise InputError("a Keras 2 model needs TF_USE_LEGACY_KERAS=1 before TensorFlow is imported; "
                         "open it in a fresh worker")
    return tf


def _keras_model(tf: Any, request: SessionRequest) -> _Loaded:
    path, mode = request.path, request.settings.mode
    model = _load_keras(tf, request)
    tensors = getattr(model, "inputs", None)
    if not tensors:
        raise InputError(f"{path.name} was saved without input shapes; call it once on data, then save it again")
    keras2 = request.format is ModelFormat.KERAS2
    flatten = tf.nest.flatten if keras2 else tf.keras.tree.flatten
    struct = getattr(model, "_nested_inputs" if keras2 else "_inputs_struct", None)
    pack = _packer(struct, tensors)

    def forward(*arrays: Any) -> list:
        return flatten(model(pack(arrays), training=False))

    def predict(arrays: list) -> list:
        batch = max(1, len(arrays[0]))  # one batch: Keras would cut at 32 by itself
        return flatten(model.predict(pack(arrays), batch_size=batch, verbose=0))

    call = predict
    if mode == "eager":
        def call(arrays: list) -> list:
            return forward(*[tf.convert_to_tensor(a) for a in arrays])
    elif mode != "predict":
        graph = tf.function(forward, jit_compile=mode == "xla", autograph=False)

        def call(arrays: list) -> list:
            return graph(*[tf.convert_to_tensor(a) for a in arrays])

    kind = f"Keras {_keras_version(tf)}"
    names = model.input_names if keras2 else [t.name for t in tensors]
    return _Loaded(_specs(tensors, names), _specs(model.outputs, _output_names(model)), call, kind, model)


def _keras_version(tf: Any) -> str:
    return getattr(tf.keras, "__version__", "") or package_version("tf_keras")  # the legacy module has no version


def _load_keras(tf: Any, request: SessionRequest) -> Any:
    """Loads a .keras or .h5 file after its config was searched for code: Keras 2 runs an .h5's Lambda unasked."""
    path = request.path
    if not path.is_file():
        raise InputError(f"{path.name}: no such file in {path.parent}")
    architecture = keras_config.read(path)
    try:
        with ExitStack() as scopes:
            if architecture.tfmot:
                import tensorflow_model_optimization as tfmot

                scopes.enter_context(tfmot.quantization.keras.quantize_scope())
                scopes.enter_context(tfmot.sparsity.keras.prune_scope())
            return tf.keras.models.load_model(path, compile=False, safe_mode=True)
    except ImportError as error:
        raise MissingError(f"{path.name} needs tensorflow-model-optimization ({error}); install it with: "
                           "pip install tensorflow-model-optimization") from None
    except WorkbenchError:
        raise
    except Exception as error:  # Keras raises whatever the config or the archive provokes
        raise InputError(f"TensorFlow cannot load {path.name}: {_cause(error)}") from None


def _saved_model(tf: Any, request: SessionRequest) -> _Loaded:
    path, mode = request.path, request.settings.mode
    if mode in ("predict", "eager"):
        raise InputError(f"mode '{mode}' needs a Keras model; a SavedModel is a graph: choose function or xla")
    try:
        loaded = tf.saved_model.load(str(path))
    except Exception as error:  # protobuf, file system and graph errors share no base
        raise InputError(f"TensorFlow cannot load {path.name}: {_cause(error)}") from None
    signature = loaded.signatures[_signature_key(path, list(loaded.signatures))]
    inputs = signature.structured_input_signature[1]
    outputs = signature.structured_outputs
    names, out_names = natural_order(sorted(inputs)), natural_order(sorted(outputs))

    def forward(*arrays: Any) -> list:
        found = signature(**dict(zip(names, arrays, strict=True)))
        return [found[n] for n in out_names]

    graph = tf.function(forward, jit_compile=True, autograph=False) if mode == "xla" else forward

    def call(arrays: list) -> list:
        return graph(*[tf.convert_to_tensor(a) for a in arrays])

    return _Loaded(_specs([inputs[n] for n in names], names), _specs([outputs[n] for n in out_names], out_names), call,
                   "SavedModel", loaded)


def _signature_key(path: Path, keys: list[str]) -> str:
    if "serving_default" in keys:
        return "serving_default"
    if len(keys) == 1:
        return keys[0]
    found = ", ".join(keys) or "none"
    raise InputError(f"{path.name} has no signature 'serving_default' (it has: {found}); "
                     "save it with tf.saved_model.save(..., signatures=...)")


def _packer(struct: Any, tensors: list) -> Callable[[Any], Any]:
    """Arrays in the order of ``model.inputs`` -> the structure that the model was built with."""
    if isinstance(struct, dict):
        places = {k: next(i for i, t in enumerate(tensors) if t is v) for k, v in struct.items()}
        return lambda arrays: {k: arrays[i] for k, i in places.items()}
    if isinstance(struct, (list, tuple)):
        return lambda arrays: list(arrays)
    return lambda arrays: arrays[0] if len(arrays) == 1 else list(arrays)


def _specs(tensors: Any, names: list[str]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(n.split(":")[0], _dtype(t.dtype), _shape(t.shape))
                 for n, t in zip(names, tensors, strict=True))


def _output_names(model: Any) -> list[str]:
    """Names of the layers that make the outputs (a Sequential keeps no output_names); repeats are numbered."""
    names = getattr(model, "output_names", None) or [t._keras_history[0].name for t in model.outputs]
    seen: dict[str, int] = {}
    unique = []
    for name in names:
        seen[name] = seen.get(name, -1) + 1
        unique.append(f"{name}_{seen[name]}" if seen[name] else name)
    return unique


def _dtype(dtype: Any) -> str:
    name = dtype if isinstance(dtype, str) else dtype.name
    return "str" if name == "string" else name


def _shape(shape: Any) -> tuple[int | None, ...]:
    if getattr(shape, "rank", 0) is None:
        return (None,)
    return tuple(None if d is None else int(d) for d in shape)


def _as(array: np.ndarray, spec: TensorSpec) -> np.ndarray:
    return np.asarray(array) if spec.dtype == "str" else np.asarray(array, dtype=spec.dtype)


def _cause(error: BaseException) -> str:
    """TensorFlow's message up to where it starts to list nodes, one line."""
    text = getattr(error, "message", None) or str(error)
    return one_line(_NODE_NOISE.sub("", " ".join(text.split())) or error)
