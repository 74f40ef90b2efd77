"""Writes known sizes into an ONNX file in place of symbolic ones."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputError, NotApplicable
from ..model import Model, ModelFormat
from ..settings import SettingsBase, setting
from . import _onnx_io, _onnx_prepare, _onnx_step
from .base import Pass, PassContext, PassResult

_SHAPE = re.compile(r"^(.+)=(\d+(?:x\d+)*)$")


@dataclass(frozen=True)
class Settings(SettingsBase):
    """Which sizes are fixed."""

    batch: int = setting(0, "Size of the first axis where it is open; 0 leaves it open", low=0, high=4096)
    shapes: tuple = setting((), "Sizes by input, e.g. image=1x3x224x224; inputs not named take the sizes pinned at "
                            "loading, else those of a sample")


class OnnxFreezeShapes(Pass):
    """See :class:`workbench.passes.base.Pass`."""

    name = "onnx-freeze-shapes"
    title = "fixed shapes"
    group = "graph"
    summary = ("Fixes open sizes to those that are used: shape arithmetic folds away and runtimes plan memory ahead; "
               "the file then takes only these sizes.")
    accepts = (ModelFormat.ONNX,)
    produces = ModelFormat.ONNX
    excludes = frozenset({"ort-optimized"})
    packages = _onnx_step.PACKAGES
    Settings = Settings

    def why_not(self, model: Model, settings: Settings) -> str | None:
        """A shape that cannot be read, an unknown input, or nothing that is open."""
        try:
            given = _parse(settings.shapes)
        except InputError as error:
            return str(error)
        if model.format != ModelFormat.ONNX:
            return None
        unknown = _onnx_step.unknown_input(model, given)
        if unknown:
            return unknown
        specs = dict(model.fix)
        if all(s.is_static for s in model.inputs) and not specs:
            return f"all input sizes of {model.name} are fixed already"
        return None

    def apply(self, model: Model, settings: Settings, context: PassContext) -> PassResult:
        """See :meth:`workbench.passes.base.Pass.apply`."""
        reason = self.why_not(model, settings)
        if reason:
            raise NotApplicable(reason)
        context.progress(0.1, "fixing sizes")
        original = _onnx_io.load(model.path)
        feed = _onnx_step.sample(original, model, context) if context.calibration else None
        made, frozen = _freeze(original, _sizes(model, settings, feed), settings.batch)
        if not frozen and all(s.shape[1:] == tuple(d for d in s.shape[1:] if isinstance(d, int)) for s in model.inputs):
            raise NotApplicable("only the first axis is open, and it stays so at batch 0: set 'batch' to its size")
        if not frozen:
            raise NotApplicable("no open size could be fixed: name it in 'shapes', pin it at loading, or "
                                "give a data set")
        made = _onnx_prepare.infer_shapes(made)
        fits = feed if feed is not None and _fits(made, feed) else None
        return _onnx_step.finish(original, made, fits, context, notes=("fixed: " + ", ".join(frozen),))


def _parse(shapes: tuple) -> dict[str, tuple[int, ...]]:
    found = {}
    for text in shapes:
        match = _SHAPE.match(str(text))
        if not match or "0" in match[2].split("x"):
            raise InputError(f"shapes: '{str(text)[:80]}' is not of the form input=1x3x224x224")
        found[match[1]] = tuple(int(d) for d in match[2].split("x"))
    return found


def _sizes(model: Model, settings: Settings, feed: dict[str, np.ndarray] | None) -> dict[str, tuple[int, ...]]:
    """Sizes by input: from a sample, then pinned, then given."""
    return {**({n: a.shape for n, a in feed.items()} if feed else {}), **dict(model.fix), **_parse(settings.shapes)}


def _freeze(original: Any, sizes: dict[str, tuple[int, ...]], batch: int) -> tuple[Any, list[str]]:
    """The model with its sizes, and 'input axis = size' for each that was open; a symbol is one size everywhere."""
    import onnx

    made = onnx.ModelProto()
    made.CopyFrom(original)
    symbols: dict[str, int] = {}
    frozen = []
    loose = _no_symbols(made, sizes)
    for value in _onnx_io.graph_inputs(made):
        dims = value.type.tensor_type.shape.dim
        wanted = sizes.get(value.name)
        for axis, dim in enumerate(dims):
            if dim.HasField("dim_value") and dim.dim_value > 0:
                continue
            symbol = dim.dim_param if dim.dim_param not in loose else ""
            size = symbols.get(symbol) if symbol else None
            if size is None:
                size = batch if axis == 0 else wanted[axis] if wanted and len(wanted) == len(dims) else 0
            if size:
                dim.dim_value = size
                symbols.update({symbol: size} if symbol else {})
                frozen.append(f"{value.name} axis {axis} = {size}")
    for value in made.graph.output:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in symbols and dim.dim_param:
                dim.dim_value = symbols[dim.dim_param]
    del made.graph.value_info[:]
    return made, frozen


def _no_symbols(model: Any, sizes: dict[str, tuple[int, ...]]) -> set[str]:
    """Names that stand for several sizes: some files call every open size the same."""
    found: dict[str, set[int]] = {}
    for value in _onnx_io.graph_inputs(model):
        dims, wanted = value.type.tensor_type.shape.dim, sizes.get(value.name, ())
        if len(wanted) == len(dims):
            for axis, dim in enumerate(dims[1:], 1):
                found.setdefault(dim.dim_param, set()).add(wanted[axis])
    return {name for name, known in found.items() if len(known) > 1}


def _fits(made: Any, feed: dict[str, np.ndarray]) -> bool:
    specs = _onnx_io.specs(_onnx_io.graph_inputs(made))
    return all(not isinstance(d, int) or d == n for s in specs
               for d, n in zip(s.shape, feed[s.name].shape, strict=False))
