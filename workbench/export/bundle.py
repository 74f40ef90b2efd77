"""The deployable bundle: the model, a predictor that needs only numpy and the runtime, the recipe, the evidence."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..feeds import match
from ..model import Model, load
from ..recipe import Recipe
from ..results import Result
from ..results_json import plain, to_dict
from ..runtimes import registry
from ..study import Study

if TYPE_CHECKING:
    from ..search import Outcome

_TEMPLATES = Path(__file__).parent / "predictors"
_MARK = "CONFIG: dict = {}"
_OWN = ("predict.py", "requirements.txt", "recipe.yaml", "measurement.json", "report.html", "study.sqlite")
# Distribution names behind a runtime's import name, where they differ from its install line.
_PACKAGES = {"onnxruntime": "onnxruntime", "litert": "ai-edge-litert", "tensorflow": "tensorflow",
             "openvino": "openvino", "torch": "torch"}


def check(folder: Path) -> None:
    """A bundle goes into a new or empty folder, or over an older bundle.

    Raises:
        InputError: the folder holds something else, or cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = [p.name for p in folder.iterdir()]
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}; name another folder with -o") from None
    strange = [n for n in names if n not in _OWN and not n.startswith(("model.", "study.sqlite"))]
    if strange:
        raise InputError(f"{folder} holds other files ({strange[0]}); name an empty folder with -o")


def write(result: Result, original: Model, folder: Path, study: Study, *, outcome: Outcome | None = None,
          final: bool = True) -> Path:
    """Writes or replaces a bundle; each file is replaced at once, so a kill leaves a whole one.

    Args:
        result: the variant; its artefact must still be on disk.
        original: the model that inputs and outputs are named after.
        folder: see :func:`check`.
        study: holds the raw samples.
        outcome: of the search that chose the variant, for the report.
        final: False while a search goes on; the measurement then says so.

    Raises:
        InputError: the artefact is gone, or the runtime has no predictor.
    """
    check(folder)
    artefact = load(result.artefact)
    recipe = result.recipe
    name = f"model{artefact.path.suffix}" if artefact.path.is_file() else "model"
    config = _config(artefact, original, recipe, name)
    _copy_model(artefact.path, folder / name)
    _put(folder / "predict.py", _predictor(recipe.runtime).replace(_MARK, f"CONFIG: dict = {_literal(config)}"))
    _put(folder / "requirements.txt", _requirements(recipe, artefact))
    _put(folder / "recipe.yaml", recipe.to_yaml())
    _put(folder / "measurement.json", json.dumps(_measurement(result, study, artefact, final, outcome), indent=1))
    return folder


def _config(artefact: Model, original: Model, recipe: Recipe, name: str) -> dict[str, Any]:
    """What the predictor must know: names, threads and the runtime's settings."""
    inputs = match([s.name for s in original.inputs], artefact.inputs)
    outputs = match([s.name for s in original.outputs], artefact.outputs)
    settings = recipe.runtime_settings.to_dict() if recipe.runtime_settings else {}
    return {"model": name, "format": artefact.format.value, "threads": recipe.threads, "device": recipe.device,
            "settings": settings, "inputs": {theirs: mine for mine, theirs in inputs.items()},
            "outputs": {theirs: mine for mine, theirs in outputs.items()},
            "dtypes": {inputs[s.name]: s.dtype for s in artefact.inputs},
            "shapes": {inputs[s.name]: [d if isinstance(d, int) else None for d in s.shape] for s in artefact.inputs}}


def _literal(config: dict[str, Any]) -> str:
    import pprint

    return pprint.pformat(config, width=110, sort_dicts=False)


def _predictor(runtime: str) -> str:
    path = _TEMPLATES / f"{runtime}.py"
    if not path.exists():
        raise InputError(f"no predictor for {registry.info(runtime).title}: choose another runtime for the bundle")
    return path.read_text("utf-8")


def _requirements(recipe: Recipe, artefact: Model) -> str:
    names = ["numpy", _PACKAGES.get(recipe.runtime, recipe.runtime)]
    if artefact.format.value == "keras2":
        names.append("tf-keras")
    lines = []
    for name in names:
        try:
            lines.append(f"{name}=={version(name).split('+')[0]}")
        except PackageNotFoundError:
            lines.append(name)
    return "\n".join(lines) + "\n"


def _measurement(result: Result, study: Study, artefact: Model, final: bool, outcome: Outcome | None) -> dict:
    rounds = [list(map(float, r)) for r in study.rounds(result.run_id)]
    data = {"final": final, "result": to_dict(result), "rounds_s": rounds,
            "model_sha256": artefact.sha256, "original_sha256": result.model_sha256, "data_sha256": result.data_sha256,
            "environment": result.environment}
    if outcome is not None:
        data |= {"sentence": outcome.sentence, "met": outcome.met, "unmet": outcome.unmet,
                 "trials": len(outcome.trials), "baseline": to_dict(outcome.baseline)}
    return plain(data)


def _put(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text, "utf-8")
    os.replace(partial, path)


def _copy_model(source: Path, target: Path) -> None:
    """Copies beside the target first, so that the old model stays until the new one is whole."""
    parent = target.parent
    with tempfile.TemporaryDirectory(dir=parent.parent if parent.parent.exists() else parent) as side:
        fresh = Path(side) / target.name
        if source.is_dir():
            shutil.copytree(source, fresh)
        else:
            shutil.copyfile(source, fresh)
            for extra in source.parent.glob("*.data"):
                shutil.copyfile(extra, parent / extra.name)
        for old in parent.glob("model*"):
            if old.name != target.name or old.is_dir():
                shutil.rmtree(old) if old.is_dir() else old.unlink()
        os.replace(fresh, target)
