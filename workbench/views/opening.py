"""From what a user names (a bundled model, a path, an object) to an engine that is ready. UI-free."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from .. import bundled, datasets
from .. import model as models
from ..datasets import Dataset
from ..engine import Engine
from ..errors import InputError
from ..model import Model, ModelFormat
from ..study import Study

DEFAULT_MODEL = "cnn"
RANDOM = "random"
STUDIES = Path("studies")
FORMAT_TITLES = {
    ModelFormat.ONNX: "ONNX", ModelFormat.KERAS: "Keras", ModelFormat.KERAS2: "Keras 2",
    ModelFormat.SAVED_MODEL: "SavedModel", ModelFormat.TFLITE: "TFLite", ModelFormat.TORCHSCRIPT: "TorchScript",
    ModelFormat.TORCH_EXPORT: "torch.export",
}


class NeedsData(InputError):
    """The model leaves sizes of its inputs open, and only data can fill them."""


class Opened(NamedTuple):
    """A model with its data, and the engine over both.

    Attributes:
        bundled_name: name of the bundled model, '' for one's own.
        note: one line that the user should read, e.g. why the inputs are random; '' for none.
    """

    engine: Engine
    bundled_name: str
    note: str = ""


def open_engine(model: Any = None, data: Any = None, study: Any = None) -> Opened:
    """Opens a model, its data and its study.

    Args:
        model: bundled name, path, :class:`Model` or live object; None for the default.
        data: data set name, path, :class:`Dataset`, or 'random'; None for the data that come with a bundled model,
            else random inputs.
        study: path of the study or a :class:`Study`; None for ``studies/NAME.sqlite``.

    Raises:
        NeedsData: random inputs cannot stand in for the data of this model.
        WorkbenchError: one of them cannot be used; one line that says what to do.
    """
    name = bundled_name(model)
    found = bundled.model(name) if name else model if isinstance(model, Model) else models.load(model)
    dataset, note = _dataset(data, found, name)
    return Opened(Engine(found, dataset, _study(study, found)), name, note)


def with_data(opened: Opened, data: Any) -> Opened:
    """The same model and study on other data.

    Raises:
        WorkbenchError: the data cannot be used.
    """
    engine = opened.engine
    dataset, note = _dataset(data, engine.model, opened.bundled_name)
    return Opened(Engine(engine.model, dataset, engine.study, plan=engine.plan), opened.bundled_name, note)


def bundled_name(model: Any) -> str:
    """The bundled model that is meant, '' for anything else."""
    if model is None:
        return DEFAULT_MODEL
    return model if isinstance(model, str) and model in {m.name for m in bundled.MODELS} else ""


def _dataset(data: Any, model: Model, name: str) -> tuple[Dataset, str]:
    if isinstance(data, Dataset):
        return data, ""
    if data is None and name:
        data = bundled.dataset_name(name)
    if data is None:
        try:
            return datasets.random(model), "Inputs are random: pick data with labels to see accuracy."
        except InputError as error:
            raise NeedsData(getattr(error, "question", str(error))) from None
    if data == RANDOM:
        return datasets.random(model), ""
    return datasets.load(data, model), ""


def _study(study: Any, model: Model) -> Study:
    if isinstance(study, Study):
        return study
    if study is None:
        safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in model.name) or "model"
        study = STUDIES / f"{safe}.sqlite"
    if not isinstance(study, str | Path):
        raise InputError("a study is given by the path of its .sqlite file")
    return Study(study)
