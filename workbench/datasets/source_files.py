"""Windows of the source files that the running environment itself holds: which language is this written in?

Nothing is copied: the files are those that the project's dependencies installed, read where they lie. They are
split by *package*, so a held-out window never comes from a package that the shipped model saw in training.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from typing import NamedTuple

import numpy as np

from ..errors import InputError

WINDOW = 256  # bytes in one sample
LANGUAGES = ("Python", "C/C++ header", "JavaScript", "CSS", "JSON", "Markdown", "licence text")
_SUFFIXES = {".py": 0, ".pyi": 0, ".h": 1, ".hpp": 1, ".js": 2, ".mjs": 2, ".css": 3, ".json": 4, ".md": 5}
_LICENCE_NAMES, _LICENCE_SUFFIXES = ("license", "licence", "copying"), ("", ".txt", ".md", ".rst")
# Packages that ship copies of another's files count as one, or a held-out window could have been seen in training.
_FAMILIES = {"voila": "jupyterlab", "nbconvert": "jupyterlab", "jupyterlab-widgets": "ipywidgets",
             "widgetsnbextension": "ipywidgets", "tf-keras": "keras", "tensorflow-model-optimization": "keras",
             "ml-dtypes": "tensorflow", "grpcio": "tensorflow", "protobuf": "tensorflow", "absl-py": "tensorflow",
             "ai-edge-litert": "tensorflow", "jupyter-builder": "jupyterlab"}
_SALT = "split-6041"  # a salt with which both sides hold every language
_HELD_OUT_SHARE = 0.3
_ENCODED = re.compile(rb"[A-Za-z0-9+/=]{120}")
_SHORTEST = 64  # a file below this says too little
_PROJECT = "inference-workbench"


class SourceFile(NamedTuple):
    """One file of an installed package."""

    package: str
    language: int
    path: str
    digest: str
    size: int


@cache
def files(*, everything: bool = False) -> tuple[SourceFile, ...]:
    """Every file of a known language that the project's dependencies installed; identical ones once.

    Args:
        everything: all installed packages, extras and strangers too; without it the set does not depend on them.

    Returns:
        files in an order that depends on their content alone.
    """
    found: dict[str, SourceFile] = {}
    for package, distribution in sorted(_distributions(everything).items()):
        for file in _listed(package, distribution):
            known = found.get(file.digest)
            if known is None or (is_held_out(known.package) and not is_held_out(package)):
                found[file.digest] = file
    return tuple(sorted(found.values(), key=lambda f: f.digest))


def is_held_out(package: str) -> bool:
    """Whether a package belongs to the evaluation side; a stable hash of its name decides."""
    digest = hashlib.sha256(f"{_SALT}/{_FAMILIES.get(package, package)}".encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32 < _HELD_OUT_SHARE


def sample(chosen: list[SourceFile], per_language: int, *, per_file: int = 64, seed: int = 0,
           width: int = WINDOW) -> tuple[np.ndarray, np.ndarray]:
    """Draws windows, taking turns between packages so that no large one fills its language.

    Args:
        chosen: the files to draw from.
        per_language: windows wanted of each language; there may be fewer.
        per_file: most windows from one file.
        seed: for the places in the files.
        width: bytes of a window.

    Returns:
        int32 [windows, width], bytes with 0 as padding, and int64 labels; no window occurs twice.
    """
    rows, labels, seen = [], [], set()
    for language in range(len(LANGUAGES)):
        mine, count = [f for f in chosen if f.language == language], 0
        for row in _turns(mine, per_file, seed, width):
            if row not in seen:
                seen.add(row)
                rows.append(row)
                labels.append(language)
                count += 1
            if count == per_language:
                break
    if not rows:
        raise InputError("no source files of installed packages were found; set the environment up with 'make lab'")
    table = np.frombuffer(b"".join(r.ljust(width, b"\0") for r in rows), np.uint8).reshape(-1, width)
    order = np.random.default_rng(seed).permutation(len(rows))
    return table[order].astype(np.int32), np.array(labels, np.int64)[order]


def _distributions(everything: bool) -> dict[str, metadata.Distribution]:
    """The project's installed dependencies without extras; all packages where the project is not installed."""
    installed = {}
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]
        if name:
            installed.setdefault(_plain(name), distribution)
    if everything or _PROJECT not in installed:
        return installed
    reached, waiting = {}, [_PROJECT]
    while waiting:
        name = waiting.pop()
        if name in installed and name not in reached:
            reached[name] = installed[name]
            waiting.extend(_required(installed[name]))
    reached.pop(_PROJECT)
    return reached


