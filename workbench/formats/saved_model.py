"""Reads TensorFlow SavedModel folders from their graph alone; the model is not loaded and no operator runs.

Layout: https://www.tensorflow.org/guide/saved_model
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..model import ModelFormat, TensorSpec
from . import isolated
from .base import UNKNOWN_RANK, Inspection, Options, Probe, elements, natural_order

_DEFAULT = "serving_default"
_GRAPH_FILES = ("saved_model.pb", "saved_model.pbtxt")
_BOOKKEEPING = ("Const", "Placeholder", "Identity", "IdentityN", "NoOp", "ReadVariableOp", "VarHandleOp", "VariableV2",
                "PartitionedCall", "StatefulPartitionedCall")
_PYTHON = ("PyFunc", "PyFuncStateless", "EagerPyFunc")
_MAX_FILES = 100_000


def sniff(found: Probe) -> bool:
    """A folder with a saved_model.pb."""
    return found.is_dir and bool(set(_GRAPH_FILES) & set(found.members))


def read(found: Probe, options: Options) -> Inspection:
    """Specs and counts of the serving signature.

    Raises:
        InputError: damaged, incomplete, no signature, or unsafe.
        MissingError: TensorFlow is not installed.
        WorkerError: the worker hung or ran out of memory.
    """
    if "saved_model.pb" not in found.members:
        raise InputError(f"{found.path.name} is a SavedModel in text form: save it again in the usual binary form")
    files = _files(found.path)
    if not (found.path / "saved_model.pb").stat().st_size:
        raise InputError(f"{found.path.name}/saved_model.pb is empty: export the model again")
    return isolated.inspect("saved_model", found.path, files, Options(), package="tensorflow")


def _files(folder: Path) -> tuple[Path, ...]:
    """Every file below the folder, saved_model.pb first."""
    found: list[Path] = []
    for root, _, names in os.walk(folder):
        found += [Path(root, name) for name in names]
        if len(found) > _MAX_FILES:
            raise InputError(f"{folder} holds more than {_MAX_FILES} files: give the SavedModel's own folder")
    found = [f for f in found if f.is_file()]
    return tuple(sorted(found, key=lambda f: (f != folder / "saved_model.pb", f.relative_to(folder).as_posix())))


def inspect_here(path: Path, options: Options) -> Inspection:
    """What :func:`read` returns; loads TensorFlow for its message classes, so it runs in a worker.

    Raises:
        InputError: see :func:`read`.
    """
    meta = _meta_graph(path)
    key, signature = _signature(path, meta)
    graph = _Graph(meta, [t.name for t in signature.outputs.values()])
    _refuse_unsafe(path, meta.graph_def)
    others = sorted(k for k in meta.signature_def if k not in (key, "__saved_model_init_op"))
    notes = [f"signature '{key}'" + (f"; others: {', '.join(others)[:200]}" if others else "")]
    return Inspection(
        format=ModelFormat.SAVED_MODEL, inputs=_specs(signature.inputs), outputs=_specs(signature.outputs),
        parameters=graph.parameters, nodes=graph.nodes, notes=tuple(notes))


def _meta_graph(path: Path) -> Any:
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    from . import wire

    damaged = InputError(f"{path.name}/saved_model.pb is damaged or cut short: export the model again")
    content = (path / "saved_model.pb").read_bytes()
    message = saved_model_pb2.SavedModel()
    try:
        wire.check(memoryview(content), message.DESCRIPTOR)
        message.ParseFromString(content)
    except (DecodeError, wire.WireError, wire.TooMany):
        raise damaged from None
    if not message.meta_graphs:
        raise damaged
    return next((m for m in message.meta_graphs if "serve" in m.meta_info_def.tags), message.meta_graphs[0])


def _signature(path: Path, meta: Any) -> tuple[str, Any]:
    keys = sorted(k for k, s in meta.signature_def.items() if s.outputs and not k.startswith("__"))
    if not keys:
        raise InputError(f"{path.name} has no serving signature: export it with model.export(...) or "
                         "tf.saved_model.save(..., signatures=...)")
    if _DEFAULT not in keys and len(keys) > 1:
        raise InputError(f"{path.name} has no signature '{_DEFAULT}' but {', '.join(keys)[:200]}: "
                         "save it again with the one to measure under that name")
    key = _DEFAULT if _DEFAULT in keys else keys[0]
    return key, meta.signature_def[key]


def _specs(tensors: Any) -> tuple[TensorSpec, ...]:
    """Specs by signature name, sorted: the file itself keeps no order."""
    import tensorflow as tf

    specs = []
    for name in natural_order(sorted(tensors)):
        info = tensors[name]
        shape = info.tensor_shape
        sizes = tuple(None if d.size < 0 else int(d.size) for d in shape.dim)
        dtype = tf.dtypes.as_dtype(info.dtype).name
        specs.append(TensorSpec(name, "str" if dtype == "string" else dtype,
                                UNKNOWN_RANK if shape.unknown_rank else sizes))
    return tuple(specs)


class _Graph:
    """What the signature's outputs reach: operators (through calls and control flow) and weights."""

    def __init__(self, meta: Any, outputs: Iterable[str]) -> None:
        self.operators: list[str] = []
        self.parameters = 0
        self._functions = {f.signature.name: f for f in meta.graph_def.library.function}
        self._seen: set[str] = set()
        nodes = {n.name: n for n in meta.graph_def.node}
        for node in _reached(nodes, outputs):
            self._add(node)

    @property
    def nodes(self) -> int:
        """Operators that compute."""
        return sum(op not in _BOOKKEEPING for op in self.operators)

    def _add(self, first: Any) -> None:
        todo = [first]
        while todo:
            node = todo.pop()
            self.operators.append(node.op)
            self.parameters += _weight(node)
            for name in _called(node):
                if name in self._functions and name not in self._seen:
                    self._seen.add(name)
                    todo += self._functions[name].node_def


