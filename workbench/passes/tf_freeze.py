"""Freezing: TensorFlow's variables become constants of one flat graph."""

from __future__ import annotations

from ..model import Model
from ..settings import SettingsBase
from . import _tf_graph
from .base import PassContext, PassResult


class TfFreeze(_tf_graph.TfGraphPass):
    """See :class:`workbench.passes.base.Pass`."""

    name = "tf-freeze"
    title = "TF freeze"
    summary = ("Makes constants of TensorFlow's variables and one flat graph of all calls: a little less work a run "
               "and what Grappler can fold; the weights can no longer be trained.")

    def apply(self, model: Model, settings: SettingsBase, context: PassContext) -> PassResult:
        """See :meth:`workbench.passes.base.Pass.apply`."""
        frozen = _tf_graph.freeze(model, context)
        folder, checked = _tf_graph.write(model, frozen, frozen.graph, context)
        ops = _tf_graph.operators(frozen.graph)
        constants = sum(n.op == "Const" for n in frozen.graph.node)
        notes = [f"one flat graph of {sum(ops.values())} operators, its weights among {constants} constants", *checked]
        return _tf_graph.result(folder, notes, ops, ops)
