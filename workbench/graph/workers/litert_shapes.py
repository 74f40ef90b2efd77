"""Real shapes of all tensors of a TFLite model, from a run on zeros: its file keeps open sizes open."""

from __future__ import annotations

from typing import Any


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Answers {'shapes': [[sizes of tensor 0], ...]} of the main graph; [] where a tensor was never made."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(request["path"], num_threads=1, experimental_preserve_all_tensors=True,
                              experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    inputs = interpreter.get_input_details()
    for detail, sizes in zip(inputs, request["inputs"], strict=True):
        interpreter.resize_tensor_input(detail["index"], sizes)
    interpreter.allocate_tensors()
    for detail, sizes in zip(inputs, request["inputs"], strict=True):
        interpreter.set_tensor(detail["index"], np.zeros(sizes, detail["dtype"]))
    interpreter.invoke()
    found = {t["index"]: [int(d) for d in t["shape"]] for t in interpreter.get_tensor_details()}
    return {"shapes": [found.get(i, []) for i in range(max(found) + 1)]}
