"""Looks into a Keras file before Keras does: what needs code from outside is refused, not run.

``tf_keras`` unpickles the byte code of Lambda layers in .h5 files whatever ``safe_mode`` says, and a config may
name any importable class (the family of CVE-2025-1550), so the check reads the config itself.
"""

from __future__ import annotations

import builtins
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import InputError

_TRUSTED = ("keras", "tf_keras", "tensorflow", "tensorflow_model_optimization")
_NEXT = "export it to SavedModel or ONNX where its code is at hand, and load that"


def config(path: Path) -> Any:
    """The model's config (plain JSON values) from a .keras or .h5 file.

    Raises:
        InputError: the file is neither, is damaged, or holds weights only.
    """
    if not path.is_file():
        raise InputError(f"{path.name}: no such file in {path.parent}")
    try:
        text = _from_zip(path) if zipfile.is_zipfile(path) else _from_h5(path)
        return json.loads(text)
    except (OSError, KeyError, ValueError, RecursionError, zipfile.BadZipFile) as error:
        raise InputError(f"{path.name} is not a readable Keras model (.keras or .h5): {error}") from None


def refuse_code(path: Path) -> None:
    """Refuses a file that would run code from inside it, or from a module that it names.

    Raises:
        InputError: names the layer or class, and what to do instead.
    """
    try:
        for entry in _dicts(config(path)):
            _check(path, entry)
    except RecursionError:
        raise InputError(f"{path.name}: its config is nested too deep to be a model") from None


def uses_tfmot(path: Path) -> bool:
    """True when the model holds wrappers of tensorflow-model-optimization (quantization-aware or pruned)."""
    names = {str(d.get("class_name", "")) for d in _dicts(config(path))}
    return any(n.split(">")[-1].startswith(("Quantize", "Prune")) for n in names)


def _from_zip(path: Path) -> str:
    with zipfile.ZipFile(path) as archive:
        return archive.read("config.json").decode()


def _from_h5(path: Path) -> str:
    import h5py

    with h5py.File(path, "r") as file:
        if "model_config" not in file.attrs:
            raise ValueError("it holds no model config; files with weights only need the model around them")
        text = file.attrs["model_config"]
    return text.decode() if isinstance(text, bytes) else str(text)


def _dicts(value: Any) -> Iterator[dict]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _dicts(item)


def _check(path: Path, entry: dict) -> None:
    name, inner = entry.get("class_name"), entry.get("config")
    legacy_lambda = name == "Lambda" and isinstance(inner, dict) and (
        "function_type" in inner or isinstance(inner.get("function"), list))
    if name == "__lambda__" or legacy_lambda:
        raise InputError(f"{path.name} holds a Lambda layer, whose Python code would run on loading: {_NEXT}")
    module = entry.get("module")
    if name is None or not isinstance(module, str):
        return
    if module == "builtins":
        if isinstance(inner, str) and hasattr(builtins, inner):
            raise InputError(f"{path.name} names the Python function '{inner}' as part of the model: refused")
    elif module.split(".")[0] not in _TRUSTED:
        raise InputError(f"{path.name} needs '{name}' of the Python module '{module}', which is not in the file: "
                         f"{_NEXT}")
