"""INT8 where it does no harm, float where it does: nodes are ranked by damage and time until a target is met."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ..errors import NotApplicable
from ..model import Model, ModelFormat
from ..settings import SettingsBase, setting
from . import (
    _calibrated,
    _check,
    _cpu,
    _mixture,
    _onnx_fit,
    _onnx_int8,
    _onnx_io,
    _onnx_prepare,
    _onnx_scope,
    _qdq,
    _qdq_place,
    _sensitivity,
)
from ._node_times import node_times
from .base import Pass, PassContext, PassResult

_MOST_BUILDS = 5  # real graphs tried when the simulated choice falls short
_CHECKED = {"cosine": 16, "top1": 64, "accuracy": 128}
_ENOUGH_TO_HOLD_OUT = 16
_SHOWN = 4


@dataclass(frozen=True)
class Goal(SettingsBase):
    """What must be met."""

    target: float = setting(0.99, "Fidelity to the float model that must be met; higher keeps more nodes in float",
                            low=0.0, high=1.0)
    metric: str = setting("cosine", "cosine of the outputs; top1: share of equal predictions; accuracy: share of the "
                          "float model's accuracy on labelled samples", choices=_sensitivity.METRICS)
    max_float_nodes: int = setting(0, "Most nodes that the ranking may keep in float; 0 is no limit", low=0, high=10000)


@dataclass(frozen=True)
class Settings(_calibrated.Int8Settings, Goal):
    """What must be met, and how the rest is quantized."""

    calibration_samples: int = setting(64, "Samples used: two thirds find ranges, the rest judge", low=1,
                                       high=10000)
    exclude_nodes: tuple = setting((), "Names of nodes to keep in float whatever the ranking says", advanced=True)
    int8_nodes: tuple = setting((), "Names of nodes to quantize whatever the ranking says", advanced=True)
    rank_samples: int = setting(0, "Samples on which each node is tried alone; 0 chooses by the number of nodes",
                                low=0, high=1000, advanced=True)


class OnnxInt8Mixed(Pass):
    """See :class:`workbench.passes.base.Pass`."""

    name = "onnx-int8-mixed"
    title = "INT8 mixed"
    group = "precision"
    summary = ("Static INT8 that keeps in float the nodes that INT8 hurts most for the time they take, until a "
               "fidelity target is met; ranks every node, which takes seconds to a minute.")
    accepts = (ModelFormat.ONNX,)
    produces = ModelFormat.ONNX
    ensures = frozenset({"int8"})
    excludes = frozenset({"int8", "float16", "ort-optimized"})
    needs_calibration = True
    packages = {"onnx": "pip install onnx", "onnxruntime": "pip install onnxruntime"}
    machine_dependent = True
    Settings = Settings

    def why_not(self, model: Model, settings: Settings) -> str | None:
        """A file that is quantized already, nothing to quantize, or a node asked for both ways."""
        both = sorted(set(settings.exclude_nodes) & set(settings.int8_nodes))
        if both:
            return f"'{both[0]}' is in exclude_nodes and in int8_nodes: take it out of one"
        return _onnx_int8.refuse(model) if model.format == ModelFormat.ONNX else None

    def apply(self, model: Model, settings: Settings, context: PassContext) -> PassResult:
        """See :meth:`workbench.passes.base.Pass.apply`."""
        reason = self.why_not(model, settings)
        if reason:
            raise NotApplicable(reason)
        study = _study(model, settings, context)
        fidelity = _sensitivity.Fidelity(settings.metric, study.probe.reference, study.labels)
        chooser = _mixture.Chooser(
            study.probe, study.ranking, fidelity, fidelity.aim(settings.target), always=settings.exclude_nodes,
            never=settings.int8_nodes, limit=settings.max_float_nodes)
        mixture = chooser.choose(lambda fraction, line: context.progress(0.75 + 0.15 * fraction, line))
        if chooser.all_float(mixture):
            mixture = chooser.unsure(settings.target)
        if mixture is None:
            raise NotApplicable(f"no node can be INT8 at {settings.metric} {settings.target:g}: lower the target, or "
                                "run the float model")
        built = _build(study.probe, chooser, mixture, fidelity, settings, context)
        path = _onnx_io.save(built.model, context.workdir / "model.onnx")
        ranking = _marked(study.ranking, built.mixture, settings)
        details = {
            "metric": settings.metric, "target": settings.target, "fidelity": built.fidelity,
            "fidelity_sure": built.sure, "fidelity_all_int8": fidelity.of(study.probe.outputs(())),
            "target_met": built.sure >= settings.target, "ranking": [r.to_dict() for r in ranking],
            "kept_float": list(built.mixture),
            "search": [s._asdict() for s in chooser.steps], "samples_checked": len(study.probe.feeds),
            "float_s": sum(study.times[0].values()), "int8_s": sum(study.times[1].values())}
        return PassResult(path, self.produces, tuple(_notes(study, ranking, details, settings)), details)


class _Study(NamedTuple):
    """What does not depend on the target: computed once for a model and its samples."""

    probe: _sensitivity.Probe
    ranking: list[_sensitivity.NodeDamage]
    times: tuple[dict[str, float], dict[str, float]]
    labels: list[np.ndarray] | None
    notes: tuple[str, ...]


_last: dict[str, _Study] = {}  # of this worker process: toggling a node by hand must not rank all of them again


def _study(model: Model, settings: Settings, context: PassContext) -> _Study:
    key = _key(model, settings, context)
    if key not in _last:
        made = _make_study(model, settings, context)
        _last.clear()
        _last[key] = made
    return _last[key]


def _key(model: Model, settings: Settings, context: PassContext) -> str:
    total = hashlib.sha256(f"{model.path} {model.sha256}".encode())
    same = replace(settings, target=0.0, max_float_nodes=0, exclude_nodes=(), int8_nodes=())
    total.update(repr((same, len(context.calibration))).encode())
    if context.labels is not None:
        total.update(np.ascontiguousarray(context.labels).tobytes())
    for feed in context.calibration:
        for name, array in feed.items():
            total.update(name.encode() + np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def _make_study(model: Model, settings: Settings, context: PassContext) -> _Study:
    tell = context.progress
    tell(0.02, "preparing the graph")
    original = _onnx_io.load(model.path)
    feeds = _check.calibration(context, _onnx_io.specs(_onnx_io.graph_inputs(original)), settings.calibration_samples)
    prepared = _onnx_prepare.prepare(original, feeds[0])
    if _onnx_int8.float_bits(prepared.model):
        raise NotApplicable("the model is float16; quantize its float32 version")
    _onnx_fit.fit_for_int8(prepared.model)
    ranged, judging, split = _sides(feeds, settings.metric)
    ranges = _qdq.calibrate(prepared.model, [feeds[i] for i in ranged], method=settings.method,
                            percentile=settings.percentile,
                            progress=lambda f: tell(0.1 + 0.15 * f, f"calibrating on {len(ranged)} samples"))
    tell(0.25, "quantizing everything once")
    probe, asked = _probe(prepared.model, ranges, settings, [feeds[i] for i in judging])
    if not any(n.op_type in _onnx_scope.COMPUTE for n in probe.candidates):
        raise _onnx_int8.nothing(prepared.model)
    tell(0.3, "timing every node")
    timed = probe.all_int8 if probe.options.after == _qdq_place.AFTER_CONV else _qdq.quantize(
        prepared.model, ranges, probe.options._replace(after=_qdq_place.AFTER_CONV))  # as ONNX Runtime has kernels for
    times = (node_times(prepared.model, probe.feeds), node_times(timed, probe.feeds))
    ranking = _sensitivity.rank(probe, times, samples=settings.rank_samples,
                                progress=lambda f, line: tell(0.35 + 0.4 * f, line))
    return _Study(probe, ranking, times, _labels(context, feeds, judging), (*asked, *split, *prepared.notes))


def _probe(model: Any, ranges: Any, settings: Settings, feeds: list) -> tuple[_sensitivity.Probe, list[str]]:
    """The model with its switches; with one scale a tensor where one a channel does not load."""
    options = _qdq.Options(settings.per_channel, _onnx_int8.reduce_range(settings.reduce_range),
                           after=settings.placement)
    try:
        probe = _sensitivity.Probe(model, ranges, options, feeds)
        _onnx_io.session(probe.all_int8)
        return probe, []
    except NotApplicable:
        if not settings.per_channel:
            raise
    return (_sensitivity.Probe(model, ranges, options._replace(per_channel=False), feeds),
            ["one scale a tensor: per channel did not load"])


def _sides(feeds: list, metric: str) -> tuple[list[int], list[int], list[str]]:
    """Places of the samples that find ranges and of those that judge; apart where there are enough."""
    if len(feeds) < _ENOUGH_TO_HOLD_OUT:
        both = list(range(len(feeds)))
        return both, both[:_CHECKED[metric]], [f"the same {len(feeds)} samples find ranges and judge: give 16 or more "
                                               "to keep them apart"]
    return [i for i in range(len(feeds)) if i % 3 != 2], list(range(2, len(feeds), 3))[:_CHECKED[metric]], []


def _labels(context: PassContext, feeds: list, places: list[int]) -> list[np.ndarray] | None:
    if context.labels is None:
        return None
    batch = max(1, len(context.labels) // len(context.calibration))
    return [np.asarray(context.labels[i * batch:(i + 1) * batch]) for i in places]


class _Built(NamedTuple):
    """A real graph with its mixture, its mean fidelity on the judging samples, and what others reach with 95 %."""

    model: Any
    mixture: _mixture.Mixture
    fidelity: float
    sure: float


def _build(probe: Any, chooser: Any, mixture: Any, fidelity: Any, settings: Settings, context: PassContext) -> _Built:
    """The real graph; grows the float side where it falls short of what was simulated, and keeps the best."""
    best = None
    for attempt in range(_MOST_BUILDS):
        context.progress(0.9 + 0.02 * attempt, f"building and checking with {len(mixture)} nodes in float")
        made = probe.build(mixture)
        session = _onnx_io.session(made)
        outputs = [[np.asarray(a) for a in session.run(None, f)] for f in probe.feeds]
        built = _Built(made, mixture, fidelity.of(outputs), fidelity.safe(outputs))
        if best is None or built.sure > best.sure:
            best = built
        mixture = None if built.sure >= settings.target else chooser.more(mixture)
        if mixture is None or chooser.all_float(mixture):
            break
    return best


def _marked(ranking: list, mixture: Any, settings: Settings) -> list:
    kept = set(mixture)
    return [replace(r, kept_float=r.name in kept,
                    why="asked" if r.name in settings.exclude_nodes else "ranking" if r.name in kept else "")
            for r in ranking]


def _verdict(details: dict[str, Any]) -> list[str]:
    """Whether the target is met, and what to do where it is not."""
    target, count, met = details["target"], details["samples_checked"], details["target_met"]
    unsure = not met and details["fidelity"] >= target
    word = "meets" if met or unsure else "misses"
    lines = [f"{details['metric']} {details['fidelity']:.4f} on {count} calibration samples {word} the target "
             f"{target:g}; with everything in INT8 it is {details['fidelity_all_int8']:.4f}"]
    if unsure:
        lines.append(f"they differ so much that others may reach {details['fidelity_sure']:.4f} only (95 %): give more "
                     "calibration samples, or lower the target")
    elif not met:
        lines.append("the target is not met: allow more float nodes, or lower it")
    return lines


def _notes(study: _Study, ranking: list, details: dict[str, Any], settings: Settings) -> list[str]:
    compute = [r for r in ranking if r.op in _onnx_scope.COMPUTE]
    kept = [r for r in ranking if r.kept_float]
    int8 = sum(not r.kept_float for r in compute)
    lines = [f"{int8} of {len(compute)} compute nodes are INT8"]
    if kept:
        shown = ", ".join(r.name for r in kept[:_SHOWN]) + (f" and {len(kept) - _SHOWN} more" if len(kept) > _SHOWN
                                                            else "")
        share = sum(r.time_share for r in kept)
        lines.append(f"kept in float: {shown}; they take {share:.0%} of the float model's time")
    lines += _verdict(details)
    if not _cpu.has_int8_dot():
        lines.append("this CPU has no 8-bit dot product (VNNI): INT8 may be slower than float here, measure it")
    unknown = [n for n in (*settings.exclude_nodes, *settings.int8_nodes)
               if n not in {x.name for x in study.probe.model.graph.node}]
    if unknown:
        lines.append(f"not in the graph: {', '.join(unknown[:_SHOWN])}")
    return [*lines, *_onnx_int8.range_notes(settings.reduce_range), *_qdq_place.notes(settings.placement), *study.notes]
