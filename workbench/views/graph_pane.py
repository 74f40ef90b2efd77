"""The graph tab: the stages of the selected variant, and on demand both graphs side by side, node by node."""

from __future__ import annotations

import threading
from pathlib import Path

import ipywidgets

from ..engine import Engine
from ..errors import Cancelled, WorkbenchError
from ..model import Model
from ..results import Result
from . import graph_pairs, graph_times, panes
from .graph_pairs import Pair
from .graph_view import GraphDiff, Packed, pack
from .marshal import Marshal
from .netron_pane import NetronPane

_OPEN, _CLOSE = "Compare the graphs", "Close the graphs"
_TIME, _TIME_HINT = "Time the nodes", "Profiles both sides, then colours the nodes by their time"


class GraphPane:
    """The widget of the first tab; the graphs are read only when they are asked for."""

    def __init__(self) -> None:
        self._marshal = Marshal()
        self._pairs: list[Pair] = []
        self._known: dict[Pair, Packed] = {}
        self._engine: Engine | None = None
        self._result: Result | None = None
        self._cancel = threading.Event()
        self._view = GraphDiff(height=470)
        self._stages = ipywidgets.HTML()
        self._which = ipywidgets.Dropdown(description="Change", options=[], layout={"width": "22em"})
        self._button = ipywidgets.Button(description=_OPEN, disabled=True, layout={"width": "auto"},
                                         tooltip="Both graphs side by side: what was fused, folded, inserted")
        self._line = ipywidgets.HTML()
        self._place = ipywidgets.Box([self._view], layout={"display": "none", "flex": "none", "width": "100%"})
        self._place.add_class("wb-graph-place")
        self._netron = NetronPane(compact=True)
        self._time = ipywidgets.Button(description=_TIME, disabled=True, layout={"width": "auto", "display": "none"})
        controls = ipywidgets.HBox([self._button, self._which, self._time, self._line, self._netron])
        controls.add_class("wb-graph-controls")
        self.widget = ipywidgets.VBox([controls, self._place, self._stages])
        self.widget.add_class("wb-graph-pane")
        self._button.on_click(lambda _: self._toggle())
        self._time.on_click(lambda _: self._timed())
        self._which.observe(lambda _: self._read() if self._is_open else None, "value")

    @property
    def _is_open(self) -> bool:
        return self._button.description == _CLOSE

    def show(self, engine: Engine, result: Result | None, model_line: str, learning: str = "") -> None:
        """Shows how the variant was made.

        Args:
            engine: of the open model and data.
            result: the selected variant, or None when it was not measured.
            model_line: one line on the original, e.g. '12 nodes · 215 k parameters · 0.9 MB'.
            learning: HTML shown instead while a pass trains.
        """
        self._engine, self._result, original = engine, result, engine.model
        html = learning or panes.stages(result, model_line)
        if self._stages.value != html:
            self._stages.value = html
        self._netron.show(_artefact(result, original))
        found = graph_pairs.pairs(result, original)
        if found != self._pairs:
            self._pairs = found
            self._which.options = [(p.title, i) for i, p in enumerate(found)]
            self._which.index = 0 if found else None
            self._button.disabled = not found
            if self._is_open and found:
                self._read()
            elif self._is_open:
                self._toggle()

    def close(self) -> None:
        """Ends what was opened in Netron, and a profile that runs."""
        self._cancel.set()
        self._netron.close()

    def _toggle(self) -> None:
        opening = not self._is_open
        self._button.description = _CLOSE if opening else _OPEN
        self._place.layout.display = "block" if opening else "none"
        self._time.layout.display = "block" if opening else "none"
        (self.widget.add_class if opening else self.widget.remove_class)("wb-graph-open")
        self._line.value = ""
        if opening:
            self._read()

    def _read(self) -> None:
        """Reads the chosen pair in the background; what is shown stays until it is there."""
        index = self._which.value
        if index is None or index >= len(self._pairs):
            return
        pair = self._pairs[index]
        reason = graph_times.why_not(pair)
        self._time.disabled, self._time.tooltip = bool(reason), reason or _TIME_HINT
        if pair in self._known:
            self._draw(pair, self._known[pair])
            return
        self._line.value = "<span class='wb-dim'>reading both graphs …</span>"
        threading.Thread(target=self._work, args=(pair,), daemon=True, name="graphs").start()

    def _timed(self) -> None:
        """Times the nodes of the chosen pair in the background, then shows it with the times as heat."""
        pair = self._pairs[self._which.value]
        self._time.disabled = True
        self._line.value = "<span class='wb-dim'>timing the nodes, before and after …</span>"
        arguments = (pair, self._engine, self._result)
        threading.Thread(target=self._work, args=arguments, daemon=True, name="node times").start()

    def _work(self, pair: Pair, engine: Engine | None = None, result: Result | None = None) -> None:
        """Reads the pair; with an engine and a result, the nodes are timed too."""
        try:
            times = graph_times.measured(engine, result.recipe, pair, self._cancel) if engine and result else ({}, {})
            found = pack(graph_pairs.payload(pair, *times))
        except Cancelled:
            return
        except WorkbenchError as error:
            self._marshal(self._tell, pair, str(error))
        except Exception as error:  # a defect must show where the click was
            self._marshal(self._tell, pair, f"the graphs cannot be compared: {type(error).__name__}: {error}")
        else:
            self._marshal(self._draw, pair, found)

    def _tell(self, pair: Pair, line: str) -> None:
        self._time.disabled = bool(graph_times.why_not(pair))
        self._line.value = f"<span class='wb-failed'>{panes.escape(line)}</span>"

    def _draw(self, pair: Pair, found: Packed) -> None:
        self._known[pair] = found
        self._line.value = ""
        self._time.disabled = bool(graph_times.why_not(pair))
        if self._which.value is None or self._pairs[self._which.value] != pair:
            return  # another pair was chosen meanwhile
        self._view.show(found)
        timed = any(n["time_s"] is not None for n in found.payload["after"]["nodes"])
        self._view.heat = "time_s" if timed else ""


def _artefact(result: Result | None, original: Model) -> Path:
    """What Netron opens: the selected variant's file while it is there, else the model as it came."""
    made = Path(result.artefact) if result is not None and result.artefact else None
    return made if made is not None and made.exists() else Path(original.path)
