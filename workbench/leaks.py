"""Leak checks: does a variant's memory grow with its runs, and what helps where it does?"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from . import assemble, sources
from .measure.leak import RUNS, Growth, growth
from .measure.memory import LeakSlope
from .recipe import Recipe

_FEEDS = 64

# What the usual causes are, and what ends them; the first lines are for every runtime.
_ALWAYS = (
    "Open a session once and use it again; close it, and drop the last reference to it, when it is no longer needed.",
    "Give buffers of inputs and outputs back: copy the few numbers that you keep, do not collect whole outputs.",
    "Bound every cache of results or of preprocessed inputs (functools.lru_cache(maxsize=...)).",
    "If it cannot be mended, end the worker process after some thousand requests and start a new one.",
)
_BY_RUNTIME = {
    "tensorflow": (
        "tf.function traces anew, and keeps the graph, for every new shape and for every Python number: call it with "
        "tensors of one fixed shape, or give it an input_signature with None where sizes differ.",
        "Do not call model.predict in a loop on single samples: call the model, or a tf.function around it.",
        "After building many models in one process call keras.backend.clear_session().",
    ),
    "onnxruntime": (
        "The memory arena grows to the largest shape it has seen and keeps it: fix the shapes, or set "
        "memory_arena: false (slower) and look again.",
        "With IO binding, clear the bindings after each run, or bind to buffers that are used again.",
    ),
    "torch": (
        "Run under torch.inference_mode(): otherwise outputs keep the graph of their gradients alive.",
        "torch.compile and TorchScript specialise for new shapes and keep each version: fix the shapes.",
        "On a GPU, torch.cuda.empty_cache() returns what the caching allocator holds; what .item() and .cpu() copied "
        "is freed with the last reference.",
    ),
    "litert": ("Call allocate_tensors() once for each shape: resizing inputs between runs allocates anew.",),
    "openvino": ("Use one infer request again instead of making one a call; new input shapes compile again.",),
}


class LeakCheck(NamedTuple):
    """What a leak check found.

    Attributes:
        name: of the variant, for people.
        recipe: complete.
        growth: memory over runs with the slope.
        shapes_differ: the inputs had several shapes, which fills caches of shapes.
        advice: what to do, most specific first; empty unless there is a leak.
    """

    name: str
    recipe: Recipe
    growth: Growth
    shapes_differ: bool
    advice: tuple[str, ...]

    @property
    def slope(self) -> LeakSlope:
        """Growth in bytes a run with its interval and verdict."""
        return self.growth.slope

    @property
    def sentence(self) -> str:
        """The verdict in plain words."""
        from .units import count, size

        s, runs = self.slope, count(self.growth.runs)
        span = f"{_bytes(s.low)} to {_bytes(s.high)} a run"
        if s.verdict == "leak":
            return (f"{self.name} leaks: memory grew by {_bytes(s.bytes_per_run)} a run ({span}) over {runs} runs, "
                    f"that is {size(1e6 * s.bytes_per_run)} in a million.")
        if s.verdict == "steady":
            return f"{self.name} is steady: no growth over {runs} runs ({span})."
        if s.low > 0:
            return (f"{self.name} is undecided: memory grew by {span} over {runs} runs, which may still be its pools "
                    "filling; check more runs.")
        return f"{self.name} is undecided: the slope may be {span} over {runs} runs; check more runs."


def leak_check(model: Any, recipe: Recipe | None = None, data: Any = None, *, runs: int = RUNS, max_s: float = 120.0,
               on_sample: Callable[[int, int, int], None] | None = None,
               cancel: threading.Event | None = None) -> LeakCheck:
    """Runs a variant thousands of times in a worker process and says whether its memory grows.

    Args:
        model: an :class:`workbench.Engine`, a bundled name, a path, a Model or a live model.
        recipe: the variant; None for the model as it is.
        data: data set, its name or path; None for the model's own, else random inputs.
        runs: at least 200.
        max_s: time limit of the runs.
        on_sample: called with (runs so far, all runs, resident bytes).
        cancel: set it to stop.

    Raises:
        WorkbenchError: the variant cannot be built or run.
        Cancelled: ``cancel`` was set.
    """
    with sources.engine(model, data) as engine:
        done, built, feeds = sources.prepare(engine, recipe, _FEEDS, cancel)
        found = growth(assemble.candidate(engine.model, built, done), feeds, runs=runs, max_s=max_s, plan=engine.plan,
                       on_sample=on_sample, cancel=cancel)
    shapes = len({tuple(sorted((n, a.shape) for n, a in feed.items())) for feed in feeds}) > 1
    return LeakCheck(done.label, done, found, shapes, advice(found.slope, done.runtime, shapes))


def advice(slope: LeakSlope, runtime: str, shapes_differ: bool) -> tuple[str, ...]:
    """What to do about a leak; nothing where there is none."""
    if slope.verdict != "leak":
        return ()
    first = ("The inputs have several shapes: check again with one shape; if the growth ends, a cache of shapes it is.",
             ) if shapes_differ else ()
    return (*first, *_BY_RUNTIME.get(runtime, ()), *_ALWAYS)


def _bytes(value: float) -> str:
    from .units import size

    return f"{value:.1f} B" if abs(value) < 1000 else size(value)
