"""Bytes behind ONNX tensors: inline in any of their ways, or in a file beside the model."""

from __future__ import annotations

import math
import mmap
from pathlib import Path
from typing import Any

from ..dtypes import size_bytes
from .constants import digest

_MOST_TYPED = 1 << 22  # elements; typed lists (not raw bytes) are slow to turn into an array


class Data:
    """Reads tensors of one model; files stay mapped while it lives."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, mmap.mmap | None] = {}

    def describe(self, proto: Any, dtype: str, shape: tuple[int, ...]) -> tuple[int, str]:
        """(bytes, digest) of a ``TensorProto``; the digest is '' where the data cannot be had cheaply."""
        if proto.data_location == proto.EXTERNAL:
            data = self._external(proto)
        else:
            data = proto.raw_data or _typed(proto, shape)
        return size_bytes(dtype, shape) or len(data), digest(data, dtype, shape)

    def _external(self, proto: Any) -> memoryview | bytes:
        entries = {e.key: e.value for e in proto.external_data}
        content = self._file(entries.get("location", ""))
        if content is None:
            return b""
        start = int(entries.get("offset") or 0)
        length = int(entries.get("length") or 0) or len(content) - start
        return memoryview(content)[start:start + length]

    def _file(self, name: str) -> mmap.mmap | None:
        if name not in self._files:
            self._files[name] = None
            try:
                with (self._folder / name).open("rb") as stream:
                    self._files[name] = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            except (OSError, ValueError):  # checked when the model was opened; gone since: no digest then
                pass
        return self._files[name]


def _typed(proto: Any, shape: tuple[int, ...]) -> bytes:
    """Content of a tensor stored as a list of numbers, as its raw bytes would be."""
    from onnx import numpy_helper

    if proto.string_data:
        return b"\0".join(proto.string_data)
    if not 0 < math.prod(shape) <= _MOST_TYPED:
        return b""
    try:
        return numpy_helper.to_array(proto).tobytes()
    except (ValueError, TypeError, KeyError):
        return b""
