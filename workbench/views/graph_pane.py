"""The graph tab: the stages of the selected variant, and on demand both graphs side by side, node by node."""

from __future__ import annotations

import threading
from pathlib import Path

import ipywidgets

from ..errors import WorkbenchError
from ..model import Model
from ..results import Result
from . import graph_pairs, panes
from .graph_pairs import Pair
from .graph_view import GraphDiff, Packed, pack
from .marshal import Marshal
from .netron_pane import NetronPane

_OPEN, _CLOSE = "Compare the graphs", "Close the graphs"


class GraphPane:
    """The widget of the first tab; the graphs are read only when they are asked for."""

    def __init__(self) -> None:
        self._marshal = Marshal()
        self._pairs: list[Pair] = []
        self._known: dict[Pair, Packed] = {}
        self._view = GraphDiff(height=470)
        self._stages = ipywidgets.HTML()
        self._which = ipywidgets.Dropdown(description="Change", options=[], layout={"width": "22em"})
        self._button = ipywidgets.Button(description=_OPEN, disabled=True, layout={"width": "auto"},
                                         tooltip="Both graphs side by side: what was fused, folded, inserted")
        self._line = ipywidgets.HTML()
        self._place = ipywidgets.Box([self._view], layout={"display": "none", "flex": "none", "width": "100%"})
        self._place.add_class("wb-graph-place")
        self._netron = NetronPane(compact=True)
        controls = ipywidgets.HBox([self._button, self._which, self._line, self._netron])
        controls.add_class("wb-graph-controls")
        self.widget = ipywidgets.VBox([controls, self._place, self._stages])
        self.widget.add_class("wb-graph-pane")
        self._button.on_click(lambda _: self._toggle())
        self._which.observe(lambda _: self._read() if self._is_open else None, "value")

    @property
    def _is_open(self) -> bool:
        return self._button.description == _CLOSE

    def show(self, result: Result | None, model_line: str, original: Model) -> None:
        """Shows how the variant was made.

        Args:
            result: the selected variant, or None when it was not measured.
            model_line: one line on the original, e.g. '12 nodes · 215 k parameters · 0.9 MB'.
            original: the model before all passes.
        """
        html = panes.stages(result, model_line)
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
        """Ends what was opened in Netron."""
        self._netron.close()

    def _toggle(self) -> None:
        opening = not self._is_open
        self._button.description = _CLOSE if opening else _OPEN
        self._place.layout.display = "block" if opening else "none"
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
        if pair in self._known:
            self._draw(pair, self._known[pair])
            return
        self._line.value = "<span class='wb-dim'>reading both graphs …</span>"
        threading.Thread(target=self._work, args=(pair,), daemon=True, name="graphs").start()

    def _work(self, pair: Pair) -> None:
        try:
            found = pack(graph_pairs.payload(pair))
        except WorkbenchError as error:
            self._marshal(self._tell, pair, str(error))
        except Exception as error:  # a defect must show where the click was
            self._marshal(self._tell, pair, f"the graphs cannot be compared: {type(error).__name__}: {error}")
        else:
            self._marshal(self._draw, pair, found)

    def _tell(self, pair: Pair, line: str) -> None:
        self._line.value = f"<span class='wb-failed'>{panes.escape(line)}</span>"

    def _draw(self, pair: Pair, found: Packed) -> None:
        self._known[pair] = found
        self._line.value = ""
        self._view.show(found)


def _artefact(result: Result | None, original: Model) -> Path:
    """What Netron opens: the selected variant's file while it is there, else the model as it came."""
    made = Path(result.artefact) if result is not None and result.artefact else None
    return made if made is not None and made.exists() else Path(original.path)
