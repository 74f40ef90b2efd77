"""The deployable bundle: the model, a predictor that needs only numpy and the runtime, the recipe, the evidence."""

from __future__ import annotations

import filecmp
import json
import os
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, WorkbenchError
from ..feeds import match
from ..formats import inspect
from ..model import Model, ModelFormat, load
from ..recipe import Recipe
from ..results import Result
from ..results_json import plain, to_dict
from ..runtimes import registry
from ..search.split import role
from ..study import Run, Study

if TYPE_CHECKING:
    from ..search import Outcome

_TEMPLATES = Path(__file__).parent / "predictors"
_MARK = "CONFIG: dict = {}"
_PARTIAL = ".partial-"  # what a kill in the middle of a copy leaves; the next write removes it
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
    known = ("model.", "study.sqlite", _PARTIAL)
    own = (*_OWN, "model", "__pycache__")  # the last one is there once the predictor was imported
    strange = [n for n in names if n not in own and not n.startswith(known)]
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
        InputError: the variant did not run, its artefact is gone, or the runtime has no predictor.
    """
    if result.status != "ok":
        raise InputError(f"{result.recipe.label} did not run ({result.reason or result.status}): bundle one that did")
    check(folder)
    same = Path(result.artefact) == original.path  # TorchScript does not tell its input shapes a second time
    artefact = original if same else load(result.artefact)
    recipe = result.recipe
    template = _predictor(recipe.runtime)
    name, entry = _place_model(artefact, folder)
    config = _config(artefact, original, recipe, entry)
    _put(folder / "requirements.txt", _requirements(recipe, artefact))
    _put(folder / "recipe.yaml", recipe.to_yaml())
    _put(folder / "predict.py", template.replace(_MARK, f"CONFIG: dict = {_literal(config)}"))
    evidence = _measurement(result, study, artefact, final, outcome)
    if final:
        evidence["report"] = _report(result, original, folder, study, outcome)
    _put(folder / "measurement.json", json.dumps(evidence, indent=1))
    _sweep(folder, keep=name)
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


def _report(result: Result, original: Model, folder: Path, study: Study, outcome: Outcome | None) -> str:
    """Writes report.html about the variant and what it was chosen from; why not, where there is nothing to report."""
    from .report import write_report

    def data(run: Run) -> str:
        return run.result.data_sha256

    own = [run for run in study.runs() if run.result.model_sha256 == result.model_sha256
           and run.result.machine == result.machine and role(data(run))[0] == role(result.data_sha256)[0]]
    part = Study()
    part.add_many(sorted(own, key=lambda run: data(run) == result.data_sha256))  # a report is about the newest data
    part.take_names(study)
    try:
        write_report(part, folder / "report.html", model=original, choose=result.run_id,
                     goal=outcome.goal if outcome else None)
    except WorkbenchError as error:
        return str(error)
    finally:
        part.close()
    return "report.html"


def _put(path: Path, text: str) -> None:
    partial = path.with_name(f"{_PARTIAL}{path.name}.{os.getpid()}")
    partial.write_text(text, "utf-8")
    os.replace(partial, path)


def _place_model(artefact: Model, folder: Path) -> tuple[str, str]:
    """Copies the model in under a name that the present predictor does not use, so that a kill leaves one whole bundle.

    Returns:
        name in the folder, and the path that the predictor loads below it (they differ for external data).
    """
    source = artefact.path
    external = artefact.format is ModelFormat.ONNX  # the one format whose weights may lie in files beside it
    files = [Path(f) for f in inspect(source).files] if external else [source]
    suffix = "" if source.is_dir() or len(files) > 1 else source.suffix
    name = next(n for n in (f"model{suffix}", f"model.{artefact.sha256[:8]}{suffix}", f"model.{os.getpid()}{suffix}")
                if not (folder / n).exists() or _same(folder / n, source, suffix))
    if not (folder / name).exists():
        partial = folder / f"{_PARTIAL}{name}.{os.getpid()}"
        if source.is_dir():
            shutil.copytree(source, partial)
        elif suffix:
            shutil.copyfile(source, partial)
        else:
            for file in files:
                target = partial / file.relative_to(source.parent)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
        os.replace(partial, folder / name)
    return name, name if suffix or source.is_dir() else f"{name}/{source.name}"


def _same(there: Path, source: Path, suffix: str) -> bool:
    return bool(suffix) and there.is_file() and filecmp.cmp(there, source, shallow=False)


def _sweep(folder: Path, keep: str) -> None:
    """Removes earlier models and what a killed writer left."""
    for old in [*folder.glob("model*"), *folder.glob(f"{_PARTIAL}*")]:
        if old.name != keep:
            shutil.rmtree(old, ignore_errors=True) if old.is_dir() else old.unlink(missing_ok=True)
