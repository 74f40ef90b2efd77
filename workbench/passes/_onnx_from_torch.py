"""TorchScript and torch.export programs to ONNX with PyTorch's own exporters."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import InputError, NotApplicable
from ..model import Model, ModelFormat
from . import _onnx_io


def export(model: Model, opset: int, feed: dict[str, np.ndarray] | None,
           ) -> tuple[Any, Callable[[dict[str, np.ndarray]], list[np.ndarray]]]:
    """The converted ``ModelProto`` and a function that runs the source on a feed.

    Args:
        model: TorchScript or torch.export; the reader has refused files that would run code.
        opset: operator set to write.
        feed: one whole feed; TorchScript is traced with it.

    Raises:
        NotApplicable: the exporter gave up; says why.
        InputError: the file cannot be loaded.
    """
    import torch

    warnings.filterwarnings("ignore")
    buffer = io.BytesIO()
    with torch.no_grad(), contextlib.redirect_stdout(io.StringIO()):
        if model.format == ModelFormat.TORCHSCRIPT:
            module = _load(model, lambda path: torch.jit.load(path, map_location="cpu").eval())
            _script(module, model, opset, feed, buffer)
        else:
            program = _load(model, torch.export.load)
            module = program.module()
            _program(program, opset, buffer)
    import onnx

    converted = onnx.load_from_string(buffer.getvalue())
    return converted, lambda given: _run(module, model, given)


def _load(model: Model, loader: Callable[[str], Any]) -> Any:
    try:
        return loader(str(model.path))
    except Exception as error:  # torch raises many kinds
        raise InputError(f"cannot load {model.name} for conversion: {_onnx_io.one_line(error)}") from None


def _script(module: Any, model: Model, opset: int, feed: dict[str, np.ndarray] | None, buffer: io.BytesIO) -> None:
    import torch

    if feed is None:
        raise NotApplicable("TorchScript is converted with one sample: choose a data set, or fix the input shapes")
    example = tuple(torch.from_numpy(np.array(feed[s.name])) for s in model.inputs)
    specs = (*model.inputs, *model.outputs)
    open_axes = {s.name: {i: d or f"{s.name}_{i}" for i, d in enumerate(s.shape) if not isinstance(d, int)}
                 for s in specs if "..." not in s.shape}
    try:
        torch.onnx.export(module, example, buffer, input_names=[s.name for s in model.inputs],
                          output_names=[s.name for s in model.outputs], opset_version=opset, dynamo=False,
                          dynamic_axes={k: v for k, v in open_axes.items() if v})
    except Exception as error:
        raise NotApplicable(f"PyTorch cannot export this TorchScript module: {_onnx_io.one_line(error)}") from None


def _program(program: Any, opset: int, buffer: io.BytesIO) -> None:
    import torch

    try:
        exported = torch.onnx.export(program, dynamo=True, opset_version=max(opset, 18), verbose=False)
        buffer.write(exported.model_proto.SerializeToString())
    except Exception as error:
        raise NotApplicable(f"PyTorch cannot export this program: {_onnx_io.one_line(error)}") from None


def _run(module: Any, model: Model, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
    import torch

    with torch.no_grad():
        answers = module(*(torch.from_numpy(np.array(feed[s.name])) for s in model.inputs))
    return [t.numpy() for t in _flat(answers)]


def _flat(value: Any) -> list[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [t for item in value for t in _flat(item)]
    return [value]
