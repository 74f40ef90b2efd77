"""Constant folding as ONNX Runtime does it, as a step of its own."""

from __future__ import annotations

from ..errors import NotApplicable
from ..model import Model, ModelFormat
from ..settings import SettingsBase
from . import _onnx_io, _onnx_step, _ort_steps
from .base import Pass, PassContext, PassResult


class OnnxFoldConstants(Pass):
    """See :class:`workbench.passes.base.Pass`."""

    name = "onnx-fold-constants"
    title = "fold constants"
    group = "graph"
    summary = ("Computes once what depends on no input, with ONNX Runtime and nothing else of it: shows what folding "
               "alone changes; latency is the same as folding at load.")
    accepts = (ModelFormat.ONNX,)
    produces = ModelFormat.ONNX
    excludes = frozenset({"int8", "ort-optimized"})
    packages = _onnx_step.PACKAGES

    def why_not(self, model: Model, settings: SettingsBase) -> str | None:
        """Folding would undo quantization."""
        if model.format == ModelFormat.ONNX and _onnx_io.is_quantized(model.path):
            return f"{model.name} is quantized, and folding constants would undo that; fold its float version"
        return None

    def apply(self, model: Model, settings: SettingsBase, context: PassContext) -> PassResult:
        """See :meth:`workbench.passes.base.Pass.apply`."""
        reason = self.why_not(model, settings)
        if reason:
            raise NotApplicable(reason)
        context.progress(0.1, "folding constants")
        original = _onnx_io.load(model.path)
        made = _ort_steps.only(original, "ConstantFolding", "basic", context)
        return _onnx_step.finish(original, made, _onnx_step.sample(original, model, context), context)
