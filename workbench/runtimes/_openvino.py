"""OpenVINO adapter. Properties: https://docs.openvino.ai (CPU and GPU device, supported properties)"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from .. import feeds as feed_names
from ..errors import InputError, MissingError
from ..model import ModelFormat, TensorSpec
from ..settings import SettingsBase, setting
from ._common import one_line, thread_environment
from .base import SessionRequest

_HINTS = {"latency": "LATENCY", "throughput": "THROUGHPUT"}
_CAPABILITIES = {"bf16": "BF16", "f16": "FP16"}
_DTYPES = {"bf16": "bfloat16", "string": "str", "boolean": "bool"}
_INTEL = "0x8086"
_SINK = "/sink_port_0"
_LISTED = 100


@dataclass(frozen=True)
class Settings(SettingsBase):
    """How OpenVINO runs a model."""

    precision: str = setting("f32", "Arithmetic of float layers; empty leaves it to OpenVINO, which may take bf16 or "
                             "f16 without a word", choices=("f32", "bf16", "f16", ""))
    hint: str = setting("latency", "Latency: all threads on one request; throughput: requests side by side",
                        choices=tuple(_HINTS))
    streams: int = setting(0, "Requests that can run at once; 0 takes what the hint says", low=0, high=256,
                           advanced=True)
    fixed_shapes: bool = setting(False, "Compile for the first feed's sizes: can be faster when the file leaves sizes "
                                 "open; other sizes are compiled again when they come", advanced=True)
    pinning: bool = setting(False, "Bind each thread to a core; off lets the system move them", advanced=True)


def environment(threads: int, device: str, settings: Settings, format: ModelFormat) -> dict[str, str]:
    """Variables for the worker; OpenVINO's own threads are set when it compiles."""
    return thread_environment(threads, device)


@cache
def devices() -> dict[str, str | None]:
    """Devices and why they cannot be used; looks at files, does not import OpenVINO."""
    reason = None
    if find_spec("openvino") is None:
        reason = "OpenVINO is not installed; install it with: pip install openvino"
    elif sys.platform == "darwin":
        reason = "OpenVINO's GPU device needs an Intel GPU under Linux or Windows"
    elif sys.platform == "linux" and not _intel_gpu():
        reason = ("no Intel GPU was found on this machine (OpenVINO runs on no other); for an NVIDIA GPU take "
                  "ONNX Runtime: pip install onnxruntime-gpu")
    return {"cpu": None, "gpu": reason}


def preload() -> None:
    """Imports the framework, so that neither its time nor its memory is taken for the model's."""
    import openvino  # noqa: F401


def open_session(request: SessionRequest, *, counters: bool = False) -> OpenVinoSession:
    """Reads and compiles a model; nothing is cached on disk.

    Args:
        request: see :class:`SessionRequest`.
        counters: keep the time of each node, for the profiler.

    Raises:
        InputError: the file cannot be loaded or compiled, or the CPU lacks the precision that was asked for.
        MissingError: the device is not there.
    """
    reason = devices().get(request.device)
    if reason:
        raise MissingError(f"openvino on device {request.device}: {reason}")
    import openvino

    core = openvino.Core()
    device = request.device.upper()
    found = core.available_devices
    if not any(d.split(".")[0] == device for d in found):
        raise MissingError(f"OpenVINO does not see a {device} (it has: {', '.join(found) or 'none'}); install the "
                           f"device's driver, or choose device cpu")
    _refuse_absent_precision(core, device, request.settings)
    return OpenVinoSession(core, request, _read(core, request), openvino.__version__, counters)


