"""Keras 3 to legacy Keras (Keras 2), which tensorflow-model-optimization works on; checked by outputs on samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, NotApplicable
from ..model import Model, ModelFormat
from ..settings import SettingsBase
from . import _check, _keras2_build, _keras2_config, _keras3_dump
from .base import NoSettings, Pass, PassContext, PassResult

AGREES = 1e-4  # largest difference of an output, relative to the largest output where that is above 1
_VARIED = 7  # samples beside the first


class Keras2Convert(Pass):
    """See :class:`workbench.passes.base.Pass`."""

    name = "keras2-convert"
    title = "to Keras 2"
    group = "convert"
    summary = ("Rebuilds a Keras 3 model in legacy Keras, layer by layer, for passes that need it: same names, "
               "same weights, same outputs.")
    accepts = (ModelFormat.KERAS,)
    produces = ModelFormat.KERAS2
    packages = {"tf_keras": "pip install tf-keras"}
    legacy_keras = True

    def why_not(self, model: Model, settings: SettingsBase) -> str | None:
        """Names the first layer that legacy Keras does not have."""
        config = _keras2_config.read(Path(model.path)) if model.format == ModelFormat.KERAS else None
        return None if config is None else _keras2_config.obstacle(config)

    def apply(self, model: Model, settings: NoSettings, context: PassContext) -> PassResult:
        """See :meth:`workbench.passes.base.Pass.apply`."""
        context.progress(0.05, "reading the model with current Keras")
        feed = samples(model, context)
        given, told = context.workdir / "samples.npz", context.workdir / "keras3.npz"
        np.savez(given, **feed)
        reading = _keras3_dump.start(Path(model.path), given, told)
        try:
            import tf_keras  # noqa: F401  (loads while the other process works)

            config, weights, wanted = _keras3_dump.finish(reading, told)
        finally:
            reading.kill()
            given.unlink(missing_ok=True)
        told.unlink(missing_ok=True)
        context.progress(0.6, "building it in legacy Keras")
        network = _keras2_build.build(config, weights)
        worst = _difference(network, model, feed, wanted)
        path = context.workdir / "model.h5"
        network.save(path, include_optimizer=False)
        count = len(next(iter(feed.values())))
        note = f"rebuilt in legacy Keras; outputs differ by {worst:.1e} at most on {count} samples"
        return PassResult(path, self.produces, (note,), {"largest_difference": worst})


def samples(model: Model, context: PassContext) -> dict[str, np.ndarray]:
    """A real sample where there is one, and variations of it, so that no layer is checked on one point only."""
    feed = _check.sample(context, model.inputs, model)
    if feed is None or any(not a.ndim for a in feed.values()):
        raise InputError("it takes inputs of a kind that no sample could be made for: choose a data set")
    rng = np.random.default_rng(context.seed)
    fixed = any(isinstance(s.shape[0], int) for s in model.inputs)
    return {name: array if fixed else np.concatenate([array, *(_vary(array, rng) for _ in range(_VARIED))])
            for name, array in feed.items()}


def _vary(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another plausible sample: floats with noise, whole numbers in another order."""
    if array.dtype.kind == "f":
        return (array + rng.normal(0, 0.1, array.shape)).astype(array.dtype)
    return rng.permuted(array, axis=-1)


def _difference(network: Any, model: Model, feed: dict[str, np.ndarray], wanted: list[np.ndarray]) -> float:
    """Largest difference of an output.

    Raises:
        NotApplicable: it is too large, or the model has no such outputs.
    """
    given = [feed[name] for name in network.input_names]
    got = network(given if len(given) > 1 else given[0], training=False)
    got = [np.asarray(g) for g in (got if isinstance(got, list | tuple) else [got])]
    if [g.shape for g in got] != [w.shape for w in wanted]:
        raise NotApplicable("legacy Keras gives outputs of other shapes")
    worst = max(float(np.abs(g - w).max() / max(1.0, np.abs(w).max())) for g, w in zip(got, wanted, strict=True))
    if not worst <= AGREES:
        raise NotApplicable(f"legacy Keras computes something else (outputs differ by {worst:.2g}): a layer of this "
                            "model changed its meaning between Keras 2 and 3")
    return worst
