"""One worker by itself, for what is no comparison: load from many clients, leaks, a pipeline's forward pass."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import InputError
from ..runtimes import registry
from . import arrays, environment
from .client import WorkerClient
from .types import Candidate, Feeds, Plan


@contextmanager
def opened(candidate: Candidate, feeds: Feeds, *, plan: Plan, cores: tuple[int, ...] = (),
           cancel: threading.Event | None = None) -> Iterator[WorkerClient]:
    """A worker that holds the candidate; it ends with the block.

    ``worker.info`` holds 'load_s', 'import_s' and 'folder', where files for it may be put.

    Args:
        candidate: what to load.
        feeds: what its runs cycle through.
        plan: its time-outs count.
        cores: logical cores it is held to; empty takes those for its thread count.
        cancel: ends the loading.

    Raises:
        InputError: there are no feeds.
        WorkbenchError: the runtime is not installed, or the model cannot be loaded.
        Cancelled: ``cancel`` was set.
    """
    if not feeds:
        raise InputError("there is no input to run the model on; the data set holds fewer samples than one batch")
    adapter = registry.adapter(candidate.runtime)
    variables = adapter.environment(candidate.threads, candidate.device, candidate.settings, candidate.format)
    with tempfile.TemporaryDirectory(prefix="workbench-solo-", ignore_cleanup_errors=True) as name:
        path = Path(name) / "feeds.npz"
        arrays.write_feeds(path, feeds)
        worker = WorkerClient(cores or environment.cores_for(candidate.threads), variables)
        try:
            worker.call("preload", plan.load_timeout_s, cancel, runtime=candidate.runtime)
            request = {"path": str(candidate.path.resolve()), "format": candidate.format.value,
                       "runtime": candidate.runtime, "settings": candidate.settings.to_dict(),
                       "threads": candidate.threads, "device": candidate.device}
            answer = worker.call("open", plan.load_timeout_s, cancel, request=request, feeds=str(path))
            worker.info.update(load_s=answer["load_s"], import_s=answer["import_s"], folder=name)
            yield worker
        finally:
            worker.kill()
