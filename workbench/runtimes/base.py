"""What every runtime adapter offers. The measuring code knows these names and no framework."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..model import ModelFormat, TensorSpec
from ..settings import SettingsBase


class Session(Protocol):
    """A loaded model that is ready to run in this process.

    An adapter's ``open_session`` makes one; it lives in a worker process, never in the kernel.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One forward pass. ``feeds`` is keyed by this session's own input names, dtypes as in the spec."""
        ...

    def describe(self) -> dict[str, Any]:
        """What really runs: versions, provider or delegate per node where the runtime tells, threads."""
        ...

    def close(self) -> None:
        """Frees the model."""
        ...

    # Optional, for devices with a memory of their own:
    # def resident(self, feeds: dict[str, np.ndarray]) -> Callable[[], Any]: a run whose inputs lie on the device
    # already and whose outputs stay there; it returns when the device is done. NotImplementedError where there is none.


class SessionRequest(NamedTuple):
    """All that an adapter needs to open a session.

    Attributes:
        path: artefact to load.
        format: its format.
        settings: an instance of the adapter's ``Settings``.
        threads: intra-op threads, >= 1.
        device: 'cpu' or 'gpu'.
        example: one whole input per input name (batch included), for runtimes that trace or compile.
    """

    path: Path
    format: ModelFormat
    settings: SettingsBase
    threads: int
    device: str
    example: dict[str, np.ndarray]


@dataclass(frozen=True)
class RuntimeInfo:
    """A row of the registry.

    Attributes:
        name: what recipes say, e.g. 'onnxruntime'.
        title: what people read, e.g. 'ONNX Runtime'.
        module: adapter module below ``workbench.runtimes``, e.g. '_onnxruntime'. It defines
            ``Settings``, ``environment(threads, device, settings, format) -> dict[str, str]`` (variables
            the worker sets before the framework loads), ``devices() -> dict[str, str | None]`` (device ->
            None when usable, else the reason; cheap, imports no framework), ``preload()`` (imports the
            framework) and ``open_session(request) -> Session``.
        package: import name that ``find_spec`` looks for.
        install: the line that installs it.
        formats: what it loads.
    """

    name: str
    title: str
    module: str
    package: str
    install: str
    formats: tuple[ModelFormat, ...]
