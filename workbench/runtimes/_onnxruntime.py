"""ONNX Runtime adapter. Options: https://onnxruntime.ai/docs/performance/tune-performance/threading.html"""

from __future__ import annotations

import ctypes
import math
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, MissingError
from ..model import ModelFormat, TensorSpec
from ..settings import SettingsBase, setting
from ._common import nvidia_gpu, one_line, thread_environment
from .base import SessionRequest

_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "directml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
}
_GPU_ORDER = ("cuda", "directml", "coreml")  # TensorRT builds engines for minutes: only when asked for
_INSTALL_GPU = "pip uninstall -y onnxruntime && pip install onnxruntime-gpu"
_INSTALL_DML = "pip uninstall -y onnxruntime && pip install onnxruntime-directml"
_LEVELS = {"disabled": "ORT_DISABLE_ALL", "basic": "ORT_ENABLE_BASIC", "extended": "ORT_ENABLE_EXTENDED",
           "all": "ORT_ENABLE_ALL"}
_DTYPES = {"float": "float32", "double": "float64", "string": "str"}
_BINDING = {"CUDAExecutionProvider": "cuda", "TensorrtExecutionProvider": "cuda", "DmlExecutionProvider": "dml"}
_BFLOAT16 = 16  # onnx.TensorProto.BFLOAT16
_LISTED = 100  # nodes on another provider that describe() names
SHARES_SESSIONS = True  # one session may run for several threads at the same time


@dataclass(frozen=True)
class Settings(SettingsBase):
    """How ONNX Runtime runs a model."""

    graph_level: str = setting("all", "Graph rewriting at load: none, constant folding, fusions, or layout too",
                               choices=("disabled", "basic", "extended", "all"))
    execution: str = setting("sequential", "Run nodes one by one, or independent branches in parallel",
                             choices=("sequential", "parallel"))
    inter_threads: int = setting(0, "Threads across branches, for parallel execution only; 0 takes the thread count",
                                 low=0, high=256, advanced=True)
    memory_arena: bool = setting(True, "Keep freed memory for the next run: faster, holds more memory", advanced=True)
    memory_pattern: bool = setting(True, "Plan memory once per input shape: faster with fixed shapes", advanced=True)
    spinning: bool = setting(True, "Threads busy-wait inside a run: lower latency, more power; they stop between runs",
                             advanced=True)
    io_binding: bool = setting(False, "Bind inputs and outputs to buffers of the device instead of handing arrays "
                               "over: fewer copies on a GPU, no gain on a CPU", advanced=True)
    provider: str = setting("", "Execution provider; empty takes the device's usual one",
                            choices=("", *_PROVIDERS), advanced=True)


def environment(threads: int, device: str, settings: Settings, format: ModelFormat) -> dict[str, str]:
    """Variables for the worker; ONNX Runtime's own threads are set on the session."""
    return thread_environment(threads, device)


@cache
def devices() -> dict[str, str | None]:
    """Devices and why they cannot be used; looks at files, does not import onnxruntime."""
    return {"cpu": None, "gpu": _no_gpu()}


def preload() -> None:
    """Imports the framework, so that neither its time nor its memory is taken for the model's."""
    import onnxruntime  # noqa: F401


def open_session(request: SessionRequest) -> OrtSession:
    """Loads an ONNX file with exactly the provider that was asked for.

    Raises:
        InputError: the file, one of its operators or its opset cannot be loaded, or settings contradict.
        MissingError: the provider is not in this build or not on this machine.
    """
    import onnxruntime as ort

    ort.set_default_logger_severity(3)
    provider = _provider(request, ort.get_available_providers())
    options = _options(ort, request)
    try:
        session = ort.InferenceSession(str(request.path), options, providers=_provider_list(provider),
                                       enable_fallback=0)
    except Exception as error:  # ORT's classes share no base but Exception
        raise InputError(_load_failure(request.path, provider, error)) from None
    if session.get_providers()[0] != provider:
        got = ", ".join(session.get_providers())
        raise MissingError(f"ONNX Runtime did not start {provider} (it has: {got}); check its driver and libraries, "
                           "or choose device cpu")
    return OrtSession(session, request, provider, ort.__version__)


