"""The ONNX passes on models that nobody here trained: OCR models of the ddddocr wheel, light topologies of onnx."""

import hashlib
import string
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from workbench import model as models
from workbench import passes
from workbench.errors import NotApplicable
from workbench.passes import PassContext

from . import pass_parts as parts

pytestmark = pytest.mark.slow
SMALL = ("light_squeezenet", "light_shufflenet", "light_inception_v1")


def words(count: int, seed: int = 0) -> list[np.ndarray]:
    """Rendered random words, 64 pixels high, grey 0..1, of different widths."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        text = "".join(rng.choice(list(string.ascii_letters + string.digits), int(rng.integers(3, 8))))
        font = ImageFont.load_default(size=int(rng.integers(28, 46)))
        image = Image.new("L", (int(font.getlength(text)) + 20, 64), int(rng.integers(180, 256)))
        ImageDraw.Draw(image).text((10, 8), text, fill=int(rng.integers(0, 90)), font=font)
        made.append(np.asarray(image, np.float32)[None, None] / 255)
    return made


def pages(count: int, seed: int = 0) -> list[np.ndarray]:
    """Rendered 416 x 416 pictures with a few letters, 0..255, channels first."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        image = Image.new("RGB", (416, 416), tuple(int(v) for v in rng.integers(120, 256, 3)))
        for _ in range(4):
            font = ImageFont.load_default(size=int(rng.integers(30, 70)))
            ImageDraw.Draw(image).text(tuple(int(v) for v in rng.integers(0, 330, 2)), str(rng.choice(
                list(string.ascii_letters))), fill=tuple(int(v) for v in rng.integers(0, 120, 3)), font=font)
        made.append(np.asarray(image, np.float32).transpose(2, 0, 1)[None])
    return made


def samples(path: Path, count: int, seed: int = 0) -> list[dict]:
    if path.stem == "common":
        return [{"input1": a} for a in words(count, seed)]
    return [{"images": a} for a in pages(count, seed)]


@pytest.mark.parametrize("stem,floor", [("common", 0.99), ("common_det", 0.99)])
def test_static_int8_of_published_ocr_models_stays_close_to_float(stem, floor, ocr_models, tmp_path):
    path = next(p for p in ocr_models if p.stem == stem)
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    source, found = models.load(path), passes.get("onnx-int8-static")
    made = found.apply(source, found.Settings(), PassContext(tmp_path, tuple(samples(path, 6))))
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before
    result = models.load(made.path)
    assert result.size_bytes < 0.6 * source.size_bytes
    assert [s.name for s in result.inputs + result.outputs] == [s.name for s in source.inputs + source.outputs]
    unseen = samples(path, 3, seed=1)
    cosines = [parts.cosine(parts.run(made.path, f)[0], parts.run(path, f)[0]) for f in unseen]
    assert np.mean(cosines) >= floor, cosines
    convolutions = sum(op == "Conv" for op in made.details["ops"].values())
    assert sum(made.details["ops"][n] == "Conv" for n in made.details["quantized"]) == convolutions


def test_an_ocr_model_that_comes_quantized_is_refused_and_still_optimized(ocr_models, tmp_path):
    path = next(p for p in ocr_models if p.stem == "common_old")
    source = models.load(path)
    for name in ("onnx-int8-static", "onnx-int8-dynamic", "onnx-float16"):
        found = passes.get(name)
        with pytest.raises(NotApplicable, match="quantized already"):
            found.apply(source, found.Settings(), PassContext(tmp_path, ({"input1": words(1)[0]},)))
    found = passes.get("onnx-graph-level")
    made = found.apply(source, found.Settings(), PassContext(tmp_path, ({"input1": words(1)[0]},)))
    assert made.details["after"] < made.details["before"]


@pytest.mark.parametrize("name", ["onnx-float16", "onnx-int8-dynamic", "onnx-graph-level"])
def test_the_recognition_model_keeps_its_answer(name, ocr_models, tmp_path):
    """Its file declares a wrong output rank, keeps weights in Constant nodes and has an old opset."""
    path = next(p for p in ocr_models if p.stem == "common")
    source, found = models.load(path), passes.get(name)
    feeds = samples(path, 2)
    made = found.apply(source, found.Settings(), PassContext(tmp_path, (feeds[0],)))
    ours, theirs = parts.run(made.path, feeds[1])[0], parts.run(path, feeds[1])[0]
    assert ours.shape == theirs.shape and parts.cosine(ours, theirs) > 0.99


@pytest.mark.parametrize("name", ["onnx-graph-level", "onnx-float16", "onnx-int8-static"])
@pytest.mark.parametrize("stem", SMALL)
def test_light_topologies_pass_through(stem, name, light_models, tmp_path):
    """Opset 9, weights made by ConstantOfShape from shapes that are also inputs, hundreds of unnamed nodes."""
    path = next(p for p in light_models if p.stem == stem)
    source, found = models.load(path), passes.get(name)
    context = parts.context(source, tmp_path, 2)
    made = found.apply(source, found.Settings(), context)
    result = models.load(made.path)
    assert [(s.name, s.shape) for s in result.inputs] == [(s.name, s.shape) for s in source.inputs]
    ours, theirs = parts.run(made.path, context.calibration[0])[0], parts.run(path, context.calibration[0])[0]
    assert parts.cosine(ours, theirs) > 0.98
