"""One optimizer of ONNX Runtime at a time, by leaving out all others, so that its effect can be seen on its own."""

from __future__ import annotations

from typing import Any

from . import _onnx_io, onnx_graph_level
from .base import PassContext

# What ONNX Runtime's verbose log calls its transformers up to level 'all' ('GraphTransformer ... modified').
# A name that a release lacks is ignored; one that a release adds stays on, and the notes show what it did.
TRANSFORMERS = (
    "AttentionFusion", "BiasDropoutFusion", "BiasGeluFusion", "BiasSkipLayerNormFusion", "BiasSoftmaxFusion",
    "CommonSubexpressionElimination", "ConstantFolding", "ConstantSharing", "ConvActivationFusion",
    "ConvAddActivationFusion", "DoubleQDQPairsRemover", "DynamicQuantizeMatMulFusion", "EmbedLayerNormFusion",
    "EnsureUniqueDQForNodeUnit", "FastGeluFusion", "FreeDimensionOverrideTransformer", "GatherSliceToSplitFusion",
    "GatherToSliceFusion", "GeluFusionL1", "GeluFusionL2", "GemmActivationFusion", "GroupQueryAttentionFusion",
    "GroupQueryAttentionPreNormFusion", "LayerNormFusionL1", "LayerNormFusionL2", "Level1_RuleBasedTransformer",
    "Level2_RuleBasedTransformer", "MatMulActivationFusion", "MatMulAddFusion", "MatMulIntegerToFloatFusion",
    "MatMulNBitsFusion", "MatMulScaleFusion", "MatmulTransposeFusion", "NchwcTransformer", "NhwcTransformer",
    "QDQFinalCleanupTransformer", "QDQPropagationTransformer", "QDQS8ToU8Transformer", "QDQSelectorActionTransformer",
    "QuickGeluFusion", "ReshapeFusion", "SimplifiedLayerNormFusion", "SkipLayerNormFusion",
    "SliceConcatToSpaceToDepthFusion", "SwiGluFusion", "TransposeOptimizer", "TransposeOptimizer_CPUExecutionProvider",
    "WeightBiasQuantization", "WhereDummyDq")


def only(original: Any, transformer: str, level: str, context: PassContext) -> Any:
    """The model after this transformer alone.

    Args:
        original: a ``ModelProto``, not changed.
        transformer: of :data:`TRANSFORMERS`.
        level: the level that it belongs to: 'basic', 'extended' or 'all'.
        context: of the pass; its folder holds the file for a moment.

    Raises:
        NotApplicable: ONNX Runtime cannot load the model.
    """
    raw = context.workdir / "step.onnx"
    settings = onnx_graph_level.Settings(level=level, disabled=tuple(t for t in TRANSFORMERS if t != transformer))
    onnx_graph_level._optimize(original, settings, raw)
    made = _onnx_io.load(raw)
    raw.unlink()
    onnx_graph_level._strip_unused_domains(made)
    return made
