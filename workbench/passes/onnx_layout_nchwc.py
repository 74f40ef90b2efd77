"""The channel-blocked memory layout (NCHWc) that ONNX Runtime computes convolutions in, as a step of its own."""

from __future__ import annotations

from collections import Counter

from ..errors import NotApplicable
from ..model import Model, ModelFormat
from ..settings import SettingsBase
from . import _onnx_io, _onnx_step, _ort_steps
from .base import Pass, PassContext, PassResult

_NCHWC = "com.microsoft.nchwc"


class OnnxLayoutNchwc(Pass):
    """See :class:`workbench.passes.base.Pass`."""

    name = "onnx-layout-nchwc"
    title = "NCHWc layout"
    group = "graph"
    summary = ("Blocks the channels of convolutions for this CPU's vectors and shows where layouts change; ONNX "
               "Runtime does it at load anyway, and the file runs well only on a CPU of the kind.")
    accepts = (ModelFormat.ONNX,)
    produces = ModelFormat.ONNX
    ensures = frozenset({"ort-optimized"})
    excludes = frozenset({"ort-optimized"})
    packages = _onnx_step.PACKAGES
    machine_dependent = True

    def why_not(self, model: Model, settings: SettingsBase) -> str | None:
        """Only convolutions and pooling have this layout."""
        ops = _onnx_io.op_counts(model.path) if model.format == ModelFormat.ONNX else Counter()
        if ops and not any(op in ops for op in ("Conv", "FusedConv")):
            return f"{model.name} has no float convolution, and only those have this layout"
        return None

    def apply(self, model: Model, settings: SettingsBase, context: PassContext) -> PassResult:
        """See :meth:`workbench.passes.base.Pass.apply`."""
        reason = self.why_not(model, settings)
        if reason:
            raise NotApplicable(reason)
        context.progress(0.1, "changing the layout")
        original = _onnx_io.load(model.path)
        made = _ort_steps.only(original, "NchwcTransformer", "all", context)
        blocked = Counter(n.op_type for n in made.graph.node if n.domain == _NCHWC)
        if not blocked["Conv"]:
            raise NotApplicable("ONNX Runtime finds no convolution here that this layout suits: their weights are not "
                                "constant (fold constants first), or their channels do not fill this CPU's vectors")
        convolutions = blocked["Conv"]
        notes = (f"{convolutions} convolutions use blocked channels; {blocked['ReorderInput']} ReorderInput and "
                 f"{blocked['ReorderOutput']} ReorderOutput nodes change the layout at the borders",)
        return _onnx_step.finish(original, made, _onnx_step.sample(original, model, context), context, notes=notes)
