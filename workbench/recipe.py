"""A recipe says what is done to a model and how it is run: passes with settings, then a runtime with settings.

YAML form (version 1):

    version: 1
    passes:
      - name: onnx-convert
      - name: onnx-int8-static
        per_channel: true
    runtime:
      name: onnxruntime
      graph_level: all
    threads: 2
    batch: 1
    device: cpu
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import yaml

from . import passes as pass_registry
from .errors import InputError
from .runtimes import registry as runtime_registry
from .settings import SettingsBase, brief

VERSION = 1
MAX_THREADS, MAX_BATCH = 1024, 4096


@dataclass(frozen=True)
class Step:
    """One pass and its settings."""

    name: str
    settings: SettingsBase


@dataclass(frozen=True)
class Recipe:
    """Passes plus runtime settings; hashable, equal when they mean the same.

    Attributes:
        steps: passes in order.
        runtime: registry name, or '' for the natural runtime of the artefact's format.
        runtime_settings: an instance of the adapter's Settings, or None for its defaults.
        threads: intra-op threads, 0 for all physical cores that the process may use.
        batch: samples in one run.
        device: 'cpu' or 'gpu'.
    """

    steps: tuple[Step, ...] = ()
    runtime: str = ""
    runtime_settings: SettingsBase | None = None
    threads: int = 0
    batch: int = 1
    device: str = "cpu"

    def to_dict(self) -> dict[str, Any]:
        """Plain form with every setting spelt out; what YAML, JSON and the study hold."""
        runtime = self.runtime_settings.to_dict() if self.runtime_settings else {}
        return {
            "version": VERSION,
            "passes": [{"name": s.name, **s.settings.to_dict()} for s in self.steps],
            "runtime": {"name": self.runtime, **runtime},
            "threads": self.threads,
            "batch": self.batch,
            "device": self.device,
        }

    @cached_property
    def key(self) -> str:
        """Content hash (16 hex digits); equal recipes have equal keys."""
        passes, runtime = _texts(self.steps, self.runtime, self.runtime_settings)
        text = (f'{{"batch": {self.batch}, "device": "{self.device}", "passes": {passes}, "runtime": {runtime}, '
                f'"threads": {self.threads}, "version": {VERSION}}}')
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def label(self) -> str:
        """Short name for plots, e.g. 'ONNX Runtime · INT8 static'."""
        names = [pass_registry.get(s.name) for s in self.steps]
        shown = [p.title for p in names if p.group != "convert"]
        title = runtime_registry.info(self.runtime).title if self.runtime else "default runtime"
        mode = self.runtime_settings and getattr(self.runtime_settings, "mode", "")
        head = f"{title} {mode}" if mode else title
        tail = [f"{self.threads} threads"] if self.threads > 1 else ["1 thread"] if self.threads == 1 else []
        if self.batch > 1:
            tail.append(f"batch {self.batch}")
        return " · ".join([head, *shown, *tail])

    def to_yaml(self) -> str:
        """YAML with one comment a setting, as :func:`from_yaml` reads it."""
        from .recipe_yaml import dump  # keeps the commented writer apart

        return dump(self)


@lru_cache(maxsize=4096)  # a study of thousands of results repeats few of them
def _texts(steps: tuple[Step, ...], runtime: str, settings: SettingsBase | None) -> tuple[str, str]:
    """Passes and runtime as they stand in the sorted JSON of a recipe."""
    plain = Recipe(steps, runtime, settings).to_dict()
    return json.dumps(plain["passes"], sort_keys=True), json.dumps(plain["runtime"], sort_keys=True)


def make(*steps: str | tuple[str, dict[str, Any]], runtime: str = "", runtime_settings: dict[str, Any] | None = None,
         threads: int = 0, batch: int = 1, device: str = "cpu") -> Recipe:
    """Makes a recipe from names: ``make("onnx-convert", ("onnx-int8-static", {"per_channel": False}))``.

    Raises:
        InputError: an unknown name, or a setting out of range; names what is allowed.
    """
    entries = [s if isinstance(s, tuple) else (s, {}) for s in steps]
    return from_dict({
        "version": VERSION,
        "passes": [{"name": name, **values} for name, values in entries],
        "runtime": {"name": runtime, **(runtime_settings or {})},
        "threads": threads, "batch": batch, "device": device,
    })


def from_dict(d: Any) -> Recipe:
    """Reads the plain form.

    Raises:
        InputError: wrong version, shape, name or value; one line that names the allowed ones.
    """
    if not isinstance(d, dict):
        raise InputError("a recipe is a mapping with 'version', 'passes' and 'runtime'")
    allowed = ("version", "passes", "runtime", "threads", "batch", "device")
    for key in d:
        if key not in allowed:
            raise InputError(f"recipe: unknown key {brief(key)}; allowed: {', '.join(allowed)}")
    if d.get("version", VERSION) != VERSION:
        raise InputError(f"recipe version {brief(d['version'])} is not supported; this workbench reads version "
                         f"{VERSION}")
    runtime, settings = _runtime(d.get("runtime") or {})
    device = d.get("device", "cpu")
    if device not in ("cpu", "gpu"):
        raise InputError(f"recipe: 'device' is {brief(device)}; allowed: cpu, gpu")
    return Recipe(
        steps=tuple(_step(s) for s in _as_list(d.get("passes"))),
        runtime=runtime, runtime_settings=settings, device=device,
        threads=_whole("threads", d.get("threads", 0), 0, MAX_THREADS),
        batch=_whole("batch", d.get("batch", 1), 1, MAX_BATCH),
    )


def from_yaml(text: str) -> Recipe:
    """Reads YAML text (safe loader: nothing in it is executed).

    Raises:
        InputError: not YAML, or not a valid recipe.
    """
    try:
        return from_dict(yaml.safe_load(text))
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # ValueError: impossible dates and numbers
        cause = " ".join(str(error).split())[:200] or "nested too deeply"
        raise InputError(f"recipe is not valid YAML: {cause}") from None


def load(path: str | Path) -> Recipe:
    """Reads a recipe file.

    Raises:
        InputError: the file is missing, too large, not text, or not a valid recipe.
    """
    path = Path(path)
    try:
        if path.stat().st_size > 1_000_000:
            raise InputError(f"{path.name} is larger than 1 MB, which no recipe is")
        return from_yaml(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise InputError(f"cannot read recipe {path}: {reason}") from None


def _as_list(value: Any) -> list:
    if value is None:
        return []
    if not isinstance(value, list):
        raise InputError("recipe: 'passes' must be a list of {name: ..., setting: ...}")
    return value


def _step(entry: Any) -> Step:
    if isinstance(entry, str):
        entry = {"name": entry}
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise InputError("recipe: every pass needs a 'name'")
    return _kept(entry, _make_step)


def _make_step(entry: dict[str, Any]) -> Step:
    values = {k: v for k, v in entry.items() if k != "name"}
    found = pass_registry.get(entry["name"])
    return Step(found.name, found.Settings.from_dict(values, owner=f"pass {found.name}"))


_read: dict[tuple, Any] = {}  # a study of thousands of results repeats few passes and runtimes
_MOST_READ = 4096
_PLAIN = frozenset((str, int, float, bool))


def _kept(entry: dict[str, Any], make: Callable[[dict[str, Any]], Any]) -> Any:
    """What ``make`` gives for an entry; the same text gives the same object."""
    if not _is_flat(entry):
        return make(entry)  # it will say what is wrong; nested aliases of YAML have texts without end
    text = repr(entry)  # unlike hashing it tells 1, 1.0 and True apart, and it takes lists
    found = _read.get((make, text))
    if found is None:
        if len(_read) >= _MOST_READ:
            _read.clear()
        found = _read[make, text] = make(entry)
    return found


def _is_flat(entry: dict[str, Any]) -> bool:
    for value in entry.values():
        kind = type(value)
        if kind not in _PLAIN and not (kind is list and all(type(x) in _PLAIN for x in value)):
            return False
    return True


def _runtime(entry: Any) -> tuple[str, SettingsBase | None]:
    if isinstance(entry, str):
        entry = {"name": entry}
    if not isinstance(entry, dict):
        raise InputError("recipe: 'runtime' must be a name or {name: ..., setting: ...}")
    return _kept(entry, _make_runtime)


def _make_runtime(entry: dict[str, Any]) -> tuple[str, SettingsBase | None]:
    name = entry.get("name") or ""
    values = {k: v for k, v in entry.items() if k != "name"}
    if not name:
        if values:
            raise InputError("recipe: 'runtime' has settings but no 'name'")
        return "", None
    runtime_registry.info(name)
    settings = runtime_registry.settings_class(name)
    return name, settings.from_dict(values, owner=f"runtime {name}")


def _whole(name: str, value: Any, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(f"recipe: '{name}' is {brief(value)}; allowed: {low} to {high}")
    return value
