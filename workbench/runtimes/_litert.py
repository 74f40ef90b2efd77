"""LiteRT (TensorFlow Lite) adapter on ``ai_edge_litert``. API: https://ai.google.dev/edge/litert"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import feeds as feed_names
from ..errors import InputError, MissingError
from ..model import ModelFormat, TensorSpec
from ..settings import SettingsBase, setting
from ._common import natural_order, one_line, package_version, thread_environment
from .base import SessionRequest

_NO_GPU = ("LiteRT's Python interpreter runs on the CPU only; for a GPU take ONNX Runtime "
           "(pip install onnxruntime-gpu) or TensorFlow (pip install 'tensorflow[and-cuda]')")
# These keep their state in variable tensors between calls, although the layer they came from starts afresh.
_KEEPS_STATE = re.compile(r"(SEQUENCE_(LSTM|RNN)|^(LSTM|RNN|SVDF))$")
_QUANTIZED = (np.int8, np.uint8, np.int16)


@dataclass(frozen=True)
class Settings(SettingsBase):
    """How LiteRT runs a model."""

    xnnpack: bool = setting(True, "XNNPACK kernels for the CPU: much faster wherever they exist; off: built-in kernels")
    latest: bool = setting(False, "Let XNNPACK use its newest, less tested features", advanced=True)


def environment(threads: int, device: str, settings: Settings, format: ModelFormat) -> dict[str, str]:
    """Variables for the worker; the interpreter's own threads are set on it."""
    return thread_environment(threads, device)


def devices() -> dict[str, str | None]:
    """Devices and why they cannot be used."""
    return {"cpu": None, "gpu": _NO_GPU}


def preload() -> None:
    """Imports the framework, so that neither its time nor its memory is taken for the model's."""
    import ai_edge_litert.interpreter  # noqa: F401


def open_session(request: SessionRequest) -> LiteRtSession:
    """Loads a .tflite file and sizes it for the example.

    Raises:
        InputError: the file is damaged, or needs operators that LiteRT does not have.
        MissingError: a device other than the CPU is asked for.
    """
    if request.device != "cpu":
        raise MissingError(f"litert on device {request.device}: {_NO_GPU}")
    return LiteRtSession(request)


class Port(NamedTuple):
    """One input or output tensor of the interpreter.

    Attributes:
        name: name in the signature, else the tensor's name.
        index: tensor index in the interpreter.
        dtype: numpy type inside the file.
        scale: quantization step; 0 when values pass as they are.
        zero_point: integer that stands for 0.
        shape: -1 for an unknown size.
        initial: the sizes the file starts with.
    """

    name: str
    index: int
    dtype: type
    scale: float
    zero_point: int
    shape: tuple[int, ...]
    initial: tuple[int, ...]


