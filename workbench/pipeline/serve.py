"""A model as it is served: preprocessing, the forward pass in a worker process, post-processing, each stage timed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import assemble, sources, variant
from ..datasets import Dataset, images
from ..errors import InputError, WorkerError
from ..measure import Plan, arrays, stats
from ..measure.solo import opened
from ..model import Model
from ..recipe import Recipe
from .steps import Step, classify

PREPROCESS, HAND_OVER, FORWARD = "preprocess", "hand-over", "forward"
_BLOCK = 5


class Answer(NamedTuple):
    """What one request got.

    Attributes:
        value: of the last step: predictions or detections, one list a sample.
        seconds: by stage, in order. 'hand-over' is the way to the worker process and back, which serving in one
            process does not have.
        rss_bytes: resident memory of the worker.
    """

    value: Any
    seconds: dict[str, float]
    rss_bytes: int

    @property
    def latency_s(self) -> float:
        """All stages but the hand-over."""
        return sum(s for name, s in self.seconds.items() if name != HAND_OVER)


class StageTimes(NamedTuple):
    """Time per stage over many requests.

    Attributes:
        name: of the variant.
        stages: name -> median with its 95 % interval; the hand-over last.
        latency: of a whole request without the hand-over.
        requests: timed ones.
    """

    name: str
    stages: dict[str, stats.Estimate]
    latency: stats.Estimate
    requests: int


class Pipeline:
    """Requests in, predictions out. Use it in a ``with`` block, or close it: it holds a worker process.

    Args:
        model: bundled name, path, Model or live model.
        recipe: the variant; None for the model as it is.
        data: its calibration samples serve passes, its class names label classes; None for the model's own.
        preprocess: sample -> feed (name -> array, batch included); None takes images (path, PIL, uint8 array) for a
            model with one image input, else arrays and feeds as they are.
        postprocess: steps over the outputs; None classifies. See :func:`steps.classify`, :func:`steps.detect`.
        pixels: range of the default image preprocessing, as for image folders.

    Raises:
        WorkbenchError: the variant cannot be built or loaded.
    """

    def __init__(self, model: Any, recipe: Recipe | None = None, *, data: Any = None,
                 preprocess: Callable[[Any], dict[str, np.ndarray]] | None = None,
                 postprocess: Sequence[Step] | None = None, pixels: str = "0..1") -> None:
        found, name = sources.open_model(model)
        dataset = sources.open_data(data, found, name)
        self.model, self.dataset, self.plan = found, dataset, Plan.default()
        self.recipe = variant.complete(found, recipe or Recipe())
        self.preprocess = preprocess or Input(found, pixels)
        self.postprocess = tuple(postprocess) if postprocess is not None else classify(dataset.class_names)
        self._lock = threading.Lock()
        built = variant.build(found, self.recipe, dataset)
        feeds = dataset.evaluation.feeds(self.recipe.batch, self.recipe.batch)
        self._stack = ExitStack()
        self._worker = self._stack.enter_context(
            opened(assemble.candidate(found, built, self.recipe), feeds, plan=self.plan))
        self._folder = Path(self._worker.info["folder"])

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the worker process."""
        self._stack.close()

    @property
    def name(self) -> str:
        """How people call the variant."""
        return self.recipe.label

    def __call__(self, sample: Any) -> Answer:
        """Serves one request.

        Raises:
            InputError: the sample does not fit.
            WorkerError: the worker crashed.
        """
        seconds: dict[str, float] = {}
        feed = _timed(seconds, PREPROCESS, self.preprocess, sample)
        outputs, ns, rss, whole = self._forward(feed)
        seconds[FORWARD] = ns / 1e9
        value: Any = outputs
        for step in self.postprocess:
            value = _timed(seconds, step.name, step.run, value)
        seconds[HAND_OVER] = max(0.0, whole - seconds[FORWARD])
        return Answer(value, seconds, rss)

    def samples(self, limit: int = 64) -> list[dict[str, np.ndarray]]:
        """Held-out feeds of the data set, to serve as requests."""
        return self.dataset.evaluation.feeds(self.recipe.batch, limit * self.recipe.batch)

    def stage_times(self, samples: Iterable[Any] | None = None, *, requests: int = 100,
                    warm_up: int = 10) -> StageTimes:
        """Serves requests and returns the time of each stage.

        Args:
            samples: requests, taken in turn; None takes held-out samples of the data set.
            requests: timed ones, at least 15.
            warm_up: served first and dropped.

        Raises:
            InputError: too few requests, or none to serve.
        """
        given = list(self.samples() if samples is None else samples)
        if not given or requests < 15:
            raise InputError("give at least one sample and 15 requests")
        answers = [self(sample) for sample in islice(cycle(given), requests + warm_up)][warm_up:]
        names = list(answers[0].seconds)

        def estimate(values: list[float]) -> stats.Estimate:
            floor = [max(v, 1e-9) for v in values]  # a step may take less than the clock shows
            return stats.median_interval([floor[i:i + _BLOCK] for i in range(0, len(floor), _BLOCK)])

        stages = {n: estimate([a.seconds[n] for a in answers]) for n in names}
        return StageTimes(self.name, stages, estimate([a.latency_s for a in answers]), requests)

    def _forward(self, feed: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], int, int, float]:
        begin = time.perf_counter()
        question, answer = self._folder / "question.npz", self._folder / "answer.npz"
        with self._lock:
            if not self._worker.alive:
                raise WorkerError("the pipeline is closed, or its worker has ended: make a new one")
            arrays.write_feeds(question, [feed])
            told = self._worker.call("infer", self.plan.run_timeout_s, feed=str(question), outputs=str(answer))
            outputs = next(arrays.read_feeds(answer))
        return outputs, told["ns"], told["rss_bytes"], time.perf_counter() - begin


