"""Results as an engine would store them, for tests of the views; recipes and passes are the real ones."""

from workbench import recipe as recipes
from workbench.results import Fidelity, Result

BASE = recipes.make(runtime="tensorflow", threads=2)
ORT = recipes.make("onnx-convert", runtime="onnxruntime", threads=2)
ORT_INT8 = recipes.make("onnx-convert", "onnx-int8-static", runtime="onnxruntime", threads=2)
LITERT_INT8 = recipes.make("tflite-int8", runtime="litert", threads=2)
MACHINE = "machine-one"


def fidelity(accuracy=0.9, delta=0.0, half=0.004, **more):
    return Fidelity(samples=2000, metric_name="accuracy", metric=accuracy,
                    metric_interval=(accuracy - 0.013, accuracy + 0.013), delta=delta,
                    delta_interval=(delta - half, delta + half), **more)


def result(recipe, median=1e-3, width=0.02, ratio=None, verdict="", status="ok", machine=MACHINE, **more):
    """A result with an interval of +-``width`` (relative) around the median, and around the ratio if there is one."""
    values = dict(run_id=f"run-{recipe.key}-{median}", created="2026-11-24T06:00:00+00:00", model_sha256="m",
                  data_sha256="d", recipe=recipe, machine=machine, is_baseline=recipe.runtime == "tensorflow",
                  status=status, size_bytes=900_000)
    if status == "ok":
        values |= dict(median_s=median, interval_s=(median * (1 - width), median * (1 + width)), samples=400,
                       ratio=ratio, verdict=verdict, fidelity=fidelity(), stopped="narrow",
                       ratio_interval=(ratio * (1 - width), ratio * (1 + width)) if ratio else None)
    return Result(**{**values, **more})
