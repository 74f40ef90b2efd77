"""Errors whose message is one line for the user: the cause, then what to do next."""

from __future__ import annotations


class WorkbenchError(Exception):
    """Base of every error that the workbench raises on purpose; its text is shown as it is."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(str(message).split()))

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows in place of a traceback."""
        return [str(self)]


class InputError(WorkbenchError):
    """A model, data set, recipe or argument cannot be used as given."""


class MissingError(WorkbenchError):
    """A runtime, package or device is not on this machine; the message holds the install line."""


class NotApplicable(WorkbenchError):
    """A pass does not apply to this model; the message is the reason that the user reads."""


class WorkerError(WorkbenchError):
    """A worker process crashed, hung or ran out of memory; the message says which."""


class Cancelled(WorkbenchError):
    """The user stopped the work; what was finished is kept."""
