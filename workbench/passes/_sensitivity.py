"""Which nodes INT8 hurts, each alone, and which mixture of INT8 and float is close enough at the least cost in time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from ..errors import NotApplicable
from . import _check, _onnx_io, _onnx_scope, _qdq, _switches

METRICS = ("cosine", "top1", "accuracy")
_FORWARDS = 300  # of the ranking; many nodes are ranked on fewer samples
_MOST_SAMPLES = 3
_HEADROOM = 0.5
_CONFIDENT = 1.64  # standard errors: one-sided 95 %
_LEAST_COST = 0.02  # share of a node's float time that staying in float costs at least: measured gains are noisy
_AVERAGING = frozenset({"AveragePool", "GlobalAveragePool"})
_RANKED = _onnx_scope.COMPUTE | {"Add", "Concat"} | _AVERAGING  # the others hand integers on unchanged


@dataclass(frozen=True)
class NodeDamage:
    """What quantizing one node alone does, and what the node costs.

    Attributes:
        name: in the prepared graph.
        op: operator.
        damage: 1 - mean cosine of the outputs to the float model's, when only this node is INT8.
        weight_damage: the same with only its weights rounded; 0 where it has none.
        activation_damage: the same with only its inputs and outputs rounded.
        float_s: median seconds a run in the float model; 0 where the runtime fused it into another node.
        int8_s: the same in the INT8 model.
        time_share: float_s over the float model's total.
        kept_float: whether it stays in float.
        why: 'ranking', 'asked' or ''.
    """

    name: str
    op: str
    damage: float
    weight_damage: float
    activation_damage: float
    float_s: float = 0.0
    int8_s: float = 0.0
    time_share: float = 0.0
    kept_float: bool = False
    why: str = ""

    @property
    def cost_s(self) -> float:
        """Seconds a run that staying in float costs; never nothing, because measured times are noisy."""
        return max(self.float_s - self.int8_s, _LEAST_COST * self.float_s, 1e-7)

    def to_dict(self) -> dict[str, Any]:
        """Plain form, with the fidelity bought for each millisecond that staying in float costs."""
        return {**asdict(self), "damage_per_ms": self.damage / (self.cost_s * 1e3)}


class Step(NamedTuple):
    """One mixture that was tried: how many nodes stayed in float, how close the outputs were, what it costs."""

    float_nodes: int
    fidelity: float
    cost_s: float


class Fidelity:
    """How close outputs are to the float model's.

    Args:
        metric: 'cosine' (worst output of each sample; R² where an output is one number), 'top1' (same largest score)
            or 'accuracy' (against labels, as a share of the float model's).
        reference: the float outputs of each feed.
        labels: of each feed, for 'accuracy'.
    """

    def __init__(self, metric: str, reference: list[list[np.ndarray]], labels: list[np.ndarray] | None = None) -> None:
        self.metric, self._reference, self._labels = metric, reference, labels
        self._scores = 0
        if metric != "cosine":
            self._scores = next((i for i, a in enumerate(reference[0]) if a.dtype.kind == "f" and a.ndim > 1
                                 and a.shape[-1] > 1), -1)
            if self._scores < 0:
                raise NotApplicable(f"metric '{metric}' needs an output that scores classes: choose metric cosine")
        if metric == "accuracy" and labels is None:
            raise NotApplicable("metric 'accuracy' needs labelled calibration samples: choose metric cosine or top1")
        self._float = float(np.mean(self._values(reference))) if metric == "accuracy" else 1.0

    def of(self, outputs: list[list[np.ndarray]]) -> float:
        """The mean; 1 is as good as float."""
        return float(np.mean(self._values(outputs))) / (self._float or 1.0)

    def safe(self, outputs: list[list[np.ndarray]]) -> float:
        """For cosine the lower 95 % bound of the mean, so that other samples of the kind meet the target too."""
        values = self._values(outputs)
        error = _CONFIDENT * np.std(values) / np.sqrt(len(values)) if self.metric == "cosine" else 0.0
        return float(np.mean(values) - error) / (self._float or 1.0)

    def aim(self, target: float) -> float:
        """What the search aims at: for cosine half the loss that the target allows, because the best of many mixtures
        on a few samples looks better than it is."""
        return target + _HEADROOM * (1.0 - target) if self.metric == "cosine" and target > 0.0 else target

    def _values(self, outputs: list[list[np.ndarray]]) -> list[float]:
        if self.metric == "cosine":
            return _check.likenesses(outputs, self._reference)
        ours = [a[self._scores].argmax(-1) for a in outputs]
        wanted = (self._labels if self.metric == "accuracy"
                  else [a[self._scores].argmax(-1) for a in self._reference])
        return [float(np.mean(a.reshape(np.shape(b)) == b)) if a.size == np.size(b) else 0.0
                for a, b in zip(ours, wanted, strict=True)]


class Probe:
    """A prepared float model, its ranges and its switches: answers for any mixture with one forward pass a sample.

    Args:
        model: the prepared ``ModelProto``.
        ranges: of :func:`workbench.passes._qdq.calibrate`.
        options: how tensors become integers.
        feeds: samples that judge.
    """

    def __init__(self, model: Any, ranges: Any, options: _qdq.Options, feeds: list[dict[str, np.ndarray]]) -> None:
        self.model, self.ranges, self.options, self.feeds = model, ranges, options, feeds
        self.all_int8 = _qdq.quantize(model, ranges, options)
        self._rounded = _switches.read(model, self.all_int8)
        self._switched = _switches.Switched(model, self._rounded)
        self._followers = _followers(model)
        self.reference = [self._switched.run(f, set(), set()) for f in feeds]
        self.candidates = [n for n in model.graph.node if n.op_type in _RANKED and self._is_quantized(n)]

    def _is_quantized(self, node: Any) -> bool:
        excluded = set(_onnx_scope.float_nodes(self.model, ()))
        return node.name not in excluded and bool(self._tensors(node) or self._weights(node))

    def _tensors(self, node: Any) -> set[str]:
        """Activations that INT8 rounds when this node is quantized; a following Relu merges into the node."""
        outputs = [self._followers.get(o, o) if o not in self._rounded.activations else o for o in node.output]
        return {t for t in (*node.input, *outputs) if t in self._rounded.activations}

    def _weights(self, node: Any) -> set[str]:
        return {i for i in node.input if i in self._rounded.weights}

    def damage(self, node: Any, samples: int) -> tuple[float, float, float]:
        """1 - mean likeness with this node alone in INT8: whole, weights only, activations only."""
        tensors, weights = self._tensors(node), self._weights(node)
        whole = self._loss(tensors, weights, samples)
        if not weights or not tensors:
            return (whole, 0.0, whole) if tensors else (whole, whole, 0.0)
        return whole, self._loss(set(), weights, samples), self._loss(tensors, set(), samples)

    def _loss(self, tensors: set[str], weights: set[str], samples: int) -> float:
        outputs = [self._switched.run(f, tensors, weights) for f in self.feeds[:samples]]
        return max(0.0, 1.0 - float(np.mean(_check.likenesses(outputs, self.reference[:len(outputs)]))))

    def outputs(self, keep_float: tuple[str, ...]) -> list[list[np.ndarray]]:
        """Outputs of every sample when all nodes are INT8 but these."""
        excluded = set(_onnx_scope.float_nodes(self.model, keep_float))
        tensors, weights = set(), set()
        for node in self.model.graph.node:
            if node.op_type in _onnx_scope.COMPUTE | _onnx_scope.CARRY and node.name not in excluded:
                tensors |= self._tensors(node)
                weights |= self._weights(node)
        return [self._switched.run(f, tensors, weights) for f in self.feeds]

    def build(self, keep_float: tuple[str, ...]) -> Any:
        """The real quantized ``ModelProto``."""
        return _qdq.quantize(self.model, self.ranges, self.options, keep_float) if keep_float else self.all_int8


def rank(probe: Probe, times: tuple[dict[str, float], dict[str, float]], *, samples: int = 0,
         progress: Callable[[float, str], None] = lambda fraction, line: None) -> list[NodeDamage]:
    """All quantizable nodes, the most damaging first.

    Args:
        probe: the model.
        times: seconds a node in the float and in the INT8 model, of ``node_times``.
        samples: forward passes for each figure; 0 chooses by the number of nodes.
        progress: called with (fraction, line).
    """
    nodes = probe.candidates
    samples = samples or int(np.clip(_FORWARDS // max(3 * len(nodes), 1), 1, _MOST_SAMPLES))
    float_times, int8_times = times
    total = sum(float_times.values()) or 1.0
    ranked = []
    for index, node in enumerate(nodes):
        progress(index / len(nodes), f"quantizing {node.name} alone, {index + 1} of {len(nodes)}")
        seconds = float_times.get(node.name, 0.0)
        ranked.append(NodeDamage(node.name, node.op_type, *probe.damage(node, samples), seconds,
                                 int8_times.get(node.name, 0.0), seconds / total))
    return sorted(ranked, key=lambda r: (-r.damage, r.name))


def _followers(model: Any) -> dict[str, str]:
    """Tensor -> output of the Relu or Clip that alone consumes it."""
    uses: dict[str, list[Any]] = {}
    for node in _onnx_io.all_nodes(model.graph):
        for tensor in node.input:
            uses.setdefault(tensor, []).append(node)
    return {t: n[0].output[0] for t, n in uses.items() if len(n) == 1 and n[0].op_type in ("Relu", "Clip")}
