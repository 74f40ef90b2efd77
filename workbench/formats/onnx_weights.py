"""Weights of ONNX files: how many, of which type, and whether their data is really there."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

from ..errors import InputError
from .base import elements

_BITS = {"int2": 2, "uint2": 2, "int4": 4, "uint4": 4, "float4e2m1": 4, "float6e2m3": 6, "float6e3m2": 6,
         "bool": 8, "str": 0, "undefined": 0, "complex64": 64, "complex128": 128, "bfloat16": 16}
_NUMPY = {"float": "float32", "double": "float64", "string": "str"}


@cache
def dtype_name(code: int) -> str:
    """numpy name of an ONNX element type, e.g. 1 -> 'float32', 8 -> 'str', 16 -> 'bfloat16'."""
    from onnx import TensorProto

    try:
        name = TensorProto.DataType.Name(code).lower()
    except ValueError:
        return f"type {code}"
    return _NUMPY.get(name, name)


def is_weight_type(tensor: Any) -> bool:
    """False for the types that hold shapes, indices, masks and text."""
    return dtype_name(tensor.data_type) not in ("int32", "int64", "uint64", "bool", "str", "undefined")


def count(tensor: Any) -> int:
    """Number of elements.

    Raises:
        InputError: a negative size, or the file holds less data than the shape promises.
    """
    if any(d < 0 for d in tensor.dims):
        raise InputError(f"weight '{tensor.name}' has a negative size {list(tensor.dims)}: the file is damaged")
    size = elements(tensor.dims)
    if tensor.data_location != tensor.EXTERNAL and size:
        _check_inline(tensor, size)
    return size


class Span(NamedTuple):
    """Where a tensor's data lies in an external file, in bytes; length 0 is 'to the end'."""

    tensor: str
    offset: int
    length: int


def external_files(model: Path, tensors: Iterable[Any]) -> tuple[Path, ...]:
    """Files that the tensors' data lies in, sorted by name; each is there and long enough.

    Raises:
        InputError: a file is missing, unreadable, cut short, or outside the model's folder.
    """
    spans: dict[str, list[Span]] = {}
    for tensor in tensors:
        if tensor.data_location == tensor.EXTERNAL:
            location, span = _span(tensor)
            spans.setdefault(location, []).append(span)
    missing = [name for name in spans if not _inside(model, name).is_file()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(f"{model.name} keeps its weights in '{missing[0]}'{more}, which is not beside it: "
                         f"copy it into {model.parent}")
    return tuple(_check_spans(model, name, spans[name]) for name in sorted(spans))


def _span(tensor: Any) -> tuple[str, Span]:
    entries = {e.key: e.value for e in tensor.external_data}
    location = entries.get("location", "")
    try:
        offset, length = int(entries.get("offset") or 0), int(entries.get("length") or 0)
    except ValueError:
        offset = length = -1
    if offset < 0 or length < 0 or not location:
        raise InputError(f"weight '{tensor.name}' has a wrong place in the external data: the file is damaged")
    bits = _bits(tensor)
    needed = -(-count(tensor) * bits // 8)
    if bits and length and length < needed:
        raise InputError(f"weight '{tensor.name}' needs {needed} bytes of external data, its entry has {length}: "
                         "the file is damaged")
    return location, Span(tensor.name, offset, length or needed)


def _inside(model: Path, location: str) -> Path:
    """The external file, if it lies in the model's folder after links are followed."""
    outside = InputError(f"{model.name} names external data outside its folder ('{location[:80]}'): refused; "
                         "put the data file beside the model")
    posix, windows = PurePosixPath(location), PureWindowsPath(location)
    if posix.is_absolute() or windows.anchor or ".." in posix.parts or ".." in windows.parts or "\0" in location:
        raise outside
    path = model.parent / location
    # Download caches keep model and data as links into one store: both real folders count as 'beside'.
    homes = (model.parent.resolve(), model.resolve().parent)
    if not any(path.resolve().is_relative_to(home) for home in homes):
        raise outside
    return path


def _check_spans(model: Path, name: str, spans: list[Span]) -> Path:
    path = _inside(model, name)
    try:
        size = path.stat().st_size
        with path.open("rb"):
            pass
    except OSError as error:
        raise InputError(f"cannot read '{name}', which {model.name} keeps its weights in: {error.strerror}") from None
    for span in spans:
        if span.offset + span.length > size:
            raise InputError(f"'{name}' is cut short: weight '{span.tensor}' of {model.name} ends at byte "
                             f"{span.offset + span.length}, the file has {size}; copy or download it again")
    return path


def _bits(tensor: Any) -> int:
    """Bits of one element, 0 when unknown or of variable length."""
    name = dtype_name(tensor.data_type)
    if name in _BITS:
        return _BITS[name]
    digits = name.lstrip("abcdefghijklmnopqrstuvwxyz")
    if name.startswith("float8"):
        return 8
    return int(digits) if digits.isdigit() else 0


def _check_inline(tensor: Any, size: int) -> None:
    raw, bits = len(tensor.raw_data), _bits(tensor)
    if raw and bits and raw * 8 < size * bits:
        raise InputError(f"weight '{tensor.name}' promises {size} values but holds {raw} bytes: the file is damaged")
    typed = (tensor.float_data, tensor.int32_data, tensor.int64_data, tensor.double_data, tensor.uint64_data,
             tensor.string_data)
    if not raw and not any(len(t) for t in typed):
        raise InputError(f"weight '{tensor.name}' promises {size} values but holds none: the file is damaged, or its "
                         "external data was stripped")