class OpenVinoSession:
    """See :class:`workbench.runtimes.base.Session`."""

    def __init__(self, core: Any, request: SessionRequest, model: Any, version: str, counters: bool) -> None:
        self._core, self._request, self._model, self._version = core, request, model, version
        self._counters = counters
        names = _tflite_names(request.path) if request.format is ModelFormat.TFLITE else {}
        self.inputs = tuple(_spec(p, names) for p in model.inputs)
        self.outputs = _unique(tuple(_spec(p, names) for p in model.outputs))
        _refuse_quantized(request, (*self.inputs, *self.outputs))
        self._shapes: list[tuple[int, ...]] = []
        self._compiled = self._infer = None
        if request.settings.fixed_shapes and request.example:
            given = feed_names.match(list(request.example), self.inputs)
            self._fix([np.shape(request.example[given[s.name]]) for s in self.inputs])
        else:
            self._compile()

    @property
    def compiled(self) -> Any:
        """OpenVINO's own compiled model, for the profiler."""
        return self._compiled

    @property
    def request(self) -> Any:
        """OpenVINO's own infer request, for the profiler."""
        return self._infer

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One forward pass; outputs are copies that stay valid.

        Raises:
            InputError: an input is missing or does not fit; names it.
        """
        try:
            arrays = [feeds[s.name] for s in self.inputs]
            if self._request.settings.fixed_shapes and [a.shape for a in arrays] != self._shapes:
                self._fix([a.shape for a in arrays])
            found = self._infer.infer(dict(enumerate(arrays)), share_inputs=True)
        except KeyError as error:
            raise InputError(f"OpenVINO: input {error} is missing; the model wants "
                             f"{', '.join(s.name for s in self.inputs)}") from None
        except (RuntimeError, ValueError, TypeError) as error:
            raise InputError(f"OpenVINO could not run the model: {_cause(error)}") from None
        return {s.name: found[i] for i, s in enumerate(self.outputs)}

    def describe(self) -> dict[str, Any]:
        """Precision, streams and threads as read back; what each node of the compiled graph computes in."""
        compiled, settings = self._compiled, self._request.settings
        streams = int(compiled.get_property("NUM_STREAMS"))
        ran = _name(compiled.get_property("INFERENCE_PRECISION_HINT"))
        graph = executed_nodes(compiled)
        notes = []
        if streams > 1:
            notes.append(f"one request at a time uses 1 of {streams} streams")
        if not settings.precision and ran != "float32":
            notes.append(f"OpenVINO chose {ran} by itself")
        threads = compiled.get_property("INFERENCE_NUM_THREADS") if self._request.device == "cpu" else 0
        return {
            "runtime": "openvino", "version": self._version.split("-")[0], "device": self._request.device,
            "execution_devices": [str(d) for d in compiled.get_property("EXECUTION_DEVICES")],
            "device_name": str(self._core.get_property(self._request.device.upper(), "FULL_DEVICE_NAME")),
            "threads": int(threads), "streams": streams, "hint": settings.hint, "precision": ran,
            "nodes": len(graph), "nodes_by_precision": dict(Counter(n["precision"] for n in graph)),
            "nodes_by_type": dict(Counter(n["type"] for n in graph)),
            "kernels": dict(Counter(n["kernel"] for n in graph)), "cache": "off", "notes": notes,
        }

    def close(self) -> None:
        """Frees the model."""
        self._infer = self._compiled = self._model = None

    def _fix(self, shapes: list[tuple[int, ...]]) -> None:
        try:
            self._model.reshape({port: list(shape) for port, shape in zip(self._model.inputs, shapes, strict=True)})
        except RuntimeError as error:
            raise InputError(f"OpenVINO cannot fix the input sizes to {[list(s) for s in shapes]}: "
                             f"{_cause(error)}; switch fixed_shapes off") from None
        self._compile()
        self._shapes = shapes

    def _compile(self) -> None:
        settings, device = self._request.settings, self._request.device.upper()
        config: dict[str, Any] = {"PERFORMANCE_HINT": _HINTS[settings.hint]}
        if settings.precision:
            config["INFERENCE_PRECISION_HINT"] = settings.precision
        if self._counters:
            config["PERF_COUNT"] = True
        if settings.streams:
            config["NUM_STREAMS"] = settings.streams
        if device == "CPU":
            config |= {"INFERENCE_NUM_THREADS": self._request.threads, "ENABLE_CPU_PINNING": settings.pinning}
        try:
            self._compiled = self._core.compile_model(self._model, device, config)
            self._infer = self._compiled.create_infer_request()
        except RuntimeError as error:
            raise InputError(f"OpenVINO cannot compile {self._request.path.name}: {_cause(error)}") from None


def executed_nodes(compiled: Any) -> list[dict[str, Any]]:
    """Nodes that the compiled graph runs, in its order.

    Returns:
        dicts of 'name', 'type' (Convolution, Reorder, ...), 'precision' (f32, i8, ...), 'kernel' (e.g. jit_avx2),
        'origins' (names in the file that were merged into it) and 'outputs' (precisions).
    """
    found = []
    for node in compiled.get_runtime_model().get_ordered_ops():
        info = node.get_rt_info()

        def told(key: str, info: Any = info) -> str:
            return info[key].astype(str) if key in info else ""

        kind = told("layerType")
        if kind in ("", "Const", "Constant", "Input", "Output", "Parameter", "Result"):
            continue
        found.append({"name": node.get_friendly_name(), "type": kind, "precision": told("runtimePrecision"),
                      "kernel": told("primitiveType"), "outputs": told("outputPrecisions"),
                      "origins": tuple(n for n in told("originalLayersNames").split(",") if n)})
    return found


def _intel_gpu() -> bool:
    """True when a render node belongs to an Intel device."""
    for vendor in Path("/sys/class/drm").glob("renderD*/device/vendor"):
        try:
            if vendor.read_text().strip() == _INTEL:
                return True
        except OSError:
            continue
    return False


def _refuse_absent_precision(core: Any, device: str, settings: Settings) -> None:
    """OpenVINO computes in float32, without a word, where a device lacks the precision it was given."""
    wanted = _CAPABILITIES.get(settings.precision)
    if wanted and wanted not in core.get_property(device, "OPTIMIZATION_CAPABILITIES"):
        raise InputError(f"this {device} does not compute in {settings.precision}: OpenVINO would run float32 instead; "
                         "choose precision f32")


def _read(core: Any, request: SessionRequest) -> Any:
    try:
        return core.read_model(str(request.path))
    except (RuntimeError, ValueError, TypeError) as error:
        cause = _cause(error)
        if "Unable to read the model" in cause:
            cause = "the file is damaged or no model that it knows"
        raise InputError(f"OpenVINO cannot load {request.path.name}: {cause.rstrip('.')}") from None


def _refuse_quantized(request: SessionRequest, specs: tuple[TensorSpec, ...]) -> None:
    """OpenVINO passes a TFLite file's quantized inputs and outputs as raw integers; float samples would be cut off."""
    small = [s.name for s in specs if s.dtype in ("int8", "uint8", "int16")]
    given = {np.asarray(a).dtype.kind for a in request.example.values()}
    if request.format is ModelFormat.TFLITE and small and (given - set("iub") or not given):
        raise InputError(f"{request.path.name} has quantized inputs or outputs ({', '.join(small)}), which OpenVINO "
                         "takes as raw integers: convert with float inputs and outputs, or choose LiteRT")


