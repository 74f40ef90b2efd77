"""What the TFLite passes share: one conversion, its check against the source, and what became INT8.

Options: https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/post_training_quantization
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError, NotApplicable
from ..feeds import plain_name
from ..model import Model
from . import _check, _tf_export
from .base import PassContext

ACCEPTS = _tf_export.FORMATS
PACKAGES = {"tensorflow": "pip install tensorflow"}
EXCLUDES = frozenset({"int8", "float16"})
INT8_HINT = "allow float fallback, or use TFLite dynamic range"


class Converted(NamedTuple):
    """A TFLite file and how it answers.

    Attributes:
        path: the file.
        cosine: worst cosine to the source's outputs on one sample, or None when no sample could be run.
        ops: operator name -> count.
        int8_ops: the same for operators whose output is an 8-bit integer.
        notes: what a reader must know.
    """

    path: Path
    cosine: float | None
    ops: dict[str, int]
    int8_ops: dict[str, int]
    notes: tuple[str, ...]

    def details(self) -> dict[str, Any]:
        """Plain data for the views."""
        return {"cosine": self.cosine, "ops": self.ops, "int8_ops": self.int8_ops}


def convert(model: Model, context: PassContext, configure: Callable[[Any, _tf_export.Frozen], None], *,
            least_cosine: float = 0.0) -> Converted:
    """Converts with a converter that ``configure`` has set up.

    Args:
        model: Keras or SavedModel.
        context: of the pass.
        configure: sets the converter's options.
        least_cosine: agreement with the source below which the conversion counts as wrong.

    Raises:
        NotApplicable: TFLite lacks an operator, or the result does not load or answers differently.
        InputError: the file cannot be loaded.
    """
    context.progress(0.05, "loading TensorFlow and the model")
    notes: list[str] = []
    frozen = _tf_export.freeze(model)
    context.progress(0.3, "converting")
    try:
        content = _convert(frozen, configure)
    except NotApplicable as open_batch:
        if not any(s.shape[:1] == (None,) for s in model.inputs):
            raise
        frozen = _tf_export.freeze(model, batch=1)  # recurrent layers convert only with a known batch
        try:
            content = _convert(frozen, configure)
        except NotApplicable:
            raise open_batch from None
        notes.append("the batch is fixed to 1: this model does not convert with an open batch")
    path = context.workdir / "model.tflite"
    path.write_bytes(content)
    context.progress(0.8, "checking the result")
    cosine = _agreement(path, model, frozen, context)
    if cosine is not None:
        if cosine < least_cosine:
            raise NotApplicable(f"the converted model answers differently from the source (cosine {cosine:.4f} on one "
                                "sample); run the source's own format")
        notes.append(f"cosine to the source's outputs {cosine:.5f} on one sample")
    ops, int8_ops = operators(path)
    return Converted(path, cosine, ops, int8_ops, tuple(notes))


def _convert(frozen: _tf_export.Frozen, configure: Callable[[Any, _tf_export.Frozen], None]) -> bytes:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen.function], tf.Module())
    configure(converter, frozen)
    try:
        with _silent():
            return converter.convert()
    except (InputError, MemoryError):
        raise
    except Exception as error:  # ConverterError, ValueError and RuntimeError alike
        raise NotApplicable(f"TFLite cannot convert this model: {_cause(error)}") from None


def representative(model: Model, frozen: _tf_export.Frozen, context: PassContext, limit: int) -> Callable[[], Iterator]:
    """The generator that the converter calibrates with; keyed by the signature's input names.

    Raises:
        InputError: there are no calibration samples.
    """
    feeds = _check.calibration(context, model.inputs, limit)
    names = [t.name for t in frozen.signature]

    def samples() -> Iterator[dict[str, np.ndarray]]:
        for index, feed in enumerate(feeds):
            if index % 16 == 0:
                context.progress(0.3 + 0.4 * index / len(feeds), f"calibrating, sample {index} of {len(feeds)}")
            yield {n: feed[s.name] for n, s in zip(names, model.inputs, strict=True)}

    return samples


def operators(path: Path) -> tuple[dict[str, int], dict[str, int]]:
    """Operators in the file, and those with an 8-bit output; both empty where LiteRT cannot tell."""
    try:
        interpreter = _interpreter(path)
        kinds = {t["index"]: t["dtype"] for t in interpreter.get_tensor_details()}
        rows = [(op["op_name"], kinds.get(op["outputs"][0]) if len(op["outputs"]) else None)
                for op in interpreter._get_ops_details()]  # the only list of operators that LiteRT offers
    except Exception:  # a private call that a release may drop; the counts are a bonus
        return {}, {}
    return (dict(sorted(Counter(name for name, _ in rows).items())),
            dict(sorted(Counter(name for name, kind in rows if kind is np.int8).items())))


def _interpreter(path: Path) -> Any:
    if find_spec("ai_edge_litert"):
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
    else:
        from tensorflow.lite.python.interpreter import Interpreter, OpResolverType
    # The reference kernels show the graph as it is in the file, without a delegate's partitions.
    return Interpreter(str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)


def _agreement(path: Path, model: Model, frozen: _tf_export.Frozen, context: PassContext) -> float | None:
    """Worst cosine between the file and its source on one sample; None when no sample could be run.

    Raises:
        NotApplicable: the file does not load or run.
    """
    feed = _check.sample(context, model.inputs, model)
    if feed is None:
        return None
    try:
        wanted = frozen.call(feed)
    except Exception:  # a guessed feed may not suit the model
        return None
    try:
        with _silent():
            got = _run(path, {t.name: feed[s.name] for t, s in zip(frozen.signature, model.inputs, strict=True)},
                       frozen.outputs)
    except Exception as error:
        raise NotApplicable(f"LiteRT cannot run the result: {_cause(error)}") from None
    return _check.agreement(got, wanted)


def _run(path: Path, feed: dict[str, np.ndarray], outputs: list[str]) -> list[np.ndarray]:
    """Outputs in the model's order, quantized boundaries translated to real values."""
    interpreter = _interpreter(path)
    runner = interpreter.get_signature_runner()
    inputs, results = runner.get_input_details(), runner.get_output_details()
    by_plain = {plain_name(n): a for n, a in feed.items()}
    given = {}
    for name, detail in inputs.items():
        array = feed[name] if name in feed else by_plain[plain_name(name)]
        given[name] = _quantize(array, detail)
    answers = runner(**given)
    return [_real(answers[n], results[n]) for n in outputs]


def _quantize(array: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    scale, zero = detail["quantization"]
    if not scale or array.dtype.kind != "f":
        return array
    limits = np.iinfo(detail["dtype"])
    return np.clip(np.round(array / scale) + zero, limits.min, limits.max).astype(detail["dtype"])


def _real(array: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    scale, zero = detail["quantization"]
    return (array.astype(np.float32) - zero) * np.float32(scale) if scale else array


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """The converter and LiteRT write to the C streams; that must not reach anybody's output."""
    sys.stderr.flush()
    saved, sink = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(sink)


def _cause(error: BaseException) -> str:
    """The converter's reason: the line that names the operators, else the first line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    telling = [line for line in lines if "ops:" in line.lower() or "error:" in line.lower()]
    text = " ".join((telling or lines)[0].split())
    return text if len(text) <= 300 else text[:300].rstrip() + " ..."
