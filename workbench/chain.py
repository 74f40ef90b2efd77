"""How the passes of a recipe fit together and on a model, told without running or importing anything heavy."""

from __future__ import annotations

import os
from dataclasses import replace
from importlib.util import find_spec

from . import passes
from .errors import InputError
from .model import Model, ModelFormat
from .recipe import Recipe, Step
from .runtimes import registry

FORMAT_TITLES = {
    ModelFormat.ONNX: "ONNX", ModelFormat.KERAS: "Keras", ModelFormat.KERAS2: "Keras 2",
    ModelFormat.SAVED_MODEL: "SavedModel", ModelFormat.TFLITE: "TFLite", ModelFormat.TORCHSCRIPT: "TorchScript",
    ModelFormat.TORCH_EXPORT: "torch.export",
}
_REBUILT = {ModelFormat.KERAS: ModelFormat.KERAS2}  # same layers, so that passes can tell from the original's file
_TAG_TITLES = {"int8": "already INT8", "float16": "already float16",
               "ort-optimized": "already optimized by the ORT graph pass", "sparse": "already pruned",
               "clustered": "already clustered", "qat": "trained for INT8", "xla": "already compiled by XLA",
               "grappler": "already optimized by Grappler"}


def complete(model: Model, recipe: Recipe) -> Recipe:
    """The recipe with everything spelt out: missing conversions, the runtime and its settings, the thread count.

    A step or runtime that cannot be reached is left as it is; :func:`problem` says why.
    """
    steps: list[Step] = []
    form = model.format
    for step in recipe.steps:
        found = passes.get(step.name)
        converter = _converter(form, found.accepts)
        if converter:
            steps.append(converter)
            form = passes.get(converter.name).produces
        steps.append(step)
        form = found.produces
    if recipe.runtime:
        converter = _converter(form, registry.info(recipe.runtime).formats)
    else:
        converter = None if registry.for_format(form) else _converter(form, (ModelFormat.ONNX,))
    if converter:
        steps.append(converter)
        form = passes.get(converter.name).produces
    runtime = recipe.runtime or _natural(form)
    steps = [replace(s, settings=s.settings.for_runtime(runtime)) for s in steps]
    settings = recipe.runtime_settings
    if settings is None and runtime:
        settings = registry.settings_class(runtime)()
    return replace(recipe, steps=tuple(steps), runtime=runtime, runtime_settings=settings,
                   threads=recipe.threads or _threads())


def problem(model: Model, recipe: Recipe) -> str | None:
    """Why a recipe cannot be built or run here: one sentence with cause and remedy, or None.

    Looks at formats, tags, packages, the runtime, the device and the batch. What only trying can tell comes out
    of :func:`workbench.variant.build`.
    """
    recipe = complete(model, recipe)
    form, telling = model.format, True
    tags: dict[str, str] = {}  # tag -> title of the pass that ensured it
    for index, step in enumerate(recipe.steps):
        found = passes.get(step.name)
        reason = _does_not_follow(found, form, tags) or _missing_package(found)
        if not reason and telling and (index == 0 or form == model.format or form == _REBUILT.get(model.format)):
            reason = found.why_not(model, step.settings)
        if reason:
            return reason
        form, telling = found.produces, telling and not found.changes_kind
        tags.update(dict.fromkeys(found.ensures, found.title))
    return _wrong_runtime(recipe) or _runtime_problem(recipe, form) or _batch_problem(model, recipe)


def _converter(form: ModelFormat, wanted: tuple[ModelFormat, ...]) -> Step | None:
    """The conversion that leads from a format to one of those wanted; None when none is needed or there is none."""
    if form in wanted:
        return None
    for name, _, _ in passes.PASSES:
        found = passes.get(name)
        if found.group == "convert" and form in found.accepts and found.produces in wanted:
            return Step(name, found.Settings())
    return None


def _natural(form: ModelFormat) -> str:
    """The best known runtime of a format, an installed one if there is one; '' when no runtime loads it."""
    rows = registry.for_format(form)
    present = [r for r in rows if registry.missing(r.name) is None]
    return (present or [*rows])[0].name if rows else ""


def _threads() -> int:
    try:
        from .measure import environment

        return environment.physical_threads()
    except (ImportError, OSError):  # an unusual system: count what Python sees
        return os.cpu_count() or 1


def _does_not_follow(found: passes.Pass, form: ModelFormat, tags: dict[str, str]) -> str | None:
    if form not in found.accepts:
        wanted = " or ".join(dict.fromkeys(FORMAT_TITLES[f] for f in found.accepts))
        return (f"{found.title} ({found.name}) works on {wanted}, which {FORMAT_TITLES[form]} cannot become: "
                "remove the pass, or start from another file of the model")
    clash = [t for t in found.excludes if t in tags]
    if clash:
        tag = sorted(clash)[0]
        state = _TAG_TITLES.get(tag, f"already '{tag}'")
        return (f"{found.title} ({found.name}) cannot follow {tags[tag]}: the model is then {state}; "
                "keep one of the two, or change their order")
    lacking = sorted(found.requires - set(tags))
    if lacking:
        makers = [passes.get(n).title for n, _, _ in passes.PASSES if lacking[0] in passes.get(n).ensures]
        return f"{found.title} ({found.name}) needs {' or '.join(makers) or lacking[0]} before it: add that pass first"
    return None


def _missing_package(found: passes.Pass) -> str | None:
    for package, install in found.packages.items():
        if find_spec(package) is None:
            return f"{found.title} ({found.name}) needs {package}, which is not installed; install it with: {install}"
    return None


def _wrong_runtime(recipe: Recipe) -> str | None:
    """A pass whose work only some runtimes can use."""
    for found in (passes.get(s.name) for s in recipe.steps):
        if not found.runs_on(recipe.runtime):
            able = " or ".join(registry.info(r).title for r in found.only_for)
            return f"{found.title} ({found.name}) is for {able} alone: choose that runtime, or leave the pass out"
    return None


def _runtime_problem(recipe: Recipe, form: ModelFormat) -> str | None:
    if not recipe.runtime:
        return f"no runtime here runs {FORMAT_TITLES[form]}: add a conversion to ONNX or TFLite"
    row = registry.info(recipe.runtime)
    if form not in row.formats:
        wanted = " or ".join(FORMAT_TITLES[f] for f in row.formats)
        able = " or ".join(r.title for r in registry.for_format(form)) or "a conversion to ONNX"
        return (f"{row.title} runs {wanted}, this recipe ends in {FORMAT_TITLES[form]} and there is no conversion "
                f"between them: choose {able}, or passes that end in {wanted}")
    reason = registry.missing(recipe.runtime)
    if reason or recipe.device == "cpu":
        return reason
    try:
        devices = registry.adapter(recipe.runtime).devices()
    except InputError as error:
        return str(error)
    reason = devices.get(recipe.device, f"{row.title} has no such device")
    return f"{row.title} on {recipe.device}: {reason}" if reason else None


def _batch_problem(model: Model, recipe: Recipe) -> str | None:
    """A batch above 1 needs a first axis that is free or has that size, in some input at least."""
    firsts = [s.shape[0] for s in model.inputs if s.shape]
    if recipe.batch == 1 or not firsts or any(not isinstance(d, int) or d == recipe.batch for d in firsts):
        return None
    return (f"the model fixes the first axis of '{model.inputs[0].name}' to {firsts[0]}: choose batch {firsts[0]}, "
            "or export the model with a free batch")
