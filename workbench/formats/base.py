"""What every format reader offers, and the small things that readers share."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..model import Dim, ModelFormat, TensorSpec

UNKNOWN_RANK: tuple[Dim, ...] = ("...",)  # shape of a tensor whose number of axes the file does not tell


class Probe(NamedTuple):
    """What detection looks at; made once, so that no reader opens the file again to decide.

    Attributes:
        path: absolute path of a readable file or folder.
        is_dir: True for a folder.
        head: the first 512 bytes of a file, b'' for a folder.
        members: names inside a zip archive, or of the entries of a folder; () otherwise.
    """

    path: Path
    is_dir: bool
    head: bytes
    members: tuple[str, ...]


class Options(NamedTuple):
    """What the caller adds to the file.

    Attributes:
        examples: one (name or '', dtype, shape) an input, for formats that do not store their input shapes.
        fix: input name -> sizes, for the same purpose.
    """

    examples: tuple[tuple[str, str, tuple[int, ...]], ...] = ()
    fix: tuple[tuple[str, tuple[int, ...]], ...] = ()


@dataclass(frozen=True)
class Inspection:
    """What a reader found in a file; see :class:`workbench.model.Model` for the fields.

    Attributes:
        files: every file of the artefact, the main one first; size and hash cover all of them.
        sha256: hash of the content where the reader has it already, else ''.
    """

    format: ModelFormat
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    parameters: int
    nodes: int
    notes: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    sha256: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain form for the cache and the worker; files and hash are left out, the caller knows them."""
        return {
            "format": self.format.value,
            "inputs": [s.to_dict() for s in self.inputs],
            "outputs": [s.to_dict() for s in self.outputs],
            "parameters": self.parameters, "nodes": self.nodes, "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, d: dict[str, Any]) -> Inspection:
        """Inverse of :meth:`to_dict`."""
        return cls(
            format=ModelFormat(d["format"]),
            inputs=tuple(TensorSpec.from_dict(s) for s in d["inputs"]),
            outputs=tuple(TensorSpec.from_dict(s) for s in d["outputs"]),
            parameters=int(d["parameters"]), nodes=int(d["nodes"]), notes=tuple(d["notes"]),
        )


def elements(shape: Iterable[int]) -> int:
    """Number of elements of a static shape; 1 for a scalar."""
    return math.prod(shape)


def unique_names(names: Iterable[str]) -> list[str]:
    """The names, with '_1', '_2', ... added where one repeats, so that they can be keys."""
    seen: set[str] = set()
    made = []
    for name in names:
        candidate, count = name, 0
        while candidate in seen:
            count += 1
            candidate = f"{name}_{count}"
        seen.add(candidate)
        made.append(candidate)
    return made


def natural_order(names: Iterable[str]) -> list[str]:
    """Names that differ by a number only, sorted by it ('output_2' before 'output_10'); others as they come."""
    listed = list(names)
    found = [re.fullmatch(r"(\D*)(\d+)", n) for n in listed]
    if not all(found) or len({f.group(1) for f in found}) != 1:
        return listed
    return sorted(listed, key=lambda n: int(re.search(r"\d+$", n).group()))


def example_options(example_inputs: Any) -> tuple[tuple[str, str, tuple[int, ...]], ...]:
    """(name, dtype, shape) of each example, given as an array, a sequence of arrays or a dict by input name."""
    if example_inputs is None:
        return ()
    if isinstance(example_inputs, dict):
        pairs = list(example_inputs.items())
    elif isinstance(example_inputs, (list, tuple)):
        pairs = [("", value) for value in example_inputs]
    else:
        pairs = [("", example_inputs)]
    arrays = [(str(name), to_array(value)) for name, value in pairs]
    return tuple((name, a.dtype.name, tuple(int(d) for d in a.shape)) for name, a in arrays)


def to_array(value: Any) -> np.ndarray:
    """A numpy array from an array, a number, or a tensor of any framework (which stays unimported)."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    if hasattr(value, "numpy"):
        value = value.numpy()
    return np.asarray(value)


def content_hash(files: tuple[Path, ...], root: Path) -> str:
    """SHA-256 of an artefact: of the file itself, or of all names (relative to ``root``) and contents if several."""
    if len(files) == 1 and not root.is_dir():
        return _file_hash(files[0]).hexdigest()
    base = root if root.is_dir() else root.parent
    total = hashlib.sha256()
    for file in files:
        label = file.relative_to(base).as_posix() if file.is_relative_to(base) else file.name
        label = label if file != root else ""  # renaming the main file does not make it another model
        total.update(f"{label}\0".encode() + _file_hash(file).digest())
    return total.hexdigest()


def _file_hash(path: Path):
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256")
