"""A diff payload as columns with one table of strings, deflated: a tenth of its JSON, and quick to read."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterable
from typing import Any

from . import graph_tree

STATUSES = ("kept", "rewritten", "fused", "folded", "merged", "eliminated", "inserted", "quantized", "unexplained")
_ENCODE = json.JSONEncoder(default=str).encode
MOST_PILLS = 12  # inputs or outputs drawn one by one; more become one pill


class _Table:
    """Strings, each stored once."""

    def __init__(self) -> None:
        self._index: dict[str, int] = {}

    @property
    def strings(self) -> list[str]:
        return list(self._index)

    def add(self, text: Any) -> int:
        return self.all([text])[0]

    def all(self, texts: Iterable[Any]) -> list[int]:
        index = self._index
        return [index.setdefault(t if t.__class__ is str else "" if t is None else str(t), len(index)) for t in texts]


def pack(payload: dict[str, Any]) -> bytes:
    """Deflated JSON for the view.

    Args:
        payload: see :mod:`workbench.views.graph_view`.

    Returns:
        zlib bytes; the script reads them with ``DecompressionStream``.
    """
    return deflate(columns(payload))


def deflate(packed: dict[str, Any]) -> bytes:
    """Columns as zlib bytes."""
    text = json.dumps(packed, separators=(",", ":"), allow_nan=False)
    return zlib.compress(text.encode("utf-8", "replace"), 4)


def columns(payload: dict[str, Any]) -> dict[str, Any]:
    """The payload with its tree of blocks, as columns; numbers point into ``strings`` and ``statuses``."""
    tree = graph_tree.build(payload)
    table = _Table()
    return {
        "v": 1, "title": str(payload.get("title") or ""), "statuses": list(STATUSES),
        "counts": {name: int(payload.get("counts", {}).get(name, 0)) for name in STATUSES},
        "before": _side(payload["before"], tree.before, table),
        "after": _side(payload["after"], tree.after, table),
        "groups": _groups(payload["groups"], table),
        "tree": {"parent": tree.parent, "title": [t[:200] for t in tree.title], "kind": tree.kind, "times": tree.times,
                 "expanded": [int(e) for e in tree.expanded]},
        "strings": table.strings,
    }


def members(columns: dict[str, Any], name: str) -> list[list[int]]:
    """Nodes of each change group on the side ``'before'`` or ``'after'``."""
    found, at = [], 0
    for count in columns["groups"][name + "s"]:
        found.append(columns["groups"][name][at:at + count])
        at += count
    return found


def status_index(name: Any) -> int:
    """Position in :data:`STATUSES`; what is not known counts as unexplained."""
    return STATUSES.index(name) if name in STATUSES else len(STATUSES) - 1


def shape_text(shape: Iterable[Any] | None) -> str:
    """(1, None, 224) -> '1×?×224'; '' when unknown, 'scalar' for ()."""
    if shape is None:
        return ""
    return "×".join("?" if d is None else str(d) for d in shape) or "scalar"


def _groups(groups: list[dict[str, Any]], table: _Table) -> dict[str, Any]:
    return {
        "before": [int(i) for g in groups for i in g["before"]], "befores": [len(g["before"]) for g in groups],
        "after": [int(i) for g in groups for i in g["after"]], "afters": [len(g["after"]) for g in groups],
        "status": [status_index(g["status"]) for g in groups],
        "evidence": table.all(g.get("evidence") for g in groups),
        "verified": [int(bool(g.get("verified"))) for g in groups],
        "summary": table.all(g.get("summary") for g in groups),
    }


def _side(side: dict[str, Any], places: list[int], table: _Table) -> dict[str, Any]:
    nodes = side["nodes"]
    out: dict[str, Any] = {
        "title": str(side.get("title") or ""), "format": str(side.get("format") or ""), "count": len(nodes),
        "name": table.all(n["name"] for n in nodes), "op": table.all(n["op"] for n in nodes),
        "scope": table.all(n.get("scope") for n in nodes),
        "in": table.all(t for n in nodes for t in n["in"]), "ins": [len(n["in"]) for n in nodes],
        "out": table.all(t for n in nodes for t in n["out"]), "outs": [len(n["out"]) for n in nodes],
        "shape": table.all(shape_text(n.get("shape")) for n in nodes),
        "dtype": table.all(n.get("dtype") for n in nodes),
        "attrs": table.all(_ENCODE(n["attrs"]) if n.get("attrs") else "" for n in nodes),
        "group": [int(n.get("group", -1)) for n in nodes],
        "status": [status_index(n.get("status")) for n in nodes], "parent": list(places),
    }
    for key in ("params", "bytes", "flops", "time_s", "sensitivity"):
        values = [n.get(key) for n in nodes]
        out[key] = values if {v.__class__ for v in values} <= {int, type(None)} else [_number(v) for v in values]
    out["src"] = [int(e[0]) for e in side["edges"]]
    out["dst"] = [int(e[1]) for e in side["edges"]]
    out["tensor"] = table.all(e[2] for e in side["edges"])
    _pills(side, out, table)
    return out


def _number(value: Any) -> float | int | None:
    if value is None or isinstance(value, bool) or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value if isinstance(value, int) else round(float(value), 12)


def _pills(side: dict[str, Any], out: dict[str, Any], table: _Table) -> None:
    """Adds the graph's inputs and outputs as nodes of their own, behind the real ones, at the top of the tree."""
    readers: dict[str, list[int]] = {}
    writers: dict[str, int] = {}
    ends = set(side["inputs"]) | set(side["outputs"])
    for i, node in enumerate(side["nodes"]):
        for t in node["in"]:
            if t in ends:
                readers.setdefault(t, []).append(i)
        for t in node["out"]:
            if t in ends:
                writers[t] = i
    for op, names in (("input", list(side["inputs"])), ("output", list(side["outputs"]))):
        names = [t for t in names if (readers.get(t) if op == "input" else t in writers)]
        bundles = [names] if len(names) > MOST_PILLS else [[t] for t in names]
        for bundle in bundles:
            if bundle:
                _pill(op, bundle, out, table)
                at = len(out["name"]) - 1
                for t in bundle:
                    for i in sorted(set(readers.get(t, ()))) if op == "input" else (writers[t],):
                        out["src"].append(at if op == "input" else i)
                        out["dst"].append(i if op == "input" else at)
                        out["tensor"].append(table.add(t))


def _pill(op: str, names: list[str], out: dict[str, Any], table: _Table) -> None:
    title = names[0] if len(names) == 1 else f"{len(names)} {op}s"
    tensors = [table.add(t) for t in names]
    out["in"] += [] if op == "input" else tensors
    out["out"] += tensors if op == "input" else []
    for key, value in {
        "name": table.add(title), "op": table.add(op), "scope": table.add(""), "shape": table.add(""),
        "ins": 0 if op == "input" else len(names), "outs": len(names) if op == "input" else 0,
        "dtype": table.add(""), "attrs": table.add(""), "group": -1, "status": 0, "parent": 0,
        "params": 0, "bytes": 0, "flops": 0, "time_s": None, "sensitivity": None,
    }.items():
        out[key].append(value)
