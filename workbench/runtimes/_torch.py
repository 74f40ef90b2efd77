"""PyTorch adapter: TorchScript archives and torch.export programs, on the CPU or an NVIDIA GPU."""

from __future__ import annotations

import shutil
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import feeds as feed_names
from ..errors import InputError, MissingError
from ..formats import base, torch_export, torchscript
from ..formats.probe import probe
from ..model import ModelFormat, TensorSpec
from ..settings import SettingsBase, setting
from ._common import nvidia_gpu, one_line, thread_environment
from .base import SessionRequest

_INSTALL_GPU = "pip install torch --index-url https://download.pytorch.org/whl/cu126"
SHARES_SESSIONS = True  # one session may run for several threads at the same time
_COMPILERS = ("g++", "c++", "clang++", "cl")
_BFLOAT16 = "bfloat16"


@dataclass(frozen=True)
class Settings(SettingsBase):
    """How PyTorch runs a model."""

    mode: str = setting("inference", "inference and eager run operator by operator, without and with autograd's "
                        "bookkeeping; script freezes and fuses; compile generates code, which takes a minute or more",
                        choices=("inference", "eager", "script", "compile"))
    channels_last: bool = setting(False, "Keep images as NHWC in memory: often faster for convolutions")
    inter_threads: int = setting(1, "Threads across independent branches (TorchScript only)", low=1, high=256,
                                 advanced=True)


def environment(threads: int, device: str, settings: Settings, format: ModelFormat) -> dict[str, str]:
    """Variables for the worker; PyTorch's own threads are set when the session opens."""
    return thread_environment(threads, device)


def devices() -> dict[str, str | None]:
    """Devices and why they cannot be used; looks at files, does not import PyTorch."""
    reason = None
    if not nvidia_gpu():
        reason = f"no NVIDIA GPU with a driver was found on this machine; where there is one: {_INSTALL_GPU}"
    return {"cpu": None, "gpu": reason}


def preload() -> None:
    """Imports the framework, so that neither its time nor its memory is taken for the model's."""
    import torch  # noqa: F401


def no_compiler() -> str | None:
    """Why torch.compile cannot work here, or None; it builds C++ on the CPU."""
    if sys.platform == "win32" and shutil.which("cl"):
        return None
    if any(map(shutil.which, _COMPILERS)):
        return None
    return ("mode 'compile' needs a C++ compiler, and none is installed (g++ or clang++, for instance: "
            "apt install g++); choose mode script or inference")


def open_session(request: SessionRequest) -> TorchSession:
    """Loads a TorchScript archive or an exported program.

    Raises:
        InputError: the file cannot be loaded or holds code, or does not fit the mode.
        MissingError: the device or a compiler is not there.
    """
    reason = devices().get(request.device)
    if reason:
        raise MissingError(f"torch on device {request.device}: {reason}")
    settings: Settings = request.settings
    if settings.mode == "compile" and (reason := no_compiler()):
        raise MissingError(reason)
    import torch

    torch.set_num_threads(request.threads)
    try:
        torch.set_num_interop_threads(settings.inter_threads)
    except RuntimeError:  # set once a process; a fresh worker has not set it yet
        pass
    if request.device == "gpu" and not torch.cuda.is_available():
        raise MissingError("PyTorch sees no GPU, although there is a driver; install a build with CUDA: "
                           f"{_INSTALL_GPU}")
    return TorchSession(torch, request)


