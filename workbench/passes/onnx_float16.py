"""float16 weights and arithmetic for ONNX."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import NotApplicable
from ..model import Model, ModelFormat
from ..settings import SettingsBase, setting
from . import _check, _onnx_int8, _onnx_io, _onnx_prepare
from .base import Pass, PassContext, PassResult

_LARGEST = 65504.0  # of float16
_LOW_COSINE = 0.999


@dataclass(frozen=True)
class Settings(SettingsBase):
    """How a model becomes float16."""

    keep_io: bool = setting(True, "Inputs and outputs stay float32, so that callers need no change")
    keep_ops: tuple = setting((), "Operators to keep in float32, e.g. Softmax, LayerNormalization", advanced=True)
    exclude_nodes: tuple = setting((), "Names of nodes to keep in float32", advanced=True)


class OnnxFloat16(Pass):
    """See :class:`workbench.passes.base.Pass`."""

    name = "onnx-float16"
    title = "float16"
    group = "precision"
    summary = ("Half the size with nearly the same answers; faster on GPUs, but CPUs mostly compute float16 by "
               "converting it back and forth.")
    accepts = (ModelFormat.ONNX,)
    produces = ModelFormat.ONNX
    ensures = frozenset({"float16"})
    excludes = frozenset({"int8", "float16", "ort-optimized"})
    packages = {"onnx": "pip install onnx", "onnxruntime": "pip install onnxruntime"}
    Settings = Settings

    def why_not(self, model: Model, settings: Settings) -> str | None:
        """A quantized file gains nothing."""
        if model.format == ModelFormat.ONNX and _onnx_io.is_quantized(model.path):
            return f"{model.name} is quantized already; start from its float version"
        return None

    def apply(self, model: Model, settings: Settings, context: PassContext) -> PassResult:
        """See :meth:`workbench.passes.base.Pass.apply`."""
        reason = self.why_not(model, settings)
        if reason:
            raise NotApplicable(reason)
        context.progress(0.1, "preparing the graph")
        original = _onnx_io.load(model.path)
        feed = _check.sample(context, _onnx_io.specs(_onnx_io.graph_inputs(original)), model)
        prepared = _onnx_prepare.prepare(original, feed)
        context.progress(0.5, "converting weights and operators")
        converted = _convert(prepared.model, settings)
        halves = _halves(converted)
        if not halves:
            raise NotApplicable("the model has no float32 weights to convert")
        context.progress(0.7, "checking the float16 model")
        notes = _compare(prepared.model, converted, feed)
        path = _onnx_io.save(converted, context.workdir / "model.onnx")
        casts = Counter(n.op_type for n in converted.graph.node)["Cast"] - Counter(
            n.op_type for n in prepared.model.graph.node)["Cast"]
        notes = (f"{halves} weight tensors are float16; {casts} Cast nodes were added", *notes,
                 "CPUs have few float16 kernels: the runtime casts to float32 and back, which may be slower than "
                 "float32", *prepared.notes)
        return PassResult(path, self.produces, notes, {"float16_tensors": halves, "casts": casts})


def _convert(model: Any, settings: Settings) -> Any:
    import onnx
    from onnxruntime.quantization.onnx_model import ONNXModel
    from onnxruntime.transformers import float16

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.value_info[:]  # the converter infers types itself and trips over ours where they are partial
    try:
        with _onnx_int8.quiet(), np.errstate(all="ignore"):
            converted = float16.convert_float_to_float16(
                copy, keep_io_types=settings.keep_io, node_block_list=list(settings.exclude_nodes),
                op_block_list=[*float16.DEFAULT_OP_BLOCK_LIST, *settings.keep_ops])
            ordered = ONNXModel(converted)
            ordered.topological_sort()
    except Exception as error:  # the converter meets graphs that nobody has seen
        raise NotApplicable(f"the float16 converter cannot handle this graph: {_onnx_io.one_line(error)}") from None
    _onnx_prepare.name_nodes(ordered.model)
    return ordered.model


def _halves(model: Any) -> int:
    import onnx

    return sum(i.data_type == onnx.TensorProto.FLOAT16 for i in model.graph.initializer)


def _compare(before: Any, after: Any, feed: dict[str, np.ndarray] | None) -> list[str]:
    """Loads the result, runs it beside the original where a sample fits.

    Raises:
        NotApplicable: it does not load or run, or float16 overflows on the sample.
    """
    _onnx_io.session(after)
    if feed is None:
        return []
    try:
        wanted = _onnx_io.run(before, feed)
    except NotApplicable:  # the guessed feed does not suit the model
        return []
    cast = {s.name: feed[s.name].astype(s.dtype) if s.dtype in ("float16", "float32") else feed[s.name]
            for s in _onnx_io.specs(_onnx_io.graph_inputs(after))}
    got = _onnx_io.run(after, cast)
    for a, b in zip(got, wanted, strict=True):
        if b.dtype.kind == "f" and np.isfinite(b).all() and not np.isfinite(a).all():
            raise NotApplicable(f"values of this model exceed float16's largest number ({_LARGEST:.0f}); keep the "
                                "operators that overflow in float32 (keep_ops)")
    cosine = _check.agreement(got, wanted)
    notes = [f"cosine to the float32 outputs {cosine:.5f} on one sample"]
    if cosine < _LOW_COSINE:
        notes.append(f"that is low: values above {_LARGEST:.0f} are cut in float16; keep the operators that use them "
                     "in float32 (keep_ops)")
    return notes
