"""Operators of different formats that compute the same kind of thing: aten.conv2d, Conv, CONV_2D, a Conv2D layer."""

from __future__ import annotations

from functools import cache

from .graph import Node
from .index import Index
from .ops import family, plain

_ALIASES = {
    "mean": "mean reducemean reduce globalaveragepool globalaveragepooling2d globalaveragepooling1d "
            "adaptive_avg_pool2d",
    "sum": "sum reducesum",
    "add": "add addv2 biasadd eltwise",
    "mul": "mul multiply",
    "sub": "sub subtract",
    "div": "div realdiv",
    "sigmoid": "sigmoid logistic",
    "silu": "silu swish quickgelu",
    "maxpool": "maxpool max_pool_2d max_pool2d maxpooling2d maxpooling1d",
    "avgpool": "avgpool averagepool average_pool_2d avg_pool2d averagepooling2d averagepooling1d",
    "softmax": "softmax _softmax",
    "batchnorm": "batchnormalization batch_norm fusedbatchnormv3 _native_batch_norm_legit_no_training",
    "layernorm": "layernormalization layer_norm native_layer_norm",
    "gather": "gather gatherv2 embedding embedding_lookup resourcegather",
    "concat": "concat concatv2 concatenation concatenate cat",
    "less": "less", "select": "select selectv2 select_v2 where",
    "rsqrt": "rsqrt", "squared_difference": "squared_difference squareddifference",
    "relu": "relu", "relu6": "relu6 hardtanh", "gelu": "gelu", "tanh": "tanh", "erf": "erf", "exp": "exp", "pow": "pow",
    "sqrt": "sqrt", "neg": "neg", "shape": "shape", "lstm": "lstm", "gru": "gru",
}
_NAMES = {name: kind for kind, names in _ALIASES.items() for name in names.split()}
_WEIGHTED = ("convolution", "transposed convolution", "matrix product")
_NO_ACTIVATION = (None, "", "linear", "NONE", 0)


@cache
def _kind(op: str) -> str:
    """One name for an operator in all formats, '' when there is none."""
    group = family(op)
    if group in _WEIGHTED:
        return group
    return _NAMES.get(plain(op).removeprefix("aten.").lower(), "")


def signature(node: Node, index: Index) -> tuple | None:
    """What two versions of an operator have in common beside their inputs; None for operators without a common name.

    A bias or an activation that one format keeps inside and another beside makes a difference: the results differ.
    """
    kind = _kind(node.op)
    if not kind:
        return None
    if kind not in _WEIGHTED:
        return (kind, "", False)
    activation = node.attributes.get("activation", node.attributes.get("fused_activation_function"))
    constants = [t for t in node.inputs[1:] if t and t in index.constants]
    biased = len(constants) > 1 or bool(len(node.inputs) > 2 and node.inputs[2])
    return (kind, "" if activation in _NO_ACTIVATION else str(activation).lower(), biased)


def data_inputs(node: Node, index: Index) -> list[str]:
    """Inputs that are no weights, without duplicates."""
    return [t for t in dict.fromkeys(node.inputs) if t and t not in index.constants]
