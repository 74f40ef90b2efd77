"""GELU in the form that ONNX Runtime fuses: https://onnxruntime.ai/docs/performance/model-optimizations/graph-optimizations.html

TensorFlow turns the division of ``erf(x / sqrt(2))`` into a product, which no fusion knows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _onnx_io
from ._onnx_lookup import Lookup


def spell(model: Any) -> int:
    """``erf(x * 0.7071)`` becomes ``erf(x / 1.4142)``, and the 1 behind it a scalar (in place).

    Args:
        model: a ``ModelProto`` with inferred shapes.

    Returns:
        number of products that became divisions.
    """
    graph, known = model.graph, Lookup(model.graph)
    changed = 0
    for erf in (n for n in graph.node if n.op_type == "Erf"):
        for x, other in known.both_ways(erf.input[0], "Mul"):
            factor = known.constant(other)
            if factor is not None and factor.size == 1 and np.allclose(factor, np.sqrt(0.5), atol=1e-4):
                product = known.made[erf.input[0]]
                product.op_type = "Div"
                product.input[:] = [x, _scalar(graph, f"{product.output[0]}/root", np.sqrt(2.0), factor.dtype)]
                changed += 1
                break
        _scalar_one(graph, known, erf.output[0])
    _onnx_io.drop_unused_weights(graph)
    return changed


def _scalar_one(graph: Any, known: Lookup, erf: str) -> None:
    for add in known.readers.get(erf, []):
        for one in (known.constant(i) for i in add.input if add.op_type == "Add"):
            if one is not None and one.size == 1 and one.ndim <= len(known.shapes.get(erf, ())):
                add.input[:] = [erf, _scalar(graph, f"{add.output[0]}/one", one.item(), one.dtype)]


def _scalar(graph: Any, name: str, value: float, dtype: Any) -> str:
    import onnx

    graph.initializer.append(onnx.numpy_helper.from_array(np.array(value, dtype), name))
    return name
