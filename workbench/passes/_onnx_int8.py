"""What static and dynamic INT8 share: the saturation question, what was quantized, how close the result is."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from ..errors import NotApplicable
from ..model import Model
from . import _check, _cpu, _onnx_io

COMPUTE = ("Conv", "ConvTranspose", "Gemm", "MatMul", "Attention", "LSTM")  # where the time goes; what INT8 is for
CHECKED_SAMPLES = 4
LOW_COSINE = 0.98
REDUCE_HELP = ("Weights in 7 bits: avoids silent saturation where the CPU has no 8-bit dot product (VNNI); "
               "auto looks at this CPU")


class Report(NamedTuple):
    """Which compute nodes became INT8.

    Attributes:
        quantized: their names.
        left: name -> why it stays in float.
        ops: name -> operator, for both.
    """

    quantized: list[str]
    left: dict[str, str]
    ops: dict[str, str]

    def details(self) -> dict[str, Any]:
        """Plain data for the views."""
        return {"quantized": self.quantized, "float": list(self.left), "float_reasons": self.left, "ops": self.ops}

    def notes(self) -> list[str]:
        """One line of counts, one line for each reason why nodes stay in float."""
        total = Counter(self.ops.values())
        done = Counter(self.ops[n] for n in self.quantized)
        counts = ", ".join(f"{op} {done.get(op, 0)} of {n}" for op, n in sorted(total.items()))
        lines = [f"{len(self.quantized)} of {len(self.ops)} compute nodes are INT8 ({counts})"]
        for reason in dict.fromkeys(self.left.values()):
            names = [n for n, r in self.left.items() if r == reason]
            shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
            lines.append(f"left in float, {reason}: {shown}")
        return lines


def reduce_range(choice: str) -> bool:
    """Whether weights keep to 7 bits: 'on', 'off', or 'auto' for what this CPU needs."""
    return choice == "on" or (choice == "auto" and not _cpu.has_int8_dot())


def range_notes(choice: str) -> list[str]:
    """What was decided about 7-bit weights, and the warning when the user decided against the need."""
    if choice == "auto" and not _cpu.has_int8_dot():
        return ["weights kept to 7 bits, because this CPU has no 8-bit dot product (VNNI) and would saturate"]
    if choice == "off" and not _cpu.has_int8_dot():
        return ["weights use 8 bits although this CPU saturates on them: the answers may be wrong here"]
    return []


def refuse(model: Model) -> str | None:
    """Why INT8 makes no sense for this file, from its operators alone; None when it does."""
    ops = _onnx_io.op_counts(model.path)
    if not _onnx_io.QUANTIZED_OPS.isdisjoint(ops):
        return f"{model.name} is quantized already; start from its float version"
    if ops and not any(op in ops for op in (*COMPUTE, "FusedConv", "FusedGemm", "FusedMatMul")):
        return f"{model.name} has no Conv, Gemm, MatMul or LSTM that INT8 could make faster"
    return None


def nothing(model: Any) -> NotApplicable:
    """The reason when a quantizer left everything as it was."""
    inside = Counter(n.op_type for n in model.graph.node if _onnx_io.subgraphs(n))
    if inside:
        which = ", ".join(sorted(inside))
        return NotApplicable(f"the computation is inside {which} nodes, which the quantizer does not enter; "
                             "add the pass 'constant inputs' where an input decides the branch, or export the "
                             "model without control flow")
    return NotApplicable("no Conv, Gemm or MatMul with constant weights was found that could be quantized")


def compute_nodes(model: Any) -> dict[str, Any]:
    """Name -> node for the operators where the time goes, in the main graph and inside control flow."""
    return {n.name: n for n in _onnx_io.all_nodes(model.graph) if n.op_type in COMPUTE}


def float_bits(model: Any) -> bool:
    """True when the main computation is float16 already."""
    import onnx

    kinds = Counter(i.data_type for i in model.graph.initializer)
    return kinds[onnx.TensorProto.FLOAT16] > kinds[onnx.TensorProto.FLOAT]


@contextmanager
def quiet() -> Iterator[None]:
    """The quantizer logs advice about steps that were done; errors still come as exceptions."""
    previous = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(previous)


def same_signature(before: Any, after: Any) -> bool:
    """True when inputs and outputs keep names and order."""
    def names(model: Any) -> tuple:
        return ([v.name for v in _onnx_io.graph_inputs(model)], [v.name for v in model.graph.output])

    return names(before) == names(after)


def closeness(before: Any, after: Any, feeds: list[dict[str, np.ndarray]]) -> tuple[float | None, list[str]]:
    """Mean cosine of the outputs to the float model's on a few samples, with a note; opens both models.

    Raises:
        NotApplicable: the result does not load, run, or gives other shapes.
    """
    result = _onnx_io.session(after)
    if not feeds:
        return None, []
    reference = _onnx_io.session(before)
    answers, wanted = [], []
    for feed in feeds[:CHECKED_SAMPLES]:
        try:
            wanted.append([np.asarray(a) for a in reference.run(None, feed)])
        except Exception:  # a guessed feed may not suit the model
            return None, []
        try:
            answers.append([np.asarray(a) for a in result.run(None, feed)])
        except Exception as error:
            raise NotApplicable(f"ONNX Runtime cannot run the INT8 model: {_onnx_io.one_line(error)}") from None
    mean = float(np.mean(_check.likenesses(answers, wanted)))
    kind = "R²" if all(a.size == 1 for a in wanted[0]) else "cosine"
    note = f"mean {kind} to the float outputs {mean:.4f} on {len(answers)} calibration samples"
    if mean < LOW_COSINE:
        note += ": low; keep sensitive nodes in float (exclude_nodes) or try another calibration method"
    return mean, [note]
