"""What ``workbench tune`` recommends against what the stock tools give, all in one interleaved run, as Markdown.

    python benchmarks/tune.py [--only mlp cnn common transformer ...] [--minutes 5] [--seconds 20] [--no-nncf]
        [--keep gains.json] [--own MODEL.onnx SAMPLES.npz ...]

For each model: ONNX Runtime as it comes, its own static and dynamic INT8, OpenVINO as it comes, and NNCF's ``quantize``
(in an environment that this script makes with pip). All get the same calibration samples, and are judged on a third of
the evaluation samples, which the search never saw. A peer counts when it meets the same bar: at most 1 point of
accuracy lost, or mean cosine 0.99 where there are no labels. Ratios are latency over ONNX Runtime's default. With
``--keep`` the models may be run one by one, and the last line is about all that the file holds.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from importlib.util import find_spec
from math import exp, log
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import tune_peers  # noqa: E402
from benchmarks.common import machine_line  # noqa: E402
from workbench import assemble, bundled, datasets, recipe, variant  # noqa: E402
from workbench import fidelity as fidelities  # noqa: E402
from workbench import model as models  # noqa: E402
from workbench.errors import WorkbenchError  # noqa: E402
from workbench.measure import Candidate, Plan, measure, stats  # noqa: E402
from workbench.measure.environment import physical_threads  # noqa: E402
from workbench.model import ModelFormat  # noqa: E402
from workbench.runtimes import registry  # noqa: E402
from workbench.search import Goal, tune  # noqa: E402
from workbench.search.split import cut  # noqa: E402
from workbench.units import duration, times  # noqa: E402

OURS, DEFAULT = "workbench tune", "ONNX Runtime"
SAMPLES, JUDGES = 64, 256
SEARCHED = 2  # times the judges: half of these samples are for a search's last measurement
MOST_JUDGES = 1024  # where there are labels: one point of 256 samples would be noise
OCR = ("common", "common_old", "common_det")


class Case(NamedTuple):
    """A model with its data, other samples that judge, and what an answer must be."""

    name: str
    model: Any
    data: Any
    judges: Any
    goal: Goal


class Row(NamedTuple):
    """A tool's variant: something to time, or why there is nothing."""

    tool: str
    candidate: Candidate | None
    note: str = ""


def cases(only: list[str], folder: Path, own: Sequence[tuple[str, str]] = ()):
    """The models, one after the other; then files of the user's own, each with its samples."""
    for name in only:
        if name in {m.name for m in bundled.MODELS}:
            model = bundled.model(name)
            yield _case(name, model, datasets.load(bundled.dataset_name(name), model))
        else:
            yield _case(name, *_published(name, folder))
    for path, samples in own:
        model = models.load(path)
        yield _case(model.name, model, datasets.load(samples, model))


def _case(name: str, model: Any, data: Any) -> Case:
    searched, judges = cut(data.evaluation, 1, Fraction(SEARCHED, SEARCHED + 1))
    goal = Goal().with_default(judges.labels is not None)
    return Case(name, model, replace(data, evaluation=searched), judges, goal)


def _published(name: str, folder: Path):
    """A model that nobody here trained, or the exported transformer, with rendered text or token sequences."""
    from tests.rendered_text import text_feeds
    from tests.torch_transformer import export, token_feeds

    if name == "transformer":
        model = models.load(export(folder / "transformer.onnx"))
        feeds = token_feeds(model, SAMPLES + (SEARCHED + 1) * JUDGES)
    else:
        model = models.load(Path(find_spec("ddddocr").origin).parent / f"{name}.onnx")
        feeds = text_feeds(model, SAMPLES + (SEARCHED + 1) * (JUDGES if "det" not in name else 32))
    arrays = np.concatenate([f[model.inputs[0].name] for f in feeds])
    for part, rows in (("calibration", arrays[:SAMPLES]), ("held", arrays[SAMPLES:])):
        np.savez(folder / f"{name}-{part}.npz", **{model.inputs[0].name: rows})
    held, calibration = (folder / f"{name}-{p}.npz" for p in ("held", "calibration"))
    return model, datasets.load(held, model, calibration=calibration)


def rows(case: Case, minutes: float, folder: Path, nncf: tuple[Path | None, str], seed: int) -> list[Row]:
    """Searches, and makes what the peers make."""
    found = tune(case.model, case.data, case.goal, minutes=minutes, seed=seed)
    best, threads = found.best, physical_threads()
    artefact = case.model if not best.recipe.steps else models.load(best.artefact)
    ours = Candidate(OURS, artefact.path, artefact.format, case.model.inputs, best.recipe.runtime,
                     best.recipe.runtime_settings, best.recipe.threads, "cpu")
    note = f"{best.recipe.label}; {len(found.trials)} trials" + ("" if found.met else "; goal not met")
    made = variant.build(case.model, recipe.make(runtime="onnxruntime"), case.data).model
    feeds = [dict(zip([s.name for s in made.inputs], f.values(), strict=True))
             for f in case.data.calibration.feeds(1, SAMPLES)]
    samples = tune_peers.save_feeds(folder / "calibration.npz", feeds)

    def candidate(tool: str, path: Path, runtime: str, **settings: Any) -> Candidate:
        return Candidate(tool, path, ModelFormat.ONNX, case.model.inputs, runtime,
                         registry.settings_class(runtime)(**settings), threads, "cpu")

    peers = [Row(DEFAULT, candidate(DEFAULT, made.path, "onnxruntime"))]
    for kind in ("static", "dynamic"):
        tool, target = f"ONNX Runtime {kind} INT8", folder / f"{kind}.onnx"
        reason = tune_peers.stock(kind, made.path, samples, target)
        peers.append(Row(tool, None if reason else candidate(tool, target, "onnxruntime"), reason))
    peers.append(Row("OpenVINO", candidate("OpenVINO", made.path, "openvino", precision="")))
    python, reason = nncf
    if python is not None:
        reason = tune_peers.nncf(python, made.path, samples, folder / "nncf.xml")
    peers.append(Row("NNCF quantize", None if reason else candidate("NNCF quantize", folder / "nncf.xml", "openvino",
                                                                    precision=""), reason))
    return [Row(OURS, ours, note), *peers]


