"""Profiles in a notebook: hot nodes, the roof, several variants side by side, and why one is not faster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from ... import diagnose, units
from ... import feeds as feed_names
from ...errors import NotApplicable, WorkbenchError
from ...graph import readers
from ...measure import Plan, stats
from ...profile import Profile, profile, roofline
from ...recipe import Recipe
from ...results import Result
from ...where import is_int8
from .. import sentences
from ..charts import nodes
from ..panes import escape
from ..widgets.chart import Chart
from . import graphs, pages
from .work import Task, Work

FEEDS, RUNS = 16, 50


class Profiled(NamedTuple):
    """A variant's profile, its graph (None where its format has no reader), and the recipe."""

    recipe: Recipe
    profile: Profile
    graph: Any


def of(bench: Any, recipe: Recipe, task: Task, share: tuple[float, float] = (0.0, 1.0)) -> Profiled:
    """Profiles a recipe in a process of its own."""
    start, width = share
    done = bench.engine.complete(recipe)
    built = graphs.build(bench, done, task, (start, 0.3 * width))
    feeds = bench.dataset.evaluation.feeds(done.batch, FEEDS * done.batch)
    try:
        shapes = {n: a.shape for n, a in feed_names.bind(feeds[0], built.model.inputs).items()}
        graph = readers.read(built.model, shapes=shapes)
    except WorkbenchError:
        graph = None  # nodes are then not matched to the file; times are as good
    task.progress(start + 0.4 * width, f"profiling {bench.name(done)}")
    plan = bench.engine.plan
    found = profile(built.model.path, built.model.format, done.runtime, done.runtime_settings, done.threads, feeds,
                    device=done.device, runs=RUNS, max_s=min(20.0, plan.max_s), cancel=task.cancel,
                    graph_nodes=graph.nodes if graph else ())
    return Profiled(done, found, graph)


def hot(bench: Any, recipe: Recipe) -> Work[Profiled]:
    """The slowest nodes of one variant."""

    def show(found: Profiled):
        p = found.profile
        top = p.rows[0]
        line = (f"{top.op} '{top.name}' takes {top.share:.0%} of the nodes' time; the nodes add up to "
                f"{p.sum_ratio:.0%} of a run.")
        chart = Chart(nodes.node_times(p, f"Hot nodes of {bench.name(found.recipe)}"))
        return pages.shown(pages.said(line, *p.notes), chart)

    return Work(lambda task: of(bench, recipe, task), show, title=f"profile of {bench.name(recipe)}")


def beside(bench: Any, recipes: Mapping[str, Recipe]) -> Work[dict[str, Profiled]]:
    """Several variants' time by operator on one scale; one that tells no node times is named with the reason."""

    def run(task: Task) -> tuple[dict[str, Profiled], dict[str, str]]:
        found, left = {}, {}
        for index, (name, recipe) in enumerate(recipes.items()):
            try:
                found[name] = of(bench, recipe, task, (index / len(recipes), 1 / len(recipes)))
            except NotApplicable as error:
                left[name] = str(error)
        return found, left

    def show(value: tuple[dict[str, Profiled], dict[str, str]]):
        found, left = value
        notes = [pages.note(f"{name}: {reason}") for name, reason in left.items()]
        notes += [pages.note(f"{name}: {n}") for name, p in found.items() for n in p.profile.notes]
        if not found:
            return pages.shown(*notes)
        return pages.shown(Chart(nodes.shares({name: p.profile for name, p in found.items()})), *notes)

    return Work(run, show, title="profiles side by side")


def roof(bench: Any, recipe: Recipe) -> Work[roofline.Roofline]:
    """The roofline of one variant; the machine's limits are measured once and kept."""

    def run(task: Task) -> tuple[roofline.Roofline, roofline.Limits]:
        found = of(bench, recipe, task, (0.0, 0.6))
        task.progress(0.65, "measuring this machine's limits, once")
        limits = roofline.limits(found.recipe.threads, cancel=task.cancel)
        graph = found.graph
        weights = sum(t.size_bytes for t in graph.tensors.values() if t.is_constant) if graph else 0
        cost = roofline.costs(graph.nodes) if graph else {}
        precision = "int8" if is_int8(found.recipe) else ""
        return roofline.roofline(found.profile, cost, limits, weight_bytes=weights, precision=precision), limits

    def show(value: tuple[roofline.Roofline, roofline.Limits]):
        found, limits = value
        line = "Operations and bytes of this model are not known."
        if found.percent is not None:
            line = (f"The whole model needs at least {units.duration(found.model.seconds)} on this machine, bound by "
                    f"{found.model.kind}; it takes {units.duration(found.measured_s)}: {found.percent:.0f} % of the "
                    "limit is reached.")
        return pages.shown(pages.said(line, *found.notes), Chart(nodes.roof(found, limits)))

    return Work(run, show, title=f"roofline of {bench.name(recipe)}")


def why(bench: Any, recipe: Recipe, than: Recipe | None = None) -> Work[diagnose.Diagnosis]:
    """Why a variant is not faster than another one (than the baseline without one), from measurement and profile.

    Both are measured side by side, so that their ratio is paired.
    """
    asked = bench.engine.complete(recipe)
    other = bench.engine.complete(than) if than is not None else bench.engine.baseline_for(asked)

    def run(task: Task) -> tuple[diagnose.Diagnosis, Result | None]:
        task.progress(0.0, f"measuring {bench.name(asked)}")
        found = {r.recipe.key: r for r in bench.engine.measure([other, asked], cancel=task.cancel)}
        result, base = found.get(asked.key), found.get(other.key)
        if result is None or base is None or "failed" in (result.status, base.status):
            lost = next((r for r in (result, base) if r is not None and r.status == "failed"), None)
            return diagnose.Diagnosis(f"it was not measured: {lost.reason if lost else 'cancelled'}", ()), result
        result = _against(result, base, bench.engine.plan)
        try:
            own = of(bench, asked, task, (0.4, 0.5)).profile
        except NotApplicable:
            own = None  # causes that need no profile can still be told
        return diagnose.diagnose(result, base, profile=own), result

    def show(value: tuple[diagnose.Diagnosis, Result | None]):
        found, result = value
        ratio = ""
        if result is not None and result.speedup_interval:
            span = sentences.span(*result.speedup_interval)
            ratio = f"{units.times(result.speedup)} as fast as {bench.name(other)} ({span})"
        causes = "".join(f"<p class='wb-why-line'><b>{escape(c.title)}</b>: {escape(c.evidence)}. "
                         f"<span class='wb-advice'>{escape(c.advice)}.</span></p>" for c in found.causes)
        return pages.shown(pages.said(f"{bench.name(asked)}: {found.line}.", *([ratio] if ratio else [])), causes)

    return Work(run, show, title=f"why is {bench.name(asked)} not faster?")


def _against(result: Result, base: Result, plan: Plan) -> Result:
    """The variant with its ratio to another one, paired by the rounds that they share."""
    count = min(len(result.rounds), len(base.rounds))
    if not count:
        return result
    found = stats.ratio_interval(result.rounds[-count:], base.rounds[-count:], seed=plan.seed)
    return replace(result, ratio=found.value, ratio_interval=found.interval, is_baseline=False,
                   verdict=stats.verdict(found.interval, plan.margin))
