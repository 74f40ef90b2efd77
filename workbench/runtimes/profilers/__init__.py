"""Profilers: how a runtime tells the time of each node. One module a runtime, called like the registry's row.

A module defines ``refused(settings) -> str | None`` (why it cannot tell, without loading anything) and
``open_profiler(request) -> Profiler``. A runtime without a module here is run, measured and compared all the same.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, Protocol

import numpy as np

from ...settings import SettingsBase
from ..base import Session


class NodeEvent(NamedTuple):
    """One node in one run.

    Attributes:
        run: number of the profiled run, from 0.
        name: the runtime's name of the node.
        op: what it computes.
        seconds: time of its own; what it spends in nodes inside it is theirs.
        origins: names in the file that were merged into it, where the runtime tells.
        precision: what it computes in, where the runtime tells.
        kernel: the implementation, where the runtime tells.
    """

    run: int
    name: str
    op: str
    seconds: float
    origins: tuple[str, ...] = ()
    precision: str = ""
    kernel: str = ""


class Profiler(Protocol):
    """A model that is ready to run with and without a profile; lives in a worker process."""

    session: Session  # the model as it is measured, for the unprofiled time

    def run(self, feeds: dict[str, np.ndarray]) -> float:
        """One profiled run; seconds of the run itself."""
        ...

    def events(self) -> list[NodeEvent]:
        """What all profiled runs told; called once, at the end."""
        ...

    def notes(self) -> list[str]:
        """What a reader must know about how these times were taken."""
        ...


def module(runtime: str) -> ModuleType | None:
    """The profiler of a runtime, or None."""
    name = f"{__name__}.{runtime}"
    return import_module(name) if runtime.isidentifier() and find_spec(name) else None


def refused(runtime: str, title: str, settings: SettingsBase | None) -> str | None:
    """Why a runtime cannot be profiled node by node, or None."""
    found = module(runtime)
    if found is None:
        return f"{title} has no profiler here; add workbench/runtimes/profilers/{runtime}.py"
    return found.refused(settings)


def self_times(spans: list[tuple[float, float, Any]]) -> list[tuple[Any, float]]:
    """Time of each span without what lies inside it (nodes of a Loop's body run inside the Loop).

    Args:
        spans: (start, end, key) of one thread, in any unit.

    Returns:
        (key, own time) of each span, by start.
    """
    found: list[list[Any]] = []
    open_spans: list[tuple[float, int]] = []
    for start, end, key in sorted(spans, key=lambda s: (s[0], -s[1])):
        while open_spans and open_spans[-1][0] <= start:
            open_spans.pop()
        if open_spans and end <= open_spans[-1][0]:
            found[open_spans[-1][1]][1] -= end - start
        found.append([key, end - start])
        open_spans.append((end, len(found) - 1))
    return [(key, max(0.0, own)) for key, own in found]


def temporary(prefix: str) -> Path:
    """A folder for what a framework writes; the worker that asked removes it."""
    import tempfile

    return Path(tempfile.mkdtemp(prefix=f"workbench-{prefix}-"))
