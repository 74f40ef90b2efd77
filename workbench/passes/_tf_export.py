"""One frozen TensorFlow function from a Keras file or a SavedModel, with the names that the Model gives.

TensorFlow loads inside the functions; legacy Keras needs a process started with TF_USE_LEGACY_KERAS=1.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError, NotApplicable
from ..model import Model, ModelFormat, TensorSpec

FORMATS = (ModelFormat.KERAS, ModelFormat.KERAS2, ModelFormat.SAVED_MODEL)


class Frozen(NamedTuple):
    """A model as one TensorFlow function whose weights are constants.

    Attributes:
        function: concrete function; takes the inputs by name, returns a dict by output name.
        signature: one ``tf.TensorSpec`` an input, in the model's order.
        call: runs the *unfrozen* source on a feed; what conversions are checked against.
        outputs: names of the outputs, in the model's order.
        graph: the same as a ``GraphDef`` without any call inside, so that nodes keep the layers' names.
        tensors: names of the graph's input tensors and of its output tensors, in the model's order.
    """

    function: Any
    signature: list[Any]
    call: Callable[[dict[str, np.ndarray]], list[np.ndarray]]
    outputs: list[str]
    graph: Any
    tensors: tuple[list[str], list[str]]


def freeze(model: Model, *, batch: int = 0) -> Frozen:
    """Loads a model and freezes it.

    Args:
        model: Keras 3, Keras 2 or SavedModel.
        batch: size written into open first axes; 0 leaves them open.

    Raises:
        InputError: the file cannot be loaded.
        NotApplicable: an input has no known rank.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    source = load(model)
    signature = [_tensor_spec(s, batch) for s in model.inputs]
    names = [s.name for s in model.outputs]
    concrete = tf.function(lambda *tensors: source(dict(zip([s.name for s in model.inputs], tensors, strict=True))),
                           autograph=False).get_concrete_function(*signature)
    frozen = convert_variables_to_constants_v2(concrete, lower_control_flow=False, aggressive_inlining=True)
    graph = frozen.graph.as_graph_def()
    _forget_gradients(graph)
    _static_reshapes(graph, _result_sizes(frozen, concrete))
    new = _layer_scopes(graph, getattr(source, "layers", frozenset()))
    order = _output_order(concrete, names)
    ends = [_renamed(t.name, new) for t in frozen.inputs], [_renamed(frozen.outputs[i].name, new) for i in order]
    function = _function(graph, ends, signature, names)

    def call(feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        answers = source({s.name: tf.constant(feed[s.name]) for s in model.inputs})
        return [answers[n].numpy() for n in names]

    return Frozen(function, signature, call, names, graph, ends)


def load(model: Model) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A function from tensors by input name to tensors by output name, in inference mode.

    Raises:
        InputError: the file cannot be loaded; one line with the cause.
    """
    _quiet()
    try:
        if model.format == ModelFormat.SAVED_MODEL:
            return _saved_model(model)
        return _keras(model)
    except (InputError, NotApplicable):
        raise
    except Exception as error:  # whatever a framework throws at a strange file
        cause = " ".join(str(error).split())[:240] or type(error).__name__
        raise InputError(f"cannot load {model.name} for conversion: {cause}") from None


def _quiet() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")


def _saved_model(model: Model) -> Callable[[dict[str, Any]], dict[str, Any]]:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(model.path))
    signatures = loaded.signatures
    key = "serving_default" if "serving_default" in signatures else sorted(signatures)[0]
    function = signatures[key]

    def call(feed: dict[str, Any]) -> dict[str, Any]:
        return dict(function(**feed))

    call.keep = loaded  # a signature does not keep its variables alive
    return call


def _keras(model: Model) -> Callable[[dict[str, Any]], dict[str, Any]]:
    network = load_keras(model)
    names = [s.name for s in model.outputs]
    structure = network.input_names if model.format == ModelFormat.KERAS2 else [t.name for t in network.inputs]

    def call(feed: dict[str, Any]) -> dict[str, Any]:
        tensors = [feed[s.name] for s in model.inputs]
        given = tensors[0] if len(tensors) == 1 else _structured(network, tensors, structure)
        return dict(zip(names, _flat(network(given, training=False)), strict=True))

    call.layers = frozenset(_layer_names(network))
    return call


def _layer_names(network: Any) -> list[str]:
    """Names of a network and of all layers in it, nested ones included."""
    found = [network.name]
    for layer in getattr(network, "layers", ()):
        found += _layer_names(layer)
    return found


def load_keras(model: Model) -> Any:
    """The Keras object in the file: Keras 3, or legacy Keras for KERAS2."""
    if model.format == ModelFormat.KERAS:
        import keras

        return keras.saving.load_model(str(model.path), compile=False, safe_mode=True)
    import tf_keras

    with ExitStack() as scopes:
        for scope in _tfmot_scopes(model):
            scopes.enter_context(scope)
        return tf_keras.models.load_model(str(model.path), compile=False, safe_mode=True)


def _tfmot_scopes(model: Model) -> list[Any]:
    """Layers that tensorflow-model-optimization wraps; imported only when the file names one."""
    content = model.path.read_bytes()
    if not any(mark in content for mark in (b"Quantize", b"PruneLowMagnitude", b"Cluster")):
        return []
    import tensorflow_model_optimization as tfmot

    return [tfmot.quantization.keras.quantize_scope(), tfmot.sparsity.keras.prune_scope(),
            tfmot.clustering.keras.cluster_scope()]


def _structured(network: Any, tensors: list[Any], names: list[str]) -> Any:
    """Several inputs the way the network was built to take them: a dict, else a list."""
    shape = getattr(network, "_inputs_struct", None) or getattr(network, "_nested_inputs", None)
    if isinstance(shape, dict):
        by_name = dict(zip(names, tensors, strict=True))
        return {key: by_name.get(getattr(t, "name", key).split(":")[0], by_name.get(key)) for key, t in shape.items()}
    return tensors


def _flat(outputs: Any) -> list[Any]:
    import tensorflow as tf

    return tf.nest.flatten(outputs)


def _tensor_spec(spec: TensorSpec, batch: int) -> Any:
    import tensorflow as tf

    if "..." in spec.shape:
        raise NotApplicable(f"input '{spec.name}' has no known rank: export the model with fixed input shapes")
    sizes = [d if isinstance(d, int) else None for d in spec.shape]
    if batch and sizes and sizes[0] is None:
        sizes[0] = batch
    return tf.TensorSpec(sizes, "string" if spec.dtype == "str" else spec.dtype, name=_tf_name(spec.name))


def _tf_name(name: str) -> str:
    """TensorFlow allows fewer characters in names than the formats do."""
    safe = "".join(c if c.isalnum() or c in "_./-" else "_" for c in name)
    return safe if safe[:1].isalnum() or safe[:1] == "." else f"in_{safe}"


def _output_order(concrete: Any, names: list[str]) -> list[int]:
    """Where each named output stands among the function's flat outputs (dicts are flattened by sorted key)."""
    flat = sorted(concrete.structured_outputs)
    return [flat.index(n) for n in names]


def _function(graph: Any, ends: tuple[list[str], list[str]], signature: list[Any], names: list[str]) -> Any:
    """A frozen graph as a function whose signature carries the model's names."""
    import tensorflow as tf

    pruned = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph, name=""), []).prune(*ends)

    def call(*tensors: Any) -> dict[str, Any]:
        return dict(zip(names, pruned(*tensors), strict=True))

    return tf.function(call, autograph=False).get_concrete_function(*signature)


