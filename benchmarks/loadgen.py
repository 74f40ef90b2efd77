"""Does our timing agree with MLPerf's LoadGen? The very same session, in one process, timed by both in turns.

A process set up like a worker opens the session; then, round by round and in shuffled order, LoadGen (SingleStream,
PerformanceOnly) issues a number of queries and our worker times a block of as many runs. Wanted: the ratio of the
medians within 3 % of 1.

    python benchmarks/loadgen.py --rounds 30
"""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import common  # noqa: E402
from workbench.measure import Plan, arrays, environment, stats  # noqa: E402
from workbench.measure.warmup import warm_up  # noqa: E402
from workbench.measure.worker import Worker  # noqa: E402
from workbench.runtimes import registry  # noqa: E402

LEAST_QUERIES = 64  # LoadGen's own floor for a percentile


def main() -> None:
    """Starts the process with the environment of a worker, or is that process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--threads", type=int, default=environment.physical_threads())
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        return compare(args)
    adapter = registry.adapter("onnxruntime")
    variables = adapter.environment(args.threads, "cpu", adapter.Settings(), common.ModelFormat.ONNX)
    command = [sys.executable, __file__, "--child", "--rounds", str(args.rounds), "--threads", str(args.threads)]
    raise SystemExit(subprocess.run(command, env={**os.environ, **variables}).returncode)


def compare(args: argparse.Namespace) -> None:
    """Times in turns and prints the table."""
    machine = common.machine_line()
    environment.set_cores(environment.cores_for(args.threads))
    with tempfile.TemporaryDirectory() as folder:
        worker, bound = open_worker(Path(folder), args.threads)
        warm = warm_up(lambda start, runs, budget: seconds(worker.do_block(start, runs, budget)["ns"]), Plan())
        runs = max(LEAST_QUERIES, round(Plan().block_s / warm.run_s))
        ours, theirs = [], []
        turns = [lambda i: ours.append(seconds(worker.do_block(i, runs, 60.0, refill=1)["ns"])),
                 lambda i: theirs.append([loadgen_median_s(worker, bound, runs, Path(folder))])]
        order = random.Random(0)
        for i in range(args.rounds):
            order.shuffle(turns)
            for turn in turns:
                turn(i)
    title = f"{machine}; {args.threads} threads, {args.rounds} rounds of {runs} runs each."
    print(report(title, stats.median_interval(ours), stats.median_interval(theirs), stats.ratio_interval(ours, theirs)))


def open_worker(folder: Path, threads: int) -> tuple[Worker, list]:
    """A worker of the protocol inside this process, and the feeds as its session wants them."""
    wanted = common.candidate("network", common.write_model(folder / "network.onnx"), threads)
    arrays.write_feeds(folder / "feeds.npz", common.images())
    worker = Worker(note=lambda fraction: None)
    worker.do_preload(wanted.runtime)
    request = {"path": str(wanted.path), "format": wanted.format.value, "runtime": wanted.runtime,
               "settings": wanted.settings.to_dict(), "threads": wanted.threads, "device": wanted.device}
    worker.do_open(request, str(folder / "feeds.npz"))
    return worker, worker._feeds


def loadgen_median_s(worker: Worker, bound: list, queries: int, folder: Path) -> float:
    """One LoadGen test; the median latency from its summary."""
    import mlperf_loadgen as lg

    def issue(samples: list) -> None:
        for sample in samples:
            worker._run(bound[sample.index])
            lg.QuerySamplesComplete([lg.QuerySampleResponse(sample.id, 0, 0)])

    settings = lg.TestSettings()
    settings.scenario, settings.mode = lg.TestScenario.SingleStream, lg.TestMode.PerformanceOnly
    settings.min_query_count = settings.max_query_count = queries
    settings.min_duration_ms = 0
    output = lg.LogOutputSettings()
    output.outdir, output.copy_summary_to_stdout = str(folder), False
    logs = lg.LogSettings()
    logs.log_output, logs.enable_trace = output, False
    system, library = lg.ConstructSUT(issue, lambda: None), lg.ConstructQSL(
        len(bound), len(bound), lambda wanted: None, lambda wanted: None)
    try:
        lg.StartTestWithLogSettings(system, library, settings, logs)
    finally:
        lg.DestroyQSL(library)
        lg.DestroySUT(system)
    summary = (folder / "mlperf_log_summary.txt").read_text()
    return int(re.search(r"50\.00 percentile latency \(ns\)\s*:\s*(\d+)", summary)[1]) / 1e9


def seconds(nanoseconds: list[int]) -> list[float]:
    """From the clock's unit to ours."""
    return [ns / 1e9 for ns in nanoseconds]


def report(title: str, ours: stats.Estimate, theirs: stats.Estimate, ratio: stats.Estimate) -> str:
    """The table, in Markdown."""
    rows = [f"| {name} | {e.value * 1e3:.3f} ms | {e.low * 1e3:.3f} to {e.high * 1e3:.3f} ms |"
            for name, e in (("workbench", ours), ("MLPerf LoadGen, SingleStream", theirs))]
    rows.append(f"| ratio, paired by round | {ratio.value:.4f} | {ratio.low:.4f} to {ratio.high:.4f} |")
    return "\n".join([title, "", "| timed by | median | 95 % interval |", "|---|---|---|", *rows])


if __name__ == "__main__":
    main()
