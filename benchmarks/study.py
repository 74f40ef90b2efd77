"""How long a study with many results takes to open and to plot, as a Markdown table.

    python benchmarks/study.py [--results 10000]

The results are made up: their numbers come from a random generator, and they carry what a measured one carries (its
machine, stages, warm-up). Reading, front, figure and table are the dashboard's own.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import machine_line  # noqa: E402
from workbench import recipe as recipes  # noqa: E402
from workbench.measure import environment  # noqa: E402
from workbench.results import Fidelity, Result  # noqa: E402
from workbench.study import Run, Study  # noqa: E402


def made_up(count: int, seed: int = 0) -> list[Result]:
    """That many variants of one model on one machine, all with recipes of their own."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(count):
        kind, threads = divmod(i, 128)
        step = ("onnx-int8-mixed", {"target": 0.9 + 1e-4 * kind}) if i % 2 else (
            "onnx-int8-static", {"calibration_samples": 1 + kind})
        recipe = recipes.make(*([step] if i else []), runtime="onnxruntime", threads=1 + threads)
        median, metric = float(np.exp(rng.normal(-6.5, 0.8))), float(rng.beta(40, 4))
        fidelity = Fidelity(2000, "accuracy", metric, (metric - 0.01, metric + 0.01), metric - 0.91,
                            (metric - 0.92, metric - 0.90))
        found.append(Result(
            run_id=f"r{i}", created="2026-11-24T05:00:00+00:00", model_sha256="m", data_sha256="d", recipe=recipe,
            machine="host", is_baseline=i == 0, status="ok", median_s=median,
            interval_s=(median * 0.98, median * 1.02), samples=400, ratio=median / 0.0015,
            ratio_interval=(median * 0.97 / 0.0015, median * 1.03 / 0.0015), verdict="faster", fidelity=fidelity,
            size_bytes=int(rng.integers(1e5, 1e7)), compressed_bytes=int(rng.integers(1e5, 1e7)), stopped="narrow",
            percentiles_s={"p90": median * 1.1, "p95": median * 1.2, "p99": None},
            artefact=f"/home/somebody/.cache/inference-workbench/artefacts/{i:040x}/model.onnx",
            warmup_s=tuple(median * (1 + rng.random(30))), **_carried(rng, recipe)))
    return found


def _carried(rng: np.random.Generator, recipe: recipes.Recipe) -> dict:
    """What a measured result carries beside its numbers: most of what is read."""
    state = {"clock_mhz": int(rng.integers(2000, 3000)), "load_1min": float(rng.random())}
    return {
        "environment": {**_machine(), "state": state, "seed": 0, "warnings": [], "noise": {
            "wall_s": float(rng.random()), "others_cores": 0.1, "stolen_share": 0.0, "state": state}},
        "memory": {"rss_baseline_bytes": 47685632, "rss_steady_bytes": int(rng.integers(1e6, 1e8)),
                   "rss_peak_bytes": int(rng.integers(1e6, 1e8)), "load_s": float(rng.random()), "import_s": 0.02},
        "describe": {"runtime": recipe.runtime, "version": "1.32.0", "device": "cpu", "threads": recipe.threads,
                     "providers": ["CPUExecutionProvider"], "nodes": 80, "notes": [], "graph_level": "all",
                     "nodes_by_provider": {"CPUExecutionProvider": 80}, "intra_op_threads": recipe.threads},
        "stages": tuple({"name": step.name, "path": f"/home/somebody/.cache/{step.name}/model.onnx", "format": "onnx",
                         "notes": ["80 of 80 nodes are INT8", "cosine to the source's outputs 0.9999 on one sample"],
                         "details": {"cosine": float(rng.random()), "ops": {"QLinearConv": 20, "MaxPool": 4}},
                         "seconds": float(rng.random()), "cached": False} for step in recipe.steps)}


@cache
def _machine() -> dict:
    return environment.fingerprint()


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=int, default=10_000)
    args = parser.parse_args()
    from workbench.views import figures, frames  # their import is not part of opening a study

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.sqlite"
        study = Study(path)
        study.add_many(Run(f"s{i}", r, [[0.001] * 20] * 20) for i, r in enumerate(made_up(args.results)))
        study.close()
        size = path.stat().st_size / 1e6
        times = {}
        start, used = time.perf_counter(), time.process_time()
        study = Study(path)
        results = study.results("m", "host", "d")
        times["open and read"] = time.perf_counter() - start
        shown = frames.tradeoff(results, batch=1, machine="host")
        times["front and standing"] = time.perf_counter() - start - sum(times.values())
        figure = figures.tradeoff_figure(shown, selected=results[0].recipe.key).to_dict()
        times["figure"] = time.perf_counter() - start - sum(times.values())
        rows = frames.rows(results, shown)
        times["table rows"] = time.perf_counter() - start - sum(times.values())
        used = time.process_time() - used
        assert len(results) == len(shown.points) == len(rows) == args.results and len(figure["data"]) > 5
    print(f"\n{machine_line()}\n\n{args.results:,} results, {size:.0f} MB on disk\n")
    print("| step | seconds |\n|---|---|")
    for name, seconds in times.items():
        print(f"| {name} | {seconds:.2f} |")
    print(f"| open and plot | {sum(times.values()):.2f} |\n\n{used:.2f} s of processor time.")


if __name__ == "__main__":
    main()
