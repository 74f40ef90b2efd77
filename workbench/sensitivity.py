"""Which nodes of a model INT8 hurts, and the mixture of INT8 and float that meets a fidelity target.

Both run in the worker process of the passes, never here; a second call on the same model and samples is quick, because
the worker keeps its last ranking.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from . import recipe, variant
from .errors import InputError
from .model import Model
from .passes._sensitivity import NodeDamage

if TYPE_CHECKING:
    from .cache import Cache
    from .datasets import Dataset

__all__ = ["NodeDamage", "Ranking", "mixed", "rank", "ranking"]

PASS = "onnx-int8-mixed"
_DERIVED = ("damage_per_ms",)

OnProgress = Callable[[float, str], None]


class Ranking(NamedTuple):
    """How much INT8 hurts, node by node.

    Attributes:
        rows: the most damaging node first; ``kept_float`` tells what the variant did with each.
        metric: what fidelity is measured in.
        fidelity: of the variant that was built, on samples of the calibration side.
        fidelity_all_int8: with nothing kept in float.
        target: what was asked for.
        target_met: whether it is met, with a margin for other samples.
        float_s: sum of the node times of the float model, seconds a run.
        int8_s: the same with everything in INT8.
        search: mixtures that were tried: 'float_nodes', 'fidelity', 'cost_s' (seconds a run more than all in INT8).
    """

    rows: tuple[NodeDamage, ...]
    metric: str
    fidelity: float
    fidelity_all_int8: float
    target: float
    target_met: bool
    float_s: float
    int8_s: float
    search: tuple[dict[str, Any], ...]


def rank(model: Model, dataset: Dataset, *, cache: Cache | None = None, progress: OnProgress | None = None,
         cancel: threading.Event | None = None, **settings: Any) -> Ranking:
    """Quantizes each node alone and ranks all by the damage to the outputs, beside the time each takes.

    Args:
        model: ONNX, or a model that converts to it.
        dataset: its calibration side gives the ranges and judges.
        cache: of artefacts; default the user's.
        progress: called with (fraction, one short line).
        cancel: set it to stop within a fraction of a second.
        **settings: of the pass 'onnx-int8-mixed', e.g. ``method='entropy'``.

    Raises:
        NotApplicable, InputError, WorkerError, Cancelled: see :func:`workbench.variant.build`.
    """
    # With target 0 nothing is searched: all in INT8, and the ranking beside it.
    made = mixed(model, dataset, target=0.0, cache=cache, progress=progress, cancel=cancel, **settings)
    return ranking(made)


def mixed(model: Model, dataset: Dataset, *, target: float = 0.99, metric: str = "cosine", cache: Cache | None = None,
          progress: OnProgress | None = None, cancel: threading.Event | None = None,
          **settings: Any) -> variant.Variant:
    """INT8, but for the nodes that buy most fidelity for the time they cost, until the target is met.

    Args:
        model: ONNX, or a model that converts to it.
        dataset: its calibration side gives the ranges and judges; its evaluation side is not looked at.
        target: fidelity to reach, 0 to 1; 0 quantizes everything but ``exclude_nodes``.
        metric: 'cosine', 'top1' (equal predictions) or 'accuracy' (share of the float model's, needs labels).
        cache: of artefacts; default the user's.
        progress: called with (fraction, one short line).
        cancel: set it to stop within a fraction of a second.
        **settings: of the pass 'onnx-int8-mixed'; ``exclude_nodes`` and ``int8_nodes`` toggle nodes by hand.

    Returns:
        the variant; :func:`ranking` reads its table.

    Raises:
        NotApplicable, InputError, WorkerError, Cancelled: see :func:`workbench.variant.build`.
    """
    asked = recipe.make((PASS, {"target": target, "metric": metric, **settings}))
    return variant.build(model, asked, dataset, cache=cache, progress=progress, cancel=cancel)


def ranking(made: variant.Variant) -> Ranking:
    """The table of a variant that was made with the pass 'onnx-int8-mixed'.

    Raises:
        InputError: it was made without that pass.
    """
    stage = next((s for s in made.stages if s["name"] == PASS), None)
    if stage is None:
        raise InputError(f"this variant has no ranking: add the pass {PASS} to its recipe")
    details = stage["details"]
    rows = tuple(NodeDamage(**{k: v for k, v in row.items() if k not in _DERIVED}) for row in details["ranking"])
    return Ranking(rows, details["metric"], details["fidelity"], details["fidelity_all_int8"], details["target"],
                   details["target_met"], details["float_s"], details["int8_s"], tuple(details["search"]))
