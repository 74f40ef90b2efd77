"""Float against static INT8 against mixed INT8 on models that nobody here trained, as a Markdown table.

    python benchmarks/mixed.py [--only recognition transformer detection] [--samples 32] [--target 0.99]

Calibration and evaluation are different rendered texts (different token sequences for the transformer, which is
exported from PyTorch here). Ratios are latency over the float model's on ONNX Runtime: below 1 is faster. On OpenVINO,
static INT8 is made twice: rounded behind convolutions as ONNX Runtime needs it, and behind activations only.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import machine_line  # noqa: E402
from tests.rendered_text import text_feeds  # noqa: E402
from tests.torch_transformer import export, token_feeds  # noqa: E402
from workbench import datasets, recipe, variant  # noqa: E402
from workbench import model as models  # noqa: E402
from workbench.diagnose import diagnose  # noqa: E402
from workbench.engine import Engine  # noqa: E402
from workbench.passes import _cpu  # noqa: E402
from workbench.study import Study  # noqa: E402
from workbench.units import duration  # noqa: E402

OCR = {"recognition": "common.onnx", "detection": "common_det.onnx"}
HELD_OUT = 24


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=["recognition", "detection", "transformer"])
    parser.add_argument("--samples", type=int, default=32, help="calibration samples")
    parser.add_argument("--target", type=float, default=0.99)
    args = parser.parse_args()
    vnni = "with" if _cpu.has_int8_dot() else "without"
    print(f"{machine_line()}, {vnni} 8-bit dot product\n")
    print("| model | variant | median | ratio to float | verdict | cosine on held-out samples | float nodes |")
    print("|---|---|---|---|---|---|---|", flush=True)
    reasons: list[str] = []
    for name in args.only:
        with tempfile.TemporaryDirectory() as folder:
            _rows(name, Path(folder), args, reasons)
    if reasons:
        print("\nWhy slower:\n\n- " + "\n- ".join(reasons))
    return 0


def _rows(name: str, folder: Path, args: argparse.Namespace, reasons: list[str]) -> None:
    model, data = _load(name, folder, args.samples)
    def int8(kind: str = "static", **settings):
        return (f"onnx-int8-{kind}", {"calibration_samples": args.samples, **settings})

    ort, openvino = {"runtime": "onnxruntime"}, {"runtime": "openvino"}
    recipes = {
        "float": recipe.make(**ort), "INT8 static": recipe.make(int8(), **ort),
        "INT8 mixed": recipe.make(int8("mixed", target=args.target), **ort), "OpenVINO float": recipe.make(**openvino),
        "OpenVINO INT8, rounded behind convolutions": recipe.make(int8(qdq_after="conv"), **openvino),
        "OpenVINO INT8, rounded behind activations": recipe.make(int8(), **openvino)}
    with Engine(model, data, Study(folder / "study.db"), cache=variant.Cache(folder / "cache")) as engine:
        engine.measure(list(recipes.values()))
        baseline = engine.find(engine.baseline)
        for kind, asked in recipes.items():
            result = engine.find(asked)
            print(f"| {name} | {kind} | " + (_cells(result) if result else "not measured | | | | |"), flush=True)
            if result and baseline and result.verdict == "slower":
                reasons.append(f"{name}, {kind}: {diagnose(result, baseline).line}")


def _cells(result) -> str:
    if result.status != "ok":
        return f"{result.reason} | | | | |"
    ratio = "1" if result.ratio is None else "{:.2f} ({:.2f} to {:.2f})".format(result.ratio, *result.ratio_interval)
    kept = next((s["details"]["kept_float"] for s in result.stages if "kept_float" in s["details"]), None)
    cosine = f"{result.fidelity.cosine_mean:.4f}" if result.fidelity else "-"
    return (f"{duration(result.median_s)} | {ratio} | {result.verdict or 'baseline'} | {cosine} | "
            f"{'' if kept is None else len(kept)} |")


def _load(name: str, folder: Path, samples: int):
    if name == "transformer":
        model = models.load(export(folder / "transformer.onnx"))
        feeds = token_feeds(model, samples + HELD_OUT)
    else:
        package = Path(find_spec("ddddocr").origin).parent
        model = models.load(package / OCR[name])
        feeds = text_feeds(model, samples + HELD_OUT)
    key = model.inputs[0].name
    arrays = np.concatenate([f[key] for f in feeds])
    np.savez(folder / "held_out.npz", **{key: arrays[samples:]})
    np.savez(folder / "calibration.npz", **{key: arrays[:samples]})
    return model, datasets.load(folder / "held_out.npz", model, calibration=folder / "calibration.npz")


if __name__ == "__main__":
    sys.exit(main())
