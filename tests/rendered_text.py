"""Text drawn with Pillow, as input of text recognition and detection models."""

import random
import string

import numpy as np
from PIL import Image, ImageDraw, ImageFont

LETTERS = string.ascii_uppercase + string.digits
WIDTH = 200  # where the model leaves the width open


def draw(width: int, height: int, seed: int) -> Image.Image:
    """A word or, on a large image, several, in dark colours on a light ground."""
    rng = random.Random(seed)
    image = Image.new("RGB", (width, height), tuple(rng.randint(180, 255) for _ in "rgb"))
    pen = ImageDraw.Draw(image)
    for _ in range(1 if height < 100 else 6):
        word = "".join(rng.choice(LETTERS) for _ in range(rng.randint(4, 6)))
        place = (rng.randint(2, max(3, width // 4)), rng.randint(0, max(1, height - 45)))
        pen.text(place, word, fill=tuple(rng.randint(0, 120) for _ in "rgb"),
                 font=ImageFont.load_default(size=rng.randint(28, 42)))
    return image


def text_feeds(model, count: int, start: int = 0) -> list[dict[str, np.ndarray]]:
    """Feeds for a model with one image input, NCHW: grey in 0..1, or colour in 0..255 (as its package feeds it)."""
    spec = model.inputs[0]
    channels, height, width = (d if isinstance(d, int) else WIDTH for d in spec.shape[1:])
    feeds = []
    for seed in range(start, start + count):
        pixels = np.asarray(draw(width, height, seed), np.float32)
        array = pixels.mean(-1)[None] / 255 if channels == 1 else pixels.transpose(2, 0, 1)
        feeds.append({spec.name: np.ascontiguousarray(array[None])})
    return feeds
