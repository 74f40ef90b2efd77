"""What is known to win: passes and a runtime, in the order of expected gain."""

from __future__ import annotations

from typing import Any, NamedTuple

Step = str | tuple[str, dict[str, Any]]
_DEFAULT_TARGET = 0.99
_JUDGES = 192  # calibration samples for a share of predictions: a third of them judge, and 1 point needs about 64


class Route(NamedTuple):
    """One way to an artefact and its runtime.

    Attributes:
        name: unique, for people and for the sampler.
        why: why it is worth a try, one phrase.
        steps: passes with settings.
        runtime: registry name.
        settings: runtime settings that belong to the route.
    """

    name: str
    why: str
    steps: tuple[Step, ...] = ()
    runtime: str = ""
    settings: dict[str, Any] = {}


class Aim(NamedTuple):
    """What mixed precision must meet, in the words of its pass.

    Attributes:
        metric: 'cosine', or 'accuracy': the share of the float model's accuracy.
        target: None is 0.99.
    """

    metric: str = "cosine"
    target: float | None = None

    @property
    def step(self) -> Step:
        """The pass with its target."""
        target = _DEFAULT_TARGET if self.target is None else min(1.0, max(0.0, self.target))
        settings: dict[str, Any] = {"target": round(target, 6)}
        if self.metric != "cosine":
            settings |= {"metric": self.metric, "calibration_samples": _JUDGES}
        return ("onnx-int8-mixed", settings)


# Runtime options that can win; anything else is noise at the sizes a search can tell apart.
OPTIONS: dict[str, tuple[dict[str, Any], ...]] = {
    "onnxruntime": ({}, {"graph_level": "extended"}, {"execution": "parallel"}, {"spinning": False}),
    "litert": ({},),
    "openvino": ({},),
}


def known(natural: str, aim: Aim) -> tuple[Route, ...]:
    """Routes in the order of expected gain for the time a trial takes; ranking nodes takes up to a minute.

    What a machine, a model or a goal rules out is left out by the space.

    Args:
        natural: the runtime that the original runs on.
        aim: what mixed precision must meet.
    """
    f32 = {"precision": "f32"}
    static, symmetric = "onnx-int8-static", ("onnx-int8-static", {"symmetric_activations": True})
    return (
        Route("onnxruntime", "the default that most would pick", (), "onnxruntime"),
        Route("litert int8", "small kernels, made for INT8", ("tflite-int8",), "litert"),
        Route("onnxruntime int8", "INT8 with calibration", (static,), "onnxruntime"),
        Route("openvino", "another compiler, float32", (), "openvino", f32),
        Route("openvino int8", "INT8 with calibration, another compiler", (static,), "openvino", f32),
        Route("litert", "XNNPACK kernels, float32", (), "litert"),
        Route("onnxruntime fused", "attention and normalization as single operators", ("onnx-fuse-transformer",),
              "onnxruntime"),
        Route("onnxruntime int8 dynamic", "INT8 weights, no calibration: for MatMul-heavy models",
              ("onnx-int8-dynamic",), "onnxruntime"),
        Route("onnxruntime fused int8 dynamic", "single operators, and INT8 weights",
              ("onnx-fuse-transformer", "onnx-int8-dynamic"), "onnxruntime"),
        Route("onnxruntime int8 mixed", "INT8 but for the nodes it hurts, ranked by damage and time", (aim.step,),
              "onnxruntime"),
        Route("openvino int8 mixed", "INT8 but for the nodes it hurts, another compiler", (aim.step,), "openvino",
              f32),
        Route("onnxruntime int8 symmetric", "no zero points: simpler kernels", (symmetric,), "onnxruntime"),
        Route("onnxruntime int8 entropy", "calibration that clips outliers", ((static, {"method": "entropy"}),),
              "onnxruntime"),
        Route("onnxruntime int8 percentile", "calibration that clips outliers", ((static, {"method": "percentile"}),),
              "onnxruntime"),
        Route("onnxruntime simplified", "constants folded before the runtime sees them", ("onnx-simplify",),
              "onnxruntime"),
        Route("openvino bf16", "half the bytes, where the CPU has bfloat16", (), "openvino", {"precision": "bf16"}),
        Route("litert dynamic range", "INT8 weights, float activations", ("tflite-dynamic-range",), "litert"),
        Route("litert float16", "half the size", ("tflite-float16",), "litert"),
        Route("torch", "the framework it may come from", (), "torch"),
        Route("tensorflow xla", "whole-graph compilation", (), "tensorflow", {"mode": "xla"}),
        Route("original", "the model as it is, in the allowed threads", (), natural),
    )