class Input:
    """The default preprocessing: images are decoded, resized and scaled for a model with one image input.

    Args:
        model: whose inputs are fed.
        pixels: range of the model's pixels: '0..1', '-1..1', '0..255' or 'imagenet'.
    """

    def __init__(self, model: Model, pixels: str = "0..1") -> None:
        if pixels not in images.RANGES:
            raise InputError(f"pixels is '{pixels}'; allowed: {', '.join(images.RANGES)}")
        self._model, self._pixels = model, pixels

    def __call__(self, sample: Any) -> dict[str, np.ndarray]:
        """A feed, an array of the input's rank, or an image (path, PIL image, uint8 [h, w, c]) as a feed.

        Raises:
            InputError: the sample is none of them, or is no image where one is wanted.
        """
        if isinstance(sample, dict):
            return sample
        spec = self._model.inputs[0]
        if isinstance(sample, np.ndarray) and not (sample.dtype == np.uint8 and sample.ndim == 3):
            if len(self._model.inputs) != 1:
                raise InputError(f"the model has {len(self._model.inputs)} inputs: give a feed, name -> array")
            return {spec.name: sample[None] if sample.ndim == len(spec.shape) - 1 else sample}
        spec, place = images.image_input(self._model, "the pipeline")
        pixels = images.pixels_of(sample, place.channels)
        fitted = images.resize(pixels[None], place)
        return {spec.name: images.arrange(fitted, spec, place, self._pixels)[0]}


def scores_of(model: Any, recipe: Recipe | None = None, data: Any = None, *, output: str = "", limit: int = 0):
    """Scores of a variant on the labelled held-out samples, run once in a worker: what thresholds are tried on.

    Args:
        model: bundled name, path, Model or live model.
        recipe: the variant; None for the model as it is.
        data: data set with labels; None for the model's own.
        output: name of the output with the scores; '' takes the first.
        limit: most samples; 0 for all.

    Returns:
        a :class:`thresholds.Scores`.

    Raises:
        InputError: there are no labels, or the output is no classifier's.
        WorkbenchError: the variant cannot be built or run.
    """
    from .steps import chosen, probabilities
    from .thresholds import Scores

    found, name = sources.open_model(model)
    dataset: Dataset = sources.open_data(data, found, name)
    if dataset.evaluation.labels is None:
        raise InputError(f"{dataset.name} has no labels: precision and recall need them")
    done = variant.complete(found, recipe or Recipe())
    built = variant.build(found, done, dataset)
    feeds = dataset.evaluation.feeds(done.batch, limit)
    plan = Plan.default()
    with opened(assemble.candidate(found, built, done), feeds[:1], plan=plan) as worker:
        folder = Path(worker.info["folder"])
        arrays.write_feeds(folder / "all.npz", feeds)
        worker.call("evaluate", plan.load_timeout_s, feeds=str(folder / "all.npz"), outputs=str(folder / "out.npz"))
        with np.load(folder / "out.npz", allow_pickle=False) as archive:
            outputs = {n: archive[n] for n in archive.files}
    rows = probabilities(chosen(outputs, output))
    return Scores.of(rows, dataset.evaluation.labels[:len(rows)], dataset.class_names, done.label)


def _timed(seconds: dict[str, float], name: str, function: Callable[[Any], Any], value: Any) -> Any:
    begin = time.perf_counter()
    found = function(value)
    seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - begin
    return found
