"""The process side of a machine's limits: fastest matrix products and copies. ``python -m workbench.profile.peak``.

A limit must not be beaten by a model later, so the best of many tries counts, over every runtime that is installed:
interruptions only ever make a try slower.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import WorkbenchError
from ..measure import environment
from ..model import ModelFormat
from ..runtimes import registry
from ..runtimes.base import SessionRequest

SIZES = (192, 512, 1024)  # sides: from what fits into a core's own cache to what keeps all threads busy
WORKING_SETS = tuple(2**k for k in range(14, 29, 2))  # 16 kB to 256 MB
PRIVATE_CACHE = 2**20  # bytes; a second-level cache, or less
_TRY_S = 0.4
_RUNTIMES = ("onnxruntime", "openvino")


def best(work: Callable[[], Any], budget_s: float = _TRY_S) -> float:
    """Fewest seconds of one call; at least three are made, the first dropped."""
    work()
    found, calls, begin = float("inf"), 0, time.perf_counter()
    while calls < 2 or time.perf_counter() - begin < budget_s:
        start = time.perf_counter()
        work()
        found = min(found, time.perf_counter() - start)
        calls += 1
    return found


class Work(NamedTuple):
    """A product: operator, shapes of its operands, attributes, and operations in one run (two a multiply-add)."""

    op: str
    left: tuple[int, ...]
    right: tuple[int, ...]
    attributes: dict[str, Any]
    operations: int


# Convolutions that fit into a core's own cache come nearest to the arithmetic's limit.
WORKS = (*(Work("MatMul", (n, n), (n, n), {}, 2 * n**3) for n in SIZES),
         *(Work("Conv", (1, c, n, n), (c, c, 3, 3), {"pads": [1, 1, 1, 1]}, 2 * 9 * c * c * n * n)
           for c, n in ((64, 32), (96, 48))))


def _onnx(folder: Path, work: Work, int8: bool) -> Path:
    """x times a constant; INT8 as QDQ with symmetric weights, as the quantizers write it."""
    from onnx import TensorProto, helper, numpy_helper, save

    rng = np.random.default_rng(0)
    weight = rng.integers(-127, 128, work.right).astype(np.int8) if int8 else rng.random(work.right, np.float32)
    scales = [numpy_helper.from_array(np.array(v, t), n) for n, v, t in (
        ("s", 0.02, np.float32), ("z", 0, np.uint8), ("sw", 0.01, np.float32), ("zw", 0, np.int8))]
    node = helper.make_node
    if int8:  # the input is u8 already: quantizing it is not part of the product
        nodes = [node("DequantizeLinear", ["x", "s", "z"], ["xf"]),
                 node("DequantizeLinear", ["w", "sw", "zw"], ["wf"]),
                 node(work.op, ["xf", "wf"], ["yf"], **work.attributes),
                 node("QuantizeLinear", ["yf", "s", "z"], ["y"])]
    else:
        nodes, scales = [node(work.op, ["x", "w"], ["y"], **work.attributes)], []
    kind = TensorProto.UINT8 if int8 else TensorProto.FLOAT
    ends = [[helper.make_tensor_value_info(n, kind, list(work.left))] for n in ("x", "y")]
    graph = helper.make_graph(nodes, "product", *ends, [numpy_helper.from_array(weight, "w"), *scales])
    path = folder / f"{work.op}{work.left[-1]}{'i' if int8 else 'f'}.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def products(folder: Path, threads: int) -> dict[str, dict[str, float]]:
    """Operations a second by precision and library: the best over all products."""
    found: dict[str, dict[str, float]] = {"float32": {}, "int8": {}}
    for side in SIZES:
        a = np.random.default_rng(1).random((side, side), np.float32)
        _keep(found["float32"], "numpy", 2 * side**3 / best(lambda a=a: a @ a))
    for work in WORKS:
        for int8 in (False, True):
            path = _onnx(folder, work, int8)
            x = np.random.default_rng(1).random(work.left, np.float32)
            for name in _RUNTIMES:
                seconds = _seconds(name, path, {"x": (x * 255).astype(np.uint8) if int8 else x}, threads)
                if seconds:
                    _keep(found["int8" if int8 else "float32"], name, work.operations / seconds)
    return found


def _seconds(runtime: str, path: Path, feed: dict[str, np.ndarray], threads: int) -> float | None:
    """Best time of a run, None where the runtime is absent or lacks the product: it then sets no limit."""
    if registry.missing(runtime):
        return None
    adapter = registry.adapter(runtime)
    try:
        session = adapter.open_session(SessionRequest(path, ModelFormat.ONNX, adapter.Settings(), threads, "cpu", feed))
        return best(lambda: session.run(feed))
    except WorkbenchError:
        return None


def _keep(best_of: dict[str, float], name: str, value: float) -> None:
    best_of[name] = max(best_of.get(name, 0.0), value)


def bandwidth(threads: int) -> list[tuple[int, float]]:
    """(working set in bytes, bytes read and written a second): the faster of copying and of reading (a dot product).

    Small working sets lie in caches that each core has for itself: there one thread's rate times the threads counts.
    """
    found = []
    with ThreadPoolExecutor(threads) as pool:
        for size in WORKING_SETS:
            alone = max(_moved(kind, size, 1, pool) for kind in (np.copyto, np.dot))
            if size > PRIVATE_CACHE * threads:
                together = max(_moved(kind, size, threads, pool) for kind in (np.copyto, np.dot))
                found.append((size, max(alone, together)))
            else:
                found.append((size, alone * threads))
    return found


def _moved(kind: Callable, size: int, threads: int, pool: ThreadPoolExecutor) -> float:
    """Bytes a second that ``kind(a, b)`` touches, each thread on arrays of its own."""
    parts = [np.ones(max(1, size // 8 // threads), np.float32) for _ in range(2 * threads)]
    repeat = max(1, 2**20 // size)  # many a call, so that starting the call does not count

    def touch(k: int) -> None:
        for _ in range(repeat):
            kind(parts[2 * k], parts[2 * k + 1])

    def work() -> None:
        if threads == 1:
            touch(0)
        else:
            list(pool.map(touch, range(threads)))

    return 2 * parts[0].nbytes * threads * repeat / best(work, _TRY_S / 4)


def main() -> None:
    """Arguments: request file (threads, cores, folder), answer file."""
    wanted = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    environment.set_cores(tuple(wanted["cores"]))
    found = {"products": products(Path(wanted["folder"]), wanted["threads"]),
             "bandwidth": bandwidth(wanted["threads"])}
    Path(sys.argv[2]).write_text(json.dumps(found), "utf-8")


if __name__ == "__main__":
    main()
