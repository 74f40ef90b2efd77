"""LiteRT keeps the times of its nodes to itself: its Python interpreter has no profiler."""

from __future__ import annotations

from typing import Any

from ...errors import NotApplicable
from ..base import SessionRequest

_WHY = ("LiteRT's Python interpreter does not tell the time of single nodes (its profiler is part of the C++ tool "
        "benchmark_model only): profile the same model in ONNX Runtime or OpenVINO, which also reads TFLite files")


def refused(settings: Any) -> str | None:
    """Always."""
    return _WHY


def open_profiler(request: SessionRequest) -> None:
    """Refuses."""
    raise NotApplicable(_WHY)
