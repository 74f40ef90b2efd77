"""What the visible TensorFlow graph passes share: a frozen graph, Grappler, a SavedModel of the result, its check."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import numpy as np

from ..errors import NotApplicable
from ..model import Model, ModelFormat
from . import _check, _ops, _tf_export
from .base import Pass, PassContext, PassResult

SAME = 0.9999  # cosine below which a rewritten graph counts as another model
_LARGEST = 1_900_000_000  # a SavedModel with its weights in the graph is one protobuf message of at most 2 GB
_CPU = "/job:localhost/replica:0/task:0/device:CPU:0"
_UNSEEN = ("Const", "Placeholder", "Identity", "NoOp", "ReadVariableOp", "VarHandleOp")  # nothing is computed there
REWRITES = {"folding": "constant_folding", "arithmetic": "arithmetic_optimization", "fusion": "remapping",
            "layout": "layout_optimizer"}


class TfGraphPass(Pass):
    """Base of the graph passes on TensorFlow's own formats: see :class:`workbench.passes.base.Pass`."""

    group = "graph"
    accepts = _tf_export.FORMATS
    produces = ModelFormat.SAVED_MODEL
    packages = {"tensorflow": "pip install tensorflow"}

    def why_not(self, model: Model, settings: Any) -> str | None:
        """Weights inside the graph must fit in one message."""
        if model.format in self.accepts and model.size_bytes > _LARGEST:
            return f"{model.name} is larger than 2 GB, which one frozen TensorFlow graph cannot hold"
        return None


def freeze(model: Model, context: PassContext) -> _tf_export.Frozen:
    """See :func:`workbench.passes._tf_export.freeze`; tells the user."""
    context.progress(0.05, "loading TensorFlow and the model")
    return _tf_export.freeze(model)


def grappler(definition: Any, inputs: list[str], outputs: list[str], left_out: tuple[str, ...] = ()) -> Any:
    """What TensorFlow's graph optimizer makes of a graph: https://www.tensorflow.org/guide/graph_optimization

    Args:
        definition: a ``GraphDef``; not changed.
        inputs: names of the tensors that are fed.
        outputs: names of the tensors that are read.
        left_out: fields of ``RewriterConfig`` to switch off.
    """
    import tensorflow as tf
    from tensorflow.core.protobuf import config_pb2, meta_graph_pb2, rewriter_config_pb2
    from tensorflow.python.grappler import tf_optimizer

    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(definition, name="")
    placed = graph.as_graph_def(add_shapes=True)
    for node in placed.node:  # it fuses only what it knows to run on a CPU, as TensorFlow tells it at a real load
        node.device = _CPU
    meta = tf.compat.v1.train.export_meta_graph(graph_def=placed, graph=graph)
    signature = meta_graph_pb2.CollectionDef()
    signature.node_list.value.extend([n.split(":")[0] for n in (*inputs, *outputs)])
    meta.collection_def["train_op"].CopyFrom(signature)
    config = config_pb2.ConfigProto()
    rewrites = config.graph_options.rewrite_options
    rewrites.min_graph_nodes = -1
    rewrites.meta_optimizer_iterations = rewriter_config_pb2.RewriterConfig.TWO
    for field in left_out:
        setattr(rewrites, field, rewriter_config_pb2.RewriterConfig.OFF)
    made = tf_optimizer.OptimizeGraph(config, meta)
    for node in made.node:
        node.ClearField("device")
    return made


def operators(graph: Any) -> dict[str, int]:
    """Operators that compute, most frequent first."""
    return _ops.frequent_first(n.op for n in graph.node if n.op not in _UNSEEN)


def write(model: Model, frozen: _tf_export.Frozen, graph: Any, context: PassContext, *, compiled: bool = False,
          ) -> tuple[Any, list[str]]:
    """Saves a graph as a SavedModel under the model's own names, and checks its answers against the source.

    Args:
        model: the source.
        frozen: the source, frozen; its signature, its tensors' names and its unfrozen call are used.
        graph: the ``GraphDef`` to save; inputs and outputs are called as in the frozen one.
        context: of the pass.
        compiled: let XLA compile it wherever TensorFlow runs it.

    Returns:
        the folder, and notes.

    Raises:
        NotApplicable: the graph is too large, or answers differently.
    """
    import tensorflow as tf

    if graph.ByteSize() > _LARGEST:
        raise NotApplicable("the frozen graph is larger than 2 GB, which a SavedModel cannot hold in one file")
    context.progress(0.7, "writing the SavedModel")
    names = [t.name for t in frozen.signature]
    _name_functions(graph)
    pruned = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph, name=""), []).prune(*frozen.tensors)

    def call(**tensors: Any) -> dict[str, Any]:
        return dict(zip(frozen.outputs, pruned(*[tensors[n] for n in names]), strict=True))

    module = tf.Module()
    inner = tf.function(call, autograph=False, jit_compile=True) if compiled else call
    module.serve = tf.function(lambda **tensors: inner(**tensors), autograph=False)
    concrete = module.serve.get_concrete_function(**dict(zip(names, frozen.signature, strict=True)))
    folder = context.workdir / "model"
    tf.saved_model.save(module, str(folder), signatures={"serving_default": concrete})
    context.progress(0.85, "checking the result")
    return folder, [_compared(model, frozen, folder, context)]


def _name_functions(graph: Any) -> None:
    """Names a graph's functions after what they hold (in place).

    A rewritten function must not bear the name of the one that it was: a process knows one function of a name.
    """
    new = {}
    for function in graph.library.function:
        old, function.signature.name = function.signature.name, ""
        digest = hashlib.sha256(function.SerializeToString(deterministic=True)).hexdigest()[:12]
        new[old] = function.signature.name = f"{re.sub(r'_[0-9a-f]{12}$|_[0-9]+$', '', old)}_{digest}"
    for node in (*graph.node, *(n for f in graph.library.function for n in f.node_def)):
        for value in node.attr.values():
            for named in (value.func, *value.list.func):
                if named.name in new:  # another kind of value would become a function by being written to
                    named.name = new[named.name]


def _compared(model: Model, frozen: _tf_export.Frozen, folder: Any, context: PassContext) -> str:
    import tensorflow as tf

    feed = _check.sample(context, model.inputs, model)
    loaded = tf.saved_model.load(str(folder))
    if feed is None:
        return "the answers could not be compared: give a data set"
    try:
        wanted = frozen.call(feed)
    except Exception:  # a guessed feed may not suit the model
        return "the answers could not be compared: give a data set"
    given = {t.name: tf.constant(feed[s.name]) for t, s in zip(frozen.signature, model.inputs, strict=True)}
    try:
        answers = loaded.signatures["serving_default"](**given)
    except Exception as error:  # an operator that cannot be compiled is known only now
        raise NotApplicable(f"TensorFlow cannot run the result: {' '.join(str(error).split())[:200]}") from None
    agreement = _check.agreement([np.asarray(answers[n]) for n in frozen.outputs], wanted)
    if agreement < SAME:
        raise NotApplicable(f"the rewritten graph answers differently (cosine {agreement:.4f} on one sample); leave "
                            "the pass out")
    return f"cosine to the outputs before {agreement:.6f} on one sample"


def result(folder: Any, notes: list[str], before: dict[str, int], after: dict[str, int], **details: Any) -> PassResult:
    """What a pass hands back."""
    return PassResult(folder, ModelFormat.SAVED_MODEL, tuple(notes), {**_ops.details(before, after), **details})
