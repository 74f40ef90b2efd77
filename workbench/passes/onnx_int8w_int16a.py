"""8-bit weights with 16-bit activations: nearly float's accuracy at a quarter of the size."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import NotApplicable
from ..model import Model, ModelFormat
from ..settings import setting
from . import _calibrated, _check, _onnx_fit, _onnx_int8, _onnx_io, _onnx_prepare, _onnx_step, _qdq
from .base import Pass, PassContext, PassResult


@dataclass(frozen=True)
class Settings(_calibrated.CalibratedSettings):
    """How a model is quantized to 8-bit weights and 16-bit activations."""

    method: str = setting("minmax", "How ranges are chosen; 16 bits hold all values well, so minmax suits",
                          choices=tuple(_calibrated.METHODS), advanced=True)
    calibration_samples: int = setting(64, _calibrated.SAMPLES_HELP, low=1, high=10000)
    symmetric_activations: bool = setting(False, "Signed activations around zero: what most accelerators want",
                                          advanced=True)


class OnnxInt8wInt16a(Pass):
    """See :class:`workbench.passes.base.Pass`."""

    name = "onnx-int8w-int16a"
    title = "INT8 weights, 16-bit activations"
    group = "precision"
    summary = ("For accelerators with 16-bit activations, and to see whether weights or activations cost the accuracy: "
               "a quarter of the size; CPUs compute it in float with conversions, slower than float.")
    accepts = (ModelFormat.ONNX,)
    produces = ModelFormat.ONNX
    ensures = frozenset({"int8"})
    excludes = frozenset({"int8", "float16", "ort-optimized"})
    needs_calibration = True
    packages = _onnx_step.PACKAGES
    Settings = Settings

    def why_not(self, model: Model, settings: Settings) -> str | None:
        """A file that is quantized already, or nothing to quantize in it."""
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
        ranges = _qdq.calibrate(
            prepared.model, feeds, method=settings.method, percentile=settings.percentile,
            progress=lambda f: context.progress(0.2 + 0.4 * f, f"calibrating on {len(feeds)} samples"))
        made = _qdq.quantize(prepared.model, ranges, _qdq.Options(
            settings.per_channel, False, 16, settings.symmetric_activations), settings.exclude_nodes)
        if not any(n.op_type == "DequantizeLinear" for n in made.graph.node):
            raise _onnx_int8.nothing(prepared.model)
        context.progress(0.9, "checking the quantized model")
        cosine, checked = _onnx_int8.closeness(prepared.model, made, feeds)
        path = _onnx_io.save(made, context.workdir / "model.onnx")
        notes = (*checked, "ONNX Runtime's CPU kernels have no 16-bit integers: it computes in float between the "
                 "conversions, which is slower than the float model", *prepared.notes)
        return PassResult(path, self.produces, notes, {"cosine": cosine})
