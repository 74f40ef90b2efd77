"""Counts the fields of a protobuf before it is parsed: a parser spends about 80 bytes of memory on an empty
message that takes 2 in the file, so a small file can fill a machine.

Wire format: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from typing import Any

FREE_BYTES = 4 * 2**20  # what a file of this size can unfold to does no harm
MAX_FIELDS = 2_000_000  # real graphs have about 30 a node
_VARINT, _I64, _LEN, _I32 = 0, 1, 2, 5


class WireError(ValueError):
    """Not a protobuf message of this type, or cut short."""


class TooMany(ValueError):
    """More fields than any real model holds."""


def check(data: memoryview, descriptor: Any, limit: int = MAX_FIELDS) -> None:
    """Walks a serialized message and its sub-messages.

    Args:
        data: the serialized message.
        descriptor: ``DESCRIPTOR`` of its class.
        limit: most fields admitted, in all sub-messages together.

    Raises:
        WireError: not a message of this kind.
        TooMany: more than ``limit`` fields.
    """
    if len(data) <= FREE_BYTES:
        return
    todo = [(0, len(data), descriptor)]
    count = 0
    while todo:
        start, end, kind = todo.pop()
        nested = {number: f.message_type for number, f in kind.fields_by_number.items() if f.message_type}
        while start < end:
            count += 1
            if count > limit:
                raise TooMany
            tag, start = _varint(data, start, end)
            low, start = _skip(data, start, end, tag & 7)
            inner = nested.get(tag >> 3) if tag & 7 == _LEN else None
            if inner is not None:
                todo.append((low, start, inner))


def starts_message(head: bytes, fields: dict[int, int]) -> bool:
    """Whether bytes can be the start of a message: the first tag is one of ``fields`` (number -> wire type)."""
    try:
        tag, start = _varint(memoryview(head), 0, len(head))
    except WireError:
        return False
    return fields.get(tag >> 3) == tag & 7 and start < len(head)


def _varint(data: memoryview, start: int, end: int) -> tuple[int, int]:
    if start < end and data[start] < 0x80:  # nearly always
        return data[start], start + 1
    value = shift = 0
    while start < end and shift < 70:
        byte = data[start]
        start += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, start
        shift += 7
    raise WireError


def _skip(data: memoryview, start: int, end: int, wire: int) -> tuple[int, int]:
    """(where the content of a field starts, where it ends)."""
    if wire == _LEN:
        length, start = _varint(data, start, end)
    elif wire == _VARINT:
        return start, _varint(data, start, end)[1]
    else:
        length = {_I64: 8, _I32: 4}.get(wire, end + 1)  # groups do not occur in these formats
    if start + length > end:
        raise WireError
    return start, start + length
