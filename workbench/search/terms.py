"""The words for a goal: one table serves keyword arguments, command-line flags and the widgets of the dashboard."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..errors import InputError
from ..model import ModelFormat
from ..runtimes import registry
from .goal import Goal

MINUTES = (0.05, 10_000.0)


class Term(NamedTuple):
    """One constraint as people say it.

    Attributes:
        name: keyword argument; with dashes it is the flag.
        field: of :class:`Goal`; '' for what is no constraint (minutes).
        kind: 'number', 'whole', 'names' or 'switch'.
        title: label of the widget, unit included.
        help: one line.
        default: None is 'no limit'.
        scale: from the word's unit to SI.
        choices: allowed names.
        low: smallest number.
        high: largest number.
    """

    name: str
    field: str
    kind: str
    title: str
    help: str
    default: Any = None
    scale: float = 1.0
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 1e9

    @property
    def flag(self) -> str:
        """'--max-drop'."""
        return f"--{self.name.replace('_', '-')}"


TERMS: tuple[Term, ...] = (
    Term("minutes", "", "number", "minutes", "time budget", 5.0, low=MINUTES[0], high=MINUTES[1]),
    Term("max_drop", "max_drop", "number", "max drop, pts",
         "largest loss of the metric against the original, in points (default with labels: 1)", high=100.0),
    Term("fidelity", "fidelity", "number", "fidelity ≥",
         "smallest mean cosine to the original (no labels; default 0.99) or metric (labels), e.g. 0.99", high=1.0),
    Term("latency_ms", "latency_s", "number", "latency, ms", "largest median latency", scale=1e-3, low=1e-9),
    Term("size_mb", "size_bytes", "number", "size, MB", "largest artefact", scale=1e6, low=1e-6),
    Term("memory_mb", "memory_bytes", "number", "memory, MB", "largest peak memory above the runtime's own", scale=1e6,
         low=1e-6),
    Term("threads", "threads", "whole", "threads", "threads available in production (default: all cores)", high=1024),
    Term("batch", "batch", "whole", "batch", "samples in one run", 1, low=1, high=4096),
    Term("finetune", "finetune", "switch", "fine-tuning",
         "whether variants that need fine-tuning may be tried, minutes each (default: yes)", True),
    Term("runtimes", "runtimes", "names", "runtimes", "allowed runtimes, e.g. onnxruntime,openvino (default: all)",
         (), choices=tuple(r.name for r in registry.RUNTIMES)),
    Term("formats", "formats", "names", "must be", "allowed formats of the result, e.g. onnx (default: all)", (),
         choices=tuple(f.value for f in ModelFormat)),
)
BY_NAME = {t.name: t for t in TERMS}


def goal(words: dict[str, Any]) -> Goal:
    """The goal that keyword arguments, flags or widgets state.

    Args:
        words: by name of a term; None and missing ones do not constrain. Names may be one comma-separated text.

    Raises:
        InputError: an unknown word, or a value out of range; one line in the user's words.
    """
    values = {}
    for name, value in words.items():
        term = BY_NAME.get(name)
        if term is None:
            raise InputError(f"unknown constraint '{name}'; allowed: {', '.join(BY_NAME)}")
        checked = check(term, value)
        if term.field and checked is not None:
            values[term.field] = checked * term.scale if term.scale != 1.0 else checked
    if "fidelity" in values and "max_drop" in values:
        raise InputError("give either a fidelity or a largest drop (max_drop), not both")
    return Goal(**values)


def check(term: Term, value: Any) -> Any:
    """A value of that term's kind, None for no limit.

    Raises:
        InputError: out of range, or an unknown name.
    """
    if term.kind == "names":
        return _names(term, value)
    if term.kind == "switch":
        return _switch(term, value)
    if value is None or value == "":
        return term.default
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise InputError(f"'{term.name}' is {value!r}; it must be a number") from None
    if not term.low <= number <= term.high or term.kind == "whole" and not number.is_integer():
        whole = "a whole number, " if term.kind == "whole" else ""
        raise InputError(f"'{term.name}' is {value!r}; allowed: {whole}{term.low:g} to {term.high:g}")
    return int(number) if term.kind == "whole" else number


def _switch(term: Term, value: Any) -> bool:
    known = {"": term.default, "yes": True, "true": True, "no": False, "false": False}
    found = known.get("" if value is None else str(value).strip().lower())
    if found is None:
        raise InputError(f"'{term.name}' is {value!r}; allowed: yes, no")
    return found


def _names(term: Term, value: Any) -> tuple[str, ...]:
    given = value.split(",") if isinstance(value, str) else list(value or ())
    names = tuple(dict.fromkeys(str(n).strip() for n in given if str(n).strip()))
    for name in names:
        if name not in term.choices:
            raise InputError(f"unknown {term.name.rstrip('s')} '{name}'; allowed: {', '.join(term.choices)}")
    return names
