"""Weights stored in bfloat16, computed in float32 where the runtime has no bfloat16 arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import NotApplicable
from ..model import Model, ModelFormat
from ..settings import SettingsBase, setting
from . import _onnx_io, _onnx_prepare, _onnx_step
from .base import Pass, PassContext, PassResult

_SAME = 0.98
_OPSET = 13  # the first whose Cast knows bfloat16


@dataclass(frozen=True)
class Settings(SettingsBase):
    """Which weights are stored in half the bytes."""

    smallest: int = setting(1024, "Weights with fewer elements stay float32: biases and scales matter and weigh little",
                            low=1, high=1_000_000_000)


class OnnxBfloat16(Pass):
    """See :class:`workbench.passes.base.Pass`."""

    name = "onnx-bfloat16"
    title = "bfloat16 weights"
    group = "precision"
    summary = ("Stores weights in bfloat16, half the size, and widens them at load: ONNX Runtime has no bfloat16 "
               "arithmetic on CPUs, so latency stays that of float32 (OpenVINO's bf16 computes in it).")
    accepts = (ModelFormat.ONNX,)
    produces = ModelFormat.ONNX
    ensures = frozenset({"float16"})
    excludes = frozenset({"int8", "float16", "ort-optimized"})
    packages = _onnx_step.PACKAGES
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
        context.progress(0.1, "storing weights in bfloat16")
        original = _onnx_io.load(model.path)
        feed = _onnx_step.sample(original, model, context)
        made = _onnx_prepare.prepare(original, feed, opset=_OPSET, simplify=False).model
        stored = _store(made, settings.smallest)
        if not stored:
            raise NotApplicable(f"the model has no float32 weight of {settings.smallest} elements or more")
        return _onnx_step.finish(original, made, feed, context, same=_SAME, notes=(
            f"{stored} weight tensors are stored in bfloat16; ONNX Runtime widens them to float32 at load and computes "
            "in float32",))


def _store(model: Any, smallest: int) -> int:
    """Turns weights into bfloat16 with a Cast behind each (in place); returns how many."""
    import onnx
    from onnx import TensorProto, helper

    graphs = [g for n in model.graph.node for g in _onnx_io.subgraphs(n)]
    inside = {t for g in graphs for n in _onnx_io.all_nodes(g) for t in n.input}
    outputs = {o.name for o in model.graph.output}
    casts = []
    for weight in model.graph.initializer:
        array = onnx.numpy_helper.to_array(weight) if weight.data_type == TensorProto.FLOAT else None
        if array is None or array.size < smallest or weight.name in inside | outputs or not np.isfinite(array).all():
            continue
        name = weight.name
        bits = np.ascontiguousarray(array).view(np.uint32)
        halves = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")  # to nearest, ties to even
        stored = TensorProto(name=f"{name}/bfloat16", data_type=TensorProto.BFLOAT16, dims=array.shape,
                             raw_data=halves.tobytes())
        weight.CopyFrom(stored)
        casts.append(helper.make_node("Cast", [stored.name], [name], name=f"{name}/widen", to=TensorProto.FLOAT))
    nodes = [onnx.NodeProto.FromString(n.SerializeToString()) for n in model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend([*casts, *nodes])
    return len(casts)
