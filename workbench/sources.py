"""From what a caller names (a bundled model, a path, a live object, an engine) to an engine that is ready."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from . import bundled, datasets, variant
from . import model as models
from .datasets import Dataset
from .engine import Engine
from .measure import Feeds, Plan
from .model import Model
from .recipe import Recipe
from .study import Study
from .variant import Variant


def open_model(model: Any) -> tuple[Model, str]:
    """The model, and its bundled name ('' for one's own).

    Args:
        model: name of a bundled model, path, :class:`Model` or live object.

    Raises:
        WorkbenchError: it cannot be loaded.
    """
    if isinstance(model, Model):
        return model, ""
    name = model if isinstance(model, str) and model in {m.name for m in bundled.MODELS} else ""
    return (bundled.model(name), name) if name else (models.load(model), "")


def open_data(data: Any, model: Model, name: str) -> Dataset:
    """The data set: as given, else the one that comes with a bundled model, else random inputs.

    Raises:
        WorkbenchError: it cannot be used with this model.
    """
    if isinstance(data, Dataset):
        return data
    if data is None and name:
        data = bundled.dataset_name(name)
    return datasets.random(model) if data in (None, "random") else datasets.load(data, model)


@contextmanager
def engine(model: Any, data: Any = None, study: Study | str | Path | None = None, *,
           plan: Plan | None = None) -> Iterator[Engine]:
    """An engine over a model and its data; one that is given stays open, one made here ends with the block.

    Args:
        model: an :class:`Engine`, or what :func:`open_model` takes.
        data: what :func:`open_data` takes.
        study: where results go; in memory when None.
        plan: how strictly to measure.

    Raises:
        WorkbenchError: one of them cannot be used.
    """
    if isinstance(model, Engine):
        yield model
        return
    found, name = open_model(model)
    kept = study if isinstance(study, Study) else Study(study or ":memory:")
    with Engine(found, open_data(data, found, name), kept, plan=plan) as made:
        yield made


class Prepared(NamedTuple):
    """A variant that is built, with what it runs on.

    Attributes:
        recipe: complete.
        built: the artefact.
        feeds: whole feeds from the evaluation samples.
    """

    recipe: Recipe
    built: Variant
    feeds: Feeds


def prepare(engine: Engine, recipe: Recipe | None, most_feeds: int, cancel: threading.Event | None = None) -> Prepared:
    """Completes a recipe (None: the model as it is), builds its artefact and takes the first feeds.

    Raises:
        WorkbenchError: it cannot be built.
        Cancelled: ``cancel`` was set.
    """
    done = engine.complete(recipe or Recipe())
    built = variant.build(engine.model, done, engine.dataset, cache=engine.cache, cancel=cancel)
    return Prepared(done, built, engine.dataset.evaluation.feeds(done.batch, most_feeds * done.batch))
