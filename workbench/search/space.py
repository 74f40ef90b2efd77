"""The recipes that a search may try: routes (passes + runtime) times options, the best known first."""

from __future__ import annotations

from collections.abc import Iterable
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
from .routes import OPTIONS, Aim, Route, known

_BF16 = {"avx512f", "avx512_bf16", "amx_bf16", "bf16"}  # OpenVINO computes bf16 where the CPU has one of these


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
        aim: what mixed precision must meet; None takes it from the goal, without labels.
        fingerprint: of the machine that will run the recipes; None for this one.
        only: names of routes; None for all that are known.
        training: whether there are samples to train on.
    """

    def __init__(self, model: Model, goal: Goal, *, aim: Aim | None = None, fingerprint: dict[str, Any] | None = None,
                 only: Iterable[str] | None = None, training: bool = False) -> None:
        self.model, self.goal = model, goal
        self._machine = fingerprint or environment.fingerprint()
        self._training = training
        self._open = not all(s.is_static for s in model.inputs)
        names = {r.name for r in registry.RUNTIMES}
        for name in goal.runtimes:
            if name not in names:
                raise InputError(f"unknown runtime '{name}'; allowed: {', '.join(sorted(names))}")
        self.ruled_out: dict[str, str] = {}
        self.routes: dict[str, Route] = {}
        natural = complete(model, Recipe()).runtime
        for route in known(natural, aim or Aim(target=goal.fidelity)):
            if only is None or route.name in only:
                self.add(route)
        most = goal.threads or self._machine.get("physical_cores") or environment.physical_threads()
        self.threads = sorted({1, most, *(2**i for i in range(1, 8) if 2**i < most)}, reverse=True)

    @property
    def isa(self) -> tuple[str, ...]:
        """What the processor that runs the trials can do."""
        return tuple(self._machine.get("isa") or ())

    def add(self, route: Route) -> bool:
        """Takes a route in if it can run; remembers why not."""
        reason = self._why_not(route)
        if reason:
            self.ruled_out[route.name] = reason
            return False
        self.routes[route.name] = route
        return True

    def _why_not(self, route: Route) -> str | None:
        if route.runtime not in {r.name for r in registry.RUNTIMES}:
            return f"no adapter for {route.runtime} here"
        if self.goal.runtimes and route.runtime not in self.goal.runtimes:
            return "the goal does not allow this runtime"
        names = [s if isinstance(s, str) else s[0] for s in route.steps]
        if any(passes.get(n).needs_training for n in names):
            if not self.goal.finetune:
                return "the goal does not allow fine-tuning"
            if not self._training:
                return "there are no training samples"
        if "onnx-dequantize" in names and self.model.format != ModelFormat.ONNX:
            return "the original is not quantized"
        try:
            recipe = self._recipe(route, self.goal.threads or 1, {})
        except InputError as error:
            return str(error)
        form = self.form(recipe)
        if self.goal.formats and form not in self.goal.formats:
            return f"the goal does not allow {form}"
        return problem(self.model, recipe) or self._lacking(route)

    def _lacking(self, route: Route) -> str | None:
        """What the machine's processor cannot do."""
        isa = set(self._machine.get("isa") or ())
        if route.settings.get("precision") == "bf16" and isa and not isa & _BF16:
            return "this processor does not compute in bfloat16"
        return None

    def form(self, recipe: Recipe) -> str:
        """Format of the artefact that a complete recipe makes."""
        final = passes.get(recipe.steps[-1].name).produces if recipe.steps else self.model.format
        return ModelFormat(final).value

    def _recipe(self, route: Route, threads: int, option: dict[str, Any]) -> Recipe:
        settings = {**route.settings, **option}
        if not self._open:
            settings.pop("fixed_shapes", None)  # they are fixed anyway: no second recipe for the same thing
        made = recipes.make(*route.steps, runtime=route.runtime, runtime_settings=settings,
                            threads=threads, batch=self.goal.batch)
        return complete(self.model, made)

    def points(self) -> list[Point]:
        """Every point, no recipe twice: best known settings of each route first, then fewer threads, then options."""
        found = [(option, -threads, order, Point(name, threads, option))
                 for order, (name, route) in enumerate(self.routes.items())
                 for threads in self.threads
                 for option in range(len(OPTIONS.get(route.runtime, ({},))))]
        ordered = [point for *_, point in sorted(found, key=lambda x: (x[0] > 0, x[1], x[2], x[0]))]
        by_key: dict[str, Point] = {}
        for point in ordered:
            by_key.setdefault(self.recipe(point).key, point)
        return list(by_key.values())

    def recipe(self, point: Point) -> Recipe:
        """The complete recipe of a point."""
        route = self.routes[point.route]
        return self._recipe(route, point.threads, OPTIONS.get(route.runtime, ({},))[point.option])
