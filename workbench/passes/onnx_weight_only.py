"""Weights of matrix products in 4 or 8 bits by blocks; activations stay float.

Operator: MatMulNBits of https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from ..errors import NotApplicable
from ..model import Model, ModelFormat
from ..settings import SettingsBase, setting
from . import _onnx_int8, _onnx_io, _onnx_prepare, _onnx_step, _qdq
from .base import Pass, PassContext, PassResult

_LEVELS = {"float32": 1, "int8": 4}


@dataclass(frozen=True)
class Settings(SettingsBase):
    """How the weights of matrix products are stored."""

    bits: int = setting(4, "Bits of a weight: 4 is an eighth of the size, 8 a quarter and closer to float",
                        choices=(4, 8))
    block_size: int = setting(32, "Weights that share a scale: smaller is closer to float and larger on disk",
                              choices=(16, 32, 64, 128, 256))
    symmetric: bool = setting(False, "No zero points: a little smaller, a little further from float")
    compute: str = setting("float32", "Arithmetic of the product: int8 rounds activations too and is usually faster",
                           choices=tuple(_LEVELS))
    exclude_nodes: tuple = setting((), "Names of nodes to keep in float", advanced=True)


class OnnxWeightOnly(Pass):
    """See :class:`workbench.passes.base.Pass`."""

    name = "onnx-weight-only"
    title = "weight-only"
    group = "precision"
    summary = ("Weights of MatMul and Gemm in 4 or 8 bits: an eighth to a quarter of the size without calibration; "
               "helps large language models at batch 1, where memory is the limit.")
    accepts = (ModelFormat.ONNX,)
    produces = ModelFormat.ONNX
    ensures = frozenset({"int8"})
    excludes = frozenset({"int8", "float16", "ort-optimized"})
    packages = _onnx_step.PACKAGES
    Settings = Settings

    def why_not(self, model: Model, settings: Settings) -> str | None:
        """A file that is quantized already, or one without matrix products."""
        if model.format != ModelFormat.ONNX:
            return None
        ops = _onnx_io.op_counts(model.path)
        if not _onnx_io.QUANTIZED_OPS.isdisjoint(ops):
            return f"{model.name} is quantized already; start from its float version"
        if ops and not any(op in ops for op in ("MatMul", "Gemm")):
            return f"{model.name} has no MatMul or Gemm, and only their weights can be stored so; use INT8 static"
        return None

    def apply(self, model: Model, settings: Settings, context: PassContext) -> PassResult:
        """See :meth:`workbench.passes.base.Pass.apply`."""
        reason = self.why_not(model, settings)
        if reason:
            raise NotApplicable(reason)
        context.progress(0.1, "preparing the graph")
        original = _onnx_io.load(model.path)
        feed = _onnx_step.sample(original, model, context)
        prepared = _onnx_prepare.prepare(original, feed)
        context.progress(0.4, "rounding the weights")
        made = _quantize(prepared.model, settings)
        done = [n.name for n in made.graph.node if n.op_type == "MatMulNBits"]
        if not done:
            raise NotApplicable("no MatMul or Gemm with a constant weight matrix was found")
        context.progress(0.8, "checking the result")
        if not _onnx_int8.same_signature(original, made):
            raise NotApplicable("the quantizer would change the model's inputs or outputs")
        cosine, checked = _onnx_int8.closeness(prepared.model, made, [feed] if feed else [])
        path = _onnx_io.save(made, context.workdir / "model.onnx")
        before = Counter(n.op_type for n in prepared.model.graph.node)
        products = before["MatMul"] + before["Gemm"]
        notes = (f"{len(done)} of {products} matrix products have {settings.bits}-bit weights in blocks of "
                 f"{settings.block_size}", *checked, *prepared.notes)
        return PassResult(path, self.produces, notes, {"cosine": cosine, "quantized": done, "bits": settings.bits})


def _quantize(model: Any, settings: Settings) -> Any:
    """The model with MatMulNBits in place of products by a constant.

    Raises:
        NotApplicable: the quantizer cannot handle the graph.
    """
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer
    from onnxruntime.quantization.onnx_model import ONNXModel

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    try:
        with _qdq.silent():
            plain = ONNXModel(copy)
            plain.replace_gemm_with_matmul()
            config = DefaultWeightOnlyQuantConfig(
                block_size=settings.block_size, is_symmetric=settings.symmetric, bits=settings.bits,
                accuracy_level=_LEVELS[settings.compute])
            excluded = [*settings.exclude_nodes, *(f"{n}_MatMul" for n in settings.exclude_nodes)]
            quantizer = MatMulNBitsQuantizer(plain.model, nodes_to_exclude=excluded, algo_config=config)
            quantizer.process()
            quantizer.model.topological_sort()
            made = quantizer.model.model
    except MemoryError:
        raise
    except Exception as error:  # the quantizer meets graphs that nobody has seen
        raise NotApplicable(f"the weight quantizer cannot handle this graph: {_onnx_io.one_line(error)}") from None
    _onnx_prepare.name_nodes(made)
    return made
