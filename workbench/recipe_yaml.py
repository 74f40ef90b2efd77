"""Recipes as YAML that explains itself: one comment a setting, from the setting's own help text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from . import passes
from .runtimes import registry
from .settings import Bounds, SettingsBase

if TYPE_CHECKING:
    from .recipe import Recipe

_GENERAL = {
    "threads": "threads inside one operator; 0 takes all physical cores",
    "batch": "samples in one run",
    "device": "cpu or gpu",
}


def dump(recipe: Recipe) -> str:
    """YAML text with every setting spelt out; ``recipe.from_yaml`` reads it back to an equal recipe."""
    lines = ["# Recipe of the inference workbench: what is done to a model and how it is run.",
             f"version: {recipe.to_dict()['version']}", ""]
    lines += ["passes:"] if recipe.steps else ["passes: []"]
    for step in recipe.steps:
        found = passes.get(step.name)
        lines.append(f"  # {found.summary}")
        lines.append(f"  - name: {_scalar(step.name)}")
        lines += _settings(step.settings, "    ")
    lines += ["", "runtime:"]
    lines.append(f"  name: {_scalar(recipe.runtime)}  # {_runtime_help(recipe.runtime)}")
    if recipe.runtime_settings is not None:
        lines += _settings(recipe.runtime_settings, "  ")
    lines.append("")
    lines += [f"{name}: {_scalar(getattr(recipe, name))}  # {text}" for name, text in _GENERAL.items()]
    return "\n".join(lines) + "\n"


def _runtime_help(name: str) -> str:
    return registry.info(name).title if name else "empty: the natural runtime of the final format"


def _settings(settings: SettingsBase, indent: str) -> list[str]:
    bounds = settings.bounds()
    return [f"{indent}{name}: {_scalar(value)}  # {_comment(bounds[name])}"
            for name, value in settings.to_dict().items()]


def _comment(bounds: Bounds) -> str:
    """Help and allowed values on one line."""
    text = " ".join(bounds.help.split())
    if bounds.choices is not None:
        return f"{text} ({' | '.join(str(c) if c != '' else repr('') for c in bounds.choices)})"
    if bounds.low is not None or bounds.high is not None:
        low = "" if bounds.low is None else bounds.low
        high = "" if bounds.high is None else bounds.high
        return f"{text} ({low} .. {high})"
    return text


def _scalar(value: Any) -> str:
    """One value in flow style, quoted exactly where YAML would read it as something else."""
    text = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...").strip()
