"""A plain layout of the first picture for the still: rows shared by both sides, boxes of a row side by side."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from . import graph_pack

MOST_ROWS = 40
HUB_READERS = 5


class Box(NamedTuple):
    """A box of the still.

    Attributes:
        key: ('group', number) or ('node', number of the node on its side).
        title: name of the group or operator.
        note: operator counts or shape.
        states: how many nodes of each status, by position in the statuses.
        pill: 'input' or 'output' of the graph, '' for operators and groups.
    """

    key: tuple[str, int]
    title: str
    note: str
    states: tuple[int, ...]
    pill: str


class Picture(NamedTuple):
    """What to draw.

    Attributes:
        rows: for each row the boxes of the first and of the second side.
        edges: for each side (row, column, row, column).
        hidden: rows left out at the bottom.
    """

    rows: list[tuple[list[Box], list[Box]]]
    edges: tuple[list[tuple[int, int, int, int]], list[tuple[int, int, int, int]]]
    hidden: int


def picture(columns: dict[str, Any]) -> Picture:
    """Places the boxes of the first picture.

    Args:
        columns: see :func:`workbench.views.graph_pack.columns`.
    """
    sides = [columns["before"], columns["after"]]
    shown = [_shown(columns, side) for side in sides]
    units, links = _units(columns, sides, shown)
    row_of = _rows(units, links)
    boxes = [_boxes(columns, side, places) for side, places in zip(sides, shown, strict=True)]
    count = max(row_of.values(), default=-1) + 1
    rows: list[tuple[list[Box], list[Box]]] = [([], []) for _ in range(count)]
    spots: list[dict[tuple[str, int], tuple[int, int]]] = [{}, {}]
    for s in (0, 1):
        for key, box in boxes[s].items():
            row = row_of[units[s][key]]
            spots[s][key] = (row, len(rows[row][s]))
            rows[row][s].append(box)
    readers = [Counter(a for a, _ in found) for found in links]  # a hub feeds everything: its edges would hide the rest
    edges = tuple([(*spots[s][a], *spots[s][b]) for a, b in sorted(links[s])
                   if spots[s][a][0] < min(spots[s][b][0], MOST_ROWS)
                   and (readers[s][a] <= HUB_READERS or spots[s][b][0] - spots[s][a][0] == 1)] for s in (0, 1))
    return Picture(rows[:MOST_ROWS], edges, max(0, count - MOST_ROWS))


def _shown(columns: dict[str, Any], side: dict[str, Any]) -> list[tuple[str, int]]:
    """The box that stands for each node: itself, or the outermost closed group around it."""
    tree = columns["tree"]
    closed: list[int] = []
    for g, parent in enumerate(tree["parent"]):  # parents come before their children
        above = closed[parent] if parent >= 0 else -1
        closed.append(above if above >= 0 else -1 if tree["expanded"][g] else g)
    return [("group", closed[g]) if closed[g] >= 0 else ("node", i) for i, g in enumerate(side["parent"])]


def _units(columns: dict[str, Any], sides: list[dict[str, Any]], shown: list[list[tuple[str, int]]]) -> tuple[
        list[dict[tuple[str, int], Any]], list[set[tuple[Any, Any]]]]:
    """One unit for each pair of boxes that belong together, and the links between boxes of a side."""
    quiet = [{i for i, g in enumerate(side["parent"]) if columns["tree"]["kind"][g] == "constants"} for side in sides]
    units: list[dict[tuple[str, int], Any]] = [{}, {}]
    for s in (0, 1):
        for key in shown[s]:
            units[s][key] = key if key[0] == "group" else (s, *key)
    for before, after in zip(graph_pack.members(columns, "before"), graph_pack.members(columns, "after"), strict=True):
        if before and after:
            a, b = shown[0][before[-1]], shown[1][after[-1]]
            if a[0] == b[0] == "node":
                units[1][b] = units[0][a]
    for op in ("input", "output"):
        first, second = ([i for i in range(side["count"], len(side["name"])) if columns["strings"][side["op"][i]] == op]
                         for side in sides)
        named = {sides[0]["name"][i]: i for i in first}
        for k, i in enumerate(second):
            twin = named.get(sides[1]["name"][i], first[k] if len(first) == len(second) else None)
            if twin is not None:
                units[1][shown[1][i]] = units[0][shown[0][twin]]
    links = []
    for s, side in enumerate(sides):
        links.append({(shown[s][a], shown[s][b]) for a, b in zip(side["src"], side["dst"], strict=True)
                      if shown[s][a] != shown[s][b] and a not in quiet[s]})
    return units, links


def _rows(units: list[dict[tuple[str, int], Any]], links: list[set[tuple[Any, Any]]]) -> dict[Any, int]:
    """Longest path over units; edges that would run backwards on a cycle do not count."""
    readers: dict[Any, set[Any]] = {}
    waiting: Counter[Any] = Counter()
    order = list(dict.fromkeys([*units[0].values(), *units[1].values()]))
    for s in (0, 1):
        for a, b in links[s]:
            source, target = units[s][a], units[s][b]
            if source != target and target not in readers.setdefault(source, set()):
                readers[source].add(target)
                waiting[target] += 1
    row = dict.fromkeys(order, 0)
    done: set[Any] = set()
    ready = [u for u in order if not waiting[u]]
    left = iter(order)
    while len(done) < len(order):
        if not ready:
            ready.append(next(u for u in left if u not in done))
        unit = ready.pop()
        if unit in done:
            continue
        done.add(unit)
        for target in readers.get(unit, ()):
            if target not in done:
                row[target] = max(row[target], row[unit] + 1)
                waiting[target] -= 1
                if not waiting[target]:
                    ready.append(target)
    return row


def _boxes(columns: dict[str, Any], side: dict[str, Any], shown: list[tuple[str, int]]) -> dict[tuple[str, int], Box]:
    strings, kinds = columns["strings"], len(columns["statuses"])
    members: dict[tuple[str, int], list[int]] = {}
    for i, key in enumerate(shown):
        members.setdefault(key, []).append(i)
    found = {}
    for key, nodes in members.items():
        real = [i for i in nodes if i < side["count"]]
        states = [0] * kinds
        for i in real:
            states[side["status"][i]] += 1
        if key[0] == "node":
            i = nodes[0]
            pill = "" if real else strings[side["op"][i]]
            title = strings[side["name"][i]] if pill else strings[side["op"][i]]
            note = strings[side["shape"][i]]
        else:
            pill = ""
            title = columns["tree"]["title"][key[1]] or "group"
            title += f"  ×{columns['tree']['times'][key[1]]}" if columns["tree"]["times"][key[1]] else ""
            flow = [i for i in real if columns["tree"]["kind"][side["parent"][i]] != "constants"]
            ops = Counter(strings[side["op"][i]].removeprefix("com.microsoft.") for i in flow or real).most_common(3)
            note = " · ".join(f"{n} {op}" if n > 1 else op for op, n in ops)
        found[key] = Box(key, title, note, tuple(states), pill)
    return found
