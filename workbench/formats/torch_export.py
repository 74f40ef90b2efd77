"""Reads torch.export archives (.pt2) as JSON, without PyTorch.

``torch.export.load`` unpickles and evaluates what it finds, so the archive is checked here before anything loads it.
Layout: https://docs.pytorch.org/docs/stable/export/pt2_archive.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..model import Dim, ModelFormat, TensorSpec
from . import archive, torch_safety
from .base import Inspection, Options, Probe, elements, unique_names

# ScalarType of torch/_export/serde/schema.py
_DTYPES = {1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64",
           9: "complex32", 10: "complex64", 11: "complex128", 12: "bool", 13: "bfloat16", 28: "uint16",
           29: "float8e4m3fn", 30: "float8e5m2", 31: "float8e4m3fnuz", 32: "float8e5m2fnuz", 33: "float8e8m0",
           34: "uint32", 35: "uint64"}
_SYMBOL = re.compile(r"Symbol\('(\w+)'[^()]*\)|([a-z]\w*)")


def sniff(found: Probe) -> bool:
    """An archive with a serialized exported program."""
    return any(_is_program(n) for n in found.members)


def read(found: Probe, options: Options) -> Inspection:
    """Specs and counts of an exported program.

    Raises:
        InputError: damaged, several programs, or content that would run code when loaded.
    """
    path = found.path
    with archive.open_archive(path) as opened:
        programs = [n for n in opened.namelist() if _is_program(n)]
        if len(programs) > 1:
            raise InputError(f"{path.name} holds {len(programs)} programs: save one a file with torch.export.save")
        program = archive.read_json(opened, programs[0])
        try:
            torch_safety.refuse_code(path, opened, program)
            return _inspection(path, program)
        except (KeyError, TypeError, AttributeError, IndexError, ValueError):
            raise InputError(f"{path.name} is damaged, or written by a PyTorch whose layout is not known here: "
                             "export it again with torch.export.save") from None


def _is_program(name: str) -> bool:
    return name == torch_safety.OLD_PROGRAM or bool(re.fullmatch(r"(.+/)?models/[^/]+\.json", name, re.IGNORECASE))


def _inspection(path: Path, program: dict[str, Any]) -> Inspection:
    module = program["graph_module"]
    graph, signature = module["graph"], module["signature"]
    values = graph["tensor_values"]
    inputs, parameters, notes = [], 0, [f"exported by PyTorch {program.get('torch_version') or '(unknown)'}"]
    for entry in signature["input_specs"]:
        (kind, spec), = entry.items()
        if kind == "parameter":
            parameters += elements(d["as_int"] for d in values[spec["arg"]["name"]]["sizes"])
        elif kind == "user_input":
            inputs += _tensors(spec["arg"], values, notes, "input")
    outputs = []
    for entry in signature["output_specs"]:
        (kind, spec), = entry.items()
        if kind == "user_output":
            outputs += _tensors(spec["arg"], values, notes, "output")
    if not outputs:
        raise ValueError("no outputs")
    for symbol, limits in sorted(program.get("range_constraints", {}).items()):
        if (limits.get("min_val") or 0) > 1:
            notes.append(f"size '{symbol}' must be at least {limits['min_val']}")
    return Inspection(
        format=ModelFormat.TORCH_EXPORT, inputs=tuple(inputs), outputs=_renamed(outputs), parameters=parameters,
        nodes=sum(1 for _ in _operators(graph)), notes=tuple(notes), files=(path,))


def _tensors(argument: dict[str, Any], values: dict[str, Any], notes: list[str], role: str) -> list[TensorSpec]:
    (kind, value), = argument.items()
    if kind == "as_tensor":
        meta = values[value["name"]]
        dtype = _DTYPES.get(meta["dtype"], f"type {meta['dtype']}")
        return [TensorSpec(value["name"], dtype, tuple(_dim(d) for d in meta["sizes"]))]
    if kind != "as_none":
        notes.append(f"an {role} that is no tensor ({kind.removeprefix('as_')}) is fixed as exported")
    return []


def _renamed(specs: list[TensorSpec]) -> tuple[TensorSpec, ...]:
    """One output may be returned twice; names are keys."""
    names = unique_names(s.name for s in specs)
    return tuple(TensorSpec(n, s.dtype, s.shape) for n, s in zip(names, specs, strict=True))


def _dim(size: dict[str, Any]) -> Dim:
    """A number, the name of a free size, or None for a formula of sizes."""
    if "as_int" in size:
        return int(size["as_int"])
    found = _SYMBOL.fullmatch(size["as_expr"]["expr_str"].strip())
    return (found.group(1) or found.group(2)) if found else None


def _operators(graph: dict[str, Any]) -> Iterator[str]:
    """Targets of the nodes that compute, branches and loop bodies included."""
    todo = [graph]
    while todo:
        nodes = todo.pop()["nodes"]
        for node in nodes:
            if node["target"].startswith("torch.ops."):
                yield node["target"]
            arguments = [i["arg"] for i in node["inputs"]]
            todo += [a["as_graph"]["graph"] for a in arguments if isinstance(a, dict) and "as_graph" in a]
