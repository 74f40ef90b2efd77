"""``workbench apply MODEL --recipe R.yaml -o OUT``: runs the passes and keeps the artefact."""

from __future__ import annotations

import shutil
from pathlib import Path

from .. import recipe as recipes
from ..errors import InputError
from ..units import size
from . import common

HELP = "apply a recipe's passes to a model and write the new model"


def add_arguments(parser) -> None:
    """Declares the arguments."""
    parser.add_argument("model", metavar="MODEL", help="model file or folder, or a bundled name")
    parser.add_argument("--recipe", required=True, metavar="R.yaml", help="the passes to apply")
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help="file to write, or an existing folder")
    common.add_model_arguments(parser)
    common.add_data_arguments(parser)


def run(args) -> tuple[dict, str]:
    """Builds the variant in the cache and copies it out; an existing model is never overwritten by itself."""
    from .. import variant

    recipe = recipes.load(args.recipe)
    model = common.model(args.model, args.fix)
    dataset = _data(args, model, recipe)
    recipe = variant.complete(model, recipe)
    reason = variant.problem(model, recipe)
    if reason:
        raise InputError(reason)
    built = variant.build(model, recipe, dataset, cache=variant.Cache(),
                          progress=lambda fraction, line: common.log(line))
    target = _write(built.model.path, Path(args.output), model)
    notes = [n for s in built.stages for n in s["notes"]]
    data = {"path": str(target), "format": built.model.format.value, "size_bytes": built.model.size_bytes,
            "sha256": built.model.sha256, "recipe": recipe.to_dict(), "stages": built.stages}
    text = f"wrote {target}  {built.model.format.value}  {size(built.model.size_bytes)} (was {size(model.size_bytes)})"
    return data, "\n".join([text, *(f"note  {n}" for n in notes)])


def _data(args, model, recipe):
    """Data where a pass learns from it: --calibration, --training, --data, or the bundled model's own."""
    from .. import bundled, datasets, passes

    found = [passes.get(s.name) for s in recipe.steps]
    needing = [(p.title, "training" if p.needs_training else "calibration") for p in found
               if p.needs_calibration or p.needs_training]
    if not needing:
        return None
    if args.data:
        return datasets.load(args.data, model, calibration=args.calibration, training=args.training)
    if args.calibration or args.training:
        return datasets.calibration_only(args.calibration or args.training, model, training=args.training)
    if any(m.name == args.model for m in bundled.MODELS):
        return datasets.load(bundled.dataset_name(args.model), model)
    title, side = needing[0]
    raise InputError(f"{title} needs {side} samples: give --{side} {side[0].upper()}.npz")


def _write(source: Path, target: Path, model) -> Path:
    if target.is_dir():
        target = target / f"{model.name}{source.suffix}"
    if target.resolve() == Path(model.path).resolve():
        raise InputError(f"{target} is the input model; name another output")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copyfile(source, target)
            for extra in source.parent.glob("*.data"):  # ONNX external data keeps the name that the model refers to
                shutil.copyfile(extra, target.parent / extra.name)
    except OSError as error:
        raise InputError(f"cannot write {target}: {error.strerror}") from None
    return target