def _tflite_names(path: Path) -> dict[str, str]:
    """Tensor name -> name in the main graph's signature, so that names are those that LiteRT uses."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(path.read_bytes(), 0)
    graph = model.Subgraphs(0)
    signatures = [model.SignatureDefs(i) for i in range(model.SignatureDefsLength())]
    main = [s for s in signatures if s.SubgraphIndex() == 0]
    chosen = next((s for s in main if s.SignatureKey() == b"serving_default"), main[0] if main else None)
    if chosen is None:
        return {}
    maps = [chosen.Inputs(i) for i in range(chosen.InputsLength())]
    maps += [chosen.Outputs(i) for i in range(chosen.OutputsLength())]
    return {graph.Tensors(m.TensorIndex()).Name().decode(): m.Name().decode() for m in maps}


def _spec(port: Any, names: dict[str, str]) -> TensorSpec:
    known = sorted(port.get_names())
    label = port.get_node().get_friendly_name()
    if label.endswith(_SINK):  # an output: its node is called after the tensor that the file names
        label = label[:-len(_SINK)]
    name = label if label in known or not known else known[0]
    shape = tuple(d.get_length() if d.is_static else None for d in port.get_partial_shape()) \
        if port.get_partial_shape().rank.is_static else ("...",)
    return TensorSpec(names.get(name, name), _name(port.get_element_type()), shape)


def _name(kind: Any) -> str:
    """An OpenVINO element type as numpy calls it."""
    text = kind.get_type_name() if hasattr(kind, "get_type_name") else str(kind)
    if text in _DTYPES:
        return _DTYPES[text]
    word = {"f": "float", "i": "int", "u": "uint"}.get(text[:1], "")
    return f"{word}{text[1:]}" if word and text[1:].isdigit() else text


def _unique(specs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
    """One tensor may be given out twice; names are keys."""
    seen: Counter = Counter()
    renamed = []
    for s in specs:
        renamed.append(TensorSpec(f"{s.name}_{seen[s.name]}" if seen[s.name] else s.name, s.dtype, s.shape))
        seen[s.name] += 1
    return tuple(renamed)


def _cause(error: BaseException) -> str:
    """OpenVINO's message without the places in its source where it passed."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith("Exception from ")]
    return one_line(" ".join(told)) if told else type(error).__name__