class TorchSession:
    """See :class:`workbench.runtimes.base.Session`. Outputs are numpy arrays; on a GPU the copies are part of a run."""

    def __init__(self, torch: Any, request: SessionRequest) -> None:
        self._torch, self._request = torch, request
        self._device = torch.device("cuda" if request.device == "gpu" else "cpu")
        self._module = self._load()
        self._call: Callable = self._module
        self.inputs, self.outputs = self._specs()
        self._names = [s.name for s in self.outputs]
        example = None
        if request.example:
            given = feed_names.match(list(request.example), self.inputs)
            example = [self._tensor(np.asarray(request.example[given[s.name]], s.dtype), s) for s in self.inputs]
        self._notes: list[str] = []
        self._prepare(example)
        if example is not None:
            self._forward(example)  # compiles now, so that it counts as loading

    @property
    def module(self) -> Any:
        """The loaded module, for the profiler."""
        return self._module

    def run_with(self, call: Callable, feeds: dict[str, np.ndarray]) -> list:
        """One forward pass through another way to call the module, for the profiler; tensors."""
        return self._forward([self._tensor(feeds[s.name], s) for s in self.inputs], call)

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One forward pass.

        Raises:
            InputError: an input is missing or does not fit; names it.
        """
        try:
            values = self._forward([self._tensor(feeds[s.name], s) for s in self.inputs])
            return {n: self._array(v) for n, v in zip(self._names, values, strict=True)}
        except KeyError as error:
            raise InputError(f"PyTorch: input {error} is missing; the model wants "
                             f"{', '.join(s.name for s in self.inputs)}") from None
        except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
            raise InputError(f"PyTorch could not run the model in mode '{self._request.settings.mode}': "
                             f"{_cause(error)}") from None

    def resident(self, feeds: dict[str, np.ndarray]) -> Callable[[], Any]:
        """A run between tensors of the device, see :class:`workbench.runtimes.base.Session`; it returns tensors."""
        tensors = [self._tensor(feeds[s.name], s) for s in self.inputs]
        return lambda: self._forward(tensors)

    def describe(self) -> dict[str, Any]:
        """Mode, threads as PyTorch has them, instruction set that its kernels use, version."""
        torch, settings = self._torch, self._request.settings
        return {
            "runtime": "torch", "version": torch.__version__, "mode": settings.mode,
            "model": "TorchScript" if self._request.format is ModelFormat.TORCHSCRIPT else "torch.export",
            "device": self._request.device, "devices": [str(self._device)], "threads": torch.get_num_threads(),
            "inter_threads": torch.get_num_interop_threads(), "channels_last": settings.channels_last,
            "isa": torch.backends.cpu.get_cpu_capability(), "onednn": torch.backends.mkldnn.is_available(),
            "notes": list(self._notes),
        }

    def close(self) -> None:
        """Frees the model."""
        self._module = self._call = None
        if self._device.type == "cuda":
            self._torch.cuda.empty_cache()

    def _load(self) -> Any:
        torch, path = self._torch, self._request.path
        if self._request.format is ModelFormat.TORCH_EXPORT:
            torch_export.read(probe(path), base.Options())  # refuses archives that would run code
        try:
            if self._request.format is ModelFormat.TORCHSCRIPT:
                return torch.jit.load(str(path), map_location=self._device).eval()
            module = torch.export.load(str(path)).module()
            return module.to(self._device)
        except Exception as error:  # unpicklers, schema checks and the zip reader share no base
            raise InputError(f"PyTorch cannot load {path.name}: {_cause(error)}") from None

    def _specs(self) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        """Names and types as the model reader gives them; TorchScript tells its outputs only in a run."""
        path, torch = self._request.path, self._torch
        if self._request.format is ModelFormat.TORCH_EXPORT:
            found = torch_export.read(probe(path), base.Options())
            return found.inputs, found.outputs
        names = torchscript._input_names(path, self._module)
        known = torchscript._saved_examples(path) or base.example_options(self._request.example or None)
        if len(known) != len(names):
            raise InputError(f"{path.name} takes {', '.join(names)} and does not store their shapes: give "
                             "example_inputs when the model is opened")
        by_name = {n: (t, s) for n, t, s in known}
        examples = [by_name.get(n, (t, s)) for n, (_, t, s) in zip(names, known, strict=True)]
        zeros = [torch.zeros(s, dtype=getattr(torch, t), device=self._device) for t, s in examples]
        with torch.inference_mode():
            found = torchscript._flatten(self._module(*zeros))
        outputs = base.unique_names(n for n, _ in found)
        return (tuple(TensorSpec(n, t, (None,) * len(s)) for n, (t, s) in zip(names, examples, strict=True)),
                tuple(TensorSpec(n, str(t.dtype).removeprefix("torch."), (None,) * t.ndim)
                      for n, (_, t) in zip(outputs, found, strict=True)))

    def _prepare(self, example: list | None) -> None:
        """Applies memory format and mode."""
        torch, settings = self._torch, self._request.settings
        if settings.channels_last:
            self._module = self._module.to(memory_format=torch.channels_last)
            self._call = self._module
        if settings.mode == "script":
            self._call = self._scripted(example)
        elif settings.mode == "compile":
            if self._request.format is ModelFormat.TORCHSCRIPT:
                raise InputError("mode 'compile' does not look inside TorchScript: export the module with "
                                 "torch.export, or choose mode script")
            self._call = torch.compile(self._module)
        if settings.mode == "eager":
            self._notes.append("autograd keeps its books in this mode, as a plain call of the module does")

    def _scripted(self, example: list | None) -> Any:
        torch = self._torch
        module = self._module
        try:
            with warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter("ignore")
                if self._request.format is ModelFormat.TORCH_EXPORT:
                    if example is None:
                        raise InputError("mode 'script' traces an exported program, which takes an example input")
                    # The exported module checks sizes in Python; traced, only the example's sizes are known to work.
                    module = torch.jit.trace(module, tuple(example), check_trace=False)
                    self._notes.append("traced for the sizes of the first feed")
                return torch.jit.optimize_for_inference(torch.jit.freeze(module.eval()))
        except (RuntimeError, ValueError, TypeError) as error:
            raise InputError(f"PyTorch cannot freeze {self._request.path.name}: {_cause(error)}; choose mode "
                             "inference") from None

    def _forward(self, tensors: list, call: Callable | None = None) -> list:
        torch, mode = self._torch, self._request.settings.mode
        call = call or self._call
        if mode == "eager":
            found = call(*tensors)
        else:
            with torch.inference_mode():
                found = call(*tensors)
        if self._device.type == "cuda":
            torch.cuda.synchronize()
        return [found] if isinstance(found, torch.Tensor) else list(_flatten(torch, found))

    def _tensor(self, array: np.ndarray, spec: TensorSpec) -> Any:
        """numpy -> torch without a copy on the CPU (read-only and negative-stride arrays are copied)."""
        torch = self._torch
        array = np.asarray(array)
        if not array.flags.writeable or any(s < 0 for s in array.strides):
            array = array.copy()
        tensor = torch.from_numpy(array) if array.ndim else torch.tensor(array[()])
        if spec.dtype == _BFLOAT16:
            tensor = tensor.to(torch.bfloat16)
        if self._request.settings.channels_last and tensor.ndim == 4:
            tensor = tensor.contiguous(memory_format=torch.channels_last)
        return tensor.to(self._device)

    def _array(self, tensor: Any) -> np.ndarray:
        tensor = tensor.detach()
        if tensor.dtype is self._torch.bfloat16:
            tensor = tensor.float()
        return tensor.cpu().numpy()


def _flatten(torch: Any, value: Any) -> list:
    """Tensors of a result in the order in which the model reader names them."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [t for item in value for t in _flatten(torch, item)]
    return []


def _cause(error: BaseException) -> str:
    """The last line of what TorchScript's interpreter tells, else the first; one line."""
    text = str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return one_line(lines[-1] if "Traceback of TorchScript" in text or "Traceback (most" in text else lines[0])
