"""The tune pane: constraints on the left, what is being tried and what was tried on the right."""

from __future__ import annotations

from typing import Any

import traitlets as t

from .base import Pane, script


class TunePane(Pane):
    """Sends ``set`` (name, value) and ``select`` (key)."""

    _esm = script("tune")
    fields = t.List().tag(sync=True)
    state = t.Dict().tag(sync=True)
    tried = t.List().tag(sync=True)

    def draw(self, fields: list[dict[str, Any]], state: dict[str, Any], tried: list[dict[str, Any]]) -> None:
        """Shows the state of the search; what did not change is not sent."""
        self.show(fields=fields, state=state, tried=tried)