class LiteRtSession:
    """See :class:`workbench.runtimes.base.Session`.

    An int8, uint8 or int16 quantized input is offered as float32 and quantized inside ``run`` as the file says,
    unless the example holds integers, which then pass as they are. Quantized outputs come back as float32.
    """

    def __init__(self, request: SessionRequest) -> None:
        self._request = request
        self._it, self._signature = _interpreter(request)
        inputs, outputs = _ports(self._it, self._signature)
        example = _example(request.example, inputs)
        raw = {n for n, a in example.items() if a.dtype.kind in "iub"}
        self._inputs = [p._replace(scale=0.0) if p.name in raw else p for p in inputs]
        self._outputs = outputs
        self.inputs = tuple(_spec(p) for p in self._inputs)
        self.outputs = tuple(_spec(p) for p in outputs)
        self._shapes: list[tuple[int, ...]] = []
        try:
            self._resize([example[p.name].shape if p.name in example else p.initial for p in inputs])
        except (RuntimeError, ValueError) as error:
            raise InputError(_load_failure(request.path, error)) from None
        self._ops = _ops(self._it)
        self._resets = any(_KEEPS_STATE.search(name) for name in self._ops.names)

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One forward pass; a new input shape re-sizes the interpreter first.

        Raises:
            InputError: an input is missing or does not fit; names it.
        """
        it = self._it
        try:
            arrays = [feeds[p.name] for p in self._inputs]
            shapes = [a.shape for a in arrays]
            if shapes != self._shapes:
                self._resize(shapes)
            if self._resets:
                it.reset_all_variables()
            for port, array in zip(self._inputs, arrays, strict=True):
                it.set_tensor(port.index, _quantize(array, port) if port.scale else array)
            it.invoke()
            return {p.name: _dequantize(it.get_tensor(p.index), p) if p.scale else it.get_tensor(p.index)
                    for p in self._outputs}
        except KeyError as error:
            raise InputError(f"LiteRT: input {error} is missing; the model wants "
                             f"{', '.join(p.name for p in self._inputs)}") from None
        except (RuntimeError, ValueError) as error:
            raise InputError(f"LiteRT could not run the model: {one_line(error)}") from None

    def describe(self) -> dict[str, Any]:
        """Delegate, the nodes it took and left, threads, what is quantized at the boundary."""
        ops, settings = self._ops, self._request.settings
        quantized = [p.name for p in self._inputs if p.scale]
        dequantized = [p.name for p in self._outputs if p.scale]
        notes = []
        if settings.xnnpack and ops.partitions == 0:
            notes.append("XNNPACK took none of the nodes")
        if quantized or dequantized:
            notes.append(f"quantized at the boundary, inside the timed run: {', '.join(quantized + dequantized)}")
        if self._resets:
            notes.append("recurrent state is cleared before each run")
        return {
            "runtime": "litert", "version": package_version("ai-edge-litert"), "device": "cpu",
            "threads": self._request.threads, "delegate": "XNNPACK" if ops.partitions else "none",
            "nodes": len(ops.names), "nodes_delegated": len(ops.names) - len(ops.left), "partitions": ops.partitions,
            "nodes_elsewhere": ops.left[:100], "signature": self._signature or "", "quantized_inputs": quantized,
            "dequantized_outputs": dequantized, "notes": notes,
        }

    def close(self) -> None:
        """Frees the model."""
        self._it = None

    def _resize(self, shapes: list[tuple[int, ...]]) -> None:
        """Sizes the inputs and allocates; XNNPACK is applied anew to what fits it."""
        for port, shape in zip(self._inputs, shapes, strict=True):
            if not _fits(port.shape, shape):
                raise InputError(f"input '{port.name}' wants shape {list(port.shape)} (-1: any), the data has "
                                 f"{list(shape)}: change the data or the batch, or convert for that shape")
            self._it.resize_tensor_input(port.index, list(shape))
        self._it.allocate_tensors()
        self._shapes = shapes


def _interpreter(request: SessionRequest) -> tuple[Any, str | None]:
    """The interpreter, and the signature of the main graph if the file has one."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    settings: Settings = request.settings
    kernels = OpResolverType.AUTO if settings.xnnpack else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    try:
        it = Interpreter(str(request.path), num_threads=request.threads, experimental_op_resolver_type=kernels,
                         experimental_default_delegate_latest_features=settings.latest)
        keys = list(it.get_signature_list())
        main = [k for k in keys if getattr(it.get_signature_runner(k), "_subgraph_index", 0) == 0]
    except (RuntimeError, ValueError, TypeError) as error:
        raise InputError(_load_failure(request.path, error)) from None
    return it, "serving_default" if "serving_default" in main else main[0] if main else None


def _ports(it: Any, signature: str | None) -> tuple[list[Port], list[Port]]:
    if signature is None:
        return [_port(d["name"], d) for d in it.get_input_details()], [
            _port(d["name"], d) for d in it.get_output_details()]
    runner = it.get_signature_runner(signature)
    return (_ordered(runner.get_input_details(), it.get_input_details()),
            _ordered(runner.get_output_details(), it.get_output_details()))


def _ordered(named: dict[str, dict], graph: list[dict]) -> list[Port]:
    """A signature lists names by alphabet; people and other formats go by 'output_<n>', else the graph's order."""
    place = {int(d["index"]): i for i, d in enumerate(graph)}
    names = sorted(named, key=lambda n: (place.get(int(named[n]["index"]), len(place)), n))
    return [_port(n, named[n]) for n in natural_order(names)]


