"""What is known to win: passes and a runtime, and how much each is expected to bring."""

from __future__ import annotations

from typing import Any, NamedTuple

Step = str | tuple[str, dict[str, Any]]
_DEFAULT_TARGET = 0.99
_JUDGES = 192  # calibration samples for a share of predictions: a third of them judge, and 1 point needs about 64


class Trait(NamedTuple):
    """What is expected of a technique before anything is measured.

    Attributes:
        ratio: latency with it over latency without it.
        spread: standard deviation of its logarithm: how much a machine or a model may differ.
        chance: that the answers stay within a usual goal.
    """

    ratio: float
    spread: float
    chance: float


# INT8 halves the time where the processor sums 8-bit products (VNNI, Arm dot product), and brings little without.
TRAITS = {
    "int8": Trait(0.95, 0.3, 0.6), "int8 mixed": Trait(0.95, 0.25, 0.85), "int8 dynamic": Trait(1.05, 0.3, 0.8),
    "dequantized": Trait(0.85, 0.25, 0.95), "fused": Trait(0.9, 0.15, 0.7),
    "simplified": Trait(1.0, 0.04, 1.0), "bf16": Trait(0.7, 0.2, 0.7),
    "rest bf16": Trait(0.98, 0.04, 0.9),
    "clipped": Trait(1.0, 0.03, 0.7), "symmetric": Trait(1.0, 0.1, 0.7), "compressed": Trait(1.1, 0.2, 0.95),
    "original": Trait(1.0, 0.02, 1.0), "narrower": Trait(0.7, 0.2, 0.6), "half": Trait(0.55, 0.25, 0.35),
}
DOT_RATIO = 0.45

# Seconds that a pass takes where it was not made before: order of magnitude, corrected by what the first ones took.
COSTS = {"onnx-convert": 6.0, "tflite-convert": 2.0, "tflite-int8": 3.0, "tflite-float16": 2.0,
         "tflite-dynamic-range": 2.0, "onnx-int8-static": 8.0, "onnx-int8-dynamic": 2.0, "onnx-int8-mixed": 40.0,
         "onnx-fuse-transformer": 4.0, "onnx-simplify": 2.0, "onnx-dequantize": 4.0, "keras-prune-structured": 60.0}
OPEN_COST = {"tensorflow": 8.0, "torch": 4.0}  # a worker's import; the others need about a second


class Route(NamedTuple):
    """One way to an artefact and its runtime.

    Attributes:
        name: unique, for people and for the sampler.
        why: why it is worth a try, one phrase.
        steps: passes with settings.
        runtime: registry name.
        settings: runtime settings that belong to the route.
        traits: names in ``TRAITS``; () for the model as it is.
    """

    name: str
    why: str
    steps: tuple[Step, ...] = ()
    runtime: str = ""
    settings: dict[str, Any] = {}
    traits: tuple[str, ...] = ()


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
    "openvino": ({}, {"fixed_shapes": False}),
}
_STATIC = "onnx-int8-static"


_F32 = {"precision": "f32", "fixed_shapes": True}
_BF16 = {**_F32, "precision": "bf16"}
_BOTH: tuple[tuple[str, dict[str, Any]], ...] = (("onnxruntime", {}), ("openvino", _F32))


def known(natural: str, aim: Aim) -> tuple[Route, ...]:
    """Routes, the usual ones first. Which is tried when is decided by what a trial may bring and what it takes.

    What a machine, a model, a goal or the data rule out is left out by the space.

    Args:
        natural: the runtime that the original runs on.
        aim: what mixed precision must meet.
    """
    return (*_usual(), *_less_usual(aim), *_others(natural), *_trained())


