"""Typed, bounded, documented settings: one description serves validation, YAML comments and widgets.

A settings class is a frozen dataclass whose fields are made with :func:`setting`:

    @dataclass(frozen=True)
    class Settings(SettingsBase):
        opset: int = setting(17, "ONNX operator set to write", low=13, high=22)
"""

from __future__ import annotations

import reprlib
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from .errors import InputError

_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", tuple: "a list of names"}
_BRIEF = reprlib.Repr()
_BRIEF.maxlevel, _BRIEF.maxlist, _BRIEF.maxdict, _BRIEF.maxtuple, _BRIEF.maxstring = 2, 4, 4, 4, 60


class Bounds(NamedTuple):
    """What a field admits: a closed range, or a tuple of choices, and one line of help."""

    help: str
    low: float | None = None
    high: float | None = None
    choices: tuple | None = None
    advanced: bool = False


def brief(value: Any) -> str:
    """A value for an error message: short, however large or deeply nested it is."""
    return _BRIEF.repr(value)[:120]


def setting(default: Any, help: str, *, low=None, high=None, choices=None, advanced=False) -> Any:
    """Declares a field of a settings class.

    Args:
        default: value used when the recipe is silent; its type is the field's type
            (bool, int, float, str, or a tuple of str).
        help: one line: what it does, what it costs, when it helps.
        low: smallest admitted number, inclusive.
        high: largest admitted number, inclusive.
        choices: the admitted values, for an enumeration.
        advanced: shown by the widgets only under 'more'.
    """
    bounds = Bounds(help, low, high, tuple(choices) if choices else None, advanced)
    return field(default=default, metadata={"bounds": bounds})


@dataclass(frozen=True)
class SettingsBase:
    """Base of every settings class; checks each value against its bounds when it is made."""

    def __post_init__(self) -> None:
        for f in fields(self):
            value, bounds = getattr(self, f.name), f.metadata["bounds"]
            if isinstance(value, bool) and "on" in (bounds.choices or ()):
                value = "on" if value else "off"  # YAML reads the plain words on and off as true and false
            value = _coerce(f.name, value, f.default)
            object.__setattr__(self, f.name, value)
            _check(f.name, value, bounds)

    @classmethod
    def bounds(cls) -> dict[str, Bounds]:
        """Bounds of each field, in declaration order."""
        return {f.name: f.metadata["bounds"] for f in fields(cls)}

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Default of each field, in declaration order."""
        return {f.name: f.default for f in fields(cls)}

    @classmethod
    def from_dict(cls, values: dict[str, Any], *, owner: str) -> SettingsBase:
        """Makes settings from plain values.

        Raises:
            InputError: a name is unknown or a value is out of range; names what is allowed.
        """
        known = [f.name for f in fields(cls)]
        for name in values:
            if name not in known:
                allowed = ", ".join(known) or "none"
                raise InputError(f"{owner}: unknown setting {brief(name)}; allowed: {allowed}")
        try:
            return cls(**values)
        except InputError as error:
            raise InputError(f"{owner}: {error}") from None

    def for_runtime(self, runtime: str) -> SettingsBase:
        """The same with every 'auto' spelt out that depends on the runtime a recipe ends on."""
        return self

    def to_dict(self, *, only_changed: bool = False) -> dict[str, Any]:
        """Plain values that JSON and YAML can hold; optionally only those that differ from the default."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        if only_changed:
            values = {k: v for k, v in values.items() if v != self.defaults()[k]}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


def _coerce(name: str, value: Any, default: Any) -> Any:
    """Accepts what YAML and widgets send for a field of the default's type, else explains."""
    kind = type(default)
    fits = isinstance(value, kind) and not (kind is int and isinstance(value, bool))
    if fits and (kind is not tuple or all(isinstance(v, str) for v in value)):
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind is tuple and isinstance(value, list):
        return _coerce(name, tuple(value), default)
    raise InputError(f"'{name}' must be {_KINDS[kind]}, not {brief(value)}")


def _check(name: str, value: Any, bounds: Bounds) -> None:
    if bounds.choices is not None and value not in bounds.choices:
        allowed = ", ".join(str(c) for c in bounds.choices)
        raise InputError(f"'{name}' is {brief(value)}; allowed: {allowed}")
    too_low = bounds.low is not None and value < bounds.low
    too_high = bounds.high is not None and value > bounds.high
    if too_low or too_high or value != value:
        raise InputError(f"'{name}' is {brief(value)}; allowed: {bounds.low} to {bounds.high}")
