"""The variant that is looked at, shared by all views of one study: chosen in one, shown in all."""

from __future__ import annotations

from collections.abc import Callable


class Selection:
    """A recipe key and who wants to know when it changes."""

    def __init__(self) -> None:
        self.key = ""
        self._listeners: list[Callable[[str], None]] = []

    def select(self, key: str) -> None:
        """Chooses a variant; nothing happens when it is chosen already."""
        if key and key != self.key:
            self.key = key
            for listener in list(self._listeners):
                listener(key)

    def subscribe(self, listener: Callable[[str], None]) -> None:
        """``listener`` is called with each newly chosen key."""
        self._listeners.append(listener)


_known: dict[str, Selection] = {}


def selection(study: str) -> Selection:
    """The selection of a study, by its path."""
    return _known.setdefault(study, Selection())
