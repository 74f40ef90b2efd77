"""Conversion to ONNX, checked against the source on one sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from ..errors import NotApplicable
from ..model import Model, ModelFormat
from ..settings import SettingsBase, setting
from . import (
    _check,
    _onnx_flatten,
    _onnx_gelu,
    _onnx_io,
    _onnx_names,
    _onnx_norms,
    _onnx_prepare,
    _onnx_trained_int8,
    _tf_export,
)
from .base import Pass, PassContext, PassResult

AGREES = 0.9999  # cosine to the source's output below which a conversion counts as wrong
AGREES_INT8 = 0.98  # the same where training left 8-bit rounding in the graph: its borders fall differently
_TORCH = (ModelFormat.TORCHSCRIPT, ModelFormat.TORCH_EXPORT)


@dataclass(frozen=True)
class Settings(SettingsBase):
    """How a model becomes ONNX."""

    opset: int = setting(17, "ONNX operator set to write: newer allows more operators, older runs in more tools",
                         low=13, high=18)
    simplify: bool = setting(True, "Fold constants and drop repeated nodes after the conversion; changes no output")


class OnnxConvert(Pass):
    """See :class:`workbench.passes.base.Pass`."""

    name = "onnx-convert"
    title = "to ONNX"
    group = "convert"
    summary = ("Writes the model as ONNX, for ONNX Runtime and OpenVINO; names and open sizes stay, "
               "and the outputs are checked against the source.")
    accepts = (*_tf_export.FORMATS, *_TORCH)
    produces = ModelFormat.ONNX
    packages = {"onnx": "pip install onnx", "onnxruntime": "pip install onnxruntime"}
    machine_dependent = True  # how the integers of a model trained for INT8 are written
    Settings = Settings

    def why_not(self, model: Model, settings: Settings) -> str | None:
        """Names the package that the source format takes, when it is missing."""
        needed = {"torch": "torch", "onnxscript": "onnxscript"} if model.format in _TORCH else {
            "tensorflow": "tensorflow", "tf2onnx": "tf2onnx"}
        missing = [install for name, install in needed.items() if find_spec(name) is None]
        if missing:
            return f"converting {model.format.value} to ONNX takes: pip install {' '.join(missing)}"
        return None

    def apply(self, model: Model, settings: Settings, context: PassContext) -> PassResult:
        """See :meth:`workbench.passes.base.Pass.apply`."""
        context.progress(0.05, "loading the framework and the model")
        feed = _check.sample(context, model.inputs, model)
        converted, source = _export(model, settings, feed)
        context.progress(0.6, "checking the converted model")
        _onnx_names.restore(converted.graph, model)
        before = len(converted.graph.node)
        ready = self._tidy(converted, settings, feed)
        tidied = len(ready.graph.node)
        stored = _onnx_trained_int8.store(ready) if _onnx_trained_int8.rounds(ready) else None
        notes = [f"written with operator set {_onnx_prepare.opset_of(ready)}"]
        if tidied < before:
            notes.append(f"constants folded: {before} nodes became {tidied}")
        agreement = _agrees(ready, source, feed)
        notes.append("not checked against the source: no sample could be made" if agreement is None else
                     f"outputs agree with the source on one sample (cosine {agreement:.6f})")
        notes += _trained(stored)
        path = _onnx_io.save(ready, context.workdir / "model.onnx")
        details = {"nodes": len(ready.graph.node), "cosine": agreement, "int8_kernels": stored.stored if stored else []}
        return PassResult(path, self.produces, tuple(notes), details)

    @staticmethod
    def _tidy(converted: Any, settings: Settings, feed: dict[str, np.ndarray] | None) -> Any:
        floor = min(settings.opset, _onnx_prepare.opset_of(converted))
        ready = _onnx_prepare.prepare(converted, feed, opset=floor, simplify=settings.simplify).model
        if settings.simplify and _onnx_flatten.fold_transposes(ready) + _known_forms(ready):
            del ready.graph.value_info[:]
            ready = _onnx_prepare.infer_shapes(ready)
        _onnx_names.canonical(ready.graph)
        return ready


def _known_forms(ready: Any) -> int:
    norms = _onnx_norms.fuse(ready) if _onnx_prepare.opset_of(ready) >= _onnx_norms.FROM_OPSET else 0
    return norms + _onnx_gelu.spell(ready)


def _trained(stored: _onnx_trained_int8.Done | None) -> list[str]:
    """What became of the weights of a model that was trained for INT8."""
    if stored is None:
        return []
    lines = [f"{len(stored.stored)} kernels are stored as the 8-bit integers that they were trained to be: ONNX "
             "Runtime and OpenVINO compute with them"]
    if stored.unsigned:
        lines.append("the integers are written as unsigned ones: this CPU has no 8-bit dot product (VNNI), and sums of "
                     "signed ones would overflow on it")
    if stored.left:
        lines.append(f"left in float, since their values lie on no 8-bit grid: {', '.join(stored.left[:4])}")
    return lines


def _export(model: Model, settings: Settings, feed: dict[str, np.ndarray] | None,
            ) -> tuple[Any, Callable[[dict[str, np.ndarray]], list[np.ndarray]]]:
    if model.format in _TORCH:
        from . import _onnx_from_torch

        return _onnx_from_torch.export(model, settings.opset, feed)
    from . import _onnx_from_tf

    return _onnx_from_tf.export(model, settings.opset)


def _agrees(converted: Any, source: Callable[[dict[str, np.ndarray]], list[np.ndarray]],
            feed: dict[str, np.ndarray] | None) -> float | None:
    """Worst cosine between the two models' outputs on one sample; None when there is no sample.

    Raises:
        NotApplicable: they disagree, or the result does not load or run.
    """
    if feed is None:
        _onnx_io.session(converted)
        return None
    try:
        reference = source(feed)
    except Exception:  # a guessed feed may not suit the source; the conversion itself is then only loaded
        _onnx_io.session(converted)
        return None
    agreement = _check.agreement(_onnx_io.run(converted, feed), reference)
    if agreement < (AGREES_INT8 if _onnx_trained_int8.rounds(converted) else AGREES):
        raise NotApplicable(f"the converted model answers differently from the source (cosine {agreement:.4f} on one "
                            "sample); run the source's own format, or try another opset")
    return agreement
