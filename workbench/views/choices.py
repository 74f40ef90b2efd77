"""What the rail offers and what a set of toggles means: selection <-> recipe. UI-free.

A user thinks 'INT8 static, on LiteRT'; the file format behind it is our business. A row of :data:`PRECISIONS` lists
the passes that make a precision in each format, and the runtime's formats pick one; ``Engine.complete`` then inserts
the conversions. A pass of the registry that no row names gets a row of its own, so a new pass needs no edit here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from .. import passes as pass_registry
from .. import recipe as recipes
from ..chain import FORMAT_TITLES
from ..errors import WorkbenchError
from ..model import ModelFormat
from ..passes import Pass
from ..recipe import Recipe
from ..runtimes import registry
from ..settings import SettingsBase

FLOAT = "float32"
CHECK_GROUPS = ("graph", "sparsity", "training")  # pass groups whose passes combine freely
GROUP_TITLES = {"graph": "Graph", "precision": "Precision", "sparsity": "Sparsity", "training": "Training",
                "runtime": "Runtime", "threads": "Threads", "batch": "Batch", "device": "Device"}
BATCHES = (1, 4, 16, 32)


class Precision(NamedTuple):
    """A precision as users know it, and the passes that make it, one a format."""

    id: str
    title: str
    summary: str
    passes: tuple[str, ...] = ()


PRECISIONS = (
    Precision(FLOAT, "Float32", "Weights and activations as they were trained."),
    Precision("float16", "Float16", "Half the size; faster only where the hardware computes in float16.",
              ("onnx-float16", "tflite-float16")),
    Precision("int8-static", "INT8 static", "Integer weights and activations with ranges from calibration samples: "
              "usually the fastest on a CPU.", ("onnx-int8-static", "tflite-int8")),
    Precision("int8-dynamic", "INT8 dynamic", "Integer weights, ranges found while running: needs no calibration; "
              "good for MatMul, often slow for convolutions.", ("onnx-int8-dynamic", "tflite-dynamic-range")),
    Precision("int8w-int16a", "INT8w INT16a", "8-bit weights, 16-bit activations: closer to float than INT8 static, "
              "slower.", ("onnx-int8w-int16a", "tflite-int16x8")),
)


@dataclass(frozen=True)
class Selection:
    """State of the toggles.

    Attributes:
        checks: names of the passes of the check groups, in registry order.
        precision: id of a :class:`Precision`.
        runtime: registry name.
        settings: (owner, name, value) that differ from the default; the owner is a pass or a runtime.
        threads: 0 for all physical cores.
        batch: samples in one run.
        device: 'cpu' or 'gpu'.
    """

    checks: tuple[str, ...] = ()
    precision: str = FLOAT
    runtime: str = ""
    settings: tuple[tuple[str, str, Any], ...] = ()
    threads: int = 0
    batch: int = 1
    device: str = "cpu"

    def values(self, owner: str) -> dict[str, Any]:
        """Changed settings of one pass or runtime."""
        return {name: value for who, name, value in self.settings if who == owner}


class Field(NamedTuple):
    """One setting as a control: ``kind`` is bool, int, float, choice, text or list."""

    name: str
    kind: str
    value: Any
    help: str
    low: float | None
    high: float | None
    choices: tuple | None
    advanced: bool


class Choice(NamedTuple):
    """One toggle. ``reason`` says why it is disabled ('' when it is not); ``owner`` owns the fields."""

    id: str
    title: str
    summary: str
    on: bool
    reason: str
    owner: str
    fields: tuple[Field, ...]


class Group(NamedTuple):
    """A titled set of toggles; ``kind`` is 'check', 'radio' or 'chips' (a compact radio)."""

    id: str
    title: str
    kind: str
    choices: tuple[Choice, ...]


Problem = Callable[[Recipe], "str | None"]


def registered() -> tuple[Pass, ...]:
    """Every pass whose module loads, in registry order."""
    return tuple(pass_registry.get(name) for name, _, _ in pass_registry.PASSES)


def precisions() -> tuple[Precision, ...]:
    """Rows of the precision group: the known ones that have a pass, then one for each pass that no row names."""
    names = [p.name for p in registered() if p.group == "precision"]
    known = tuple(p._replace(passes=tuple(n for n in p.passes if n in names)) for p in PRECISIONS)
    listed = {n for p in known for n in p.passes}
    alone = [pass_registry.get(n) for n in names if n not in listed]
    own = (Precision(p.name, p.title, p.summary, (p.name,)) for p in alone)
    return (*(p for p in known if p.passes or p.id == FLOAT), *own)


def precision_pass(precision: str, runtime: str) -> str | None:
    """Name of the pass that makes a precision in a format that the runtime loads, or None."""
    formats = registry.info(runtime).formats
    row = _precision(precision)
    return next((n for n in row.passes if pass_registry.get(n).produces in formats), None)


def pass_title(name: str) -> str:
    """What people call a pass: the precision's title where a row names it, so 'INT8 static' in every format."""
    row = next((p for p in PRECISIONS if name in p.passes), None)
    return row.title if row else pass_registry.get(name).title


