"""Makes an ONNX file what tools expect: weights as initializers, a current operator set, names, shapes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..model import Model, ModelFormat
from ..settings import SettingsBase, setting
from . import _onnx_io, _onnx_prepare, _onnx_step
from .base import Pass, PassContext, PassResult


@dataclass(frozen=True)
class Settings(SettingsBase):
    """What the file must have afterwards."""

    opset: int = setting(_onnx_prepare.OPSET, "Lowest operator set to leave; older files are raised to it, newer ones "
                         "stay", low=7, high=22)
    remove_unused: bool = setting(True, "Remove dead and repeated nodes")


class OnnxNormalize(Pass):
    """See :class:`workbench.passes.base.Pass`."""

    name = "onnx-normalize"
    title = "normalize"
    group = "graph"
    summary = ("Stores constants as weights, raises an old operator set, names every node, infers shapes and removes "
               "dead and repeated code: same answers, and other tools accept the file.")
    accepts = (ModelFormat.ONNX,)
    produces = ModelFormat.ONNX
    excludes = frozenset({"ort-optimized"})
    packages = _onnx_step.PACKAGES
    Settings = Settings

    def apply(self, model: Model, settings: Settings, context: PassContext) -> PassResult:
        """See :meth:`workbench.passes.base.Pass.apply`."""
        context.progress(0.1, "normalizing the graph")
        original = _onnx_io.load(model.path)
        feed = _onnx_step.sample(original, model, context)
        prepared = _onnx_prepare.prepare(original, feed, opset=settings.opset, simplify=False)
        made, notes = prepared.model, list(prepared.notes)
        if settings.remove_unused:
            made = _onnx_prepare._if_same(made, _without_unused, feed, notes)
        unnamed = sum(not n.name for n in _onnx_io.all_nodes(original.graph))
        _onnx_prepare.name_nodes(made)
        if unnamed:
            notes.append(f"{unnamed} nodes without a name were named")
        return _onnx_step.finish(original, made, feed, context, notes=tuple(notes))


def _without_unused(model: Any) -> Any:
    """Dead and repeated nodes go, nothing is folded or fused: https://github.com/inisis/OnnxSlim"""
    return _onnx_prepare._slim(model, skip=["constant_folding", "graph_fusion", "weight_tying"])