def _required(distribution: metadata.Distribution) -> Iterator[str]:
    for line in distribution.requires or ():
        if "extra ==" not in line:
            yield _plain(re.match(r"[A-Za-z0-9._-]+", line).group())


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _listed(package: str, distribution: metadata.Distribution) -> Iterator[SourceFile]:
    """Files that a package's RECORD lists; it holds their hashes, so that they need not be read to be compared."""
    markdown = distribution.metadata.get("Description-Content-Type", "").startswith("text/markdown")
    root = str(distribution.locate_file(""))
    for line in (distribution.read_text("RECORD") or "").splitlines():
        path, _, rest = line.rpartition(",sha256=")
        language = _language(path, markdown)
        digest, _, size = rest.partition(",")
        if language is not None and size.isdigit() and int(size) >= _SHORTEST and path[0] != '"':
            yield SourceFile(package, language, os.path.join(root, path), digest, int(size))


def _language(path: str, markdown: bool) -> int | None:
    """Index of a file's language by its name, or None."""
    name = path.rpartition("/")[2].lower()
    suffix = os.path.splitext(name)[1]
    if name.startswith(_LICENCE_NAMES) and suffix in _LICENCE_SUFFIXES:
        return LANGUAGES.index("licence text")
    if "license" in path.lower():
        return None  # licences packed in JSON or JavaScript are neither
    if markdown and path.endswith(".dist-info/METADATA"):
        return LANGUAGES.index("Markdown")
    return _SUFFIXES.get(suffix)


def _turns(mine: list[SourceFile], per_file: int, seed: int, width: int) -> Iterator[bytes]:
    """Windows of one language: one file of each package in turn, round after round."""
    by_package: dict[str, list[SourceFile]] = defaultdict(list)
    for file in mine:
        by_package[file.package].append(file)
    queues = [_windows_of(queue, per_file, seed, width) for _, queue in sorted(by_package.items())]
    while queues:
        for queue in list(queues):
            row = next(queue, None)
            if row is None:
                queues.remove(queue)
            else:
                yield row


def _windows_of(queue: list[SourceFile], per_file: int, seed: int, width: int) -> Iterator[bytes]:
    """Windows of one package: first one of every file, then a second of every file, and so on."""
    for turn in range(per_file):
        for file in queue:
            if file.size >= turn * 2 * WINDOW:
                row = _window(file, turn, seed, width)
                if row is not None:
                    yield row


def _window(file: SourceFile, turn: int, seed: int, width: int) -> bytes | None:
    """One window at a place that the file's hash decides, from a line's start where one is near."""
    draw = int.from_bytes(hashlib.sha256(f"{seed}/{turn}/{file.digest}".encode()).digest()[:6], "big")
    try:
        with open(file.path, "rb") as opened:
            start = _body(opened) if file.path.endswith("METADATA") else 0
            opened.seek(start + draw % max(1, file.size - start - WINDOW))
            text = opened.read(width + WINDOW // 2)
    except OSError:
        return None  # listed, but removed since: not a reason to fail
    newline = text.find(b"\n", 0, WINDOW // 2)
    row = text[newline + 1:][:width].replace(b"\0", b" ")
    return None if len(row.strip()) < _SHORTEST or _is_foreign(row) else row


def _is_foreign(row: bytes) -> bool:
    """Whether a window lies inside an embedded string (escaped line ends) or encoded data (no break in sight)."""
    return row.count(b"\\n") > len(row) / 100 or _ENCODED.search(row) is not None


def _body(opened) -> int:
    """Where the description starts after the headers of a METADATA file."""
    head = opened.read(65536)
    end = head.find(b"\n\n")
    return 0 if end < 0 else end + 2
