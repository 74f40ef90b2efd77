"""Which pairs of graphs a variant has to show: each pass, the whole way, and what the runtime makes of it. UI-free."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import InputError
from ..graph import diff, readers, wire
from ..model import Model
from ..results import Result
from ..runtimes import registry
from .choices import pass_title


class Pair(NamedTuple):
    """Two graphs to compare.

    Attributes:
        title: for the picker, e.g. 'INT8 static'.
        before: the original Model, or a path.
        after: a path, or the same as ``before`` when ``runtime`` is set.
        runtime: when set, 'after' is the graph that this runtime executes.
        options: for the runtime's reader.
    """

    title: str
    before: Model | str
    after: Model | str
    runtime: str = ""
    options: tuple[tuple[str, Any], ...] = ()


def pairs(result: Result | None, original: Model) -> list[Pair]:
    """The pairs of a variant, the most telling first: the last pass, the earlier ones, the runtime, the whole way."""
    if result is None or result.status != "ok":
        return []
    found: list[Pair] = []
    before: Model | str = original
    for stage in result.stages:
        found.insert(0, Pair(pass_title(stage["name"]), before, stage["path"]))
        before = stage["path"]
    runs = _executed(result, before)
    if runs:
        found.append(runs)
    if len(result.stages) > 1:
        found.append(Pair("all passes together", original, before))
    return found


def _executed(result: Result, artefact: Model | str) -> Pair | None:
    """The pair of the artefact and what its runtime really runs, where a reader can tell."""
    runtime = result.recipe.runtime
    if runtime not in ("onnxruntime", "openvino"):
        return None
    settings = result.recipe.runtime_settings.to_dict() if result.recipe.runtime_settings else {}
    options = {"level": settings["graph_level"]} if runtime == "onnxruntime" else {
        "precision": settings.get("precision", "f32")}
    return Pair(f"as {registry.info(runtime).title} runs it", artefact, artefact, runtime, tuple(options.items()))


def payload(pair: Pair, before_s: Mapping[str, float] | None = None,
            after_s: Mapping[str, float] | None = None) -> dict[str, Any]:
    """Reads both graphs and relates them; takes seconds, so not for the event loop.

    Args:
        pair: what to compare.
        before_s: node name -> seconds of one run on the left, where a profile tells.
        after_s: the same on the right.

    Raises:
        InputError: an artefact is gone, or a format has no reader.
        MissingError: a runtime is not installed.
        WorkerError: a reader's process failed.
    """
    for side in (pair.before, pair.after):
        if isinstance(side, str) and not Path(side).exists():
            raise InputError("the artefact is no longer in the cache: measure the variant again")
    before = readers.read(pair.before)
    after = (readers.executed(pair.after, pair.runtime, **dict(pair.options)) if pair.runtime
             else readers.read(pair.after))
    return wire.payload(diff.diff(before, after), title=pair.title, times_before=before_s, times_after=after_s)
