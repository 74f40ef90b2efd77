"""Folds constants and removes what does nothing, with OnnxSlim."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import NotApplicable
from ..model import Model, ModelFormat
from ..settings import SettingsBase, setting
from . import _onnx_io, _onnx_prepare, _onnx_step
from .base import Pass, PassContext, PassResult


@dataclass(frozen=True)
class Settings(SettingsBase):
    """Which simplifications are made."""

    fold_constants: bool = setting(True, "Compute once what depends on no input; may make the file larger")
    fuse: bool = setting(True, "Merge BatchNormalization, padding and the like into the operators before them")
    remove_repeated: bool = setting(True, "Merge nodes that compute the same", advanced=True)


class OnnxSimplify(Pass):
    """See :class:`workbench.passes.base.Pass`."""

    name = "onnx-simplify"
    title = "simplify"
    group = "graph"
    summary = ("Folds constants, merges BatchNormalization and removes dead and repeated nodes: fewer nodes and the "
               "same answers; runtimes do much of it themselves, other tools profit.")
    accepts = (ModelFormat.ONNX,)
    produces = ModelFormat.ONNX
    excludes = frozenset({"int8", "ort-optimized"})
    packages = {**_onnx_step.PACKAGES, "onnxslim": "pip install onnxslim"}
    Settings = Settings

    def why_not(self, model: Model, settings: Settings) -> str | None:
        """Folding would undo quantization."""
        if model.format == ModelFormat.ONNX and _onnx_io.is_quantized(model.path):
            return f"{model.name} is quantized, and folding constants would undo that; simplify its float version"
        return None

    def apply(self, model: Model, settings: Settings, context: PassContext) -> PassResult:
        """See :meth:`workbench.passes.base.Pass.apply`."""
        reason = self.why_not(model, settings)
        if reason:
            raise NotApplicable(reason)
        context.progress(0.1, "simplifying the graph")
        original = _onnx_io.load(model.path)
        feed = _onnx_step.sample(original, model, context)
        steps = {"constant_folding": settings.fold_constants, "graph_fusion": settings.fuse,
                 "subexpression_elimination": settings.remove_repeated}
        skip = [name for name, wanted in steps.items() if not wanted]
        try:
            made = _onnx_prepare._slim(original, skip=skip)
        except Exception as error:  # third-party code on files that nobody has seen
            raise NotApplicable(f"the simplifier cannot handle this graph: {_onnx_io.one_line(error)}") from None
        _onnx_prepare.name_nodes(made)
        return _onnx_step.finish(original, made, feed, context)
