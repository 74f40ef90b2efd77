"""What Keras files hold beside the layers: the architecture text, and which weights belong to which layer."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...formats import archive
from .constants import digest

Weight = tuple[str, str, tuple[int, ...], str]  # name, dtype, shape, digest


def architecture(path: Path) -> tuple[dict[str, Any], str]:
    """(architecture, version of Keras) of a .keras archive or an .h5 file that was checked when it was opened.

    Raises:
        InputError: there is none.
    """
    import h5py

    with path.open("rb") as stream:
        zipped = stream.read(2) == b"PK"
    if zipped:
        with archive.open_archive(path) as opened:
            config = archive.read_json(opened, "config.json")
            meta = archive.read_json(opened, "metadata.json") if "metadata.json" in opened.namelist() else {}
            return config, str(meta.get("keras_version", ""))
    try:
        with h5py.File(path, "r") as file:
            text, version = file.attrs["model_config"], file.attrs.get("keras_version", "")
    except (OSError, KeyError):
        raise InputError(f"{path.name} holds no architecture: save the whole model with model.save") from None
    version = version.decode() if isinstance(version, bytes) else str(version)
    return archive.parse_json(text, f"{path.name}: 'model_config'"), version


def by_layer(path: Path) -> dict[str, list[Weight]]:
    """Weights by the name of the layer that owns them; {} where the layout is another."""
    try:
        with _weights_file(path) as file:
            return _legacy(file["model_weights"]) if "model_weights" in file else _current(file)
    except (OSError, KeyError, RuntimeError, ValueError):
        return {}


@contextmanager
def _weights_file(path: Path) -> Iterator[Any]:
    import h5py

    with path.open("rb") as stream:
        zipped = stream.read(2) == b"PK"
    if not zipped:
        with h5py.File(path, "r") as file:
            yield file
        return
    with archive.open_archive(path) as opened:
        content = io.BytesIO(archive.read(opened, "model.weights.h5", limit=2**33))
    with h5py.File(content, "r") as file:
        yield file


def _current(file: Any) -> dict[str, list[Weight]]:
    """Keras 3: 'layers/<class>_<n>/.../vars/0', with the layer's name at the 'vars' of its own group."""
    import h5py

    found: dict[str, list[Weight]] = {}
    todo = [file]
    while todo:
        group = todo.pop()
        for label in group:
            if not isinstance(group[label], h5py.Group):
                continue
            if group.name.endswith("/layers") and "vars" in group[label] and not _is_network(group[label]):
                name = group[label]["vars"].attrs.get("name", label)
                found[name.decode() if isinstance(name, bytes) else str(name)] = list(_datasets(group[label]))
            else:
                todo.append(group[label])
    return found


def _is_network(group: Any) -> bool:
    return "layers" in group


def _datasets(group: Any) -> Iterator[Weight]:
    import h5py

    items: list[tuple[str, Any]] = []
    group.visititems(lambda name, item: items.append((name, item)) if isinstance(item, h5py.Dataset) else None)
    for name, item in items:
        data = item[()]
        label = name.replace("vars/", "")
        yield label, str(item.dtype), tuple(item.shape), digest(data.tobytes(), str(item.dtype), tuple(item.shape))


def _legacy(group: Any) -> dict[str, list[Weight]]:
    """Keras 2: 'model_weights/<layer>/.../kernel:0'."""
    return {name: list(_datasets(group[name])) for name in group}
