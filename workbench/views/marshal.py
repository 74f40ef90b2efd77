"""From worker threads to the kernel's event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


class Marshal:
    """Runs callbacks of worker threads on the kernel's event loop; without a loop (a script), where they are."""

    def __init__(self) -> None:
        try:
            self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None

    def __call__(self, function: Callable[..., None], *args: Any) -> None:
        """Runs the function soon."""
        if self._loop is not None and self._loop.is_running():
            self._loop.call_soon_threadsafe(function, *args)
        else:
            function(*args)
