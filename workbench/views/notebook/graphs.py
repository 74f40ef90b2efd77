"""The computational graph in a notebook: what each pass does to it, and both sides node by node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import ipywidgets

from ... import variant
from ...graph import readers
from ...recipe import Recipe
from .. import graph_pairs
from ..charts import nodes
from ..choices import pass_title
from ..graph_view import GraphDiff
from ..widgets.chart import Chart
from . import pages
from .work import Task, Work


class _Built(NamedTuple):
    """What :func:`workbench.views.graph_pairs.pairs` looks at."""

    status: str
    stages: tuple[dict[str, Any], ...]
    recipe: Recipe


def build(bench: Any, recipe: Recipe, task: Task, share: tuple[float, float] = (0.0, 1.0)) -> variant.Variant:
    """Builds a recipe's artefact with the progress told."""
    start, width = share
    return variant.build(bench.model, recipe, bench.dataset, cache=bench.engine.cache, cancel=task.cancel,
                         progress=lambda fraction, line: task.progress(start + width * fraction, line))


def compare(bench: Any, recipe: Recipe, height: int = 520) -> Work[variant.Variant]:
    """Both graphs side by side for each pass of a recipe, and as its runtime runs it."""

    def run(task: Task) -> tuple[variant.Variant, list[tuple[str, dict[str, Any]]]]:
        made = build(bench, recipe, task, (0.0, 0.5))
        pairs = graph_pairs.pairs(_Built("ok", made.stages, made.recipe), bench.model)
        found = []
        for index, pair in enumerate(pairs):
            task.progress(0.5 + 0.5 * index / len(pairs), f"{pair.title}: reading both graphs")
            found.append((pair.title, graph_pairs.payload(pair)))
        return made, found

    def show(value: tuple[variant.Variant, list[tuple[str, dict[str, Any]]]]) -> ipywidgets.Widget:
        found = value[1]
        if not found:
            return pages.html(pages.note("This recipe changes nothing: name a pass."))
        view = GraphDiff(found[0][1], height=height)
        which = ipywidgets.Dropdown(options=[(title, i) for i, (title, _) in enumerate(found)], value=0,
                                    description="Change", layout={"width": "24em"})
        which.observe(lambda change: view.show(found[change["new"]][1]), "value")
        return ipywidgets.VBox([which, view])

    return Work(run, show, title=f"graphs of {bench.name(recipe)}")


def passes(bench: Any, recipes: Mapping[str, Recipe]) -> Work[dict[str, variant.Variant]]:
    """Nodes by operator after each recipe, and what its last pass reports."""

    def run(task: Task) -> dict[str, Any]:
        found, counts = {}, {}
        for index, (name, recipe) in enumerate(recipes.items()):
            made = build(bench, recipe, task, (index / len(recipes), 0.8 / len(recipes)))
            found[name] = made
            counts[name] = dict(Counter(n.op.removeprefix("com.microsoft.") for n in readers.read(made.model).nodes))
        return {"built": found, "counts": counts}

    def show(value: dict[str, Any]) -> ipywidgets.Widget:
        rows = []
        for name, made in value["built"].items():
            stage = made.stages[-1] if made.stages else None
            title = pass_title(stage["name"]) if stage else "–"
            told = "; ".join(stage["notes"]) if stage else "the file as it is"
            rows.append((name, title, told or "nothing to report"))
        return pages.shown(Chart(nodes.operators(value["counts"])), pages.table(("step", "last pass", "it says"), rows))

    return Work(run, show, title="passes")