def _port(name: str, d: dict[str, Any]) -> Port:
    scale, zero_point = d["quantization"]
    initial = tuple(int(n) for n in d["shape"])
    shape = tuple(int(n) for n in d["shape_signature"])
    quantized = d["dtype"] in _QUANTIZED and scale > 0
    return Port(name, d["index"], d["dtype"], float(scale) if quantized else 0.0, int(zero_point),
                shape if len(shape) == len(initial) else initial, initial)


def _spec(port: Port) -> TensorSpec:
    dtype = "float32" if port.scale else _dtype_name(port.dtype)
    return TensorSpec(port.name, dtype, tuple(None if n < 0 else n for n in port.shape))


def _dtype_name(dtype: type) -> str:
    name = np.dtype(dtype).name
    return "str" if name.startswith(("bytes", "str", "object")) else name


def _example(example: dict[str, np.ndarray], ports: list[Port]) -> dict[str, np.ndarray]:
    """The example keyed by this session's names; its own keys may be the original model's."""
    if not example:
        return {}
    names = feed_names.match(list(example), tuple(_spec(p) for p in ports))
    return {mine: np.asarray(example[theirs]) for mine, theirs in names.items()}


def _fits(wanted: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    return len(wanted) == len(shape) and all(w in (-1, n) for w, n in zip(wanted, shape, strict=True))


def _quantize(array: np.ndarray, port: Port) -> np.ndarray:
    """float -> the file's integers: round(x / scale) + zero point, clipped to the type's range."""
    limits = np.iinfo(port.dtype)
    scaled = np.rint(array / np.float32(port.scale)) + port.zero_point
    return np.clip(scaled, limits.min, limits.max).astype(port.dtype)


def _dequantize(array: np.ndarray, port: Port) -> np.ndarray:
    """The file's integers -> float32: (q - zero point) * scale."""
    return (array.astype(np.float32) - np.float32(port.zero_point)) * np.float32(port.scale)


class _Ops(NamedTuple):
    names: list[str]
    left: list[str]
    partitions: int


def _ops(it: Any) -> _Ops:
    """Operators of the file and those that no delegate took (a delegate's inside is what its outputs need)."""
    try:
        details = it._get_ops_details()
    except (AttributeError, RuntimeError, ValueError):  # not a public call: without it no claim is made
        return _Ops([], [], 0)
    real = [d for d in details if d["op_name"] != "DELEGATE"]
    makers = {int(t): d["index"] for d in real for t in d["outputs"]}
    inputs_of = {d["index"]: d["inputs"] for d in real}
    taken: set[int] = set()
    delegates = [d for d in details if d["op_name"] == "DELEGATE"]
    for delegate in delegates:
        border, todo = {int(t) for t in delegate["inputs"]}, [int(t) for t in delegate["outputs"]]
        while todo:
            maker = makers.get(todo.pop())
            if maker is None or maker in taken:
                continue
            taken.add(maker)
            todo += [int(t) for t in inputs_of[maker] if int(t) not in border]
    left = [f"{d['op_name']} #{d['index']}" for d in real if d["index"] not in taken]
    return _Ops([d["op_name"] for d in real], left, len(delegates))


def _load_failure(path: Path, error: Exception) -> str:
    cause = one_line(error)
    if "Select TensorFlow op" in cause or "Flex" in cause:
        found = re.search(r"Flex\w+", cause)
        which = f" ({found.group()})" if found else ""
        return (f"LiteRT cannot run {path.name}: it needs TensorFlow operators{which} that LiteRT does not have; "
                "convert it with built-in operators only, or run the original in TensorFlow or ONNX Runtime")
    if "unresolved custom op" in cause:
        return f"LiteRT cannot run {path.name}: {cause.rstrip('.')}; convert it without custom operators"
    return f"LiteRT cannot load {path.name}: {cause.rstrip('.')}"
