"""Writes inputs that are always the same into an ONNX file, and takes the branches that they decide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import NotApplicable
from ..model import Model, ModelFormat
from ..settings import SettingsBase, setting
from . import _check, _onnx_io, _onnx_prepare, _onnx_step, _ort_steps
from .base import Pass, PassContext, PassResult

_MOST_VALUES = 16  # an input of more that does not vary is more likely a poor data set than a switch
_BRANCHES = ("If", "Loop", "Scan")


@dataclass(frozen=True)
class Settings(SettingsBase):
    """Which inputs are constant."""

    inputs: tuple = setting((), "Names of inputs to write into the file; empty takes those of a few values that are "
                            "equal in all calibration samples, e.g. a sampling rate or a switch")


class OnnxConstantInputs(Pass):
    """See :class:`workbench.passes.base.Pass`."""

    name = "onnx-constant-inputs"
    title = "constant inputs"
    group = "graph"
    summary = ("Inputs that never change (a sampling rate, a switch) become constants: the branches they decide are "
               "taken, so that other passes reach what is inside. The inputs stay, but are no longer read.")
    accepts = (ModelFormat.ONNX,)
    produces = ModelFormat.ONNX
    excludes = frozenset({"ort-optimized"})
    needs_calibration = True
    packages = _onnx_step.PACKAGES
    Settings = Settings

    def why_not(self, model: Model, settings: Settings) -> str | None:
        """An unknown name, or nothing besides the one input that varies."""
        if model.format != ModelFormat.ONNX:
            return None
        unknown = _onnx_step.unknown_input(model, settings.inputs)
        if unknown:
            return unknown
        if len(model.inputs) < 2:
            return f"{model.name} has one input only, and that is the data"
        return None

    def apply(self, model: Model, settings: Settings, context: PassContext) -> PassResult:
        """See :meth:`workbench.passes.base.Pass.apply`."""
        reason = self.why_not(model, settings)
        if reason:
            raise NotApplicable(reason)
        context.progress(0.1, "looking for inputs that never change")
        original = _onnx_io.load(model.path)
        feeds = _check.calibration(context, _onnx_io.specs(_onnx_io.graph_inputs(original)), len(context.calibration))
        values = _constant(feeds, settings.inputs)
        made = _written(original, values)
        context.progress(0.4, "taking the branches they decide")
        made = _ort_steps.only(made, "ConstantFolding", "basic", context)  # it also inlines a branch that is settled
        made = _onnx_prepare.prepare(made, feeds[0]).model
        _declare(made, original)
        notes = [f"{name} = {_told(value)} in all {len(feeds)} calibration samples" for name, value in values.items()]
        before, after = (sum(n.op_type in _BRANCHES for n in _onnx_io.all_nodes(m.graph)) for m in (original, made))
        if before:
            notes.append(f"nodes that branch or loop: {before} before, {after} now")
        return _onnx_step.finish(original, made, feeds[0], context, notes=tuple(notes))


def _constant(feeds: list[dict[str, np.ndarray]], asked: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The inputs to write into the file, with their value."""
    same = {name: value for name, value in feeds[0].items() if all(np.array_equal(f[name], value) for f in feeds[1:])}
    varying = next((n for n in asked if n not in same), None)
    if varying:
        raise NotApplicable(f"input '{varying}' is not the same in all calibration samples: leave it out")
    found = {n: v for n, v in same.items() if (n in asked if asked else v.size <= _MOST_VALUES)}
    if not found or len(feeds) < 2:
        raise NotApplicable("no input of a few values is the same in two or more calibration samples: name it in "
                            "'inputs', or leave the pass out")
    if len(found) == len(feeds[0]):
        raise NotApplicable("all inputs are the same in all calibration samples: nothing would be left to compute")
    return found


def _written(original: Any, values: dict[str, np.ndarray]) -> Any:
    """A copy whose nodes, those of inner graphs too, read constants in place of these inputs."""
    import onnx

    made = onnx.ModelProto()
    made.CopyFrom(original)
    names = {name: f"{name}_constant" for name in values}
    _onnx_io.rewire(_onnx_io.all_nodes(made.graph), names)
    for name, value in values.items():
        made.graph.initializer.append(onnx.numpy_helper.from_array(value, names[name]))
    return made


def _declare(made: Any, original: Any) -> None:
    """All inputs of the original in its order: callers go on feeding what is no longer read."""
    inputs = list(_onnx_io.graph_inputs(original))
    del made.graph.input[:]
    made.graph.input.extend(inputs)


def _told(value: np.ndarray) -> str:
    return str(value.item()) if value.size == 1 else np.array2string(value.ravel(), threshold=4, edgeitems=2)
