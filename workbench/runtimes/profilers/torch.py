"""PyTorch: exported programs node by node, all else through torch.profiler."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import numpy as np

from ...model import ModelFormat
from .. import _torch
from ..base import SessionRequest
from . import NodeEvent

_RUN = "workbench_run"


def refused(settings: Any) -> str | None:
    """It tells with every setting."""
    return None


def open_profiler(request: SessionRequest) -> Any:
    """An interpreter that times each node of an exported program, or torch.profiler around the session."""
    plain = request.settings.mode in ("inference", "eager") and request.device == "cpu"
    if request.format is ModelFormat.TORCH_EXPORT and plain:
        return FxProfiler(request)
    return OpProfiler(request)


class FxProfiler:
    """Times the nodes of an exported program; their names are those of the file."""

    def __init__(self, request: SessionRequest) -> None:
        self.session = _torch.open_session(request)
        self._told: list[list[tuple[str, str, float]]] = []
        self._interpreter = _timed_interpreter(self.session.module, self._told)

    def run(self, feeds: dict[str, np.ndarray]) -> float:
        """One run, node by node."""
        self._told.append([])
        begin = time.perf_counter()
        self.session.run_with(self._interpreter.run, feeds)
        return time.perf_counter() - begin

    def events(self) -> list[NodeEvent]:
        """Every computing node of every run."""
        return [NodeEvent(run, name, op, seconds, (name,))
                for run, nodes in enumerate(self._told) for name, op, seconds in nodes]

    def notes(self) -> list[str]:
        """How it differs from the measured run."""
        return ["the nodes were run one by one by an interpreter; the unprofiled run goes through generated Python"]


def _timed_interpreter(module: Any, told: list[list[tuple[str, str, float]]]) -> Any:
    from torch import fx

    class Timed(fx.Interpreter):
        def run_node(self, node: Any) -> Any:
            if node.op in ("placeholder", "get_attr", "output"):
                return super().run_node(node)
            begin = time.perf_counter()
            value = super().run_node(node)
            told[-1].append((node.name, str(node.target), time.perf_counter() - begin))
            return value

    return Timed(module)


class OpProfiler:
    """Outermost operators as torch.profiler sees them, numbered in the order in which they run."""

    def __init__(self, request: SessionRequest) -> None:
        import torch

        self.session = _torch.open_session(request)
        self._torch, self._gpu = torch, request.device == "gpu"
        self._told: list[list[tuple[str, float]]] = []

    def run(self, feeds: dict[str, np.ndarray]) -> float:
        """One run inside a profile of its own."""
        torch = self._torch
        kinds = [torch.profiler.ProfilerActivity.CPU]
        if self._gpu:
            kinds.append(torch.profiler.ProfilerActivity.CUDA)
        with torch.profiler.profile(activities=kinds) as profile, torch.profiler.record_function(_RUN):
            begin = time.perf_counter()
            self.session.run(feeds)
            seconds = time.perf_counter() - begin
        self._told.append(_outermost(profile.events(), self._gpu))
        return seconds

    def events(self) -> list[NodeEvent]:
        """Operators of every run."""
        found = []
        for run, ops in enumerate(self._told):
            seen: Counter = Counter()
            for op, seconds in ops:
                seen[op] += 1
                found.append(NodeEvent(run, f"{op} #{seen[op]}", op, seconds))
        return found

    def notes(self) -> list[str]:
        """Why the names are not those of the file."""
        return ["torch.profiler knows operators, not nodes of the file: they are numbered as they run"]


def _outermost(events: Any, gpu: bool) -> list[tuple[str, float]]:
    """Operators that no other operator called, in order; frames of the interpreter around them do not count."""
    found = []
    for event in sorted(events, key=lambda e: e.time_range.start):
        if not _is_op(event.name):
            continue
        parent, inside = event.cpu_parent, False
        while parent is not None:
            inside = inside or _is_op(parent.name)
            parent = parent.cpu_parent
        if not inside:
            micros = event.device_time_total if gpu else event.time_range.elapsed_us()
            found.append((event.name, micros * 1e-6))
    return found


def _is_op(name: str) -> bool:
    """'aten::conv2d', 'mkldnn::...' and generated kernels; not frames such as 'forward' or 'torch::jit::...'."""
    if name == _RUN or name.startswith(("torch::", "Torch-Compiled", "ProfilerStep", "PyTorch Profiler", "autograd::")):
        return False
    return "::" in name or name.startswith(("graph_", "TensorExpr", "cpp_fused", "triton_"))