def runs(precision: str, runtime: str) -> bool:
    """Whether the runtime has this precision at all."""
    return precision == FLOAT or precision_pass(precision, runtime) is not None


def to_recipe(selection: Selection) -> Recipe:
    """The recipe that the toggles mean, conversions left out.

    Raises:
        InputError: a setting is out of range.
    """
    names = [*selection.checks]
    found = precision_pass(selection.precision, selection.runtime) if selection.precision != FLOAT else None
    if found:
        names.append(found)
    return recipes.make(
        *[(name, selection.values(name)) for name in names], runtime=selection.runtime,
        runtime_settings=selection.values(selection.runtime), threads=selection.threads, batch=selection.batch,
        device=selection.device)


def from_recipe(recipe: Recipe) -> Selection:
    """The toggles that mean a recipe; conversions are dropped, since they follow from the rest."""
    by_pass = {name: row.id for row in precisions() for name in row.passes}
    names = [s.name for s in recipe.steps]
    changed = [(s.name, name, getattr(s.settings, name)) for s in recipe.steps if _visible(s.name)
               for name in s.settings.to_dict(only_changed=True) if not _follows(s, name, recipe.runtime)]
    if recipe.runtime_settings:
        changed += [(recipe.runtime, name, getattr(recipe.runtime_settings, name))
                    for name in recipe.runtime_settings.to_dict(only_changed=True)]
    return Selection(
        checks=tuple(n for n in names if pass_registry.get(n).group in CHECK_GROUPS),
        precision=next((by_pass[n] for n in reversed(names) if n in by_pass), FLOAT), runtime=recipe.runtime,
        settings=tuple(changed), threads=recipe.threads, batch=recipe.batch, device=recipe.device)


def _follows(step: recipes.Step, name: str, runtime: str) -> bool:
    """Whether a setting is only what 'auto' means on this runtime: with another runtime it must change."""
    auto = replace(step.settings, **{name: step.settings.defaults()[name]})
    return auto.for_runtime(runtime) == step.settings


def change(selection: Selection, group: str, choice: str, on: bool = True) -> tuple[Selection, str]:
    """One click. What no longer fits moves to its nearest fit.

    Returns:
        the new selection, and one line on what moved with it ('' when nothing did).
    """
    if group in CHECK_GROUPS:
        return _with_check(selection, choice, on)
    if group == "precision":
        return _with_precision(selection, choice)
    if group == "runtime":
        return _with_runtime(selection, choice)
    value = choice if group == "device" else int(choice)
    return replace(selection, **{group: value}), ""


def with_setting(selection: Selection, owner: str, name: str, value: Any) -> Selection:
    """One setting changed; a value equal to the default is forgotten.

    Raises:
        InputError: no such setting, or the value is out of range.
    """
    settings = settings_class(owner)
    value = getattr(settings.from_dict({name: value}, owner=owner), name)
    rest = tuple(s for s in selection.settings if s[:2] != (owner, name))
    if value == settings.defaults()[name]:
        return replace(selection, settings=rest)
    return replace(selection, settings=(*rest, (owner, name, value)))


