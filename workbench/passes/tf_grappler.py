"""Grappler, TensorFlow's graph optimizer, as a visible step: what it otherwise does unseen at every load."""

from __future__ import annotations

from dataclasses import dataclass

from ..model import Model
from ..settings import SettingsBase, setting
from . import _ops, _tf_graph
from .base import PassContext, PassResult


@dataclass(frozen=True)
class Settings(SettingsBase):
    """Which of Grappler's rewrites are made, so that one can be seen alone."""

    folding: bool = setting(True, "Compute once what depends on no input, batch normalization into kernels included")
    arithmetic: bool = setting(True, "Cheaper forms of the same arithmetic, common parts computed once")
    fusion: bool = setting(True, "One operator for convolution or product, bias and activation; only TensorFlow has it")
    layout: bool = setting(True, "A memory layout that suits the device; changes little on a CPU", advanced=True)


class TfGrappler(_tf_graph.TfGraphPass):
    """See :class:`workbench.passes.base.Pass`."""

    name = "tf-grappler"
    title = "Grappler"
    summary = ("Freezes the model and applies TensorFlow's graph optimizer ahead of time: fewer, fused operators to "
               "look at; TensorFlow does most of it at load anyway, so expect a little less latency at most.")
    excludes = frozenset({"qat", "xla", "grappler"})
    ensures = frozenset({"grappler"})
    only_for = ("tensorflow",)
    machine_dependent = True
    Settings = Settings

    def apply(self, model: Model, settings: Settings, context: PassContext) -> PassResult:
        """See :meth:`workbench.passes.base.Pass.apply`."""
        frozen = _tf_graph.freeze(model, context)
        context.progress(0.4, "optimizing the graph")
        left_out = tuple(field for name, field in _tf_graph.REWRITES.items() if not getattr(settings, name))
        made = _tf_graph.grappler(frozen.graph, *frozen.tensors, left_out)
        before, after = _tf_graph.operators(frozen.graph), _tf_graph.operators(made)
        folder, checked = _tf_graph.write(model, frozen, made, context)
        return _tf_graph.result(folder, [*_ops.changes(before, after), *checked], before, after)
