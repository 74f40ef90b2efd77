"""Inference workbench: pick a model, toggle optimizations, see what each did, trust the numbers.

Public names load on first use; importing the package loads no framework and no user interface.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "load": "model",
    "Model": "model",
    "TensorSpec": "model",
    "Dataset": "datasets",
    "Recipe": "recipe",
    "Plan": "measure",
    "Study": "study",
    "Engine": "engine",
    "Result": "results",
    "WorkbenchError": "errors",
    "open": "views.dashboard",
    "seed_table": "seed",
    "bench": "views.notebook.bench",
    "large_text": "views.widgets.chart",
    "meeting": "views.meeting",
    "report": "export.report",
    "tune": "tuning",
    "sweep": "sweeps",
    "sweep_view": "views.sweep_view",
    "leak_check": "leaks",
    "load_test": "loads",
    "show": "views.show",
    "Pipeline": "pipeline",
    "where_time_goes": "where",
}
__all__ = [*_PUBLIC, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'workbench' has no attribute '{name}'")
    value = getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_PUBLIC))