def _forget_gradients(graph: Any) -> None:
    """Takes away the marks of custom gradients, as of swish: they exist in this process only (in place)."""
    for node in (*graph.node, *(n for f in graph.library.function for n in f.node_def)):
        if "_gradient_op_type" in node.attr:
            del node.attr["_gradient_op_type"]


def _static_reshapes(graph: Any, sizes: dict[str, list[int | None]]) -> None:
    """Reshape(x, [batch of x, 3, 4]) becomes Reshape(x, [-1, 3, 4]): same values, no shape arithmetic (in place).

    Keras' Flatten, Dense and attention compute the open batch with operators that cut a delegate's graph in pieces.

    Args:
        graph: a ``GraphDef``.
        sizes: node name -> static shape of its result.
    """
    import tensorflow as tf

    constant = {n.name for n in graph.node if n.op == "Const"}
    for node in list(graph.node):
        shape = sizes.get(node.name, [])
        if node.op != "Reshape" or node.input[1].split(":")[0] in constant:
            continue
        if shape.count(None) != 1 or any(d is not None and d <= 0 for d in shape):
            continue
        const = graph.node.add()
        const.name, const.op = f"{node.name}/static_shape", "Const"
        const.attr["dtype"].type = tf.int32.as_datatype_enum
        const.attr["value"].tensor.CopyFrom(
            tf.make_tensor_proto([-1 if d is None else d for d in shape], dtype=tf.int32))
        node.attr["Tshape"].type = tf.int32.as_datatype_enum
        node.input[1] = const.name


def _result_sizes(*functions: Any) -> dict[str, list[int | None]]:
    """Static shape of each Reshape by node name, as far as TensorFlow knows it in any of the functions' graphs."""
    found: dict[str, list[int | None]] = {}

    def learn(name: str, shape: list[int | None]) -> None:
        known = found.setdefault(name, shape)
        if len(known) == len(shape):
            found[name] = [a if a is not None else b for a, b in zip(known, shape, strict=True)]

    for op in (op for f in functions for op in f.graph.get_operations()):
        if op.type == "Reshape" and op.outputs[0].shape.rank is not None:
            learn(op.name, op.outputs[0].shape.as_list())
        elif op.type == "MatMul" and op.inputs[0].op.type == "Reshape" and not op.get_attr("transpose_a"):
            weight = op.inputs[1].shape
            if weight.rank == 2:  # a product with a known matrix fixes the width of what it multiplies
                learn(op.inputs[0].op.name, [None, weight.as_list()[1 if op.get_attr("transpose_b") else 0]])
    return found


def _layer_scopes(graph: Any, layers: frozenset[str]) -> dict[str, str]:
    """Takes the counters from scopes that Keras made unique, 'cnn_1/conv_1_1/Relu' -> 'cnn/conv_1/Relu' (in place).

    Returns old name -> new name of every node.
    """
    def scope(part: str) -> str:
        base = re.sub(r"_\d+$", "", part)
        return base if part not in layers and base in layers else part

    wanted = {n.name: "/".join(map(scope, n.name.split("/"))) for n in graph.node}
    counts = Counter(wanted.values())
    new = {old: name if counts[name] == 1 else old for old, name in wanted.items()}
    if len(set(new.values())) < len(new):  # a kept name met a shortened one
        return {n: n for n in new}
    for node in graph.node:
        node.name = new[node.name]
        node.input[:] = [_renamed(i, new) for i in node.input]
    return new


def _renamed(tensor: str, new: dict[str, str]) -> str:
    """A tensor or control input under the new node names."""
    control, tensor = ("^", tensor[1:]) if tensor.startswith("^") else ("", tensor)
    name, colon, port = tensor.partition(":")
    return f"{control}{new.get(name, name)}{colon}{port}"
