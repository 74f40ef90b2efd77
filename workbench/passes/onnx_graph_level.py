"""ONNX Runtime's own graph optimizations, written to a file: what it would otherwise do at every load."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import NotApplicable
from ..model import Model, ModelFormat
from ..settings import SettingsBase, setting
from . import _check, _onnx_io, _onnx_prepare, _ops
from .base import Pass, PassContext, PassResult

_LEVELS = {"basic": "ORT_ENABLE_BASIC", "extended": "ORT_ENABLE_EXTENDED", "all": "ORT_ENABLE_ALL"}
_SAME = 0.999


@dataclass(frozen=True)
class Settings(SettingsBase):
    """Which of ONNX Runtime's rewrites are applied."""

    level: str = setting("extended", "basic: constants and redundant nodes; extended: also fused operators; "
                         "all: also a memory layout for this CPU, so the file runs well only on its like",
                         choices=tuple(_LEVELS))
    disabled: tuple = setting((), "Optimizers to leave out by ONNX Runtime's name, e.g. ConvActivationFusion",
                              advanced=True)


class OnnxGraphLevel(Pass):
    """See :class:`workbench.passes.base.Pass`."""

    name = "onnx-graph-level"
    title = "ORT graph"
    group = "graph"
    summary = ("Applies ONNX Runtime's graph optimizations ahead of time: faster loading and a graph to look at; "
               "latency is the same as optimizing at load.")
    accepts = (ModelFormat.ONNX,)
    produces = ModelFormat.ONNX
    ensures = frozenset({"ort-optimized"})
    excludes = frozenset({"ort-optimized"})
    packages = {"onnx": "pip install onnx", "onnxruntime": "pip install onnxruntime"}
    machine_dependent = True
    Settings = Settings

    def apply(self, model: Model, settings: Settings, context: PassContext) -> PassResult:
        """See :meth:`workbench.passes.base.Pass.apply`."""
        context.progress(0.1, f"optimizing the graph at level {settings.level}")
        original = _onnx_io.load(model.path)
        raw = context.workdir / "model.onnx"
        _optimize(original, settings, raw)
        optimized = _onnx_io.load(raw)
        _strip_unused_domains(optimized)
        _onnx_io.save(optimized, raw)
        context.progress(0.7, "checking the optimized model")
        _compare(original, optimized, _check.sample(context, model.inputs, model))
        before, after = (_ops.of_onnx(m) for m in (original, optimized))
        return PassResult(raw, self.produces, tuple(_ops.changes(before, after)), _ops.details(before, after))


def _optimize(model: Any, settings: Settings, target: Path) -> None:
    import onnx
    import onnxruntime as ort

    # Weights that an old file also lists as inputs cannot be folded, and would stay required inputs.
    source = onnx.ModelProto()
    source.CopyFrom(model)
    _onnx_prepare.drop_weight_inputs(source)

    ort.set_default_logger_severity(3)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, _LEVELS[settings.level])
    options.optimized_model_filepath = str(target)
    try:
        ort.InferenceSession(source.SerializeToString(), options, providers=["CPUExecutionProvider"],
                             disabled_optimizers=list(settings.disabled))
    except Exception as error:
        raise NotApplicable(f"ONNX Runtime cannot load this model: {_onnx_io.one_line(error)}") from None


def _strip_unused_domains(model: Any) -> None:
    """ONNX Runtime declares every domain that it knows; other tools refuse those that they do not."""
    used = {n.domain for n in _onnx_io.all_nodes(model.graph)} | {f.domain for f in model.functions}
    kept = [o for o in model.opset_import if o.domain in used or o.domain in ("", "ai.onnx")]
    del model.opset_import[:]
    model.opset_import.extend(kept)


def _compare(original: Any, optimized: Any, feed: dict | None) -> None:
    if feed is None:
        _onnx_io.session(optimized)
        return
    try:
        reference = _onnx_io.run(original, feed)
    except NotApplicable:  # the guessed feed does not suit the model
        _onnx_io.session(optimized)
        return
    agreement = _check.agreement(_onnx_io.run(optimized, feed), reference)
    if agreement < _SAME:
        raise NotApplicable(f"the optimized graph answers differently (cosine {agreement:.4f} on one sample); "
                            "leave the pass out or choose level basic")
