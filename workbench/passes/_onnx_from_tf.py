"""Keras and SavedModel to ONNX with tf2onnx: https://github.com/onnx/tensorflow-onnx"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import NotApplicable
from ..model import Model
from . import _onnx_io, _onnx_names, _tf_export, _tf_rewrite


def export(model: Model, opset: int) -> tuple[Any, Callable[[dict[str, np.ndarray]], list[np.ndarray]]]:
    """The converted ``ModelProto`` and a function that runs the source on a feed.

    Raises:
        NotApplicable: an operator has no ONNX counterpart, or the converter gave up; says which.
        InputError: the file cannot be loaded.
    """
    import tf2onnx

    frozen = _tf_export.freeze(model)
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    tf2onnx.utils.INTERNAL_NAME = 1  # a counter of the whole process: node names must not depend on earlier work
    graph, (inputs, outputs) = _tf_rewrite.for_onnx(frozen.graph), frozen.tensors
    try:
        converted, _ = tf2onnx.convert.from_graph_def(graph, input_names=inputs, output_names=outputs, opset=opset)
    except Exception as error:  # the converter raises bare Exceptions
        raise NotApplicable(f"tf2onnx cannot convert this model: {_onnx_io.one_line(error)}") from None
    _refuse_foreign(converted)
    _onnx_names.order(converted.graph)
    _onnx_names.name_shared(converted.graph)
    _onnx_names.canonical(converted.graph)
    return converted, frozen.call


def _refuse_foreign(converted: Any) -> None:
    """tf2onnx writes operators that it does not know as they are; no runtime would load them."""
    import onnx

    known = {"", "ai.onnx", "ai.onnx.ml"}
    foreign = sorted({n.op_type for n in _onnx_io.all_nodes(converted.graph)
                      if n.domain in known and not onnx.defs.has(n.op_type, "") and not onnx.defs.has(
                          n.op_type, "ai.onnx.ml")})
    if foreign:
        raise NotApplicable(f"the TensorFlow operators {', '.join(foreign[:5])} have no ONNX counterpart; "
                            "replace them in the model or run it with TensorFlow")
