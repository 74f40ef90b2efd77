"""The architecture text inside Keras files, read without Keras: which Keras wrote it, and is it safe to load?"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import InputError
from . import archive

_TRUSTED = ("keras", "tf_keras", "tensorflow", "tensorflow_model_optimization", "builtins")
_PYTHON_CODE = ("Lambda", "__lambda__")
_TFMOT_CLASSES = ("QuantizeWrapper", "QuantizeWrapperV2", "QuantizeLayer", "PruneLowMagnitude", "QuantizeAnnotate")
_EXPORT = "in the program that made it, export it as SavedModel (model.export) or ONNX"


class Architecture(NamedTuple):
    """What the text tells.

    Attributes:
        legacy: written by Keras 2 (tf.keras up to TensorFlow 2.15, or tf_keras).
        tfmot: holds wrappers of tensorflow-model-optimization.
        version: Keras version that wrote it, '' when the file does not tell.
    """

    legacy: bool
    tfmot: bool
    version: str


def read(path: Path) -> Architecture:
    """Reads a .keras archive or an .h5 file; nothing in it is executed.

    Raises:
        InputError: damaged, weights only, or with Python code or links to other files inside.
    """
    with path.open("rb") as stream:
        is_zip = stream.read(4) == b"PK\x03\x04"
    config, version = _from_archive(path) if is_zip else _from_h5(path)
    if not isinstance(config, dict) or not isinstance(config.get("config"), dict):
        raise InputError(f"{path.name} holds no Keras architecture: save the whole model with model.save")
    _refuse_code(path, config)
    nodes = list(_dicts(config))
    major = version.split(".")[0]
    old_style = any("batch_input_shape" in d for d in nodes)
    return Architecture(
        legacy=int(major) < 3 if major.isdigit() else old_style,
        tfmot=any(d.get("class_name") in _TFMOT_CLASSES for d in nodes), version=version)


def _from_archive(path: Path) -> tuple[Any, str]:
    with archive.open_archive(path) as opened:
        members = opened.namelist()
        if "config.json" not in members:
            raise InputError(f"{path.name} has no config.json inside: it is no Keras model, or weights only; "
                             "save the whole model with model.save")
        metadata = archive.read_json(opened, "metadata.json") if "metadata.json" in members else {}
        for member in members:
            if member.endswith(".h5"):
                _check_member(path, opened, member)
        version = metadata.get("keras_version") if isinstance(metadata, dict) else ""
        return archive.read_json(opened, "config.json"), str(version or "")


def _from_h5(path: Path) -> tuple[Any, str]:
    import h5py

    _check_links(path, path)
    try:
        with h5py.File(path, "r") as file:
            attributes = {k: file.attrs[k] for k in ("model_config", "keras_version") if k in file.attrs}
    except (OSError, RuntimeError, ValueError, KeyError):
        raise _damaged(path) from None
    text = attributes.get("model_config")
    if text is None:
        raise InputError(f"{path.name} holds weights but no architecture: save the whole model with model.save")
    version = attributes.get("keras_version", "")
    version = version.decode("utf-8", "replace") if isinstance(version, bytes) else str(version)
    return archive.parse_json(text, f"{path.name}: 'model_config'"), version


def _check_member(path: Path, opened: zipfile.ZipFile, member: str) -> None:
    with tempfile.TemporaryFile() as copy:  # HDF5 jumps about in its file, a zip member cannot
        try:
            with opened.open(member) as source:
                shutil.copyfileobj(source, copy)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError):
            raise _damaged(path) from None
        _check_links(path, copy)


def _check_links(path: Path, source: Any) -> None:
    """HDF5 files can pull in other files (external links, external storage): never wanted in a model."""
    import h5py

    try:
        with h5py.File(source, "r") as file:
            todo, seen = [file], set()
            while todo:
                group = todo.pop()
                place = h5py.h5o.get_info(group.id).addr
                if place in seen:  # groups may contain each other
                    continue
                seen.add(place)
                for name in group:
                    link = group.get(name, getlink=True)
                    if isinstance(link, h5py.SoftLink):
                        continue
                    if isinstance(link, h5py.ExternalLink) or _is_foreign(group[name]):
                        raise InputError(f"{path.name} pulls in another file by an HDF5 link ('{name[:60]}'): refused")
                    if isinstance(group[name], h5py.Group):
                        todo.append(group[name])
    except (OSError, RuntimeError, ValueError, KeyError, RecursionError):
        raise _damaged(path) from None


def _is_foreign(item: Any) -> bool:
    import h5py

    return isinstance(item, h5py.Dataset) and bool(item.external or item.is_virtual)


def _damaged(path: Path) -> InputError:
    return InputError(f"{path.name} is a damaged or incomplete HDF5 file: copy or save it again")


def _refuse_code(path: Path, config: dict) -> None:
    for node in _dicts(config):
        name, module = node.get("class_name"), node.get("module")
        if name in _PYTHON_CODE or node.get("function_type") == "lambda":
            raise InputError(f"{path.name} holds a Lambda layer, that is Python code, which is not run from a file: "
                             f"replace it by a layer, or {_EXPORT}")
        registered = node.get("registered_name")
        own = isinstance(registered, str) and ">" in registered and not module  # 'package>Class' of the user's
        if own or (name and isinstance(module, str) and module and module.split(".")[0] not in _TRUSTED):
            raise InputError(f"{path.name} needs the class '{name}' from '{module or registered}', which is not part "
                             f"of Keras and is not loaded from a file: {_EXPORT}")


def _dicts(config: Any) -> Iterator[dict]:
    """Every dict inside, however deep; a loop, because hostile nesting would exhaust recursion."""
    todo = [config]
    while todo:
        item = todo.pop()
        if isinstance(item, dict):
            yield item
            todo += item.values()
        elif isinstance(item, list):
            todo += item
