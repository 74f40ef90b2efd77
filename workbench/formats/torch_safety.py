"""Refuses torch.export archives that would run code when PyTorch loads them.

``torch.export.load`` (2.13) falls back to full unpickling, hands size formulas to sympy's evaluator, executes guard
lines and writes names into generated Python; each of these is checked against what plain tensors need.
"""

from __future__ import annotations

import ast
import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import InputError
from . import archive, pickles

OLD_PROGRAM = "serialized_exported_program.json"  # layout of PyTorch before 2.8
_ADVICE = "refused; export it again with plain tensors (torch.export.save)"
_NAME = re.compile(r"[\w.:#/\- ]*")
_NAME_KEYS = ("name", "target", "fqn", "parameter_name", "buffer_name", "tensor_constant_name", "user_input_name")
_PAYLOAD = re.compile(r"(weight|tensor)_\d+")
_FORMULA_NODES = (ast.Expression, ast.Call, ast.Name, ast.Load, ast.Constant, ast.keyword, ast.BinOp, ast.UnaryOp,
                  ast.BoolOp, ast.Compare, ast.operator, ast.unaryop, ast.boolop, ast.cmpop, ast.Subscript,
                  ast.Attribute, ast.IfExp)
_FUNCTIONS = re.compile(
    r"Symbol|Integer|Rational|Float|Max|Min|Mod|Pow|Add|Mul|Abs|And|Or|Not|Eq|Ne|Equality|Unequality|Lt|Le|Gt|Ge|"
    r"(Strict)?(Less|Greater)Than|Piecewise|floor|ceiling|log2|sqrt|FloorDiv|CleanDiv|CeilDiv|PythonMod|"
    r"ModularIndexing|Where|ToFloat|IntTrueDiv|FloatTrueDiv|TruncToInt|CeilToInt|FloorToInt|RoundToInt|RoundDecimal|"
    r"PowByNatural|FloatPow|LShift|RShift|Identity|max|min|abs|len|int|float|bool")
_ATTRIBUTES = ("size", "stride", "shape", "ndim", "dim", "storage_offset")


def refuse_code(path: Path, opened: zipfile.ZipFile, program: dict[str, Any]) -> None:
    """Checks formulas, guards, names, pickles and compiled code of an archive.

    Args:
        path: the archive, for the message.
        opened: the archive.
        program: its parsed model.json.

    Raises:
        InputError: something would run, or cannot be told not to.
    """
    for text in (*_strings(program, ("expr_str",)), *program.get("guards_code", ())):
        if not _is_formula(text):
            raise InputError(f"{path.name} has a size formula that would run code ({text[:60]!r}): {_ADVICE}")
    for text in (*_strings(program, _NAME_KEYS), *_argument_names(program)):
        if not _NAME.fullmatch(text):
            raise InputError(f"{path.name} has a name that would become code ({text[:60]!r}): {_ADVICE}")
    for member in opened.namelist():
        _check_member(path, opened, member)


def _check_member(path: Path, opened: zipfile.ZipFile, member: str) -> None:
    lower = member.lower()  # PyTorch finds members without regard to case
    if lower.endswith(("_weights_config.json", "_constants_config.json")):
        folder = member.rsplit("/", 1)[0]
        for entry in archive.read_json(opened, member)["config"].values():
            if not _PAYLOAD.fullmatch(entry["path_name"]):
                raise InputError(f"{path.name} holds a pickled object ('{entry['path_name'][:60]}'), which would run "
                                 f"code: {_ADVICE}")
            if entry["use_pickle"]:
                _check_pickle(path, opened, f"{folder}/{entry['path_name']}")
    elif "aotinductor/" in lower:
        raise InputError(f"{path.name} holds compiled code (AOTInductor), which is never run from here: {_ADVICE}")
    elif lower.endswith((".pt", ".pkl")) or (lower.startswith("serialized_") and lower != OLD_PROGRAM):
        _check_pickle(path, opened, member)


def _check_pickle(path: Path, opened: zipfile.ZipFile, member: str) -> None:
    """A member that PyTorch would unpickle: torch.save's archive, or a bare pickle."""
    data = archive.read(opened, member, limit=2**34)
    streams = [data] if data else []
    if data.startswith(b"PK"):
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as inner:
                streams = [inner.read(n) for n in inner.namelist() if n.lower().endswith(".pkl")]
        except zipfile.BadZipFile:
            raise InputError(f"{path.name}: '{member}' is damaged: export the model again") from None
    foreign = next(filter(None, map(pickles.foreign_name, streams)), "")
    if foreign:
        raise InputError(f"{path.name}: '{member}' would run code when loaded ({foreign[:80]}): {_ADVICE}")


def _strings(item: Any, keys: tuple[str, ...]) -> Iterator[str]:
    """Text under the given keys, at any depth."""
    todo = [item]
    while todo:
        value = todo.pop()
        if isinstance(value, dict):
            yield from (v for k, v in value.items() if k in keys and isinstance(v, str))
            todo += value.values()
        elif isinstance(value, list):
            todo += value


def _argument_names(program: dict[str, Any]) -> Iterator[str]:
    for call in program["graph_module"].get("module_call_graph") or ():
        yield from (call.get("signature") or {}).get("forward_arg_names") or ()


def _is_formula(text: str) -> bool:
    """Arithmetic over sizes: numbers, names, known functions, ``L['x'].size()[0]``; nothing else."""
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return all(_is_plain(node) for node in ast.walk(tree))


def _is_plain(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr in _ATTRIBUTES
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return _FUNCTIONS.fullmatch(node.func.id) is not None
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Attribute)
    if isinstance(node, ast.Name):
        return "__" not in node.id
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.fullmatch(r"\w*", node.value) is not None and "__" not in node.value
    return isinstance(node, _FORMULA_NODES)
