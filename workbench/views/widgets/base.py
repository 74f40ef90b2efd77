"""What all small widgets share: script, style and one way to report clicks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anywidget
import traitlets as t

from .. import theme

Handler = Callable[[dict[str, Any], list[memoryview]], None]


class Pane(anywidget.AnyWidget):
    """A widget that draws its traits and sends each click as ``{'type': ..., ...}``.

    A click that is numbered by a ``turn`` is heard when the traits that it changed have been sent; until then what the
    page is told of its controls is older than what the user sees.

    Args:
        on_event: called with (message, binary buffers) for each click.
    """

    _esm = "export default { render() {} }"
    heard = t.Int().tag(sync=True)

    def __init__(self, on_event: Handler | None = None, **traits: Any) -> None:
        super().__init__(**traits)
        self._on_event = on_event or (lambda message, buffers: None)
        self.on_msg(self._receive)

    def _receive(self, _widget: Any, message: Any, buffers: list[memoryview]) -> None:
        if not (isinstance(message, dict) and isinstance(message.get("type"), str)):
            return
        turn = message.pop("turn", 0)
        try:
            self._on_event(message, buffers)
        finally:
            self.heard = max(self.heard, turn if isinstance(turn, int) else 0)

    def show(self, **traits: Any) -> None:
        """Sets several traits in one message; unchanged ones are not sent again."""
        with self.hold_sync():
            for name, value in traits.items():
                setattr(self, name, value)


def script(name: str) -> str:
    """Source of ``static/NAME.js`` with the shared helper."""
    return theme.esm(name)