def settings_class(owner: str) -> type[SettingsBase]:
    """Settings of a pass or, by its registry name, of a runtime."""
    if owner in {r.name for r in registry.RUNTIMES}:
        return registry.settings_class(owner)
    return pass_registry.get(owner).Settings


def groups(selection: Selection, problem: Problem, cores: int) -> tuple[Group, ...]:
    """The rail for a selection.

    Args:
        selection: the toggles as they are.
        problem: why a recipe cannot run here, or None (``Engine.problem``); cheap.
        cores: physical cores that this process may use.
    """
    found = [_check_group(selection, name, problem) for name in CHECK_GROUPS]
    found.insert(1, _precision_group(selection, problem))
    found += [_runtime_group(selection, problem), _threads_group(selection, cores), _batch_group(selection, problem)]
    return tuple(g for g in found if g.choices)


def device_group(selection: Selection) -> Group:
    """CPU and GPU; what the chosen runtime cannot use carries its reason."""
    reasons = {"cpu": None, "gpu": None}
    try:
        reasons.update(registry.adapter(selection.runtime).devices())
    except WorkbenchError as error:
        reasons["gpu"] = str(error)
    choices = tuple(
        Choice(name, name.upper(), "", selection.device == name, reasons.get(name) or "", "", ())
        for name in ("cpu", "gpu"))
    return Group("device", GROUP_TITLES["device"], "chips", choices)


def _check_group(selection: Selection, group: str, problem: Problem) -> Group:
    choices = []
    for p in registered():
        if p.group != group:
            continue
        tried, _ = change(selection, group, p.name)
        reason = _wrong_format(p, tried.runtime) or _reason(tried, problem)
        choices.append(Choice(p.name, p.title, p.summary, p.name in selection.checks, reason, p.name,
                              _fields(selection, p.name)))
    return Group(group, GROUP_TITLES[group], "check", tuple(choices))


def _precision_group(selection: Selection, problem: Problem) -> Group:
    choices = []
    for row in precisions():
        tried, _ = change(selection, "precision", row.id)
        owner = precision_pass(row.id, tried.runtime) or ""
        summary = pass_registry.get(owner).summary if owner else row.summary
        choices.append(Choice(row.id, row.title, summary, row.id == selection.precision, _reason(tried, problem), owner,
                              _fields(selection, owner) if owner else ()))
    return Group("precision", GROUP_TITLES["precision"], "radio", tuple(choices))


def _runtime_group(selection: Selection, problem: Problem) -> Group:
    choices = []
    for row in registry.RUNTIMES:
        tried, _ = change(selection, "runtime", row.name)
        reason = registry.missing(row.name) or _reason(tried, problem)
        choices.append(Choice(row.name, row.title, "Runs " + ", ".join(f.value for f in row.formats) + " files.",
                              row.name == selection.runtime, reason, row.name, _fields(selection, row.name)))
    return Group("runtime", GROUP_TITLES["runtime"], "radio", tuple(choices))


def _threads_group(selection: Selection, cores: int) -> Group:
    chosen = selection.threads or cores
    counts = sorted({1, *(n for n in (2, 4, 8, 16, 32, 64) if n < cores), cores, chosen})
    chips = [_chip(n, str(n), n == chosen) for n in counts]
    return Group("threads", GROUP_TITLES["threads"], "chips", tuple(chips))


def _batch_group(selection: Selection, problem: Problem) -> Group:
    sizes = sorted({*BATCHES, selection.batch})
    chips = [_chip(n, str(n), n == selection.batch, _reason(replace(selection, batch=n), problem)) for n in sizes]
    return Group("batch", GROUP_TITLES["batch"], "chips", tuple(chips))


def _chip(value: int, title: str, on: bool, reason: str = "") -> Choice:
    return Choice(str(value), title, "", on, reason, "", ())


