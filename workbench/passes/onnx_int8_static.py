"""Static INT8 for ONNX: ranges of all tensors from calibration samples, integer kernels at run time.

Options: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, NotApplicable
from ..model import Model, ModelFormat
from ..settings import setting
from . import _calibrated, _check, _onnx_fit, _onnx_int8, _onnx_io, _onnx_prepare, _onnx_scope, _qdq_place
from .base import Pass, PassContext, PassResult

_OTHER_OPS = ("ArgMax", "Mul", "LeakyRelu", "Sigmoid", "Softmax", "Split", "Resize", "Where", "Gather", "Slice",
              "GatherElements", "InstanceNormalization", "LayerNormalization", "BatchNormalization", "TopK")
KNOWN_OPS = (*sorted(_onnx_scope.COMPUTE), *sorted(_onnx_scope.CARRY), *_OTHER_OPS)


@dataclass(frozen=True)
class Settings(_calibrated.Int8Settings):
    """How a model is quantized to INT8 with calibration."""

    format: str = setting("qdq", "qdq: quantize/dequantize pairs that runtimes fuse, the usual choice; "
                          "qoperator: integer operators in the file", choices=("qdq", "qoperator"))
    symmetric_activations: bool = setting(False, "Signed activations around zero: some accelerators want it, "
                                          "CPUs lose a bit of accuracy", advanced=True)
    symmetric_weights: bool = setting(True, "Weights around zero: what fast kernels expect", advanced=True)
    op_types: tuple = setting((), "Operators to quantize, e.g. Conv, MatMul; empty takes those that profit",
                              advanced=True)

    @property
    def placement(self) -> str:
        """Integer operators have no pairs that could stand elsewhere."""
        return super().placement if self.format == "qdq" else _qdq_place.AFTER_CONV


class OnnxInt8Static(Pass):
    """See :class:`workbench.passes.base.Pass`."""

    name = "onnx-int8-static"
    title = "INT8 static"
    group = "precision"
    summary = ("8-bit weights and activations with ranges from calibration samples: usually the fastest on CPUs with "
               "VNNI, a quarter of the size, costs some accuracy.")
    accepts = (ModelFormat.ONNX,)
    produces = ModelFormat.ONNX
    ensures = frozenset({"int8"})
    excludes = frozenset({"int8", "float16", "ort-optimized"})
    needs_calibration = True
    packages = {"onnx": "pip install onnx", "onnxruntime": "pip install onnxruntime"}
    machine_dependent = True
    Settings = Settings

    def why_not(self, model: Model, settings: Settings) -> str | None:
        """Unknown operators in the settings, a file that is quantized already, or nothing to quantize in it."""
        unknown = [op for op in settings.op_types if op not in KNOWN_OPS]
        if unknown:
            return f"INT8 static cannot quantize '{unknown[0]}'; op_types may name: {', '.join(KNOWN_OPS)}"
        return _onnx_int8.refuse(model) if model.format == ModelFormat.ONNX else None

    def apply(self, model: Model, settings: Settings, context: PassContext) -> PassResult:
        """See :meth:`workbench.passes.base.Pass.apply`."""
        reason = self.why_not(model, settings)
        if reason:
            raise NotApplicable(reason)
        context.progress(0.05, "preparing the graph")
        original = _onnx_io.load(model.path)
        specs = _onnx_io.specs(_onnx_io.graph_inputs(original))
        feeds = _check.calibration(context, specs, settings.calibration_samples)
        prepared = _onnx_prepare.prepare(original, feeds[0])
        if _onnx_int8.float_bits(prepared.model):
            raise NotApplicable("the model is float16; quantize its float32 version")
        _onnx_fit.fit_for_int8(prepared.model)
        target = context.workdir / "model.onnx"
        quantized, asked = _quantize(prepared.model, feeds, settings, target, context)
        report = _report(prepared.model, quantized, settings)
        if not report.quantized:
            raise _onnx_int8.nothing(prepared.model)
        context.progress(0.9, "checking the INT8 model")
        _onnx_io.save(quantized, target)
        cosine, checked = _onnx_int8.closeness(prepared.model, quantized, feeds)
        unknown = [n for n in settings.exclude_nodes if n not in {x.name for x in prepared.model.graph.node}]
        missing = [f"exclude_nodes: not in the graph: {', '.join(unknown[:4])}"] if unknown else []
        notes = (*report.notes(), *asked, *checked, *_onnx_int8.range_notes(settings.reduce_range), *missing,
                 *_qdq_place.notes(settings.placement),
                 f"calibrated on {len(feeds)} samples ({settings.method})", *prepared.notes)
        return PassResult(target, self.produces, notes, {**report.details(), "cosine": cosine})


def _quantize(model: Any, feeds: list, settings: Settings, target: Path, context: PassContext) -> tuple[Any, list[str]]:
    """The quantized model: as asked, or with fewer operators where that does not load.

    Raises:
        NotApplicable: no attempt gives a model that loads.
    """
    wanted = list(settings.op_types) or sorted(_onnx_scope.COMPUTE | _onnx_scope.CARRY)
    compute = [op for op in wanted if op in _onnx_scope.COMPUTE]
    attempts = [(wanted, settings.per_channel, [])]
    if compute and compute != wanted:
        attempts.append((compute, settings.per_channel, ["only compute operators are quantized: more did not load"]))
    if settings.per_channel:
        attempts.append((compute or wanted, False, ["one scale a tensor: per channel did not load"]))
    cause = ""
    for index, (ops, per_channel, notes) in enumerate(attempts):
        context.progress(0.2 + 0.2 * index, f"calibrating on {len(feeds)} samples")
        try:
            found = _run_quantizer(model, feeds, settings, target, ops, per_channel)
            _onnx_io.session(found)
            if _onnx_int8.same_signature(model, found):
                return found, notes
            cause = "inputs or outputs changed"
        except (InputError, MemoryError):
            raise
        except Exception as error:  # the quantizer meets graphs that nobody has seen
            cause = _onnx_io.one_line(error)
    raise NotApplicable(f"the quantizer cannot handle this graph: {cause}")


def _run_quantizer(model: Any, feeds: list, settings: Settings, target: Path, ops: list[str],
                   per_channel: bool) -> Any:
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    excluded = list(settings.exclude_nodes) if settings.op_types else _onnx_scope.float_nodes(
        model, settings.exclude_nodes)
    kind = QuantType.QInt8 if settings.symmetric_activations else QuantType.QUInt8
    options = {"ActivationSymmetric": settings.symmetric_activations, "WeightSymmetric": settings.symmetric_weights,
               "CalibPercentile": settings.percentile, **_qdq_place.quantizer_options(settings.placement)}
    if settings.method != "minmax":
        options["CalibStridedMinMax"] = 1  # histograms sample by sample: sizes may differ, and memory stays small
    with tempfile.TemporaryDirectory(prefix="workbench-") as folder, _onnx_int8.quiet(), contextlib.redirect_stdout(
            io.StringIO()):
        source = _onnx_io.save(model, Path(folder) / "prepared.onnx")
        quantize_static(
            source, target, _Reader(feeds), op_types_to_quantize=ops, per_channel=per_channel,
            quant_format=QuantFormat.QDQ if settings.format == "qdq" else QuantFormat.QOperator,
            reduce_range=_onnx_int8.reduce_range(settings.reduce_range), activation_type=kind,
            weight_type=QuantType.QInt8, nodes_to_exclude=excluded,
            calibrate_method=getattr(CalibrationMethod, _calibrated.METHODS[settings.method]), extra_options=options)
    made = _onnx_io.load(target)
    if settings.format == "qdq":
        _qdq_place.drop_unread(model, made, settings.placement, ops)
    return made


class _Reader:
    """Calibration samples in the form of ``onnxruntime.quantization.CalibrationDataReader``."""

    def __init__(self, feeds: list) -> None:
        self._feeds, self._next, self._end = feeds, 0, len(feeds)

    def __len__(self) -> int:
        return len(self._feeds)

    def set_range(self, start_index: int, end_index: int) -> None:
        self._next, self._end = start_index, min(end_index, len(self._feeds))

    def get_next(self) -> dict | None:
        if self._next >= self._end:
            return None
        self._next += 1
        return self._feeds[self._next - 1]


def _report(before: Any, after: Any, settings: Settings) -> _onnx_int8.Report:
    """Which compute nodes work on INT8: fed by DequantizeLinear (qdq), or replaced by an integer operator."""
    makers = {o: n.op_type for n in after.graph.node for o in n.output}
    now = {n.name: n for n in after.graph.node}
    constants = {i.name for i in before.graph.initializer}
    quantized, left, ops = [], {}, {}
    for name, node in _onnx_int8.compute_nodes(before).items():
        ops[name] = node.op_type
        kept = now.get(name)
        done = f"{name}_quant" in now if kept is None or settings.format == "qoperator" else all(
            makers.get(i) == "DequantizeLinear" for i in kept.input[:2])
        if done:
            quantized.append(name)
        else:
            left[name] = _why_float(node, settings, constants)
    return _onnx_int8.Report(quantized, left, ops)


def _why_float(node: Any, settings: Settings, constants: set[str]) -> str:
    if node.name in settings.exclude_nodes:
        return "as asked"
    if node.op_type not in (settings.op_types or _onnx_scope.COMPUTE):
        return "static INT8 has no such operator" if node.op_type not in KNOWN_OPS else "not among op_types"
    if len(node.input) > 1 and node.input[1] not in constants:
        return "because its weights are not constant"
    return "because the types or ranges of its tensors are unknown"
