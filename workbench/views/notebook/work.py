"""Long work in a notebook: a cell returns at once, shows a progress line with Cancel, then what was found.

All work of a kernel runs in one thread, one piece after the other: two measurements at the same time would spoil each
other, and a piece may use what the cells above it found.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar

import ipywidgets

from ...errors import Cancelled, WorkbenchError
from .. import sentences
from ..marshal import Marshal
from ..widgets import bar
from ..widgets.chart import style

T = TypeVar("T")
REFRESH_S = 0.1
_all: list[Work] = []
_queue = ThreadPoolExecutor(1, thread_name_prefix="notebook")


class Task:
    """What a piece of work gets: a way to tell how far it is, and the wish to stop.

    Attributes:
        cancel: set when the user pressed Cancel.
    """

    def __init__(self, tell: Callable[[float, str, float | None], None]) -> None:
        self.cancel = threading.Event()
        self._tell = tell

    def progress(self, fraction: float, line: str, remaining_s: float | None = None) -> None:
        """One line for people; ``fraction`` is of the whole piece, 0..1."""
        self._tell(fraction, line, remaining_s)


class Work(Generic[T]):
    """A piece of work that shows itself.

    Args:
        run: called with a :class:`Task` in the background; what it returns is the value.
        show: makes the widget of a value, on the event loop; None shows nothing but the line.
        title: what people read before it starts.
        live: a widget that is there from the start; ``show`` then may return None.
    """

    def __init__(self, run: Callable[[Task], T], show: Callable[[T], ipywidgets.Widget | None] | None = None, *,
                 title: str = "", live: ipywidgets.Widget | None = None) -> None:
        self._marshal, self._show = Marshal(), show
        self.title, self.error = title, None
        self._drawn, self._told = threading.Event(), 0.0
        self.task = Task(self._tell)
        self.bar = bar.Bar(self._on_action, line=f"{title}: waiting for its turn" if title else "waiting", fraction=0.0,
                           actions=[bar.button("cancel", "Cancel")])
        self.body = ipywidgets.VBox([live] if live else [])
        self.body.add_class("wb-body")
        self.root = card([self.bar, self.body])
        _all.append(self)
        self._future = _queue.submit(self._work, run)

    @property
    def value(self) -> T:
        """What was found; waits for it, see :meth:`wait`."""
        return self.wait()

    def wait(self) -> T:
        """Waits until the work is over and returns what was found.

        Raises:
            WorkbenchError: why there is nothing.
        """
        return self._future.result()

    @property
    def done(self) -> bool:
        """Whether the work is over."""
        return self._future.done()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return self.root._repr_mimebundle_(**kwargs)

    # --- in the background --------------------------------------------------------------------------------------

    def _work(self, run: Callable[[Task], T]) -> T:
        try:
            if self.task.cancel.is_set():
                raise Cancelled("cancelled before it started")
            found = run(self.task)
        except Exception as error:  # a defect must show where the cell is, not die with the thread
            self.error = error
            self._marshal(self._failed, error)
            raise
        self._marshal(self._finished, found)
        return found

    def _tell(self, fraction: float, line: str, remaining_s: float | None) -> None:
        now = time.monotonic()
        if now - self._told >= REFRESH_S:
            self._told = now
            self._marshal(self._line, fraction, line, remaining_s)

    # --- on the event loop --------------------------------------------------------------------------------------

    def _on_action(self, message: dict[str, Any], _buffers: Any) -> None:
        if message.get("id") == "cancel":
            self.task.cancel.set()
            self.bar.show(line="stopping …")

    def _line(self, fraction: float, line: str, remaining_s: float | None) -> None:
        if not self._drawn.is_set() and not self.task.cancel.is_set():
            self.bar.show(line=sentences.progress(line, remaining_s), fraction=min(1.0, max(0.0, fraction)))

    def _finished(self, found: T) -> None:
        try:
            made = self._show(found) if self._show else None
            if made is not None:
                self.body.children = [made]
            self.bar.layout.display = "none"
        except Exception as error:
            self.error = error
            self._failed(error)
        self._drawn.set()

    def _failed(self, error: Exception) -> None:
        if isinstance(error, Cancelled):
            line = "cancelled; what was finished is kept: run the cell again to go on"
        else:
            line = str(error) if isinstance(error, WorkbenchError) else f"unexpected {type(error).__name__}: {error}"
        tone = "plain" if isinstance(error, Cancelled) else "failed"
        self.bar.show(line=line, tone=tone, fraction=-1.0, actions=[])
        self._drawn.set()


def card(children: list[ipywidgets.Widget]) -> ipywidgets.Box:
    """A box with the workbench's style, as high as what is in it."""
    root = ipywidgets.Box([*children, style()])
    root.add_class("wb-root")
    root.add_class("wb-page")
    return root


async def finish(timeout_s: float = 600.0) -> None:
    """Waits until all work of this kernel is done and drawn, and ends the worker processes.

    Raises:
        Exception: the first that any piece of work met.
    """
    from .bench import close_all

    deadline = time.monotonic() + timeout_s
    while not all(w._drawn.is_set() for w in _all):
        if time.monotonic() > deadline:
            late = next(w for w in _all if not w._drawn.is_set())
            raise TimeoutError(f"'{late.title}' is not done after {timeout_s:.0f} s")
        await asyncio.sleep(0.05)
    close_all()
    for work in _all:
        if work.error is not None:
            raise work.error
