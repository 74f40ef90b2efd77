"""A model as it is served, in a notebook: the workflow drawn, one answer, stages, thresholds, a monitor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ... import units
from ...pipeline import Monitor, Pipeline, Recording, StageTimes, read, scores_of
from ...pipeline.serve import HAND_OVER
from ...recipe import Recipe
from ..charts import learning
from ..panes import escape
from ..show import show as view_of
from ..widgets.chart import Chart
from . import pages
from .work import Task, Work

_FLOW = ("load", "preprocess", "forward", "post-process", "monitor")


def flow(bench: Any, recipe: Recipe) -> Work[StageTimes]:
    """The workflow as boxes, each with the time that it takes, and the stages on one scale."""

    def run(task: Task) -> tuple[StageTimes, float]:
        task.progress(0.1, "starting a worker")
        with Pipeline(bench.model, recipe, data=bench.dataset) as served:
            task.progress(0.5, "serving requests")
            found = served.stage_times(requests=_requests(bench))
        result = bench.result(recipe)
        return found, (result.memory.get("load_s", 0.0) if result else 0.0)

    def show(value: tuple[StageTimes, float]):
        found, load_s = value
        return pages.shown(pages.html(drawing(found, load_s)), view_of(found))

    return Work(run, show, title="serving stage by stage")


def drawing(found: StageTimes, load_s: float = 0.0) -> str:
    """The workflow: what happens once, what happens for each request."""
    after = [name for name in found.stages if name not in ("preprocess", "forward", HAND_OVER)]
    boxes = [("load", units.duration(load_s) if load_s else "once", "weights, graph, kernels: once"),
             ("preprocess", units.duration(found.stages["preprocess"].value), "decode, resize, scale"),
             ("forward", units.duration(found.stages["forward"].value), f"{found.name}"),
             ("post-process", units.duration(sum(found.stages[n].value for n in after)), ", ".join(after)),
             ("monitor", "every request", "latency, throughput, memory")]
    step, width, gap = 190, 164, 26
    parts = []
    for i, (title, time, text) in enumerate(boxes):
        x = i * step
        dashed = " stroke-dasharray='4 3'" if title in ("load", "monitor") else ""
        parts.append(f"<rect x='{x + 1}' y='8' width='{width}' height='84' rx='7' fill='none' "
                     f"stroke='currentColor' stroke-opacity='.45'{dashed}/>"
                     f"<text x='{x + 12}' y='32' font-weight='600'>{escape(title)}</text>"
                     f"<text x='{x + 12}' y='54' font-size='15'>{escape(time)}</text>"
                     f"<text x='{x + 12}' y='78' font-size='11' fill-opacity='.7'>{escape(_fit(text))}</text>")
        if i:
            parts.append(f"<path d='M{x - gap + 3} 50H{x - 5}m-6 -4l6 4l-6 4' fill='none' stroke='currentColor' "
                         "stroke-opacity='.7' stroke-width='1.4'/>")
    return (f"<svg viewBox='0 0 {len(boxes) * step - gap + 4} 100' role='img' "
            f"aria-label='workflow: {', '.join(_FLOW)}' "
            f"style='max-width:980px;width:100%' font-size='13' fill='currentColor'>{''.join(parts)}</svg>")


def _fit(text: str) -> str:
    return text if len(text) <= 27 else f"{text[:26]}…"


def answer(bench: Any, recipe: Recipe, sample: int = 0) -> Work[Any]:
    """One held-out sample through the whole pipeline."""

    def run(task: Task):
        task.progress(0.2, "starting a worker")
        side = bench.dataset.evaluation
        feed = side.feeds(1, sample + 1)[sample]
        with Pipeline(bench.model, recipe, data=bench.dataset) as served:
            found = served(feed)
        truth = side.labels[sample] if side.labels is not None else None
        return found, feed, truth

    def show(value: Any):
        found, feed, truth = value
        names = bench.dataset.class_names
        first = found.value[0] if isinstance(found.value, list) and found.value else []
        rows = [(p.label, float(p.score)) for p in first if hasattr(p, "score")]
        if not rows:
            return pages.html(pages.note(f"The model's answer: {str(found.value)[:300]}"))
        label = "" if truth is None else names[int(truth)] if names else str(int(truth))
        return pages.shown(Chart(learning.answer(_image(feed), rows, label)))

    return Work(run, show, title=f"sample {sample}")


def thresholds(bench: Any, recipe: Recipe) -> Work[Any]:
    """Precision, recall, F1 and the confusion matrix under a threshold's slider."""

    def run(task: Task):
        task.progress(0.2, "scores of the held-out samples")
        return scores_of(bench.model, recipe, bench.dataset, limit=bench.engine.plan.fidelity_samples)

    return Work(run, view_of, title="thresholds")


def monitor(bench: Any, recipe: Recipe, log: str | Path = "studies/monitor.jsonl",
            seconds: float = 8.0) -> Work[Recording]:
    """Serves for some seconds, writes a log, and replays it."""
    limit = min(seconds, bench.engine.plan.max_s)

    def run(task: Task) -> Recording:
        task.progress(0.05, "starting a worker")
        with Pipeline(bench.model, recipe, data=bench.dataset) as served:
            watching = Monitor(served, log, on_point=lambda p: task.progress(
                min(0.99, p.t / limit), f"{units.duration(p.latency_s)} a request, {p.throughput_per_s:.0f} a second"))
            watching.start(limit)
            while watching.running and not task.cancel.wait(0.1):
                pass
            watching.stop()
        return read(log)

    return Work(run, view_of, title="monitoring")


def _requests(bench: Any) -> int:
    return max(20, min(100, 10 * round(bench.engine.plan.max_s)))


def _image(feed: dict[str, np.ndarray]) -> Any:
    """The first input as grey values, where it looks like one image."""
    array = np.asarray(next(iter(feed.values())))
    if array.ndim == 4 and array.shape[0] == 1:
        picture = array[0].mean(axis=-1) if array.shape[-1] in (1, 3, 4) else array[0].mean(axis=0)
        return picture if min(picture.shape) >= 8 else None
    return None
