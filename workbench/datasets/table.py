"""Reader for CSV files with a header line: one sample a row."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..model import Model, TensorSpec
from .types import Raw

MAX_BYTES = 2**30
_LABELS = ("label", "labels")


def read(path: Path, model: Model) -> Raw:
    """Columns become inputs.

    A column called 'label' holds the labels, else the last one where there is one column more than the model takes.
    With one input, the other columns in order are its features; with several, a column belongs to the input of
    its name, and 'name_0', 'name_1', ... to an input of that many features. Labels that are words become class
    names in alphabetical order.

    Raises:
        InputError: no header, ragged rows, a cell that is no number, or columns that fit no input.
    """
    header, rows = _cells(path)
    columns = {name: i for i, name in enumerate(header)}
    groups, label = _assign(header, model, path)
    wants = {s.name: s for s in model.inputs}
    arrays = {name: _numbers(rows, [columns[c] for c in group], header, wants[name], path)
              for name, group in groups.items()}
    if label is None:
        return Raw(arrays)
    labels, names = _labels([row[columns[label]] for row in rows], label, path)
    return Raw(arrays, labels, names)


def _cells(path: Path) -> tuple[list[str], list[list[str]]]:
    """Header and rows as text; comma, semicolon or tab, whichever the header uses."""
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path} is larger than {MAX_BYTES // 2**20} MiB: save the samples as .npz")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            delimiter = max(",;\t", key=first.count)
            table = [row for row in csv.reader(file, delimiter=delimiter, strict=True) if row]
    except (OSError, UnicodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as CSV ({str(error)[:120]}): save it as UTF-8 text") from None
    if len(table) < 2:
        raise InputError(f"{path} holds no samples: give a header line and one row a sample")
    header = [name.strip() for name in table[0]]
    if all(_is_number(name) for name in header):
        raise InputError(f"{path} has no header line: add one that names the columns")
    if len(set(header)) < len(header):
        raise InputError(f"{path} names a column twice: rename one")
    for number, row in enumerate(table[1:], 2):
        if len(row) != len(header):
            raise InputError(f"{path} row {number} has {len(row)} cells, the header {len(header)}: correct the row")
    return header, table[1:]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _assign(header: list[str], model: Model, path: Path) -> tuple[dict[str, list[str]], str | None]:
    """Input name -> its columns, and the label column or None."""
    label = next((name for name in header if name.lower() in _LABELS), None)
    others = [name for name in header if name != label]
    if len(model.inputs) == 1:
        spec = model.inputs[0]
        width = spec.shape[1] if len(spec.shape) == 2 and isinstance(spec.shape[1], int) else None
        if len(spec.shape) == 1:
            width = 1
        if len(spec.shape) not in (1, 2):
            raise InputError(f"a CSV row cannot fill input '{spec.name}' of rank {len(spec.shape)}: "
                             "save the samples as .npz")
        if label is None and width is not None and len(others) == width + 1:
            label, others = others[-1], others[:-1]
        if width is not None and len(others) != width:
            raise InputError(f"{path} has {len(others)} feature columns, input '{spec.name}' wants {width}: "
                             "remove or add columns; name the one with the labels 'label'")
        return {spec.name: others}, label
    groups = {spec.name: _columns_of(spec, others) for spec in model.inputs}
    missing = [name for name, group in groups.items() if not group]
    if missing:
        raise InputError(f"{path} has no column for input '{missing[0]}'; it has {', '.join(header[:20])}: "
                         "name the columns after the inputs ('name', or 'name_0', 'name_1', ...)")
    left = [name for name in others if not any(name in group for group in groups.values())]
    if label is None and left and left[-1] == header[-1]:
        label = left[-1]
    return groups, label


def _columns_of(spec: TensorSpec, names: list[str]) -> list[str]:
    if spec.name in names:
        return [spec.name]
    numbered = [n for n in names if re.fullmatch(re.escape(spec.name) + r"_\d+", n)]
    return sorted(numbered, key=lambda n: int(n.rpartition("_")[2]))


def _numbers(rows: list[list[str]], places: list[int], header: list[str], spec: TensorSpec, path: Path) -> np.ndarray:
    """[rows, columns], or [rows] for an input of rank 0 or 1; whole numbers where the input wants them."""
    cells = [[row[i].strip() for i in places] for row in rows]
    if spec.dtype == "str":
        table = np.array(cells, dtype=np.str_)
    else:
        table = np.array([[_number(cell, number, header[i], path) for cell, i in zip(row, places, strict=True)]
                          for number, row in enumerate(cells, 2)], dtype=np.float64)
        if not spec.dtype.startswith("float") and (table == np.floor(table)).all():
            table = table.astype(np.int64)
    return table[:, 0] if len(spec.shape) < 2 and len(places) == 1 else table


def _number(cell: str, row: int, column: str, path: Path) -> float:
    try:
        return float(cell)
    except ValueError:
        what = f"'{cell[:40]}' is not a number" if cell else "the cell is empty"
        raise InputError(f"{path} row {row}, column '{column}': {what}; correct the cell") from None


def _labels(cells: list[str], column: str, path: Path) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Whole numbers as they are; words numbered in alphabetical order."""
    cells = [c.strip() for c in cells]
    if "" in cells:
        raise InputError(f"{path} row {cells.index('') + 2}, column '{column}': the label is empty; fill it in")
    if not any(_is_number(c) for c in cells):
        names = {name: i for i, name in enumerate(sorted(set(cells)))}
        return np.array([names[c] for c in cells], np.int64), tuple(names)
    for row, cell in enumerate(cells, 2):
        if not _is_number(cell) or not float(cell).is_integer() or abs(float(cell)) > 2**31:
            raise InputError(f"{path} row {row}, column '{column}': label '{cell[:40]}' is not a whole number; "
                             "name the label column 'label', and leave out targets that are no classes")
    return np.array([int(float(c)) for c in cells], np.int64), None
