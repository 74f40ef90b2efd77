"""Dynamic INT8 for ONNX: 8-bit weights, activations quantized while running; needs no calibration.

Options: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import NotApplicable
from ..model import Model, ModelFormat
from ..settings import SettingsBase, setting
from . import _check, _onnx_int8, _onnx_io, _onnx_prepare
from .base import Pass, PassContext, PassResult

_OPS = ("MatMul", "Gemm", "Attention", "LSTM")


@dataclass(frozen=True)
class Settings(SettingsBase):
    """How a model is quantized to INT8 without calibration."""

    per_channel: bool = setting(True, "One scale for each output channel of the weights: closer to float, same speed")
    weight_type: str = setting("int8", "Type of the weights; uint8 never saturates on CPUs without VNNI but has "
                               "slower kernels there", choices=("int8", "uint8"))
    reduce_range: str = setting("auto", _onnx_int8.REDUCE_HELP, choices=("auto", "on", "off"))
    convolutions: bool = setting(False, "Quantize Conv too: smaller, but usually several times slower than float")
    lstm: bool = setting(True, "Quantize LSTM too", advanced=True)
    exclude_nodes: tuple = setting((), "Names of nodes to keep in float", advanced=True)


class OnnxInt8Dynamic(Pass):
    """See :class:`workbench.passes.base.Pass`."""

    name = "onnx-int8-dynamic"
    title = "INT8 dynamic"
    group = "precision"
    summary = ("8-bit weights for MatMul, Gemm and LSTM, activations quantized on the fly: no calibration, helps "
               "transformers and recurrent nets, slows convolutional ones.")
    accepts = (ModelFormat.ONNX,)
    produces = ModelFormat.ONNX
    ensures = frozenset({"int8"})
    excludes = frozenset({"int8", "float16", "ort-optimized"})
    packages = {"onnx": "pip install onnx", "onnxruntime": "pip install onnxruntime"}
    machine_dependent = True
    Settings = Settings

    def why_not(self, model: Model, settings: Settings) -> str | None:
        """A file that is quantized already, or one with nothing to quantize."""
        if model.format != ModelFormat.ONNX:
            return None
        reason = _onnx_int8.refuse(model)
        ops = _onnx_io.op_counts(model.path)
        if not reason and ops and not any(op in ops for op in _ops(settings)):
            reason = (f"{model.name} has only convolutions to quantize, and dynamic INT8 makes those slower; "
                      "use INT8 static, or switch 'convolutions' on")
        return reason

    def apply(self, model: Model, settings: Settings, context: PassContext) -> PassResult:
        """See :meth:`workbench.passes.base.Pass.apply`."""
        reason = self.why_not(model, settings)
        if reason:
            raise NotApplicable(reason)
        context.progress(0.05, "preparing the graph")
        original = _onnx_io.load(model.path)
        feed = _check.sample(context, _onnx_io.specs(_onnx_io.graph_inputs(original)), model)
        prepared = _onnx_prepare.prepare(original, feed)
        if _onnx_int8.float_bits(prepared.model):
            raise NotApplicable("the model is float16; quantize its float32 version")
        context.progress(0.4, "quantizing the weights")
        target = context.workdir / "model.onnx"
        quantized, asked = _quantize(prepared.model, settings, target)
        report = _report(prepared.model, quantized, settings)
        if not report.quantized:
            raise _onnx_int8.nothing(prepared.model)
        context.progress(0.8, "checking the INT8 model")
        _onnx_io.save(quantized, target)
        cosine, checked = _onnx_int8.closeness(prepared.model, quantized, [feed] if feed else [])
        warning = ["dynamic INT8 of convolutions is usually several times slower than float: measure it"] if any(
            report.ops[n] == "Conv" for n in report.quantized) else []
        range_notes = _onnx_int8.range_notes(settings.reduce_range) if settings.weight_type == "int8" else []
        notes = (*report.notes(), *asked, *warning, *checked, *range_notes, *prepared.notes)
        return PassResult(target, self.produces, notes, {**report.details(), "cosine": cosine})


def _ops(settings: Settings) -> list[str]:
    ops = [op for op in _OPS if op != "LSTM" or settings.lstm]
    return [*ops, "Conv"] if settings.convolutions else ops


def _quantize(model: Any, settings: Settings, target: Path) -> tuple[Any, list[str]]:
    """The quantized model: as asked, or per tensor, or without control flow, where that does not load.

    Raises:
        NotApplicable: no attempt gives a model that loads.
    """
    nested = any(_onnx_io.subgraphs(n) for n in model.graph.node)
    attempts = [(settings.per_channel, nested, [])]
    if nested:
        attempts.append((settings.per_channel, False, ["graphs inside control flow stay in float"]))
    if settings.per_channel:
        attempts.append((False, False, ["one scale a tensor: per channel did not load"]))
    cause = ""
    for per_channel, inside, notes in attempts:
        try:
            found = _run_quantizer(model, settings, target, per_channel, inside)
            _onnx_io.session(found)
            if _onnx_int8.same_signature(model, found):
                return found, notes
            cause = "inputs or outputs changed"
        except Exception as error:  # the quantizer meets graphs that nobody has seen
            cause = _onnx_io.one_line(error)
    raise NotApplicable(f"the quantizer cannot handle this graph: {cause}")


def _run_quantizer(model: Any, settings: Settings, target: Path, per_channel: bool, inside: bool) -> Any:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    unsigned = settings.weight_type == "uint8"
    with tempfile.TemporaryDirectory(prefix="workbench-") as folder, _onnx_int8.quiet():
        source = _onnx_io.save(model, Path(folder) / "prepared.onnx")
        quantize_dynamic(
            source, target, op_types_to_quantize=_ops(settings), per_channel=per_channel,
            reduce_range=not unsigned and _onnx_int8.reduce_range(settings.reduce_range),
            weight_type=QuantType.QUInt8 if unsigned else QuantType.QInt8,
            nodes_to_exclude=list(settings.exclude_nodes),
            extra_options={"EnableSubgraph": inside, "MatMulConstBOnly": True})
    return _onnx_io.load(target)


def _report(before: Any, after: Any, settings: Settings) -> _onnx_int8.Report:
    """Which compute nodes became integer operators: the quantizer renames those."""
    now = {n.name for n in _onnx_io.all_nodes(after.graph)}
    constants = {i.name for i in before.graph.initializer}
    quantized, left, ops = [], {}, {}
    for name, node in _onnx_int8.compute_nodes(before).items():
        ops[name] = node.op_type
        if f"{name}_quant" in now or f"{name}_MatMul_quant" in now:
            quantized.append(name)
        elif name in settings.exclude_nodes:
            left[name] = "as asked"
        elif node.op_type not in _ops(settings):
            left[name] = ("because dynamic INT8 slows convolutions" if node.op_type.startswith("Conv")
                          else "not among the operators")
        elif len(node.input) > 1 and node.input[1] not in constants:
            left[name] = "because its weights are not constant"
        else:
            left[name] = "because the quantizer does not handle its form"
    return _onnx_int8.Report(quantized, left, ops)
