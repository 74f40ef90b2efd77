"""Readers of model files, one a format. Detection goes by content; the file ending only helps the messages.

A reader module defines ``sniff(probe) -> bool`` and ``read(probe, options) -> Inspection``. A new format takes a
module and one row here.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

from ..errors import InputError
from .base import Inspection, Options, Probe
from .probe import explain, probe

# Most certain first: a magic number decides at once, ONNX (which has none) is tried last.
READERS: tuple[str, ...] = ("saved_model", "tflite", "keras", "torch_export", "torchscript", "onnx")


def reader(found: Probe) -> ModuleType:
    """The module that reads this file.

    Raises:
        InputError: no format fits; says what the file is.
    """
    for name in READERS:
        module = import_module(f"{__name__}.{name}")
        if module.sniff(found):
            return module
    raise InputError(explain(found))


def inspect(path: Path, options: Options | None = None) -> Inspection:
    """Reads what a model is, without running anything that the file contains.

    Args:
        path: absolute path of a file, or of a SavedModel folder.
        options: see :class:`Options`.

    Raises:
        InputError: the path cannot be read, is no model, is damaged or unsafe; one line.
        MissingError: the framework that reads this format is not installed.
        WorkerError: the framework hung or ran out of memory while reading.
    """
    if path.name == "saved_model.pb":
        path = path.parent  # people point at the file; the folder is the model
    found = probe(path)
    return reader(found).read(found, options or Options())
