"""The rail of toggles on the left."""

from __future__ import annotations

import traitlets as t

from ..choices import Group
from ..frames import plain
from .base import Pane, script


class Rail(Pane):
    """Groups of toggles. Sends ``choose`` (group, id, on) and ``set`` (owner, name, value)."""

    _esm = script("rail")
    groups = t.List().tag(sync=True)
    note = t.Unicode().tag(sync=True)

    def draw(self, groups: tuple[Group, ...], note: str = "") -> None:
        """Shows the groups, and one line on what moved along with the last click."""
        self.show(groups=plain(groups), note=note)
