"""XLA: TensorFlow compiles the whole graph into kernels of its own, for the shapes that it meets."""

from __future__ import annotations

from ..errors import NotApplicable
from ..model import Model
from ..settings import SettingsBase
from . import _check, _hlo, _tf_graph
from .base import PassContext, PassResult

_SHOWN = 4


class TfXla(_tf_graph.TfGraphPass):
    """See :class:`workbench.passes.base.Pass`."""

    name = "tf-xla"
    title = "XLA"
    summary = ("Compiles the whole graph with XLA and says which operators became one kernel: pays for many small "
               "operators; on a CPU its convolutions are often slower, and each new shape is compiled first.")
    excludes = frozenset({"xla", "grappler"})
    ensures = frozenset({"xla"})
    only_for = ("tensorflow",)
    machine_dependent = True  # what becomes one kernel is the compiler's choice for this CPU

    def apply(self, model: Model, settings: SettingsBase, context: PassContext) -> PassResult:
        """See :meth:`workbench.passes.base.Pass.apply`."""
        frozen = _tf_graph.freeze(model, context)
        feed = _check.sample(context, model.inputs, model)
        context.progress(0.3, "compiling with XLA")
        kernels = _hlo.kernels(_compiled(frozen, [feed[s.name] for s in model.inputs])) if feed else []
        folder, checked = _tf_graph.write(model, frozen, frozen.graph, context, compiled=True)
        ops = _tf_graph.operators(frozen.graph)
        return _tf_graph.result(folder, [*_notes(kernels, ops), *checked], ops, ops,
                                kernels=[k._asdict() for k in kernels])


def _compiled(frozen, arrays) -> str:
    """XLA's optimized program for these arrays, as text.

    Raises:
        NotApplicable: an operator cannot be compiled; names it.
    """
    import tensorflow as tf

    function = tf.function(lambda *tensors: frozen.function(*tensors), jit_compile=True, autograph=False)
    try:
        return function.experimental_get_compiler_ir(*[tf.constant(a) for a in arrays])(stage="optimized_hlo")
    except Exception as error:  # XLA's errors share no base
        raise NotApplicable(f"XLA cannot compile this model: {' '.join(str(error).split())[:200]}") from None


def _notes(kernels: list[_hlo.Kernel], ops: dict[str, int]) -> list[str]:
    if not kernels:
        return ["what XLA fuses is not known without a sample: give a data set"]
    fused = [k for k in kernels if len(k.sources) > 1]
    lines = [f"{sum(ops.values())} operators became {len(kernels)} steps of XLA's program, {len(fused)} of them made "
             "of several operators"]
    shown = [f"{k.name} ({', '.join(k.sources[:6])}{', …' if len(k.sources) > 6 else ''})" for k in fused[:_SHOWN]]
    if shown:
        lines.append("fused: " + "; ".join(shown) + (f" and {len(fused) - _SHOWN} more" if len(fused) > _SHOWN else ""))
    return lines
