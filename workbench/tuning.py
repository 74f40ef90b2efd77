"""``workbench.tune``: the search with the words that people use, and the bundle that it leaves."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import bundled, datasets
from . import model as models
from .datasets import Dataset
from .model import Model
from .search import Attempt, Outcome, Trial, terms
from .search import tune as search
from .study import Study


def tune(model: Any, data: Any = None, *, calibration: str | Path | None = None, output: str | Path | None = None,
         minutes: float = 5.0, study: str | Path | Study | None = None, seed: int = 0,
         fix: dict[str, Any] | None = None, example_inputs: Any = None, cluster: Any = None,
         on_trial: Callable[[Trial], None] | None = None, on_try: Callable[[Attempt], None] | None = None,
         cancel: threading.Event | None = None, **constraints: Any) -> Outcome:
    """Searches the fastest variant of a model that still answers right, within a time budget.

        found = workbench.tune("model.onnx", "samples.npz", fidelity=0.99, minutes=5, output="bundle/")
        print(found.sentence)

    Args:
        model: name of a bundled model, path, live Keras model or torch module, or a :class:`workbench.Model`.
        data: name of a bundled data set, path of .npz, .csv or an image folder, 'random', or a
            :class:`workbench.Dataset`; None takes the data of a bundled model, else random inputs.
        calibration: file of calibration samples; default a split of ``data``.
        output: folder of the bundle; the best variant so far is in it at any moment, a kill included.
        minutes: time budget.
        study: file or :class:`workbench.Study` that keeps every trial; default inside ``output``, else in memory.
        seed: of the sampler, the split of the samples and the measuring order.
        fix: sizes of open dimensions, by input name.
        example_inputs: for torch modules.
        cluster: address of a Dask scheduler, or a ``distributed.Client``.
        on_trial: called after each trial.
        on_try: called when a trial begins.
        cancel: set it to stop at once with the best so far.
        **constraints: ``fidelity`` or ``max_drop``, ``latency_ms``, ``size_mb``, ``memory_mb``, ``threads``,
            ``batch``, ``finetune``, ``runtimes``, ``formats``: the same words as the flags of ``workbench tune``.

    Raises:
        WorkbenchError: a constraint, the model or the data cannot be used; one line that says what to do.
    """
    from .export import bundle

    goal = terms.goal(constraints)
    opened = _model(model, fix, example_inputs)
    dataset = _data(data, opened, model, calibration)
    folder = Path(output) if output is not None else None
    if folder:
        bundle.check(folder)
    kept = _study(study, folder)

    def save(best: Any) -> None:
        if folder:
            bundle.write(best, opened, folder, kept, final=False)

    found = search(opened, dataset, goal, minutes=minutes, study=kept, seed=seed, on_trial=on_trial, on_try=on_try,
                   on_best=save, cancel=cancel, cluster=cluster)
    if folder:
        bundle.write(found.best, opened, folder, kept, outcome=found)
    return found


def _model(source: Any, fix: dict[str, Any] | None, example_inputs: Any) -> Model:
    if isinstance(source, str) and source in {m.name for m in bundled.MODELS} and not Path(source).exists():
        source = bundled.model(source)
    if isinstance(source, Model) and not fix:
        return source
    return models.load(source, example_inputs=example_inputs, fix=fix)


def _data(data: Any, model: Model, source: Any, calibration: str | Path | None) -> Dataset:
    if isinstance(data, Dataset):
        return data
    if data is None and source in [m.name for m in bundled.MODELS]:
        data = bundled.dataset_name(source)
    if data is None or isinstance(data, str) and data == "random":
        return datasets.random(model)
    return datasets.load(data, model, calibration=calibration)


def _study(study: Any, folder: Path | None) -> Study:
    if isinstance(study, Study):
        return study
    if study is None:
        return Study(folder / "study.sqlite") if folder else Study()
    return Study(study)
