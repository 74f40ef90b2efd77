"""The variant that is looked at, shared by all views of one study: chosen in one, shown in all."""

from __future__ import annotations

from collections.abc import Callable

from ..study import Study


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

    def subscribe(self, listener: Callable[[str], None]) -> Callable[[], None]:
        """``listener`` is called with each newly chosen key, until what is returned here is called."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None


_known: dict[str, Selection] = {}


def selection(study: Study) -> Selection:
    """The selection of a study, by its file; one without a file has nobody to share with."""
    return _known.setdefault(str(study.path.absolute()), Selection()) if study.path else Selection()
