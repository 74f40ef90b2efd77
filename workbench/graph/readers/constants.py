"""Fingerprints of weights: enough to tell whether two graphs hold the same ones."""

from __future__ import annotations

import hashlib

WHOLE_BYTES = 1 << 20  # up to here all of the data is hashed
_CHUNKS, _CHUNK_BYTES = 32, 1 << 15  # above, this much of it, spread evenly


def digest(data: bytes | memoryview, dtype: str, shape: tuple[int, ...]) -> str:
    """Hash of a constant's type, shape and little-endian content; '' for no data.

    Large constants are sampled, which is marked by a leading '~': equal then means 'equal wherever looked at'.
    """
    view = memoryview(data)
    if not view.nbytes:
        return ""
    view = view.cast("B") if view.format != "B" else view
    state = hashlib.blake2b(f"{dtype}{list(shape)}{view.nbytes}".encode(), digest_size=12)
    if view.nbytes <= WHOLE_BYTES:
        state.update(view)
        return state.hexdigest()
    last = view.nbytes - _CHUNK_BYTES
    for index in range(_CHUNKS):
        start = last * index // (_CHUNKS - 1)
        state.update(view[start:start + _CHUNK_BYTES])
    return "~" + state.hexdigest()