def _reached(nodes: dict[str, Any], outputs: Iterable[str]) -> list[Any]:
    todo, seen, found = [_node_name(o) for o in outputs], set(), []
    while todo:
        name = todo.pop()
        if name in seen or name not in nodes:
            continue
        seen.add(name)
        found.append(nodes[name])
        todo += [_node_name(i) for i in nodes[name].input]
    return found


def _node_name(tensor: str) -> str:
    return tensor.removeprefix("^").split(":")[0]


def _called(node: Any) -> list[str]:
    """Functions that a node names (f, body, cond, then_branch, ...)."""
    names = [v.func.name for v in node.attr.values() if v.HasField("func")]
    return names + [f.name for v in node.attr.values() for f in v.list.func]


def _weight(node: Any) -> int:
    """Elements of a variable, or of a real-valued constant array (frozen graphs keep their weights there)."""
    import tensorflow as tf

    if node.op in ("VarHandleOp", "VariableV2", "Variable"):
        return max(0, elements(d.size for d in node.attr["shape"].shape.dim))
    if node.op == "Const":
        tensor = node.attr["value"].tensor
        size = elements(d.size for d in tensor.tensor_shape.dim)
        return size if size > 1 and tf.dtypes.as_dtype(tensor.dtype).is_floating else 0
    return 0


def _refuse_unsafe(path: Path, graph: Any) -> None:
    """Looks at every node, for initializers run as soon as the model is loaded."""
    for nodes in (graph.node, *(f.node_def for f in graph.library.function)):
        for node in nodes:
            if node.op in _PYTHON:
                raise InputError(f"{path.name} calls back into Python ({node.op}), which no other program can run: "
                                 "replace tf.py_function by TensorFlow operators and export it again")
            prints_to_file = node.op == "PrintV2" and node.attr["output_stream"].s.startswith(b"file:")
            if node.op == "WriteFile" or prints_to_file:
                raise InputError(f"{path.name} writes files when it runs ({node.op}): refused")
