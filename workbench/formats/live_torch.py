"""Saves live PyTorch objects; called only with such objects, so PyTorch is loaded already."""

from __future__ import annotations

import io
import logging
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import InputError
from .base import example_options
from .torchscript import side_file

Written = tuple[Path, tuple[str, ...]]


class Examples(NamedTuple):
    """Example inputs as the module is called with them."""

    args: tuple
    kwargs: dict[str, Any]


def save_exported(program: Any, stem: Path, examples: Any) -> Written:
    """Writes an ExportedProgram as .pt2."""
    import torch

    path = stem.with_name(stem.name + ".pt2")
    torch.export.save(program, path)
    return path, ()


def save_script(module: Any, stem: Path, examples: Any) -> Written:
    """Writes a TorchScript module as .pt, the examples' shapes inside."""
    import torch

    path = stem.with_name(stem.name + ".pt")
    extra = side_file(example_options(examples)) if examples is not None else {}
    torch.jit.save(module, str(path), _extra_files=extra)
    return path, ()


def save_module(module: Any, stem: Path, examples: Any) -> Written:
    """Exports a torch module in eval mode: the batch free if the module allows it, as TorchScript if all else fails.

    Raises:
        InputError: no example inputs, or the module can neither be exported nor traced.
    """
    module = getattr(module, "_orig_mod", module)  # of torch.compile
    if examples is None:
        raise InputError(f"torch module {type(module).__name__} does not say what it takes: give "
                         "example_inputs=(tensor, ...), one sample of the right shapes")
    given = _examples(module, examples)
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # attempts that fail would fill the notebook with traces
    try:
        quiet = io.StringIO()
        with warnings.catch_warnings(), redirect_stdout(quiet), redirect_stderr(quiet):
            warnings.simplefilter("ignore")
            return _export(module, stem, given, examples)
    finally:
        logging.disable(disabled)
        for part, training in modes:
            part.training = training


def _export(module: Any, stem: Path, given: Examples, examples: Any) -> Written:
    import torch

    problems = []
    free = _free_batch(given)
    attempts = [(free, "exported with a free batch")] if free else []
    attempts.append(((given, None), "exported with the batch of the example: the module does not take others"))
    for (inputs, dynamic), note in attempts:
        try:
            with torch.no_grad():
                program = torch.export.export(module, inputs.args, inputs.kwargs, dynamic_shapes=dynamic)
            return save_exported(program, stem, None)[0], (note,)
        except Exception as error:  # torch.export raises a dozen kinds; each means 'try the next way'
            problems.append(error)
    try:
        traced = torch.jit.trace(module, given.args or None, example_kwarg_inputs=given.kwargs or None)
    except Exception:
        cause = " ".join(str(problems[-1]).split())[:240]
        raise InputError(f"cannot export torch module {type(module).__name__}: {cause}") from None
    path, _ = save_script(traced, stem, examples)
    return path, ("torch.export failed, so it was traced: branches are fixed as the example took them",)


def _examples(module: Any, examples: Any) -> Examples:
    import torch

    device = next((p.device for p in module.parameters()), torch.device("cpu"))

    def tensor(value: Any) -> Any:
        return torch.as_tensor(value).detach().clone().to(device)  # exporting leaves marks on its example

    if isinstance(examples, dict):
        return Examples((), {name: tensor(value) for name, value in examples.items()})
    if isinstance(examples, (list, tuple)):
        return Examples(tuple(map(tensor, examples)), {})
    return Examples((tensor(examples),), {})


def _free_batch(given: Examples) -> tuple[Examples, Any] | None:
    """Examples of batch 2 or more (one of 1 would be taken for a constant) and their free axis; None if they have none.

    Scalars take part as they are; all other inputs must agree on axis 0.
    """
    import torch

    tensors = [*given.args, *given.kwargs.values()]
    sizes = {t.shape[0] for t in tensors if t.ndim}
    if len(sizes) != 1:
        return None
    batch = torch.export.Dim("batch")

    def grown(t: Any) -> Any:
        return torch.cat([t, t]) if t.ndim and t.shape[0] == 1 else t.clone()

    def axis(t: Any) -> Any:
        return {0: batch} if t.ndim else None

    inputs = Examples(tuple(map(grown, given.args)), {n: grown(t) for n, t in given.kwargs.items()})
    dynamic = {n: axis(t) for n, t in given.kwargs.items()} if given.kwargs else tuple(map(axis, given.args))
    return inputs, dynamic
