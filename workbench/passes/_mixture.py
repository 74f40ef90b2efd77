"""Chooses the nodes that stay in float: those that buy most fidelity for the time they cost, until a target is met."""

from __future__ import annotations

from collections.abc import Callable

from ._onnx_scope import COMPUTE
from ._sensitivity import Fidelity, NodeDamage, Probe, Step

Mixture = tuple[str, ...]  # names of the nodes in float, in the order in which they were chosen; those asked for first
_SMALL_COST = 0.01  # share of the float model's node times
_MOST_RETURNS = 12  # nodes that are tried in INT8 again at the end


class Chooser:
    """Searches mixtures by simulation.

    Args:
        probe: the model.
        ranking: of ``_sensitivity.rank``.
        fidelity: the measure.
        target: to be met.
        always: nodes to keep in float whatever it costs.
        never: nodes to quantize whatever they damage.
        limit: most nodes that the ranking may keep in float; 0 for no limit.
    """

    def __init__(self, probe: Probe, ranking: list[NodeDamage], fidelity: Fidelity, target: float, *,
                 always: tuple[str, ...] = (), never: tuple[str, ...] = (), limit: int = 0) -> None:
        self._probe, self._fidelity, self._target = probe, fidelity, target
        self._always = always
        self._costs = {r.name: r.cost_s for r in ranking}
        self._total = sum(r.float_s for r in ranking)
        free = [r for r in ranking if r.name not in {*always, *never}]
        self._limit = limit or len(free)
        self._orders = [[r.name for r in sorted(free, key=lambda r: (-r.damage / r.cost_s, r.name))],
                        [r.name for r in sorted(free, key=lambda r: (-r.damage, r.name))]]
        self._compute = {r.name for r in ranking if r.op in COMPUTE}
        self._tried: dict[tuple[str, ...], tuple[float, float]] = {}
        self.steps: list[Step] = []

    def choose(self, progress: Callable[[float, str], None]) -> Mixture:
        """The cheapest mixture found that meets the target, else the closest one within the limit."""
        found: list[list[str]] = []
        if self._meets([]):
            return self._always
        for index, order in enumerate(self._orders):
            progress(0.4 * index, "searching the nodes to keep in float")
            names = self._shortest(order[:self._limit])
            if names is not None:
                found.append(names)
                if self._cost(names) <= _SMALL_COST * self._total:
                    break  # another order cannot save what is hardly spent
        if not found:
            closest = max((o[:self._limit] for o in self._orders), key=lambda n: self._score(n)[0])
            return (*self._always, *closest)
        progress(0.8, "giving nodes back to INT8 that the target does not need")
        return (*self._always, *self._give_back(min(found, key=self._cost)))

    def more(self, mixture: Mixture) -> Mixture | None:
        """The next larger mixture, for when the real graph falls short of the simulation; None when there is none."""
        kept = [n for n in mixture if n not in self._always]
        rest = [n for n in self._orders[0] if n not in kept]
        room = self._limit - len(kept)
        if not rest or room <= 0:
            return None
        return (*self._always, *kept, *rest[:min(room, max(1, len(kept) // 3))])

    def all_float(self, mixture: Mixture) -> bool:
        """Whether no node that computes is left in INT8."""
        return self._compute <= set(mixture)

    def unsure(self, target: float) -> Mixture | None:
        """Of the mixtures tried, the surest whose mean meets ``target``: for when too few samples make any sure."""
        tried = [(safe, names) for names, (mean, safe) in self._tried.items() if mean >= target]
        mixtures = [(*self._always, *names) for _, names in sorted(tried, reverse=True)]
        return next((m for m in mixtures if not self.all_float(m)), None)

    def _shortest(self, order: list[str]) -> list[str] | None:
        """The shortest prefix that meets the target; more float is taken never to be worse."""
        if not order or not self._meets(order):
            return None
        low, high = 0, len(order)
        while high - low > 1:
            middle = (low + high) // 2
            if self._meets(order[:middle]):
                high = middle
            else:
                low = middle
        return order[:high]

    def _give_back(self, names: list[str]) -> list[str]:
        for name in sorted(names, key=lambda n: -self._costs[n])[:_MOST_RETURNS]:
            fewer = [n for n in names if n != name]
            if self._meets(fewer):
                names = fewer
        return names

    def _meets(self, names: list[str]) -> bool:
        return self._score(names)[1] >= self._target

    def _score(self, names: list[str]) -> tuple[float, float]:
        key = tuple(sorted(names))
        if key not in self._tried:
            outputs = self._probe.outputs((*self._always, *names))
            self._tried[key] = (self._fidelity.of(outputs), self._fidelity.safe(outputs))
            self.steps.append(Step(len(names) + len(self._always), self._tried[key][0], self._cost(names)))
        return self._tried[key]

    def _cost(self, names: list[str]) -> float:
        return sum(self._costs.get(n, 0.0) for n in (*self._always, *names))