class OrtSession:
    """See :class:`workbench.runtimes.base.Session`."""

    def __init__(self, session: Any, request: SessionRequest, provider: str, version: str) -> None:
        self._session, self._request, self._version = session, request, version
        self.inputs = tuple(_spec(a) for a in session.get_inputs())
        self.outputs = tuple(_spec(a) for a in session.get_outputs())
        self._names = [s.name for s in self.outputs]
        self._bfloat16 = {s.name for s in (*self.inputs, *self.outputs) if s.dtype == "bfloat16"}
        self._nodes = _assignment(session)
        self._place = _BINDING.get(provider, "cpu")
        if self._nodes and provider != _PROVIDERS["cpu"] and provider not in self._nodes:
            raise InputError(f"{provider} can run none of this model's nodes; choose device cpu")

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One forward pass.

        Raises:
            InputError: the feed does not fit the model; names the input.
        """
        try:
            if self._bfloat16:
                return self._run_bfloat16(feeds)
            bound = self._request.settings.io_binding
            values = self._run_bound(feeds) if bound else self._session.run(self._names, feeds)
        except Exception as error:
            raise InputError(f"ONNX Runtime could not run the model: {one_line(error)}") from None
        return {n: v if isinstance(v, np.ndarray) else _array(v) for n, v in zip(self._names, values, strict=True)}

    def describe(self) -> dict[str, Any]:
        """Provider, nodes per provider, options as read back from the session, version."""
        options = self._session.get_session_options()
        counts = {name: len(nodes) for name, nodes in self._nodes.items()}
        first = self._session.get_providers()[0]
        elsewhere = [n for name, nodes in self._nodes.items() if name != first for n in nodes]
        notes = [f"{len(elsewhere)} nodes run outside {first}"] if elsewhere else []
        return {
            "runtime": "onnxruntime", "version": self._version, "device": self._request.device,
            "threads": options.intra_op_num_threads, "inter_threads": options.inter_op_num_threads,
            "providers": self._session.get_providers(), "nodes_by_provider": counts,
            "nodes_elsewhere": elsewhere[:_LISTED],
            "graph_level": options.graph_optimization_level.name, "execution": options.execution_mode.name,
            "memory_arena": options.enable_cpu_mem_arena, "memory_pattern": options.enable_mem_pattern,
            "spinning": options.get_session_config_entry("session.intra_op.allow_spinning") == "1",
            "io_binding": self._request.settings.io_binding,
            "copies": "none" if self._place == "cpu" else "host to device and back in every run", "notes": notes,
        }

    def resident(self, feeds: dict[str, np.ndarray]) -> Callable[[], Any]:
        """A run between buffers of the device, see :class:`workbench.runtimes.base.Session`; it returns OrtValues.

        Raises:
            NotImplementedError: an input or output is bfloat16, which numpy cannot hand over.
        """
        from onnxruntime import OrtValue

        if self._bfloat16:
            raise NotImplementedError("bfloat16 inputs and outputs cannot be placed on the device from numpy")
        binding = self._session.io_binding()
        for name, array in feeds.items():
            value = OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array), self._place, 0)
            binding.bind_ortvalue_input(name, value)
        for name in self._names:
            binding.bind_output(name, self._place)

        def run() -> Any:
            self._session.run_with_iobinding(binding)
            binding.synchronize_outputs()
            return binding.get_outputs()

        return run

    def close(self) -> None:
        """Frees the model."""
        self._session = None

    def _run_bound(self, feeds: dict[str, np.ndarray]) -> list:
        """Inputs are copied to the device, the outputs made there and copied back; all of it is part of the run."""
        binding = self._session.io_binding()
        for name, array in feeds.items():
            binding.bind_cpu_input(name, np.ascontiguousarray(array))
        for name in self._names:
            binding.bind_output(name, self._place)
        self._session.run_with_iobinding(binding)
        return binding.copy_outputs_to_cpu()

    def _run_bfloat16(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """numpy has no bfloat16: such inputs are made from float32, such outputs come back as float32."""
        from onnxruntime import OrtValue

        values = {}
        for name, array in feeds.items():
            if name in self._bfloat16:
                values[name] = OrtValue.ortvalue_from_numpy_with_onnx_type(_to_bfloat16(array), _BFLOAT16)
            else:
                values[name] = OrtValue.ortvalue_from_numpy(array)
        found = self._session.run_with_ort_values(self._names, values)
        return {n: _from_bfloat16(v) if n in self._bfloat16 else v.numpy()
                for n, v in zip(self._names, found, strict=True)}


def _no_gpu() -> str | None:
    """Why there is no GPU provider here, or None when one can be tried."""
    found = find_spec("onnxruntime")
    if found is None:
        return "ONNX Runtime is not installed; install it with: pip install onnxruntime"
    if sys.platform == "darwin":
        return None  # the macOS wheels hold the CoreML provider
    folder = Path(found.submodule_search_locations[0]) / "capi"
    if sys.platform == "win32" and list(folder.glob("*irectML*.dll")):
        return None
    if not nvidia_gpu():
        line = _INSTALL_DML if sys.platform == "win32" else _INSTALL_GPU
        return f"no NVIDIA GPU with a driver was found on this machine; where there is one: {line}"
    if not list(folder.glob("*onnxruntime_providers_cuda*")):
        return f"this build of ONNX Runtime has no GPU provider; install one with: {_INSTALL_GPU}"
    return None


def _provider(request: SessionRequest, available: list[str]) -> str:
    """The provider to ask for; never another than the settings and the device say."""
    asked = request.settings.provider
    if asked and (asked == "cpu") != (request.device == "cpu"):
        raise InputError(f"provider '{asked}' does not run on device {request.device}; "
                         f"set device to {'cpu' if asked == 'cpu' else 'gpu'} or leave the provider empty")
    if request.device == "cpu":
        return _PROVIDERS["cpu"]
    reason = devices()["gpu"]
    if reason and not asked:
        raise MissingError(f"onnxruntime on device {request.device}: {reason}")
    for key in (asked,) if asked else _GPU_ORDER:
        if _PROVIDERS[key] in available:
            return _PROVIDERS[key]
    wanted = _PROVIDERS[asked] if asked else "a GPU provider"
    raise MissingError(f"this build of ONNX Runtime does not have {wanted} (it has: {', '.join(available)}); "
                       f"install one with: {_INSTALL_GPU}")


def _provider_list(provider: str) -> list[str]:
    cpu = _PROVIDERS["cpu"]
    return [cpu] if provider == cpu else [provider, cpu]  # the CPU takes what the provider lacks; describe() tells


def _options(ort: Any, request: SessionRequest) -> Any:
    settings: Settings = request.settings
    parallel = settings.execution == "parallel"
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, _LEVELS[settings.graph_level])
    options.execution_mode = ort.ExecutionMode.ORT_PARALLEL if parallel else ort.ExecutionMode.ORT_SEQUENTIAL
    options.intra_op_num_threads = request.threads
    options.inter_op_num_threads = (settings.inter_threads or request.threads) if parallel else 1
    options.enable_cpu_mem_arena = settings.memory_arena
    options.enable_mem_pattern = settings.memory_pattern and not parallel  # ORT plans memory for one order only
    spin = "1" if settings.spinning else "0"
    options.add_session_config_entry("session.intra_op.allow_spinning", spin)
    options.add_session_config_entry("session.inter_op.allow_spinning", spin)
    # Without this an idle session burns a core for a while after each run, on the next variant's time.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    return options


def _assignment(session: Any) -> dict[str, list[str]]:
    """Provider -> labels of the nodes it runs; {} where the build does not tell."""
    try:
        parts = session.get_provider_graph_assignment_info()
    except Exception:  # older builds have no such call: no claim is then made
        return {}
    found: dict[str, list[str]] = {}
    unnamed: Counter = Counter()
    for part in parts:
        for node in part.get_nodes():
            unnamed[node.op_type] += not node.name
            label = node.name or f"{node.op_type} #{unnamed[node.op_type]}"
            found.setdefault(part.ep_name, []).append(label)
    return found


def _load_failure(path: Path, provider: str, error: Exception) -> str:
    cause = one_line(error)
    if "not a registered function/op" in cause or "No Op registered" in cause:
        hint = "; it uses an operator that ONNX Runtime does not have: convert it without custom operators"
    elif "guarantees" in cause or "IR version" in cause:
        hint = "; export the model with an older opset or a newer onnxruntime"
    else:
        hint = ""
    return f"ONNX Runtime cannot load {path.name} with {provider}: {cause.rstrip('.')}{hint}"


def _spec(arg: Any) -> TensorSpec:
    kind = arg.type
    if kind.startswith("tensor("):
        kind = kind[len("tensor("):-1]
    shape = tuple(d if isinstance(d, (int, str)) else None for d in arg.shape or ())
    return TensorSpec(arg.name, _DTYPES.get(kind, kind), shape)


def _array(value: Any) -> np.ndarray:
    """Sequence and map outputs (ZipMap of classical models) as arrays; a row of maps gives its values in key order."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return np.array([[row[key] for key in row] for row in value])
    if isinstance(value, list) and len({getattr(v, "shape", None) for v in value}) > 1:
        ragged = np.empty(len(value), dtype=object)
        ragged[:] = value
        return ragged
    return np.asarray(value)


def _to_bfloat16(array: np.ndarray) -> np.ndarray:
    """float32 -> bfloat16 bits (uint16), rounded to nearest even."""
    bits = np.ascontiguousarray(array, dtype=np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def _from_bfloat16(value: Any) -> np.ndarray:
    """A bfloat16 OrtValue in main memory -> float32, which holds every bfloat16 exactly."""
    shape = tuple(value.shape())
    count = math.prod(shape)
    if not count:
        return np.zeros(shape, np.float32)
    bits = np.ctypeslib.as_array((ctypes.c_uint16 * count).from_address(value._ortvalue.data_ptr()))
    return (bits.astype(np.uint32) << 16).view(np.float32).reshape(shape)
