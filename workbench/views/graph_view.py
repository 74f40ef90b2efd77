"""The graph before and after in a notebook: one widget of our own, and its static forms.

The payload is a dict of plain values::

    {"version": 1, "title": str, "before": SIDE, "after": SIDE,
     "groups": [{"id": int, "before": [node], "after": [node], "status": str, "evidence": str, "verified": bool,
                 "summary": str}],
     "counts": {status: int}}

    SIDE = {"title": str, "format": str, "inputs": [tensor], "outputs": [tensor],
            "nodes": [{"name", "op", "scope": "a/b", "in": [tensor], "out": [tensor], "shape": [size] | None, "dtype",
                       "attrs": {}, "params": int, "bytes": int, "flops": int, "time_s": float | None, "group": int,
                       "status": str, "sensitivity": float (optional)}],
            "edges": [[source, target, tensor]]}

Nodes are named by position; statuses are those of :data:`workbench.views.graph_pack.STATUSES`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import anywidget
import traitlets

from ..errors import InputError
from . import graph_bundle, graph_html, graph_pack, graph_still


class Packed(NamedTuple):
    """A payload made ready for the view; see :func:`pack`."""

    payload: dict[str, Any]
    columns: dict[str, Any]
    data: bytes


def pack(payload: dict[str, Any]) -> Packed:
    """Makes a payload ready to show. Seconds for 100,000 nodes, so for large graphs call it in a thread.

    Raises:
        InputError: the payload has another version.
    """
    if payload.get("version") != 1:
        raise InputError(f"this graph payload has version {payload.get('version')!r}, not 1: make it with this release")
    columns = graph_pack.columns(payload)
    return Packed(payload, columns, graph_pack.deflate(columns))


class GraphDiff(anywidget.AnyWidget):
    """Two graphs side by side with what happened between them.

    Args:
        payload: see the module's text; None shows nothing until :meth:`show`.
        height: of the view in pixels.
        heat: '' or the metric that colours the nodes: 'time_s', 'bytes', 'flops', 'sensitivity'.
        theme: 'auto' follows the notebook; 'light', 'dark'.

    Attributes:
        selected: ``{'side': 'before'|'after', 'name': str, 'kind': 'node'|'group'}`` or ``{}``; setting a node selects
            it in the view.

    Raises:
        InputError: the payload has another version.
    """

    _esm = graph_bundle.widget_module()
    _data = traitlets.Bytes(b"").tag(sync=True)
    selected = traitlets.Dict().tag(sync=True)
    height = traitlets.Int(560).tag(sync=True)
    heat = traitlets.Unicode("").tag(sync=True)
    theme = traitlets.Enum(["auto", "light", "dark"], "auto").tag(sync=True)

    def __init__(self, payload: dict[str, Any] | None = None, *, height: int = 560, heat: str = "",
                 theme: str = "auto", **traits: Any) -> None:
        super().__init__(height=height, heat=heat, theme=theme, **traits)
        self.payload: dict[str, Any] | None = None
        self._columns: dict[str, Any] = {}
        if payload is not None:
            self.show(payload)

    def show(self, payload: dict[str, Any] | Packed) -> None:
        """Shows another pair, packed or not, in the same place; the selection is dropped."""
        packed = payload if isinstance(payload, Packed) else pack(payload)
        with self.hold_sync():
            self.payload, self._columns, self._data = packed
            self.selected = {}

    def to_html(self, *, title: str = "") -> str:
        """One self-contained interactive page."""
        return graph_html.to_html(self._shown(), title=title)

    def to_png(self) -> bytes:
        """A still of the collapsed pair."""
        return graph_html.to_png(self._shown())

    def _shown(self) -> dict[str, Any]:
        if self.payload is None:
            raise InputError("there is no graph to export yet: call show(payload) first")
        return self.payload

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The widget for a live notebook; HTML and PNG for exports and for a notebook that is opened again."""
        found = super()._repr_mimebundle_(**kwargs)
        if found is None or self.payload is None:
            return found
        data, metadata = found if isinstance(found, tuple) else (found, {})
        picture = graph_still.png(self._columns)
        options = {"height": self.height, "theme": self.theme, "heat": self.heat}
        data = {**data, "text/html": graph_html.fragment_of(self._columns, options, picture), "image/png": picture}
        return data, metadata
