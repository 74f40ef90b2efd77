"""Operations of Keras layers, from their weights and output shapes.

A layer's weights with two axes or more meet every output position once: a multiply-add (two operations) each. That is
exact for dense, einsum-dense, convolution, depthwise and separable layers and for the projections of attention.
"""

from __future__ import annotations

import math

from .dtypes import elements
from .graph import Node, Tensor
from .ops import plain

_FREE = frozenset("InputLayer Embedding Flatten Reshape Permute RepeatVector Concatenate Cropping1D Cropping2D Dropout "
                  "ZeroPadding1D ZeroPadding2D UpSampling2D Identity Masking SpatialDropout2D GaussianNoise".split())
_RECURRENT = frozenset("LSTM GRU SimpleRNN Bidirectional".split())


def flops(node: Node, inputs: list[Tensor | None], outputs: list[Tensor | None]) -> int:
    """Operations of one run of a layer, 0 when its shapes are open."""
    op = plain(node.op)
    out = outputs[0].shape if outputs and outputs[0] is not None else None
    data = next((t.shape for t in inputs if t is not None and not t.is_constant), None)
    total = elements(out)
    if op in _FREE or not total or out is None:
        return 0
    matrices = [t.shape for t in inputs if t is not None and t.is_constant and t.shape and len(t.shape) > 1
                and all(isinstance(d, int) for d in t.shape)]
    extra = total if _has_activation(node) else 0
    if op in _RECURRENT:
        steps = elements(data[:2]) if data and len(data) == 3 else 0
        return steps * sum(2 * math.prod(m) for m in matrices)
    if op in ("MultiHeadAttention", "GroupQueryAttention"):
        return _attention(node, out, data, matrices)
    if matrices:
        matrices = matrices[:1] if op == "EinsumDense" else matrices  # its bias may have several axes too
        biased = total if node.attributes.get("use_bias", True) else 0
        return sum(2 * math.prod(m) for m in matrices) * _positions(op, out, node) + biased + extra
    return _without_weights(op, total, data, len([t for t in inputs if t is not None and not t.is_constant])) + extra


def _positions(op: str, out: tuple, node: Node) -> int:
    """Output places that a kernel is applied to: all axes but the features'."""
    first = node.attributes.get("data_format") == "channels_first"
    return math.prod((out[0], *out[2:]) if first else out[:-1])


def _attention(node: Node, out: tuple, data: tuple | None, matrices: list[tuple]) -> int:
    batch, queries = out[0], out[1]
    keys = data[1] if data and len(data) == 3 and isinstance(data[1], int) else queries
    heads = int(node.attributes.get("num_heads", 1))
    key_width = int(node.attributes.get("key_dim", 0))
    value_width = int(node.attributes.get("value_dim") or key_width)
    kernels = [m for m in matrices if len(m) == 3]
    projections = sum(2 * math.prod(m) for m in kernels) * batch * queries
    scores = 2 * batch * heads * queries * keys * (key_width + value_width)
    return projections + scores + 5 * batch * heads * queries * keys


def _without_weights(op: str, total: int, data: tuple | None, operands: int) -> int:
    if op in ("BatchNormalization", "Normalization"):
        return 2 * total
    if op in ("LayerNormalization", "GroupNormalization", "UnitNormalization"):
        return 8 * total
    if "Pooling" in op:
        return elements(data)
    if op in ("Softmax",):
        return 5 * total
    return total * max(1, operands - 1)


def _has_activation(node: Node) -> bool:
    return node.attributes.get("activation") not in (None, "linear", "")
