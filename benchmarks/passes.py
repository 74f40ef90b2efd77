"""Every pass on every model: done, with how like the original's its answers are and its size, or why not.

    python -m benchmarks.passes [--models cnn mlp light_squeezenet common ...] [--passes tf-xla onnx-int8-static ...]
    python -m benchmarks.passes --files silero_vad.onnx=audio.npz nmp.tflite=tones.npz ...

Models: the bundled ones, the `light_*` topologies of the `onnx` package and the published ones of `ddddocr`, where they
are installed; with ``--files`` models of your own, each with its data. Passes that train do so briefly (one epoch): the
question is whether they work, not how well.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.common import machine_line
from tests.rendered_text import text_feeds
from workbench import assemble, bundled, datasets, passes, recipe, variant
from workbench.datasets import Dataset, Samples
from workbench.errors import NotApplicable, WorkbenchError
from workbench.fidelity import Pair, similarity
from workbench.measure import Plan, measure
from workbench.model import Model, load

SAMPLES = 16
TRAINING = {"epochs": 1, "max_samples": 800}
BEFORE = {"keras-pqat": ("keras-prune-magnitude",), "keras-cqat": ("keras-cluster",),
          "keras-pcqat": ("keras-prune-magnitude", "keras-cluster")}
PLAN = replace(Plan(), max_s=0.1, rounds_min=3, rounds_max=3, block_s=0.001, block_min_runs=1, warmup_min_runs=1,
               warmup_max_s=0.1)


class Outcome(NamedTuple):
    """What came of one pass on one model: 'ok', 'not applicable' (the reason is in ``line``) or 'FAILED'."""

    kind: str
    line: str
    seconds: float


def models() -> dict[str, Path | str]:
    """Name -> path of every model that is installed here."""
    found: dict[str, Path | str] = {m.name: bundled.path(m.name) for m in bundled.MODELS}
    for package, folder in (("onnx", "backend/test/data/light"), ("ddddocr", "")):
        if find_spec(package):
            place = Path(find_spec(package).origin).parent / folder
            found |= {p.stem: p for p in sorted(place.glob("*.onnx"))}
    return found


def opened(name: str, path: Path | str) -> tuple[Model, Dataset]:
    """A model with data: its own, rendered text for OCR models, else random inputs."""
    if name in {m.name for m in bundled.MODELS}:
        model = bundled.model(name)
        return model, datasets.load(bundled.dataset_name(name), model)
    model = load(path)
    if not name.startswith("common"):
        return model, datasets.random(model, samples=2 * SAMPLES)
    feeds = text_feeds(model, 2 * SAMPLES)
    halves = [Samples({}, {k: np.stack([f[k] for f in part]) for k in part[0]}) for part in
              (feeds[:SAMPLES], feeds[SAMPLES:])]
    return model, Dataset("rendered text", "rendered", None, None, False, halves[0], halves[1])


def own(entry: str) -> tuple[Model, Dataset]:
    """A model file and its data, from 'MODEL=DATA'."""
    path, _, data = entry.partition("=")
    model = load(path)
    return model, datasets.load(data, model) if data else datasets.random(model, samples=2 * SAMPLES)


def asked(name: str) -> recipe.Recipe:
    """The pass with what must come before it; training is brief."""
    steps = [(n, TRAINING if passes.get(n).needs_training else {}) for n in (*BEFORE.get(name, ()), name)]
    return recipe.make(*steps)


def attempt(model: Model, data: Dataset, name: str, cache: variant.Cache) -> Outcome:
    """Builds the variant, runs it beside the original and compares the answers."""
    start = time.monotonic()

    def told(kind: str, line: str) -> Outcome:
        return Outcome(kind, line, time.monotonic() - start)

    made = variant.complete(model, asked(name))
    reason = variant.problem(model, made)
    if reason:
        return told("not applicable", reason)
    try:
        built = variant.build(model, made, data, cache=cache)
        agreement, kind = _likeness(model, data, built, made)
    except NotApplicable as error:
        return told("not applicable", str(error))
    except WorkbenchError as error:
        return told("FAILED", f"{type(error).__name__}: {error}")
    zipped = assemble.compressed_size(built.model.path) / assemble.compressed_size(model.path)
    size = built.model.size_bytes / model.size_bytes
    return told("ok", f"{kind} {agreement:.4f}, {size:.2f}x the size, {zipped:.2f}x zipped")


def _likeness(model: Model, data: Dataset, built: variant.Variant, made: recipe.Recipe) -> tuple[float, str]:
    """Mean over the evaluation samples of the worst output's likeness to the original's, and what it is."""
    plain = variant.complete(model, recipe.make())
    pair = [assemble.candidate(model, variant.build(model, plain, data), plain),
            assemble.candidate(model, built, made)]
    feeds = data.evaluation.feeds(1, SAMPLES)
    found = measure(pair, feeds, evaluation=feeds, plan=PLAN)
    answers = []
    for candidate in pair:
        raw = found[candidate.id]
        if raw.status != "ok":
            raise WorkbenchError(raw.reason)
        answers.append(assemble.load_outputs(raw.outputs_path))
    ours, theirs = answers[1], answers[0]
    if set(ours) != set(theirs):
        raise WorkbenchError(f"the outputs are {', '.join(ours)} instead of {', '.join(theirs)}")
    alike = {n: similarity(Pair(n, np.asarray(ours[n]), np.asarray(theirs[n]))) for n in theirs}
    return min((float(found.share.mean()), found.kind) for found in alike.values())


def main() -> int:
    """Prints one Markdown table a model; returns 1 when a pass failed without a reason."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="*", default=list(models()))
    parser.add_argument("--passes", nargs="*", default=[n for n, _, _ in passes.PASSES])
    parser.add_argument("--files", nargs="*", metavar="MODEL=DATA", help="these models instead")
    args = parser.parse_args()
    failed = 0
    print(machine_line())
    for name in args.files or args.models:
        model, data = own(name) if args.files else opened(name, models()[name])
        title = model.name if args.files else name
        print(f"\n| {title} | outcome | what it gave, or why not | s |\n|---|---|---|---|", flush=True)
        with tempfile.TemporaryDirectory(prefix="workbench-") as folder:
            for step in args.passes:
                outcome = attempt(model, data, step, variant.Cache(folder))
                failed += outcome.kind == "FAILED"
                print(f"| {step} | {outcome.kind} | {outcome.line} | {outcome.seconds:.0f} |", flush=True)
    variant.close()
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
