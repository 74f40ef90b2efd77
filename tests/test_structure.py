"""The architecture holds: import is free, data flows one way, files and functions stay small."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "workbench"
HEAVY = ("tensorflow", "tf_keras", "keras", "torch", "onnxruntime", "openvino", "plotly", "ipywidgets")
SOURCES = sorted(PACKAGE.rglob("*.py"))


def loaded_after(code: str) -> set[str]:
    script = f"{code}\nimport sys; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_import_loads_no_framework_and_no_interface():
    assert loaded_after("import workbench") == set()


def test_the_core_loads_no_framework_either():
    code = "import workbench.engine, workbench.study, workbench.cli, workbench.variant, workbench.bundled"
    assert loaded_after(code) == set()


def test_the_import_proof_can_fail():
    assert loaded_after("import workbench, plotly") == {"plotly"}


def imports(path: Path) -> set[str]:
    """Absolute names of the workbench modules that a file imports anywhere in it (type-only imports left out)."""
    tree = ast.parse(path.read_text())
    package = path.relative_to(ROOT).with_suffix("").parts
    package = package[:-1]
    typing_only = {id(n) for node in ast.walk(tree) if isinstance(node, ast.If)
                   and getattr(node.test, "id", "") == "TYPE_CHECKING" for n in ast.walk(node)}
    found = set()
    for node in ast.walk(tree):
        if id(node) in typing_only or not isinstance(node, ast.ImportFrom):
            continue
        base = package[:len(package) - node.level + 1] if node.level else ()
        name = ".".join([*base, *([node.module] if node.module else [])])
        found |= {name} | {f"{name}.{a.name}" for a in node.names}
    return {n for n in found if n.startswith("workbench")}


def part(name: str) -> str:
    pieces = name.split(".")
    return pieces[1] if len(pieces) > 1 else ""


@pytest.mark.parametrize("left,right", [("passes", "runtimes"), ("runtimes", "passes"), ("measure", "passes"),
                                        ("measure", "study"), ("runtimes", "measure"), ("model", "passes"),
                                        ("study", "views"), ("engine", "views"), ("passes", "study"),
                                        ("measure", "engine"), ("passes", "engine"), ("datasets", "measure"),
                                        ("formats", "passes"), ("fidelity", "study"), ("variant", "engine")])
def test_direction(left, right):
    for path in SOURCES:
        if part(".".join(path.relative_to(ROOT).with_suffix("").parts)) == left:
            wrong = [n for n in imports(path) if part(n) == right]
            assert not wrong, f"{path.name} imports {wrong}"


def test_direction_check_can_fail():
    assert any(part(n) == "measure" for n in imports(PACKAGE / "engine.py"))


@pytest.mark.parametrize("framework", ["tensorflow", "onnxruntime", "torch", "openvino", "ai_edge_litert"])
def test_only_adapters_passes_and_workers_import_frameworks(framework):
    allowed = {"runtimes", "passes", "formats", "profile", "predictors", "workers"}
    if framework == "ai_edge_litert":
        allowed.add("readers")  # the flatbuffer schema of TFLite, plain Python, comes in this package
    for path in SOURCES:
        if allowed & set(path.relative_to(PACKAGE).parts):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            assert not any(n.split(".")[0] == framework for n in names), path


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_and_functions_stay_small(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno < 50, f"{node.name} is too long"


def test_lint():
    done = subprocess.run([sys.executable, "-m", "ruff", "check", str(ROOT)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
