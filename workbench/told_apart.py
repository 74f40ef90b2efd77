"""Names of variants that are shown together: equal ones get what tells them apart, e.g. '(method percentile)'."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import passes as pass_registry
from .recipe import Recipe

_ABSENT = object()
_MOST_SETTINGS = 3
_MOST_ALIKE = 12  # where more bear one name, no short text helps


def told_apart(names: Sequence[str], recipes: Sequence[Recipe]) -> list[str]:
    """The names, those that several recipes share followed by the settings that differ.

    Args:
        names: of each recipe.
        recipes: the same number; one recipe may occur twice.
    """
    alike: dict[str, dict[str, Recipe]] = {}
    for name, recipe in zip(names, recipes, strict=True):
        alike.setdefault(name, {})[recipe.key] = recipe
    added = {}
    for group in alike.values():
        if 1 < len(group) <= _MOST_ALIKE:
            added.update(zip(group, _differences(list(group.values())), strict=True))
    return [f"{name} ({added[r.key]})" if added.get(r.key) else name for name, r in zip(names, recipes, strict=True)]


def named_apart(shown: tuple[Any, ...], recipes: dict[str, Recipe]) -> tuple[Any, ...]:
    """Named tuples with ``key``, ``name`` and ``short``, whose names then tell them apart.

    Args:
        shown: e.g. the points of one plot.
        recipes: by key.
    """
    theirs = [recipes[p.key] for p in shown]
    longer, shorter = (told_apart([getattr(p, field) for p in shown], theirs) for field in ("name", "short"))
    return tuple(p if p.name == long and p.short == short else p._replace(name=long, short=short)
                 for p, long, short in zip(shown, longer, shorter, strict=True))


def _differences(recipes: list[Recipe]) -> list[str]:
    """For each recipe its values of the settings that are not the same in all of them."""
    flat = [_flat(r) for r in recipes]
    names = list(dict.fromkeys(name for values in flat for name in values))
    varying = [n for n in names if len({values.get(n, _ABSENT) for values in flat}) > 1]
    return [_said([(n, values[n]) for n in varying if n in values]) for values in flat]


def _flat(recipe: Recipe) -> dict[tuple[str, str], Any]:
    """Every setting by owner and name, and the conversions, which names leave out."""
    converted = tuple(p.title for p in map(pass_registry.get, (s.name for s in recipe.steps)) if p.group == "convert")
    found: dict[tuple[str, str], Any] = {("", "conversion"): converted}
    for owner, settings in [(s.name, s.settings) for s in recipe.steps] + [(recipe.runtime, recipe.runtime_settings)]:
        if settings is not None:
            found.update({(owner, name): getattr(settings, name) for name in settings.defaults()})
    return found


def _said(settings: list[tuple[tuple[str, str], Any]]) -> str:
    shown = [_value(name.replace("_", " "), value) for (_, name), value in settings]
    rest = len(shown) - _MOST_SETTINGS
    return ", ".join(shown[:_MOST_SETTINGS]) + (f" and {rest} more" if rest > 0 else "")


def _value(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return name if value else f"no {name}"
    if isinstance(value, tuple):
        return f"{name} {', '.join(value) if len(value) <= 2 else len(value)}" if value else f"no {name}"
    return f"{name} {value:g}" if isinstance(value, float) else f"{name} {'default' if value == '' else value}"
