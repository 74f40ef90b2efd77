"""Variants in a notebook: the trade-off plot over the table, one selection, filled while they are measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import ipywidgets

from ...results import Result
from .. import figures, frames
from ..shared import Selection
from ..widgets.chart import WIDEST, Chart
from ..widgets.table import VariantTable
from .work import card

_VIEW = figures.View(width=WIDEST - 20, height=380)


class Variants:
    """A plot and a table of the same results.

    Args:
        selection: shared with all views of the study.
        machine: id of this machine.
        names: recipe key -> what to call it here; others are named after their recipe.
        samples: raw latencies of a result, in seconds.
    """

    def __init__(self, selection: Selection, machine: str, names: Mapping[str, str],
                 samples: Callable[[str], tuple[float, ...]]) -> None:
        self.selection, self._machine, self._names, self._samples = selection, machine, dict(names), samples
        self.chart = Chart(on_select=selection.select)
        self.table = VariantTable(lambda message, _: selection.select(str(message.get("key", ""))))
        self.widget = ipywidgets.VBox([self.chart, self.table])
        self._results: list[Result] = []
        self._live: list[Result] = []
        selection.subscribe(lambda _: self._draw())

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return card([self.widget])._repr_mimebundle_(**kwargs)

    def show(self, results: Iterable[Result], live: Iterable[Result] = ()) -> None:
        """Draws results, and those that are still being measured."""
        self._results, self._live = list(results), list(live)
        self._draw()

    def _draw(self) -> None:
        everything = [*self._results, *self._live]
        if not everything:
            return
        shown = self._named(frames.tradeoff(self._results, batch=everything[-1].recipe.batch, machine=self._machine,
                                            live=self._live))
        key = self.selection.key
        chosen = key if shown.point(key) else ""
        of = chosen and next((r for r in self._results if r.recipe.key == chosen), None)
        samples = self._samples(of.run_id) if of else ()
        figure = figures.tradeoff_figure(shown, _VIEW, selected=chosen, samples=samples)
        self.chart.draw(figure, f"speed against {shown.quality_name} of {len(shown.points)} variants")
        self.table.draw(frames.rows(everything, shown), shown, chosen)

    def _named(self, shown: frames.Tradeoff) -> frames.Tradeoff:
        def called(p):
            name = self._names.get(p.key)
            return p if name is None else p._replace(name=name, short=name)

        return shown._replace(points=tuple(map(called, shown.points)), failures=tuple(map(called, shown.failures)))
