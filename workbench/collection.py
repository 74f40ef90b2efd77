"""Making thousands of objects without the search for cycles that would walk them over and over."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_collection() -> Iterator[None]:
    """No search for cycles meanwhile, for code whose objects hold none; as a context or as a decorator.

    Afterwards they count as old: else the next small object would set off the search that was put off.
    """
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            if not gc.get_freeze_count():
                gc.freeze()  # this and its inverse move all that is young to the oldest generation, unwalked
                gc.unfreeze()
            gc.enable()