def _usual() -> tuple[Route, ...]:
    return (
        Route("onnxruntime", "the default that most would pick", (), "onnxruntime"),
        Route("litert int8", "small kernels, made for INT8", ("tflite-int8",), "litert", {}, ("int8",)),
        Route("onnxruntime int8", "INT8 with calibration", (_STATIC,), "onnxruntime", {}, ("int8",)),
        Route("openvino", "another compiler, float32", (), "openvino", _F32),
        Route("openvino int8", "INT8 with calibration, another compiler", (_STATIC,), "openvino", _F32, ("int8",)),
        Route("litert", "XNNPACK kernels, float32", (), "litert"),
        Route("onnxruntime fused", "attention and normalization as single operators", ("onnx-fuse-transformer",),
              "onnxruntime", {}, ("fused",)),
        Route("onnxruntime int8 dynamic", "INT8 weights, no calibration: for MatMul-heavy models",
              ("onnx-int8-dynamic",), "onnxruntime", {}, ("int8 dynamic",)),
        Route("onnxruntime fused int8 dynamic", "single operators, and INT8 weights",
              ("onnx-fuse-transformer", "onnx-int8-dynamic"), "onnxruntime", {}, ("fused", "int8 dynamic")))


def _less_usual(aim: Aim) -> list[Route]:
    """INT8 with other ranges or not everywhere, and what leaves the answers as they are."""
    def both(name: str, why: str, steps: tuple[Step, ...], *traits: str) -> list[Route]:
        return [Route(f"{runtime} {name}", why, steps, runtime, settings, traits) for runtime, settings in _BOTH]

    return [
        *both("int8 mixed", "INT8 but for the nodes it hurts, ranked by damage and time", (aim.step,), "int8 mixed"),
        Route("openvino int8 bf16", "INT8 with calibration, the rest in half the bytes", (_STATIC,), "openvino", _BF16,
              ("int8", "rest bf16")),
        Route("openvino int8 mixed bf16", "INT8 but for the nodes it hurts, those in half the bytes", (aim.step,),
              "openvino", _BF16, ("int8 mixed", "rest bf16")),
        *both("int8 symmetric", "no zero points: simpler kernels", ((_STATIC, {"symmetric_activations": True}),),
              "int8", "symmetric"),
        *both("int8 entropy", "calibration that clips outliers", ((_STATIC, {"method": "entropy"}),), "int8",
              "clipped"),
        *both("int8 percentile", "calibration that clips outliers", ((_STATIC, {"method": "percentile"}),), "int8",
              "clipped"),
        *both("int8 percentile 99.99", "calibration that clips ten times as many",
              ((_STATIC, {"method": "percentile", "percentile": 99.99}),), "int8", "clipped"),
        *both("simplified", "constants folded before the runtime sees them", ("onnx-simplify",), "simplified"),
        *both("dequantized", "what was quantized dynamically, in float again", ("onnx-dequantize",), "dequantized"),
        *both("dequantized int8", "what was quantized dynamically, with calibration instead",
              ("onnx-dequantize", _STATIC), "dequantized", "int8")]


def _others(natural: str) -> tuple[Route, ...]:
    return (
        Route("openvino bf16", "half the bytes, where the CPU has bfloat16", (), "openvino",
              _BF16, ("bf16",)),
        Route("litert dynamic range", "INT8 weights, float activations", ("tflite-dynamic-range",), "litert", {},
              ("compressed",)),
        Route("litert float16", "half the size", ("tflite-float16",), "litert", {}, ("compressed",)),
        Route("torch", "the framework it may come from", (), "torch"),
        Route("tensorflow xla", "whole-graph compilation", (), "tensorflow", {"mode": "xla"}, ("original",)),
        Route("original", "the model as it is, in the allowed threads", (), natural, {}, ("original",)))


def _trained() -> list[Route]:
    """A narrower network, fine-tuned: minutes of training that every runtime profits from."""
    found = []
    for trait, ratio in (("narrower", 0.3), ("half", 0.5)):
        cut: Step = ("keras-prune-structured", {"ratio": ratio})
        kinds = (("litert", {}, (cut,), ()), ("litert", {}, (cut, "tflite-int8"), ("int8",)),
                 ("onnxruntime", {}, (cut,), ()), ("onnxruntime", {}, (cut, _STATIC), ("int8",)),
                 ("openvino", _F32, (cut,), ()), ("openvino", _F32, (cut, _STATIC), ("int8",)))
        for runtime, settings, steps, more in kinds:
            name = " ".join([runtime, *more, trait])
            why = f"{ratio:.0%} of the filters and units removed, the rest fine-tuned"
            found.append(Route(name, why, steps, runtime, settings, (trait, *more)))
    return found
