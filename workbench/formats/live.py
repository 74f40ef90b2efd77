"""Live models (Keras, PyTorch, ONNX objects) are saved at once and then treated as files.

Nothing is imported to find out what an object is: whoever made it has its framework loaded already.
"""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import InputError, WorkbenchError
from . import archive, keras_config, live_torch, store
from .base import content_hash

_KINDS = "a path, a Keras model, a torch module, an ExportedProgram, a TorchScript module or an ONNX ModelProto"


class Saved(NamedTuple):
    """A live model on disk: its path, what the user should know, and a short name."""

    path: Path
    notes: tuple[str, ...]
    name: str


def save(source: Any, example_inputs: Any) -> Saved:
    """Writes a live model into the cache folder, under a name made from its content.

    Args:
        source: the object.
        example_inputs: as for :func:`workbench.model.load`.

    Raises:
        InputError: no object that the workbench knows, or it cannot be saved; says what to do.
    """
    writer = _writer(source)
    name = _name(source)
    folder = store.scratch()
    try:
        artefact, notes = writer(source, folder / name, example_inputs)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, WorkbenchError) or not isinstance(error, Exception):
            raise
        cause = " ".join(str(error).split())[:240] or type(error).__name__
        raise InputError(f"cannot save this {type(source).__name__}: {cause}") from None
    files = tuple(sorted(f for f in folder.rglob("*") if f.is_file()))
    return Saved(store.keep(artefact, content_hash(files, folder)), notes, name)


def _writer(source: Any) -> Callable[[Any, Path, Any], tuple[Path, tuple[str, ...]]]:
    kinds = [(c.__module__, c.__qualname__) for c in type(source).__mro__]
    for module, cls in kinds:
        root = module.split(".")[0]
        if root in ("keras", "tf_keras") and cls == "Model":
            return _save_keras
        if module.startswith("torch.export") and cls == "ExportedProgram":
            return live_torch.save_exported
        if module.startswith("torch.jit") and cls in ("ScriptModule", "RecursiveScriptModule"):
            return live_torch.save_script
        if module == "torch.nn.modules.module" and cls == "Module":
            return live_torch.save_module
        if root == "onnx" and cls == "ModelProto":
            return _save_onnx
        if module.startswith("torch.onnx") and cls == "ONNXProgram":
            return lambda program, stem, examples: _save_onnx(program.model_proto, stem, examples)
    raise InputError(f"an object of type {type(source).__name__} is no model: give {_KINDS}")


def _name(source: Any) -> str:
    given = getattr(source, "name", None)
    text = given if isinstance(given, str) and given else type(getattr(source, "_orig_mod", source)).__name__
    text = "onnx_model" if text == "ModelProto" else text
    return re.sub(r"[^\w.-]+", "_", text)[:60] or "model"


def _save_onnx(proto: Any, stem: Path, examples: Any) -> tuple[Path, tuple[str, ...]]:
    import onnx

    if any(t.data_location == t.EXTERNAL for t in proto.graph.initializer):
        raise InputError("this ModelProto only points to its weights: load it with onnx.load(path), or give the path")
    path = stem.with_name(stem.name + ".onnx")
    if proto.ByteSize() < 2**31:
        path.write_bytes(proto.SerializeToString(deterministic=True))
    else:
        copy = type(proto)()
        copy.CopyFrom(proto)  # saving with external data empties the tensors of what is saved
        onnx.save_model(copy, path, save_as_external_data=True, location=path.name + ".data")
    return path, ()


def _save_keras(model: Any, stem: Path, examples: Any) -> tuple[Path, tuple[str, ...]]:
    """A .keras archive; a SavedModel when the model holds code of the user's own."""
    if examples is not None and not getattr(model, "built", True):
        model(examples[0] if isinstance(examples, (list, tuple)) and len(examples) == 1 else examples)
    path = stem.with_name(stem.name + ".keras")
    try:
        model.save(path)
        _steady(path)
        keras_config.read(path)
        return path, ()
    except Exception as error:  # custom layers, Lambdas, subclassed models: only their graph can be kept
        path.unlink(missing_ok=True)
        reason = " ".join(str(error).split())
    _require_export(model, reason)
    folder = stem.with_name(stem.name + "_saved_model")
    model.export(str(folder))
    return folder, ("kept as a SavedModel: it has layers of your own, whose code no file format holds",)


def _require_export(model: Any, reason: str) -> None:
    if not getattr(model, "built", True):
        raise InputError(f"{type(model).__name__} has no input shape yet: call it once on data, or give example_inputs")
    if not hasattr(model, "export"):
        raise InputError(f"cannot save this Keras model: {reason[:240]}")


def _steady(path: Path) -> None:
    """Takes the time stamps out of a .keras archive, so that one model has one content hash."""
    steady = path.with_suffix(".part")
    with archive.open_archive(path) as source, zipfile.ZipFile(steady, "w", zipfile.ZIP_STORED) as target:
        for name in source.namelist():
            if name == "metadata.json":
                text = re.sub(rb'"date_saved": "[^"]*"', b'"date_saved": ""', source.read(name))
                target.writestr(zipfile.ZipInfo(name), text)
                continue
            with source.open(name) as old, target.open(zipfile.ZipInfo(name), "w", force_zip64=True) as new:
                shutil.copyfileobj(old, new)
    steady.replace(path)

