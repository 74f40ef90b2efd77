"""Reads TorchScript archives (.pt): names from the file, shapes from an example, a trial run in a worker process."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..model import Dim, ModelFormat, TensorSpec
from . import archive, isolated
from .base import Inspection, Options, Probe, unique_names

SIDE_FILE = "workbench_inputs.json"  # kept inside archives that the workbench itself saves
_BATCH = "batch"


def sniff(found: Probe) -> bool:
    """A torch archive with code in it; weights alone have none."""
    files = found.members
    return any(n.endswith("constants.pkl") for n in files) and any("/code/" in n for n in files)


def read(found: Probe, options: Options) -> Inspection:
    """Specs and counts of a TorchScript module.

    Raises:
        InputError: damaged, not callable on tensors, or its input shapes are not known.
        MissingError: PyTorch is not installed.
        WorkerError: the worker hung or ran out of memory.
    """
    if not options.examples and not options.fix:
        options = options._replace(examples=_saved_examples(found.path))
    return isolated.inspect("torchscript", found.path, (found.path,), options, package="torch")


def _saved_examples(path: Path) -> tuple[tuple[str, str, tuple[int, ...]], ...]:
    with archive.open_archive(path) as opened:
        member = next((n for n in opened.namelist() if n.endswith(f"/extra/{SIDE_FILE}")), None)
        if member is None:
            return ()
        try:
            return tuple((str(n), str(t), tuple(int(d) for d in s)) for n, t, s in archive.read_json(opened, member))
        except (TypeError, ValueError):
            return ()


def side_file(examples: tuple[tuple[str, str, tuple[int, ...]], ...]) -> dict[str, str]:
    """``_extra_files`` for ``torch.jit.save``, so that the archive can be opened again without examples."""
    return {SIDE_FILE: json.dumps(examples)}


def inspect_here(path: Path, options: Options) -> Inspection:
    """What :func:`read` returns; loads PyTorch, so it runs in a worker. Runs the module on zeros.

    Raises:
        InputError: see :func:`read`.
    """
    import torch

    try:
        module = torch.jit.load(str(path), map_location="cpu").eval()
    except (RuntimeError, ValueError, OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path.name} is a damaged TorchScript file, or needs another PyTorch: "
                         f"{_line(error)}") from None
    names = _input_names(path, module)
    inputs, outputs = _trial(path, module, _examples(path, names, options))
    notes = ["TorchScript does not store input shapes: they come from the example"]
    if any(s.shape[:1] == (_BATCH,) for s in inputs):
        notes.append("the first axis was seen to be free (tried with one more sample)")
    return Inspection(
        format=ModelFormat.TORCHSCRIPT, inputs=inputs, outputs=outputs,
        parameters=sum(p.numel() for p in module.parameters()), nodes=_operators(module), notes=tuple(notes))


def _input_names(path: Path, module: Any) -> list[str]:
    """Tensor arguments of ``forward`` that have no default.

    Raises:
        InputError: there is no ``forward``, or it wants something that is no tensor.
    """
    if not hasattr(module, "forward"):
        raise InputError(f"{path.name} has no 'forward' method: save the module that is called on data")
    names = []
    for argument in module.forward.schema.arguments[1:]:
        if argument.has_default_value():
            continue
        if str(argument.type) != "Tensor":
            raise InputError(f"{path.name}: input '{argument.name}' is a {argument.type}, not a tensor: wrap the "
                             "module so that 'forward' takes tensors only")
        names.append(argument.name)
    return names


def _examples(path: Path, names: list[str], options: Options) -> list[tuple[str, str, tuple[int, ...]]]:
    """(name, dtype, shape) of every input; '' as dtype when only the shape is known."""
    given = options.examples
    if given and not any(n for n, _, _ in given):
        if len(given) != len(names):
            raise InputError(f"{path.name} takes {len(names)} inputs ({', '.join(names)}), example_inputs has "
                             f"{len(given)}")
        return [(name, t, s) for name, (_, t, s) in zip(names, given, strict=True)]
    known = {n: (n, "", s) for n, s in options.fix} | {n: (n, t, s) for n, t, s in given}
    for name in names:
        if name not in known:
            raise InputError(f"what shape does input '{name}' of {path.name} have? TorchScript does not store it: load "
                             f"with example_inputs=(array, ...) or fix={{'{name}': [1, 3, 224, 224]}}")
    return [known[n] for n in names]


def _trial(path: Path, module: Any, examples: list[tuple[str, str, tuple[int, ...]]]) -> tuple[tuple, tuple]:
    """Specs seen in a run on zeros; an axis 0 that follows the input's is free."""
    import torch

    error: Exception | None = None
    for fallback in ("float32", "int64"):  # a shape alone: images and signals first, then token numbers
        try:
            with torch.no_grad():
                outputs = _flatten(module(*_zeros(examples, fallback, 0)))
            break
        except (RuntimeError, IndexError, TypeError, NotImplementedError) as failed:
            error = error or failed
    else:
        shapes = ", ".join(f"{n} {list(s)}" for n, _, s in examples)
        raise InputError(f"{path.name} does not run on inputs of shape {shapes}: {_line(error)}; give example_inputs "
                         "of the right shapes and types")
    free = _free_batch(module, examples, fallback, outputs)
    inputs = tuple(TensorSpec(n, t or fallback, _shape(s, free)) for n, t, s in examples)
    names = unique_names(n for n, _ in outputs)
    return inputs, tuple(TensorSpec(n, _dtype(o), _shape(tuple(o.shape), free))
                         for n, (_, o) in zip(names, outputs, strict=True))


def _free_batch(module: Any, examples: list, fallback: str, outputs: list) -> bool:
    import torch

    sizes = {s[0] for _, _, s in examples if s}  # scalars stay as they are
    if len(sizes) != 1:
        return False
    size = sizes.pop()
    try:
        with torch.no_grad():
            more = _flatten(module(*_zeros(examples, fallback, 1)))
    except (RuntimeError, IndexError, TypeError, NotImplementedError):
        return False
    return all(tuple(b.shape) == (size + 1, *a.shape[1:]) and a.shape[:1] == (size,)
               for (_, a), (_, b) in zip(outputs, more, strict=False))


def _zeros(examples: list, fallback: str, extra: int) -> list[Any]:
    import torch

    return [torch.zeros((s[0] + extra, *s[1:]) if s else (), dtype=getattr(torch, t or fallback))
            for _, t, s in examples]


def _flatten(value: Any, name: str = "output") -> list[tuple[str, Any]]:
    """(name, tensor) of every tensor in a result: one is 'output', several 'output_0', ..., dicts keep their keys."""
    import torch

    if isinstance(value, torch.Tensor):
        return [(name, value)]
    if isinstance(value, dict):
        return [pair for key, item in value.items() for pair in _flatten(item, str(key))]
    if isinstance(value, (list, tuple)):
        return [pair for i, item in enumerate(value) for pair in _flatten(item, f"{name}_{i}")]
    return []


def _shape(shape: tuple[int, ...], free: bool) -> tuple[Dim, ...]:
    return (_BATCH, *shape[1:]) if free and shape else shape


def _dtype(tensor: Any) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _operators(module: Any) -> int:
    """Operators after all calls are opened, branches and loop bodies included."""
    graph = getattr(module, "inlined_graph", None)
    if graph is None:
        return 0
    count, todo = 0, [graph]
    while todo:
        for node in todo.pop().nodes():
            count += not node.kind().startswith("prim::")
            todo += node.blocks()
    return count


def _line(error: Exception | None) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:200]
