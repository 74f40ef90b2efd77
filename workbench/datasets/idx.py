"""Reader for IDX files, the plain binary format of the MNIST family."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

from ..errors import InputError

_MAX_BYTES = 2**30  # far above any file of this family; stops a decompression bomb


def read(path: Path) -> np.ndarray:
    """Reads one IDX file of unsigned bytes, gzipped or not.

    Returns:
        uint8 array with the shape that the file's header states.

    Raises:
        InputError: the file is cut, is no IDX file or holds another type.
    """
    try:
        opened = gzip.open(path) if path.suffix == ".gz" else path.open("rb")
        with opened as file:
            raw = file.read(_MAX_BYTES)
    except (OSError, EOFError) as error:
        raise InputError(f"cannot read {path}: {error}; fetch the file again") from None
    if len(raw) < 4 or raw[:3] != b"\0\0\x08" or len(raw) < 4 + 4 * raw[3]:
        raise InputError(f"{path} is not an IDX file of unsigned bytes; fetch the file again")
    rank = raw[3]
    shape = tuple(int(n) for n in np.frombuffer(raw, ">u4", rank, offset=4))
    data = np.frombuffer(raw, np.uint8, offset=4 + 4 * rank)
    if data.size != int(np.prod(shape, dtype=object)):
        raise InputError(f"{path} states shape {list(shape)} but holds {data.size} bytes; fetch the file again")
    return data.reshape(shape)
