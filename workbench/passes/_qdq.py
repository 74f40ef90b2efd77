"""QDQ quantization in three separate steps, so that ranges are found once and serve any number of quantized graphs.

Options: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError, NotApplicable
from . import _onnx_int8, _onnx_io, _onnx_scope, _qdq_place
from ._calibrated import METHODS

OPS = tuple(sorted(_onnx_scope.COMPUTE | _onnx_scope.CARRY))
_BATCH = 8  # calibration samples whose histograms are merged at once


class Options(NamedTuple):
    """How tensors become integers.

    Attributes:
        per_channel: one scale for each output channel of the weights.
        reduce_range: weights in 7 bits.
        activation_bits: 8 or 16.
        symmetric: activations are signed, around zero.
        after: where pairs stand, see :mod:`workbench.passes._qdq_place`.
    """

    per_channel: bool = True
    reduce_range: bool = False
    activation_bits: int = 8
    symmetric: bool = False
    after: str = _qdq_place.AFTER_CONV


def calibrate(model: Any, feeds: list[dict[str, np.ndarray]], *, method: str = "minmax", percentile: float = 99.999,
              progress: Callable[[float], None] = lambda fraction: None) -> Any:
    """Ranges of all tensors that could be quantized.

    Args:
        model: a prepared ``ModelProto``.
        feeds: calibration samples under the model's input names.
        method: of :data:`METHODS`.
        percentile: share of values inside the range, for method 'percentile'.
        progress: called with the fraction done.

    Returns:
        ``onnxruntime.quantization.calibrate.TensorsData``.

    Raises:
        NotApplicable: the model cannot be calibrated; the cause.
    """
    from onnxruntime.quantization.calibrate import CalibrationMethod, create_calibrator

    extra = {"percentile": percentile, "symmetric": False} if method == "percentile" else {}
    step = 1 if method == "minmax" else _BATCH  # sample by sample where sizes may differ and merging is exact
    with tempfile.TemporaryDirectory(prefix="workbench-") as folder, silent():
        source = _onnx_io.save(model, Path(folder) / "prepared.onnx")
        try:
            calibrator = create_calibrator(
                source, list(OPS), augmented_model_path=str(Path(folder) / "augmented.onnx"),
                calibrate_method=getattr(CalibrationMethod, METHODS[method]), extra_options=extra)
            for start in range(0, len(feeds), step):
                calibrator.collect_data(_Reader(feeds[start:start + step]))
                progress((start + step) / len(feeds))
            return calibrator.compute_data()
        except (InputError, MemoryError):
            raise
        except Exception as error:  # the calibrator meets graphs that nobody has seen
            raise NotApplicable(f"the model cannot be calibrated: {_onnx_io.one_line(error)}") from None


def quantize(model: Any, ranges: Any, options: Options, keep_float: tuple[str, ...] = ()) -> Any:
    """A QDQ graph from known ranges.

    Args:
        model: the ``ModelProto`` that was calibrated; not changed.
        ranges: of :func:`calibrate`.
        options: how.
        keep_float: names of nodes that stay in float.

    Returns:
        the quantized ``ModelProto``.

    Raises:
        NotApplicable: the quantizer cannot handle the graph, or inputs or outputs would change.
    """
    import onnx
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    if options.activation_bits == 16:
        kind = QuantType.QInt16 if options.symmetric else QuantType.QUInt16
    else:
        kind = QuantType.QInt8 if options.symmetric else QuantType.QUInt8
    extra = {**_qdq_place.quantizer_options(options.after), "ActivationSymmetric": options.symmetric,
             "WeightSymmetric": True,
             "UseQDQContribOps": options.activation_bits == 16}  # standard QDQ has 16 bits only from opset 21 on
    try:
        with silent():
            quantizer = QDQQuantizer(copy, options.per_channel, options.reduce_range, QuantType.QInt8, kind, ranges, [],
                                     _onnx_scope.float_nodes(model, tuple(keep_float)), list(OPS), extra)
            quantizer.quantize_model()
            made = quantizer.model.model
    except MemoryError:
        raise
    except Exception as error:  # the quantizer meets graphs that nobody has seen
        raise NotApplicable(f"the quantizer cannot handle this graph: {_onnx_io.one_line(error)}") from None
    _qdq_place.drop_unread(model, made, options.after)
    if not _onnx_int8.same_signature(model, made):
        raise NotApplicable("the quantizer would change the model's inputs or outputs")
    return made


@contextlib.contextmanager
def silent() -> Any:
    """The quantization tools print and log advice about steps that were done."""
    with _onnx_int8.quiet(), contextlib.redirect_stdout(io.StringIO()):
        yield


class _Reader:
    """Samples in the form of ``onnxruntime.quantization.CalibrationDataReader``."""

    def __init__(self, feeds: list) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> dict | None:
        return next(self._feeds, None)

    def __iter__(self) -> Any:
        return self._feeds
