"""Mixed INT8 by hand: the ranking as figure and table, every node a switch, the recipe that follows from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import traitlets as t

from .. import recipe as recipes
from .. import units
from ..errors import InputError
from ..recipe import Recipe
from ..sensitivity import PASS, Ranking
from . import theme
from .figures import _escape
from .sensitivity_figure import MOST_ROWS, Sensitivity, amount, height_of, sensitivity, sensitivity_figure, sentence
from .widgets.base import Pane, script
from .widgets.figure import Card, line

_HEADS = ("operator", "damage alone", "weights only", "activations only", "time float", "time INT8", "INT8 saves")


class NodeTable(Pane):
    """All nodes with their figures; the first column switches between INT8 and float. Sends ``name`` and ``on``."""

    _esm = script("nodes")
    _css = (theme.STATIC / "nodes.css").read_text("utf-8")
    rows = t.List().tag(sync=True)
    keep = t.List().tag(sync=True)


class SensitivityView(Card):
    """A ranking in a notebook cell.

    Args:
        ranking: of ``workbench.sensitivity.rank`` or ``ranking``.
        settings: further settings of the pass 'onnx-int8-mixed' for :attr:`recipe`, e.g. ``method='entropy'``.
        on_change: called with the names that stay in float when a node was switched.

    Attributes:
        keep: names of the nodes that stay in float now.
    """

    def __init__(self, ranking: Ranking, *, on_change: Callable[[tuple[str, ...]], None] | None = None,
                 **settings: Any) -> None:
        self.shown: Sensitivity = sensitivity(ranking)
        self._built = tuple(r.name for r in self.shown.rows if r.decision == "float")
        self._settings, self._on_change = settings, on_change
        self._line, self._recipe_line = line(_escape(sentence(self.shown))), line()
        self.table = NodeTable(lambda message, _: self._switch(message["name"], message["on"]),
                               rows=[_cells(r) for r in self.shown.rows], keep=list(self._built))
        super().__init__(lambda view: sensitivity_figure(self.shown, view), above=(self._line,),
                         below=(self.table, self._recipe_line), height=height_of(self.shown))
        self._tell()

    @property
    def keep(self) -> tuple[str, ...]:
        """Names of the nodes that stay in float, in the order of the ranking."""
        return tuple(r.name for r in self.shown.rows if r.decision == "float")

    def set_keep(self, names: Any) -> None:
        """Keeps exactly these nodes in float.

        Raises:
            InputError: a name is not in the ranking.
        """
        wanted = set(map(str, names))
        unknown = wanted - {r.name for r in self.shown.rows}
        if unknown:
            raise InputError(f"'{sorted(unknown)[0]}' is not in the ranking: give names of its rows")
        rows = tuple(r._replace(decision="float" if r.name in wanted else "int8", why=_why(r, wanted))
                     for r in self.shown.rows)
        if rows == self.shown.rows:
            return
        self.shown = self.shown._replace(rows=rows)
        self.table.keep = list(self.keep)
        self.redraw()
        self._tell()
        if self._on_change:
            self._on_change(self.keep)

    def _switch(self, name: str, on: bool) -> None:
        """One node as the page says; only that one, for two quick clicks come before the first is answered."""
        self.set_keep({*self.keep, name} if on else set(self.keep) - {name})

    @property
    def recipe(self) -> Recipe:
        """Mixed INT8 with exactly the nodes in float that are switched so; nothing is searched."""
        settings = {**self._settings, "target": 0.0, "exclude_nodes": list(self.keep)}
        return recipes.make((PASS, settings), runtime="onnxruntime")

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The widget for a live notebook; sentence and table for one that is opened again or exported."""
        found = super()._repr_mimebundle_(**kwargs)
        data, metadata = found if isinstance(found, tuple) else (found or {}, {})
        heads = "".join(f"<th>{h}</th>" for h in ("", "node", *_HEADS))
        rows = "".join(
            f"<tr><td>{r.decision}</td>" + "".join(f"<td>{_escape(c)}</td>" for c in (r.name, *_cells(r)["cells"]))
            + "</tr>" for r in self.shown.rows[:MOST_ROWS])
        table = f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
        return {**data, "text/html": f"<p>{self._line.value}</p>{table}"}, metadata

    def _tell(self) -> None:
        changed = len(set(self._built) ^ set(self.keep))
        if not changed:
            self._recipe_line.value = ("<span class='wb-dim'>Switch nodes in the first column; <code>.recipe</code> "
                                       "of this view then holds your choice.</span>")
            return
        kept = len(self.keep)
        what = "1 node" if changed == 1 else f"{changed} nodes"
        self._recipe_line.value = (f"{what} changed by hand: {kept} of {len(self.shown.rows)} in float. "
                                   "<span class='wb-dim'>Measure <code>.recipe</code> of this view to see what it "
                                   "does.</span>")


def _why(row: Any, wanted: set[str]) -> str:
    if row.name not in wanted:
        return ""
    return row.why if row.decision == "float" else "asked"


def _cells(r: Any) -> dict[str, Any]:
    gain = (r.float_s - r.int8_s) * 1e3
    return {"name": r.name, "cells": [
        r.op, amount(r.damage), amount(r.weight_damage), amount(r.activation_damage), units.duration(r.float_s),
        units.duration(r.int8_s), f"{gain:+.3f} ms".replace("-", "−")]}
