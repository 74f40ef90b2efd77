"""Makes a real-world ONNX model fit for rewriting: what the stock quantizers silently expect, done first.

Constant nodes become initializers, the opset is raised, every node gets a unique name, constants are folded and
shapes inferred; symbolic sizes survive. Each optional step is kept only if the outputs stay the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..errors import NotApplicable
from . import _check, _onnx_io

OPSET = 13  # the first with per-channel QuantizeLinear
SAME = 0.99999  # cosine below which a preparation step counts as having changed the model
_MOST_NODES_TO_SLIM = 20_000


class Prepared(NamedTuple):
    """A model ready for rewriting, and what was done to it in plain words."""

    model: Any
    notes: tuple[str, ...]


def prepare(model: Any, feed: dict[str, np.ndarray] | None, *, opset: int = OPSET, simplify: bool = True) -> Prepared:
    """Prepares a ``ModelProto`` (which is not changed).

    Args:
        model: any ONNX model.
        feed: one whole feed to check that outputs stay the same; None skips that check.
        opset: the lowest operator set to leave.
        simplify: also fold constants and remove dead and repeated nodes.

    Raises:
        NotApplicable: the opset cannot be raised.
    """
    import onnx

    before = len(model.graph.node)
    ready = onnx.ModelProto()
    ready.CopyFrom(model)
    notes = []
    drop_weight_inputs(ready)
    name_nodes(ready)
    moved = constants_to_initializers(ready)
    if moved:
        notes.append(f"{moved} Constant nodes stored as weights")
    old = opset_of(ready)
    if old < opset:
        ready = raise_opset(ready, opset)
        notes.append(f"operator set raised from {old} to {opset}")
    if simplify:
        ready = _if_same(ready, _slim, feed, notes)
        constants_to_initializers(ready)
    name_nodes(ready)
    ready = infer_shapes(ready)
    after = len(ready.graph.node)
    if after < before:
        notes.append(f"constants folded and duplicates removed: {before} nodes became {after}")
    return Prepared(ready, tuple(notes))


def opset_of(model: Any) -> int:
    """Version of the standard operator set that the model declares."""
    return max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=1)


def drop_weight_inputs(model: Any) -> None:
    """Old files list weights as inputs, which keeps tools from treating them as constants (in place)."""
    weights = {i.name for i in model.graph.initializer}
    kept = [i for i in model.graph.input if i.name not in weights]
    if len(kept) < len(model.graph.input):
        del model.graph.input[:]
        model.graph.input.extend(kept)
        model.ir_version = max(model.ir_version, 4)  # the first that allows weights that are not inputs


def constants_to_initializers(model: Any) -> int:
    """Constant nodes of the main graph become initializers (in place); returns how many."""
    outputs = {o.name for o in model.graph.output}
    kept, moved = [], []
    for node in model.graph.node:
        tensor = _constant(node) if node.op_type == "Constant" and node.output[0] not in outputs else None
        if tensor is None:
            kept.append(node)
        else:
            moved.append(tensor)
    if moved:
        del model.graph.node[:]
        model.graph.node.extend(kept)
        model.graph.initializer.extend(moved)
        model.ir_version = max(model.ir_version, 4)
    return len(moved)


def _constant(node: Any) -> Any:
    """The tensor of a Constant node, or None for the sparse and custom kinds."""
    import onnx

    values = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    name = node.output[0]
    if "value" in values:
        tensor = onnx.TensorProto()
        tensor.CopyFrom(values["value"])
        tensor.name = name
        return tensor
    for key, kind in (("value_float", np.float32), ("value_floats", np.float32),
                      ("value_int", np.int64), ("value_ints", np.int64)):
        if key in values:
            return onnx.numpy_helper.from_array(np.asarray(values[key], dtype=kind), name)
    return None


def raise_opset(model: Any, target: int) -> Any:
    """The model in a newer operator set; the result is known to load.

    Raises:
        NotApplicable: no way was found.
    """
    import onnx
    from onnx import version_converter

    cause = ""
    for version in (target, target + 2, target + 4):  # some operators convert only in one go
        try:
            raised = version_converter.convert_version(model, version)
            _onnx_io.session(raised, optimize=False)
            return raised
        except NotApplicable as error:
            cause = str(error)
        except Exception as error:  # the converter raises RuntimeError and protobuf errors alike
            cause = _onnx_io.one_line(error)
    raised = onnx.ModelProto()
    raised.CopyFrom(model)  # operators whose meaning did not change need no rewriting: try just the number
    for entry in raised.opset_import:
        if entry.domain in ("", "ai.onnx"):
            entry.version = target
    try:
        onnx.checker.check_model(raised)
        _onnx_io.session(raised, optimize=False)
        return raised
    except Exception:
        raise NotApplicable(f"the model's operator set {opset_of(model)} cannot be raised to {target} "
                            f"({cause}); export the model again with opset {target} or newer") from None


def name_nodes(model: Any) -> int:
    """Gives every node a unique name (in place): quantizers find nodes by name. Returns how many were named."""
    seen: set[str] = set()
    changed = 0
    for index, node in enumerate(_onnx_io.all_nodes(model.graph)):
        if not node.name or node.name in seen:
            base = f"{node.op_type}_{index}" if not node.name else node.name
            name, suffix = base, 1
            while name in seen:
                name, suffix = f"{base}_{suffix}", suffix + 1
            node.name = name
            changed += 1
        seen.add(node.name)
    return changed


def infer_shapes(model: Any) -> Any:
    """Adds the inferred types and shapes; where the standard inference leaves gaps, ONNX Runtime's symbolic one."""
    import onnx

    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except Exception:  # a rank that contradicts the file; the tools can still work with less
        inferred = model
    if _untyped(inferred):
        inferred = _symbolic(inferred)
    return inferred


