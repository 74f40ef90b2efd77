"""Lines with buttons: the headline on top, the actions with progress at the bottom."""

from __future__ import annotations

from typing import Any

import traitlets as t

from .base import Handler, Pane, script


def button(id: str, label: str, *, reason: str = "", primary: bool = False, hint: str = "") -> dict[str, Any]:
    """One button; a reason switches it off and is what the user reads on it."""
    return {"id": id, "label": label, "disabled": bool(reason), "reason": reason, "primary": primary, "hint": hint}


class Bar(Pane):
    """A status line beside buttons. Sends ``action`` (id). ``fraction`` below 0 hides the progress bar."""

    _esm = script("bar")
    kind = t.Unicode("bar").tag(sync=True)
    actions = t.List().tag(sync=True)
    line = t.Unicode().tag(sync=True)
    tone = t.Unicode("plain").tag(sync=True)
    fraction = t.Float(-1.0).tag(sync=True)


def headline(on_event: Handler) -> Bar:
    """The sentence on top."""
    return Bar(on_event, kind="headline")


def progress(on_event: Handler) -> Bar:
    """The bar at the bottom."""
    return Bar(on_event, kind="bar")
