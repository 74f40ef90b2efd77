"""What ONNX lacks, written with what it has, in a frozen TensorFlow graph: XLA calls, Erfc, Expm1, Einsum.

Keras writes its exact GELU with Erfc, its grouped convolutions as functions for XLA and its attention with Einsum.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

_CALLS = ("StatefulPartitionedCall", "PartitionedCall")


def for_onnx(graph: Any) -> Any:
    """The same computation without calls, Einsum, Erfc and Expm1; names of all other nodes stay.

    Args:
        graph: a frozen ``GraphDef``; stays as it is.
    """
    made = _inlined(graph)
    nodes = list(made.node)
    made.ClearField("node")
    by_name = {n.name: n for n in nodes}
    for node in nodes:
        made.node.extend(_REWRITES[node.op](node, by_name) if node.op in _REWRITES else [node])
    return made


def _inlined(graph: Any) -> Any:
    """Each call replaced by the function's body, its nodes under the call's name."""
    functions = {f.signature.name: f for f in graph.library.function}
    if not any(_is_call(n, functions) for n in graph.node):
        return type(graph).FromString(graph.SerializeToString())
    made, results = type(graph)(), {}
    made.versions.CopyFrom(graph.versions)
    made.library.CopyFrom(graph.library)
    for node in graph.node:
        if _is_call(node, functions):
            made.node.extend(_body(node, functions[node.attr["f"].func.name], results))
        else:
            made.node.add().CopyFrom(node)
    gone = {f"^{tensor.split(':')[0]}" for tensor in results}  # no order is left that a call imposed
    for node in made.node:
        node.input[:] = [_result(i, results) for i in node.input if i not in gone]
    return _inlined(made)  # functions may call others


def _is_call(node: Any, functions: dict[str, Any]) -> bool:
    return node.op in _CALLS and node.attr["f"].func.name in functions


def _body(call: Any, function: Any, results: dict[str, str]) -> Iterator[Any]:
    """Nodes of a function with a call's inputs in place of its arguments; adds what the call's outputs became."""
    from tensorflow.python.framework.function_def_to_graph import function_def_to_graph_def

    body, flat = function_def_to_graph_def(function)
    arguments = {a.name: i for a, i in zip(function.signature.input_arg, call.input, strict=False)}

    def tensor(name: str) -> str:
        control, name = ("^", name[1:]) if name.startswith("^") else ("", name)
        base, colon, port = name.partition(":")
        return control + (arguments[base] if base in arguments else f"{call.name}/{base}{colon}{port}")

    for node in body.node:
        if node.name not in arguments:
            node.input[:] = [tensor(i) for i in node.input]
            node.name = f"{call.name}/{node.name}"
            yield node
    for place, output in enumerate(function.signature.output_arg):
        results[f"{call.name}:{place}"] = tensor(flat[function.ret[output.name]])


def _result(tensor: str, results: dict[str, str]) -> str:
    """A tensor, or what stands for it where a call made it."""
    name = tensor if ":" in tensor else f"{tensor}:0"
    return _result(results[name], results) if name in results else tensor


def _const(like: Any, name: str, value: float) -> Any:
    import tensorflow as tf

    node = type(like)(name=name, op="Const")
    node.attr["dtype"].type = like.attr["T"].type
    kind = tf.dtypes.as_dtype(like.attr["T"].type).as_numpy_dtype
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(np.array(value, kind)))
    return node


def _node(like: Any, op: str, name: str, *inputs: str) -> Any:
    node = type(like)(name=name, op=op, input=inputs)
    node.attr["T"].type = like.attr["T"].type
    return node


def _erfc(node: Any, by_name: dict[str, Any]) -> list[Any]:
    """``erfc(x) = 1 - erf(x)``; as in Keras' GELU, ``erfc(-x * c) = 1 + erf(x * c)``, which runtimes fuse."""
    one = _const(node, f"{node.name}/one", 1.0)
    product = by_name.get(node.input[0])
    negative = by_name.get(product.input[0]) if product is not None and product.op == "Mul" else None
    if negative is None or negative.op != "Neg":
        erf = _node(node, "Erf", f"{node.name}/Erf", node.input[0])
        return [one, erf, _node(node, "Sub", node.name, one.name, erf.name)]
    scaled = _node(node, "Mul", f"{node.name}/Mul", negative.input[0], product.input[1])
    erf = _node(node, "Erf", f"{node.name}/Erf", scaled.name)
    return [one, scaled, erf, _node(node, "AddV2", node.name, erf.name, one.name)]


def _expm1(node: Any, by_name: dict[str, Any]) -> list[Any]:
    one, exp = _const(node, f"{node.name}/one", 1.0), _node(node, "Exp", f"{node.name}/Exp", node.input[0])
    return [one, exp, _node(node, "Sub", node.name, exp.name, one.name)]


def _einsum(node: Any, by_name: dict[str, Any]) -> list[Any]:
    """A batched product of matrices, as in attention, as transposes around one product; any other einsum stays.

    The converter makes a dozen nodes of it that compute shapes.
    """
    terms, result = node.attr["equation"].s.decode().replace(" ", "").split("->")
    left, _, right = terms.partition(",")
    if "." in terms or any(len(set(t)) < len(t) for t in (left, right)) or "," in right:
        return [node]
    batch = "".join(c for c in result if c in left and c in right)
    summed = "".join(c for c in left if c in right and c not in result)
    rows, columns = ("".join(c for c in t if c in result and c not in batch) for t in (left, right))
    if not len(summed) == len(rows) == len(columns) == 1 or len(left) + len(right) != 2 * len(batch) + 4:
        return [node]
    made: list[Any] = []
    first = _transposed(node, made, node.input[0], left, batch + rows + summed)
    second = _transposed(node, made, node.input[1], right, batch + summed + columns)
    made.append(_node(node, "BatchMatMulV2", f"{node.name}/MatMul", first, second))
    _transposed(node, made, made[-1].name, batch + rows + columns, result)
    made[-1].name = node.name
    return made


def _transposed(like: Any, made: list[Any], tensor: str, have: str, want: str) -> str:
    """A tensor with its axes in the wanted order; adds the nodes that it takes."""
    import tensorflow as tf

    if have == want:
        return tensor
    name = f"{like.name}/Transpose_{len(made)}"
    order = type(like)(name=f"{name}/perm", op="Const")
    order.attr["dtype"].type = tf.int32.as_datatype_enum
    order.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(np.array([have.index(c) for c in want], np.int32)))
    transpose = _node(like, "Transpose", name, tensor, order.name)
    transpose.attr["Tperm"].type = tf.int32.as_datatype_enum
    made += [order, transpose]
    return name


_REWRITES = {"Einsum": _einsum, "Erfc": _erfc, "Expm1": _expm1}
