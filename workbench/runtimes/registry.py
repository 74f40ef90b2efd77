"""Which runtimes there are. A new one takes an adapter file and one row here."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from ..errors import InputError, MissingError
from ..model import ModelFormat as F
from ..settings import SettingsBase
from .base import RuntimeInfo

RUNTIMES: tuple[RuntimeInfo, ...] = (
    RuntimeInfo("onnxruntime", "ONNX Runtime", "_onnxruntime", "onnxruntime", "pip install onnxruntime", (F.ONNX,)),
    RuntimeInfo("litert", "LiteRT", "_litert", "ai_edge_litert", "pip install ai-edge-litert", (F.TFLITE,)),
    RuntimeInfo("tensorflow", "TensorFlow", "_tensorflow", "tensorflow", "pip install tensorflow",
                (F.KERAS, F.KERAS2, F.SAVED_MODEL)),
    RuntimeInfo("openvino", "OpenVINO", "_openvino", "openvino", "pip install openvino",
                (F.ONNX, F.TFLITE, F.SAVED_MODEL)),
    RuntimeInfo("torch", "PyTorch", "_torch", "torch", "pip install torch", (F.TORCH_EXPORT, F.TORCHSCRIPT)),
)


def info(name: str) -> RuntimeInfo:
    """The row of a runtime.

    Raises:
        InputError: no such runtime; names those there are.
    """
    for row in RUNTIMES:
        if row.name == name:
            return row
    raise InputError(f"unknown runtime '{name}'; allowed: {', '.join(r.name for r in RUNTIMES)}")


def missing(name: str) -> str | None:
    """None when the runtime's package is installed, else one line with the install command."""
    row = info(name)
    if find_spec(row.package) is not None:
        return None
    return f"{row.title} is not installed; install it with: {row.install}"


def adapter(name: str) -> ModuleType:
    """The adapter module (its framework loads only when a session opens).

    Raises:
        MissingError: the package is not installed.
    """
    reason = missing(name)
    if reason:
        raise MissingError(reason)
    return import_module(f"{__package__}.{info(name).module}")


def settings_class(name: str) -> type[SettingsBase]:
    """Settings of a runtime; works without its framework, so a recipe reads the same everywhere."""
    return import_module(f"{__package__}.{info(name).module}").Settings


def for_format(format: F) -> tuple[RuntimeInfo, ...]:
    """Runtimes that load a format directly, best known first."""
    return tuple(r for r in RUNTIMES if format in r.formats)
