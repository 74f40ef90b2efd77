"""The conventions of the notebooks: thin cells, one rhythm, nothing left over from a run."""

import ast
import copy
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
FRAMEWORKS = {"tensorflow", "torch", "onnxruntime", "openvino", "ai_edge_litert", "keras", "tf_keras", "onnx"}
FORBIDDEN = (r"\bpip\b", r"https?://", r"^\s*[!%]", r"\burlopen\b", r"\brequests\b", r"\bfetch\(")
DECISION = "## The decision, and what would change it"


def read(path):
    return json.loads(path.read_text("utf-8"))


def text(cell):
    return "".join(cell["source"])


def problems(notebook):
    """What breaks the conventions, one line each."""
    cells = notebook["cells"]
    code = [c for c in cells if c["cell_type"] == "code"]
    found = [*_frame(cells), *_rhythm(cells)]
    if len(code) > 25:
        found.append(f"{len(code)} code cells, at most 25")
    for cell in code:
        found += [f"cell {cell['id']}: {p}" for p in _code(cell)]
    ids = [c.get("id") for c in cells]
    if len(set(ids)) != len(ids) or None in ids:
        found.append("cells need an id of their own each")
    if notebook["metadata"].get("kernelspec", {}).get("name") != "python3" or "widgets" in notebook["metadata"]:
        found.append("metadata: kernel 'python3' and no widget state")
    return found


def _frame(cells):
    first, last = text(cells[0]), text(cells[-1])
    blocks = [b for b in first.split("\n\n") if b.strip()]
    if cells[0]["cell_type"] != "markdown" or not re.match(r"# \S", first):
        yield "begins with an H1"
    if len(blocks) != 3 or len(re.findall(r"[.?!](?:\s|$)", blocks[1])) != 1:
        yield "H1, then one sentence of promise, then what it needs and how long it takes"
    elif not re.search(r"\b[Nn]eeds?\b", blocks[2]) or not re.search(r"\b(seconds?|minutes?|s)\b", blocks[2]):
        yield "says what it needs and how long it takes"
    if sum(text(c).startswith("# ") for c in cells if c["cell_type"] == "markdown") != 1:
        yield "one H1"
    if cells[-1]["cell_type"] != "markdown" or DECISION not in last or len(last) < len(DECISION) + 120:
        yield "ends with the decision and what would change it"


def _rhythm(cells):
    """Question, call, figure, how to read it: a call stands between words."""
    for before, cell, after in zip(cells, cells[1:], cells[2:], strict=False):
        if cell["cell_type"] != "code":
            continue
        if before["cell_type"] == "code" and after["cell_type"] == "code":
            yield f"cell {cell['id']}: three calls in a row without a word"
    shows = [i for i, c in enumerate(cells) if c["cell_type"] == "code"]
    words = "\n".join(text(c) for c in cells if c["cell_type"] == "markdown")
    if len(re.findall(r"[Hh]ow to (?:read|drive) it", words)) < max(1, len(shows) // 4):
        yield "tells how to read its figures"
    questions = [line for line in words.splitlines() if line.startswith("## ")]
    if len(shows) > 1 and sum(line.rstrip().endswith("?") for line in questions) < 2:
        yield "sections ask a question"


def _code(cell):
    source = text(cell)
    if len(source.splitlines()) > 12:
        yield f"{len(source.splitlines())} lines, at most 12"
    if cell["outputs"] or cell["execution_count"] is not None:
        yield "outputs are not stripped"
    yield from (f"matches {pattern!r}" for pattern in FORBIDDEN if re.search(pattern, source, re.M))
    if re.search(r"(?:^|[\s'\"])(?:/home/|/root/|/work/|/tmp/|[A-Z]:\\)", source):
        yield "holds a path of a machine"
    tree = ast.parse(source, type_comments=False)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if node.end_lineno - node.lineno >= 5:
                yield f"'{node.name}' is longer than 5 lines: it belongs into the package"
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        yield from (f"imports {n} into the kernel" for n in names if n.split(".")[0] in FRAMEWORKS)
        if isinstance(node, ast.ImportFrom) and any(a.name == "*" for a in node.names):
            yield "star import"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_keeps_the_conventions(path):
    assert problems(read(path)) == []


def test_notebooks_are_numbered_without_a_gap():
    assert [int(p.stem[:2]) for p in NOTEBOOKS] == list(range(len(NOTEBOOKS)))


BREAKS = {
    "H1": lambda nb: nb["cells"][0].update(source=["no title"]),
    "promise": lambda nb: nb["cells"][0].update(source=["# Title\n\nOne. Two.\n\nNeeds nothing, 2 minutes."]),
    "how long": lambda nb: nb["cells"][0].update(source=["# Title\n\nOne promise.\n\nJust run it."]),
    "decision": lambda nb: nb["cells"].pop(),
    "stripped": lambda nb: _call(nb).update(execution_count=3),
    "pip": lambda nb: _call(nb).update(source=["import subprocess; subprocess.run(['pip', 'install', 'x'])"]),
    "12": lambda nb: _call(nb).update(source=["a = 1\n"] * 13),
    "star": lambda nb: _call(nb).update(source=["from workbench import *"]),
    "5 lines": lambda nb: _call(nb).update(source=["def f():\n", *["    a = 1\n"] * 6]),
    "tensorflow": lambda nb: _call(nb).update(source=["import tensorflow as tf"]),
    "path": lambda nb: _call(nb).update(source=["x = '/home/me/model.onnx'"]),
    "id": lambda nb: nb["cells"][1].update(id=nb["cells"][0]["id"]),
}


def _call(notebook):
    return next(c for c in notebook["cells"] if c["cell_type"] == "code")


@pytest.mark.parametrize("name", BREAKS)
def test_each_convention_can_be_broken(name):
    notebook = read(NOTEBOOKS[0])
    broken = copy.deepcopy(notebook)
    BREAKS[name](broken)
    assert problems(notebook) == []
    assert any(name.lower() in p.lower() for p in problems(broken)), problems(broken)
