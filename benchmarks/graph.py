"""Is every node of a rewritten graph accounted for, and how fast: ``python benchmarks/graph.py [--quick]``.

Each row compares a model with what became of it: ONNX Runtime's graph at every level, static INT8 in both forms, the
conversion of the bundled models to ONNX and TFLite. 'classified' is the share of nodes, of both sides, that are in
exactly one group; 'unexplained' the share that no rule explains. The last table reads and compares graphs of 10,000 and
100,000 nodes with three hubs that feed every block.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import common  # noqa: E402
from workbench import bundled, passes  # noqa: E402
from workbench.errors import WorkbenchError  # noqa: E402
from workbench.graph.cost import with_costs  # noqa: E402
from workbench.graph.diff import diff  # noqa: E402
from workbench.graph.graph import Graph, Node  # noqa: E402
from workbench.graph.readers import executed, read  # noqa: E402
from workbench.graph.readers import onnx as onnx_reader  # noqa: E402
from workbench.graph.readers.executed_onnxruntime import LEVELS  # noqa: E402
from workbench.model import Model, load, resolve_inputs  # noqa: E402
from workbench.passes import PassContext  # noqa: E402

_SHAPES = {"common": {"input1": (1, 1, 64, 160)}, "common_old": {"input1": (1, 1, 64, 160)},
           "common_det": {"images": (1, 3, 416, 416)}}
_LARGE = ("light_vgg19", "light_bvlc_alexnet", "light_zfnet512")  # hundreds of megabytes of weights
_LEVELS_QUICK = ("basic", "all")


def main() -> None:
    """Runs all comparisons and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small models, two levels, no 100,000 nodes")
    args = parser.parse_args()
    print(f"{common.machine_line()}\n")
    print("| model | step | nodes | classified | unexplained | seconds |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="workbench-") as folder:
        for line in _rows(Path(folder), args.quick):
            print(line, flush=True)
        print("\n| nodes | read both | costs | compare | together | unexplained |")
        print("|---|---|---|---|---|---|")
        for size in (10_000,) if args.quick else (10_000, 100_000):
            print(_timing(Path(folder), size), flush=True)


def _rows(folder: Path, quick: bool) -> Iterator[str]:
    for name in [m.name for m in bundled.MODELS]:
        yield from _bundled(bundled.model(name), folder, quick)
    for path in _models():
        if quick and path.stem in _LARGE:
            continue
        yield from _onnx(load(path), path.stem, folder, quick)


def _models() -> list[Path]:
    """Topologies inside the onnx wheel and models inside the ddddocr wheel."""
    onnx, ocr = (Path(importlib.util.find_spec(n).origin).parent for n in ("onnx", "ddddocr"))
    return [*sorted((onnx / "backend/test/data/light").glob("*.onnx")), *sorted(ocr.rglob("*.onnx"))]


def _bundled(model: Model, folder: Path, quick: bool) -> Iterator[str]:
    before = read(model)
    converted = _applied(model, "onnx-convert", folder)
    if isinstance(converted, Model):
        yield _row(model.name, "to ONNX", before, read(converted))
        yield from _onnx(converted, f"{model.name} (ONNX)", folder, quick)
    for title, step in (("to TFLite", "tflite-convert"), ("to TFLite INT8", "tflite-int8")):
        made = _applied(model, step, folder)
        yield _row(model.name, title, before, read(made)) if isinstance(made, Model) else _not(model.name, title, made)


def _onnx(model: Model, name: str, folder: Path, quick: bool) -> Iterator[str]:
    shapes = _SHAPES.get(name)
    before = read(model, shapes=shapes)
    for level in _LEVELS_QUICK if quick else LEVELS:
        try:
            yield _row(name, f"ORT {level}", before, executed(model, "onnxruntime", shapes=shapes, level=level))
        except WorkbenchError as error:
            yield _not(name, f"ORT {level}", str(error))
    if name in _LARGE:
        return
    for form in ("qdq", "qoperator"):
        made = _applied(model, "onnx-int8-static", folder, shapes=shapes, format=form)
        title = f"static INT8 ({form})"
        if not isinstance(made, Model):
            yield _not(name, title, made)
            continue
        quantized = read(made, shapes=shapes)
        yield _row(name, title, before, quantized)
        yield _row(name, f"{title}, then ORT all", quantized, executed(made, "onnxruntime", shapes=shapes, level="all"))


def _applied(model: Model, step: str, folder: Path, shapes: dict | None = None, **settings) -> Model | str:
    """The model after a pass, or the reason why there is none."""
    chosen = passes.get(step)
    work = Path(tempfile.mkdtemp(dir=folder))
    try:
        sizes = {**resolve_inputs(model, None if shapes is None else {n: np.zeros(s) for n, s in shapes.items()})}
        rng = np.random.default_rng(0)
        feeds = tuple({s.name: (rng.random(sizes[s.name]) * (1 if s.dtype.startswith("float") else 90)).astype(s.dtype)
                       for s in model.inputs} for _ in range(2))
        result = chosen.apply(model, type(chosen).Settings(**settings), PassContext(work, feeds))
        return load(result.path)
    except WorkbenchError as error:
        return str(error)


def _row(name: str, step: str, before: Graph, after: Graph) -> str:
    start = time.perf_counter()
    found = diff(before, after)
    seconds = time.perf_counter() - start
    total = len(before.nodes) + len(after.nodes)
    placed = len({("b", i) for g in found.groups for i in g.before} | {("a", i) for g in found.groups for i in g.after})
    return (f"| {name} | {step} | {len(before.nodes)} -> {len(after.nodes)} | {100 * placed / total:.0f} % "
            f"| {100 * found.unexplained_nodes / total:.1f} % | {seconds:.2f} |")


def _not(name: str, step: str, reason: str) -> str:
    return f"| {name} | {step} | - | - | - | {reason[:80]} |"


def _timing(folder: Path, size: int) -> str:
    from tests import graph_models

    path = graph_models.write(graph_models.hubs(size), folder / f"hubs_{size}.onnx")
    start = time.perf_counter()
    before = onnx_reader.read_file(path, None)
    one = time.perf_counter() - start
    after = _fused(before)
    start = time.perf_counter()
    before, after = with_costs(before), with_costs(after)
    costs = time.perf_counter() - start
    start = time.perf_counter()
    found = diff(before, after)
    compare = time.perf_counter() - start
    return (f"| {len(before.nodes)} -> {len(after.nodes)} | {2 * one:.2f} s | {costs:.2f} s | {compare:.2f} s "
            f"| {2 * one + costs + compare:.2f} s | {found.unexplained_nodes} |")


def _fused(graph: Graph) -> Graph:
    """What ONNX Runtime makes of the blocks, written down by hand: it takes minutes for 100,000 nodes itself."""
    nodes, renamed, held = [], {}, {}
    tensors = dict(graph.tensors)
    for node in graph.nodes:
        part = node.name.rsplit("/", 1)[-1]
        inputs = tuple(renamed.get(t, t) for t in node.inputs)
        if node.op == "Identity":
            renamed[node.outputs[0]] = inputs[0]
        elif part in ("up", "context"):
            held[node.outputs[0]] = (inputs, node.name)
        elif part in ("up_bias", "context_bias"):
            first, name = held[inputs[0]]
            nodes.append(Node(f"{name}/MatMulAddFusion", "Gemm", (*first, inputs[1]), node.outputs, node.scope))
        elif part == "half":
            source = node.name.replace("/gelu/half", "/up_bias") + "_out"
            nodes.append(Node(f"Gelu_token_{len(nodes)}", "com.microsoft.Gelu", (source,), node.outputs))
        elif "/gelu/" not in node.name:
            nodes.append(Node(node.name, node.op, inputs, node.outputs, node.scope, node.attributes))
    return Graph(tuple(nodes), tensors, graph.inputs, graph.outputs, "fused", "onnx")


if __name__ == "__main__":
    main()
