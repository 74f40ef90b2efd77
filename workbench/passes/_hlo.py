"""Reads XLA's program text: which steps it runs, and which operators of the model each was made of.

Format: https://openxla.org/xla/operation_semantics
"""

from __future__ import annotations

import re
from typing import NamedTuple

_HEAD = re.compile(r"^(ENTRY )?%?([\w.\-]+) .*\{\s*$")
_STEP = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (?:\([^=]*?\)|\S+) ([\w\-]+)\(")
_CALLS = re.compile(r"(?:calls|to_apply)=%?([\w.\-]+)")
_SOURCE = re.compile(r'op_name="([^"]+)"')
_UNSEEN = ("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "copy")


class Kernel(NamedTuple):
    """One step of the compiled program.

    Attributes:
        name: XLA's.
        kind: 'fusion', 'convolution', 'dot', 'custom-call', ...
        sources: names of the model's operators that it computes.
    """

    name: str
    kind: str
    sources: tuple[str, ...]


def kernels(text: str) -> list[Kernel]:
    """The steps of the entry computation that compute something, in the program's order.

    Args:
        text: the 'optimized_hlo' of ``tf.function.experimental_get_compiler_ir``.
    """
    bodies, entry = _bodies(text)
    found = []
    for line in bodies.get(entry, []):
        step = _STEP.match(line)
        if step and step[2] not in _UNSEEN:
            found.append(Kernel(step[1], step[2], tuple(dict.fromkeys(_sources(line, bodies, set())))))
    return found


def _bodies(text: str) -> tuple[dict[str, list[str]], str]:
    """Lines of each computation by its name, and the name of the entry."""
    bodies: dict[str, list[str]] = {}
    name = entry = ""
    for line in text.splitlines():
        head = _HEAD.match(line)
        if head and not line.startswith((" ", "HloModule")):
            name = head[2]
            bodies[name] = []
            entry = name if head[1] else entry
        elif name:
            bodies[name].append(line)
    return bodies, entry


def _sources(line: str, bodies: dict[str, list[str]], seen: set[str]) -> list[str]:
    """Operators named on a line and in the computations that it calls."""
    step = _STEP.match(line)
    silent = step is not None and step[2] in (*_UNSEEN, "broadcast")  # a constant bears the name of its first user
    found = [] if silent else [_short(m) for m in _SOURCE.findall(line)]
    for called in _CALLS.findall(line):
        if called not in seen:
            seen.add(called)
            for inner in bodies.get(called, []):
                found += _sources(inner, bodies, seen)
    return found


def _short(path: str) -> str:
    """'cnn/conv_1/Relu' -> 'conv_1/Relu', 'cnn/norm/batchnorm/mul_1' -> 'norm/batchnorm/mul_1'."""
    parts = path.split("/")
    return "/".join(parts[-3 if parts[-2:-1] == ["batchnorm"] else -2:])