def compare(case: Case, made: list[Row], seconds: float, seed: int) -> float | None:
    """Times all side by side and prints the table; the best peer's latency over ours."""
    base = variant.complete(case.model, recipe.Recipe())
    original = Candidate("original", variant.build(case.model, base, case.data).model.path, case.model.format,
                         case.model.inputs, base.runtime, base.runtime_settings, base.threads, "cpu")
    judges = case.judges
    feeds = judges.feeds(1, MOST_JUDGES)
    ready = {r.tool: r.candidate for r in made if r.candidate is not None}
    told = measure([ready[DEFAULT], original, *(c for t, c in ready.items() if t != DEFAULT)], feeds[:JUDGES],
                   evaluation=feeds, plan=replace(Plan(), max_s=seconds, seed=seed))
    reference = assemble.load_outputs(told["original"].outputs_path)
    print("\n| tool | median | ratio to ONNX Runtime's default | fidelity | meets the bar | |\n" + "|---" * 6 + "|")
    meets = {}
    for row in made:
        raw = told.get(row.tool)
        if raw is None or raw.status != "ok":
            print(f"| {row.tool} | - | - | - | - | {row.note or (raw.reason if raw else '')} |")
            continue
        quality = fidelities.evaluate(assemble.load_outputs(raw.outputs_path), reference, labels=judges.labels)
        bar = _bar(case.goal, quality)
        median = stats.median_interval(raw.rounds)
        ratio = stats.ratio_interval(raw.rounds, told[DEFAULT].rounds)
        print(f"| {row.tool} | {duration(median.value)} | {ratio.value:.2f} ({ratio.low:.2f} to {ratio.high:.2f}) | "
              f"{quality.metric_name} {quality.metric:.4f} | {'yes' if bar else 'no'} | {row.note} |", flush=True)
        if bar:
            meets[row.tool] = ratio.value
    noise = told[DEFAULT].environment.get("noise", {}).get("others_cores")
    peers = {t: r for t, r in meets.items() if t != OURS}
    if OURS not in meets or not peers:
        print("\nours does not meet the bar on these samples" if peers else "\nno peer meets the bar")
        return None
    best = min(peers, key=peers.get)
    gain = stats.ratio_interval(told[best].rounds, told[OURS].rounds)
    print(f"\nbest peer that meets the bar: {best}; ours is {times(gain.value)} as fast "
          f"({times(gain.low)} to {times(gain.high)})"
          + (f"; {noise:.1f} cores were busy with other programs" if noise is not None else ""), flush=True)
    return gain.value


def _bar(goal: Goal, quality: Any) -> bool:
    if goal.max_drop is not None:
        return 100 * quality.delta >= -goal.max_drop
    return quality.metric >= goal.fidelity


def main() -> int:
    """Searches, measures and prints, model by model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[*OCR, *(m.name for m in bundled.MODELS), "transformer"])
    parser.add_argument("--own", nargs=2, action="append", default=[], metavar=("MODEL", "SAMPLES"),
                        help="an ONNX file of yours and its samples, of which a quarter calibrates")
    parser.add_argument("--minutes", type=float, default=5.0, help="budget of each search (default 5)")
    parser.add_argument("--seconds", type=float, default=20.0, help="time limit of the comparison's timing")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, metavar="FILE", help="adds each model's gain to this JSON file")
    parser.add_argument("--no-nncf", action="store_true", help="leave NNCF out")
    parser.add_argument("--nncf-env", type=Path, default=variant.Cache().root / "nncf-environment",
                        help="folder of NNCF's environment; made when it is not there")
    args = parser.parse_args()
    nncf = (None, "left out (--no-nncf)") if args.no_nncf else tune_peers.nncf_environment(args.nncf_env)
    print(f"{machine_line()}; searches of {args.minutes:g} min", flush=True)
    if nncf[0] is None:
        print(f"\n**NNCF IS MISSING FROM THESE TABLES: {nncf[1]}**")
    gains = {}
    with tempfile.TemporaryDirectory() as folder:
        for case in cases(args.only, Path(folder), args.own):
            print(f"\n## {case.name}", flush=True)
            work = Path(folder) / f"work-{case.name}"
            work.mkdir()
            try:
                made = rows(case, args.minutes, work, nncf, args.seed)
                gains[case.name] = compare(case, made, args.seconds, args.seed)
            except WorkbenchError as error:
                print(f"\n{case.name} failed: {error}", flush=True)
    if args.keep:
        gains = {**(json.loads(args.keep.read_text()) if args.keep.exists() else {}), **gains}
        args.keep.write_text(json.dumps(gains, indent=1))
    known = {name: g for name, g in gains.items() if g}
    if known:
        mean = exp(sum(map(log, known.values())) / len(known))
        worst = min(known, key=known.get)
        print(f"\nGeometric mean against the best peer that meets the bar, {len(known)} of {len(gains)} models: "
              f"{mean:.2f}; least: {known[worst]:.2f} ({worst})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
