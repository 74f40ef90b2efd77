"""The recipes that a search may try: routes (passes + runtime) times options, the best known first."""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import passes
from .. import recipe as recipes
from ..chain import complete, problem
from ..errors import InputError
from ..measure import environment
from ..model import Model, ModelFormat
from ..recipe import Recipe
from ..runtimes import registry
from .goal import Goal

Step = str | tuple[str, dict[str, Any]]


class Route(NamedTuple):
    """One way to an artefact and its runtime.

    Attributes:
        name: unique, for people and for the sampler.
        why: why it is worth a try, one phrase.
        steps: passes with settings.
        runtime: registry name.
        settings: runtime settings that belong to the route.
    """

    name: str
    why: str
    steps: tuple[Step, ...] = ()
    runtime: str = ""
    settings: dict[str, Any] = {}


# In the order of expected gain; what a machine, a model or a goal rules out is left out by `routes`.
KNOWN: tuple[Route, ...] = (
    Route("onnxruntime", "the default that most would pick", (), "onnxruntime"),
    Route("litert int8", "small kernels, made for INT8", ("tflite-int8",), "litert"),
    Route("onnxruntime int8", "INT8 with calibration", ("onnx-int8-static",), "onnxruntime"),
    Route("openvino", "another compiler, float32", (), "openvino", {"precision": "f32"}),
    Route("openvino int8", "INT8 with calibration, another compiler", ("onnx-int8-static",), "openvino",
          {"precision": "f32"}),
    Route("litert", "XNNPACK kernels, float32", (), "litert"),
    Route("onnxruntime int8 mixed", "INT8 but for the nodes it hurts", ("onnx-int8-mixed",), "onnxruntime"),
    Route("openvino int8 mixed", "INT8 but for the nodes it hurts, another compiler", ("onnx-int8-mixed",), "openvino",
          {"precision": "f32"}),
    Route("onnxruntime int8 symmetric", "no zero points: simpler kernels",
          (("onnx-int8-static", {"symmetric_activations": True}),), "onnxruntime"),
    Route("onnxruntime int8 entropy", "calibration that clips outliers",
          (("onnx-int8-static", {"method": "entropy"}),), "onnxruntime"),
    Route("onnxruntime int8 percentile", "calibration that clips outliers",
          (("onnx-int8-static", {"method": "percentile"}),), "onnxruntime"),
    Route("onnxruntime int8 dynamic", "INT8 weights, no calibration: for MatMul-heavy models",
          ("onnx-int8-dynamic",), "onnxruntime"),
    Route("openvino bf16", "half the bytes, where the CPU has bfloat16", (), "openvino", {"precision": "bf16"}),
    Route("litert dynamic range", "INT8 weights, float activations", ("tflite-dynamic-range",), "litert"),
    Route("litert float16", "half the size", ("tflite-float16",), "litert"),
    Route("torch", "the framework it may come from", (), "torch"),
    Route("tensorflow xla", "whole-graph compilation", (), "tensorflow", {"mode": "xla"}),
)
# Runtime options that can win; anything else is noise at the sizes a search can tell apart.
OPTIONS: dict[str, tuple[dict[str, Any], ...]] = {
    "onnxruntime": ({}, {"graph_level": "extended"}, {"execution": "parallel"}, {"spinning": False}),
    "litert": ({},),
    "openvino": ({},),
}


class Point(NamedTuple):
    """A place in the space: names of choices, as the sampler knows them."""

    route: str
    threads: int
    option: int


class Space:
    """All recipes that a model, a goal and this machine allow.

    Args:
        model: the original.
        goal: constraints; its runtimes, formats, threads and batch shape the space.
    """

    def __init__(self, model: Model, goal: Goal) -> None:
        self.model, self.goal = model, goal
        known = {r.name for r in registry.RUNTIMES}
        for name in goal.runtimes:
            if name not in known:
                raise InputError(f"unknown runtime '{name}'; allowed: {', '.join(sorted(known))}")
        self.ruled_out: dict[str, str] = {}
        self.routes: dict[str, Route] = {}
        for route in KNOWN:
            self.add(route)
        most = goal.threads or environment.physical_threads()
        self.threads = sorted({1, most, *(2**i for i in range(1, 8) if 2**i < most)}, reverse=True)

    def add(self, route: Route) -> bool:
        """Takes a route in if it can run; remembers why not."""
        reason = self._why_not(route)
        if reason:
            self.ruled_out[route.name] = reason
            return False
        self.routes[route.name] = route
        return True

    def _why_not(self, route: Route) -> str | None:
        known = {r.name for r in registry.RUNTIMES}
        if route.runtime not in known:
            return f"no adapter for {route.runtime} here"
        if self.goal.runtimes and route.runtime not in self.goal.runtimes:
            return "the goal does not allow this runtime"
        try:
            recipe = self._recipe(route, self.goal.threads or 1, {})
        except InputError as error:
            return str(error)
        reason = problem(self.model, recipe)
        if reason:
            return reason
        final = passes.get(recipe.steps[-1].name).produces if recipe.steps else self.model.format
        if self.goal.formats and final.value not in self.goal.formats:
            return f"the goal does not allow {ModelFormat(final).value}"
        return None

    def _recipe(self, route: Route, threads: int, option: dict[str, Any]) -> Recipe:
        made = recipes.make(*route.steps, runtime=route.runtime, runtime_settings={**route.settings, **option},
                            threads=threads, batch=self.goal.batch)
        return complete(self.model, made)

    def points(self) -> list[Point]:
        """Every point: the best known settings of each route first, then fewer threads, then other options."""
        found = [(option, -threads, order, Point(name, threads, option))
                 for order, (name, route) in enumerate(self.routes.items())
                 for threads in self.threads
                 for option in range(len(OPTIONS.get(route.runtime, ({},))))]
        return [point for *_, point in sorted(found, key=lambda x: (x[0] > 0, x[1], x[2], x[0]))]

    def recipe(self, point: Point) -> Recipe:
        """The complete recipe of a point."""
        route = self.routes[point.route]
        return self._recipe(route, point.threads, OPTIONS.get(route.runtime, ({},))[point.option])

