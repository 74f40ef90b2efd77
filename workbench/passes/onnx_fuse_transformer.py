"""Merges the parts of transformer blocks into ONNX Runtime's own operators."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from ..errors import NotApplicable
from ..model import Model, ModelFormat
from ..settings import SettingsBase, setting
from . import _onnx_io, _onnx_prepare, _onnx_step, _qdq
from .base import Pass, PassContext, PassResult

# Kinds whose patterns differ enough to be tried in turn; 'auto' keeps the one that leaves the fewest nodes.
_AUTO = ("bert", "gpt2", "vit", "clip", "t5", "swin", "conformer", "bart")
_KINDS = ("auto", *_AUTO, "bert_tf", "bert_keras", "gpt2_tf", "gpt_neox", "phi", "qwen3", "tnlr", "unet", "vae", "sam2",
          "mmdit")
_SAME = 0.999  # fused Gelu and LayerNormalization round differently
_PARTS = ("Erf", "Tanh", "Softmax", "LayerNormalization", "ReduceMean", "Gelu")


@dataclass(frozen=True)
class Settings(SettingsBase):
    """What kind of transformer the patterns are for."""

    model_type: str = setting("auto", "Family whose patterns are looked for; auto tries the common ones and keeps the "
                              "one that fuses most", choices=_KINDS)
    num_heads: int = setting(0, "Attention heads; 0 reads them from the graph", low=0, high=1024, advanced=True)
    hidden_size: int = setting(0, "Width of the model; 0 reads it from the graph", low=0, high=1_000_000, advanced=True)


class OnnxFuseTransformer(Pass):
    """See :class:`workbench.passes.base.Pass`."""

    name = "onnx-fuse-transformer"
    title = "fuse transformer"
    group = "graph"
    summary = ("Merges attention, LayerNormalization and Gelu of transformers into single operators of ONNX Runtime: "
               "fewer passes over memory; the file then runs on ONNX Runtime only.")
    accepts = (ModelFormat.ONNX,)
    produces = ModelFormat.ONNX
    excludes = frozenset({"int8", "float16", "ort-optimized"})
    packages = _onnx_step.PACKAGES
    Settings = Settings

    def why_not(self, model: Model, settings: Settings) -> str | None:
        """Without MatMul and a piece of a transformer block there is nothing to fuse."""
        if model.format != ModelFormat.ONNX:
            return None
        ops = _onnx_io.op_counts(model.path)
        if not _onnx_io.QUANTIZED_OPS.isdisjoint(ops):
            return f"{model.name} is quantized, and the patterns are those of float models; fuse its float version"
        if ops and (not any(op in ops for op in ("MatMul", "Gemm")) or not any(op in ops for op in _PARTS)):
            return f"{model.name} has no attention, LayerNormalization or Gelu: it is no transformer"
        return None

    def apply(self, model: Model, settings: Settings, context: PassContext) -> PassResult:
        """See :meth:`workbench.passes.base.Pass.apply`."""
        reason = self.why_not(model, settings)
        if reason:
            raise NotApplicable(reason)
        original = _onnx_io.load(model.path)
        feed = _onnx_step.sample(original, model, context)
        start = _onnx_prepare.prepare(original, feed, simplify=False).model
        kinds = _AUTO if settings.model_type == "auto" else (settings.model_type,)
        best, kind, cause = None, "", ""
        for index, name in enumerate(kinds):
            context.progress(0.1 + 0.6 * index / len(kinds), f"looking for patterns of {name}")
            try:
                made = _fuse(start, name, settings)
                if not _fused(made):
                    continue
                _onnx_step.finish(original, made, feed, context, same=_SAME)
            except NotApplicable as error:
                cause = cause or str(error)
                continue
            if best is None or len(made.graph.node) < best[1]:
                best, kind = (made, len(made.graph.node)), name
        if best is None:
            raise NotApplicable(cause or "no pattern of a transformer was found; ONNX Runtime may still fuse parts at "
                                "load")
        result = _onnx_step.finish(original, best[0], feed, context, same=_SAME, notes=(
            f"patterns of {kind}: " + ", ".join(f"{op} {n}" for op, n in sorted(_fused(best[0]).items())),))
        return PassResult(result.path, result.format, result.notes, {
            **result.details, "model_type": kind, "fused": dict(_fused(best[0]))})


def _fuse(model: Any, kind: str, settings: Settings) -> Any:
    """The model after the fusions of one family.

    Raises:
        NotApplicable: the fusions fail on this graph.
    """
    import onnx
    from onnxruntime.transformers import optimizer
    from onnxruntime.transformers.fusion_options import FusionOptions

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    try:
        with _qdq.silent():
            found = optimizer.optimize_by_fusion(copy, kind, settings.num_heads, settings.hidden_size,
                                                 FusionOptions(kind))
            found.topological_sort()
    except Exception as error:  # the patterns meet graphs that nobody has seen
        raise NotApplicable(f"the fusions of {kind} cannot handle this graph: {_onnx_io.one_line(error)}") from None
    _onnx_prepare.name_nodes(found.model)
    return found.model


def _fused(model: Any) -> Counter:
    return Counter(n.op_type for n in model.graph.node if n.domain == "com.microsoft")