def _untyped(model: Any) -> int:
    known = {v.name for group in (model.graph.value_info, model.graph.input, model.graph.output) for v in group
             if v.type.tensor_type.elem_type}
    return sum(o not in known for n in model.graph.node for o in n.output if o)


def _symbolic(model: Any) -> Any:
    """ONNX Runtime's inference knows its own operators; it is a bonus that may fail."""
    import contextlib
    import io

    try:
        from onnxruntime.tools.symbolic_shape_infer import SymbolicShapeInference

        with contextlib.redirect_stdout(io.StringIO()):
            return SymbolicShapeInference.infer_shapes(model, auto_merge=True, guess_output_rank=False)
    except Exception:
        return model


def _slim(model: Any, skip: list[str] | None = None) -> Any:
    """Constant folding, BatchNorm folding, dead and repeated nodes: https://github.com/inisis/OnnxSlim

    Args:
        model: not changed.
        skip: OnnxSlim's names of what to leave out.
    """
    import onnx
    import onnxslim

    if len(model.graph.node) > _MOST_NODES_TO_SLIM:
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for output in copy.graph.output:  # files declare wrong output shapes, and the slimmer believes them
        output.type.tensor_type.ClearField("shape")
    slimmed = onnxslim.slim(copy, skip_optimizations=skip)
    for output, declared in zip(slimmed.graph.output, model.graph.output, strict=True):
        output.CopyFrom(declared)
    return slimmed


def _if_same(model: Any, step: Callable[[Any], Any], feed: dict[str, np.ndarray] | None, notes: list[str]) -> Any:
    """The model after a step, or the model before it when the step failed or changed the outputs."""
    try:
        after = step(model)
        if feed is None:
            _onnx_io.session(after)
            return after
        reference = _onnx_io.run(model, feed)
        if _same_signature(model, after) and _check.agreement(_onnx_io.run(after, feed), reference) >= SAME:
            return after
        notes.append("constant folding would have changed the outputs and was left out")
    except Exception as error:  # third-party code on files nobody has seen: the step is optional
        notes.append(f"constant folding was left out: {_onnx_io.one_line(error)}")
    return model


def _same_signature(a: Any, b: Any) -> bool:
    def names(model: Any) -> list[list[str]]:
        return [[v.name for v in _onnx_io.graph_inputs(model)], [v.name for v in model.graph.output]]

    return names(a) == names(b)
