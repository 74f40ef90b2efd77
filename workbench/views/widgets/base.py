"""What all small widgets share: script, style and one way to report clicks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anywidget

from .. import theme

Handler = Callable[[dict[str, Any], list[memoryview]], None]


class Pane(anywidget.AnyWidget):
    """A widget that draws its traits and sends each click as ``{'type': ..., ...}``.

    Args:
        on_event: called with (message, binary buffers) for each click.
    """

    _esm = "export default { render() {} }"

    def __init__(self, on_event: Handler | None = None, **traits: Any) -> None:
        super().__init__(**traits)
        self._on_event = on_event or (lambda message, buffers: None)
        self.on_msg(self._receive)

    def _receive(self, _widget: Any, message: Any, buffers: list[memoryview]) -> None:
        if isinstance(message, dict) and isinstance(message.get("type"), str):
            self._on_event(message, buffers)

    def show(self, **traits: Any) -> None:
        """Sets several traits in one message; unchanged ones are not sent again."""
        with self.hold_sync():
            for name, value in traits.items():
                setattr(self, name, value)


def script(name: str) -> str:
    """Source of ``static/NAME.js`` with the shared helper."""
    return theme.esm(name)