def _reason(selection: Selection, problem: Problem) -> str:
    try:
        return problem(to_recipe(selection)) or ""
    except WorkbenchError as error:
        return str(error)


def _with_check(selection: Selection, name: str, on: bool) -> tuple[Selection, str]:
    names = [n for n in selection.checks if n != name] + ([name] if on else [])
    changed = replace(selection, checks=_ordered(names))
    found = pass_registry.get(name)
    if not on or not _wrong_format(found, selection.runtime):
        return changed, ""
    able = [r for r in registry.RUNTIMES if not _wrong_format(found, r.name) and not registry.missing(r.name)]
    able.sort(key=lambda r: not runs(selection.precision, r.name))  # stable: the registry's order otherwise
    if not able:
        return changed, ""
    moved, note = _with_runtime(changed, able[0].name)
    said = f"Runtime moved to {able[0].title}: {found.title} works on {FORMAT_TITLES[found.produces]} files."
    return moved, f"{said} {note}".strip()


def _with_precision(selection: Selection, precision: str) -> tuple[Selection, str]:
    changed = replace(selection, precision=precision)
    if runs(precision, selection.runtime):
        return changed, ""
    able = [r for r in registry.RUNTIMES if runs(precision, r.name) and not registry.missing(r.name)]
    if not able:
        return changed, ""
    moved, _ = _with_runtime(changed, able[0].name)
    was, title = registry.info(selection.runtime).title, _precision(precision).title
    return moved, f"Runtime moved to {able[0].title}: {was} has no {title}."


def _with_runtime(selection: Selection, runtime: str) -> tuple[Selection, str]:
    notes = []
    changed = replace(selection, runtime=runtime)
    title = registry.info(runtime).title
    if not runs(selection.precision, runtime):
        changed = replace(changed, precision=FLOAT)
        notes.append(f"Precision back to float32: {title} has no {_precision(selection.precision).title}.")
    kept = tuple(n for n in selection.checks if not _wrong_format(pass_registry.get(n), runtime))
    for name in selection.checks:
        if name not in kept:
            notes.append(f"{pass_registry.get(name).title} is off: it does not apply to {title}.")
    return replace(changed, checks=kept), " ".join(notes)


def _wrong_format(found: Pass, runtime: str) -> str:
    formats = registry.info(runtime).formats if runtime else ()
    if _reachable(found.produces) & set(formats) and found.runs_on(runtime):
        return ""
    able = [r.title for r in registry.for_format(found.produces)
            if not registry.missing(r.name) and found.runs_on(r.name)]
    advice = f"; choose {' or '.join(able)} to use it" if able else ""
    return f"Works on {FORMAT_TITLES[found.produces]} files{advice}."


def _reachable(start: ModelFormat) -> set[ModelFormat]:
    """Formats that conversions can make from one, itself included."""
    found, edge = {start}, [start]
    conversions = [p for p in registered() if p.group == "convert"]
    while edge:
        here = edge.pop()
        new = {p.produces for p in conversions if here in p.accepts} - found
        found |= new
        edge += new
    return found


def _fields(selection: Selection, owner: str) -> tuple[Field, ...]:
    settings, values = settings_class(owner), selection.values(owner)
    defaults = settings.defaults()
    return tuple(
        Field(name, _kind(defaults[name], b.choices), values.get(name, defaults[name]), b.help, b.low, b.high,
              b.choices, b.advanced)
        for name, b in settings.bounds().items())


def _kind(default: Any, choices: tuple | None) -> str:
    if choices:
        return "choice"
    kinds = {bool: "bool", int: "int", float: "float", tuple: "list"}
    return kinds.get(type(default), "text")


def _visible(owner: str) -> bool:
    """Settings of conversions have no control in the rail."""
    return owner in {r.name for r in registry.RUNTIMES} or pass_registry.get(owner).group != "convert"


def _precision(name: str) -> Precision:
    return next((p for p in precisions() if p.id == name), PRECISIONS[0])


def _ordered(names: list[str]) -> tuple[str, ...]:
    return tuple(name for name, _, _ in pass_registry.PASSES if name in names)
