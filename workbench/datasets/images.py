"""Images: a folder with one sub-folder a class, and the fitting of any picture to a model's image input."""

from __future__ import annotations

import hashlib
import os
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import InputError
from ..model import Model, TensorSpec
from .types import Raw

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
MAX_IMAGES, MAX_BYTES = 4000, 2**29  # what is read of a large folder: as many, or as much memory as float32
_MAX_PIXELS = 100_000_000  # one file; more is a decompression bomb rather than a sample
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}

# How 0..255 becomes what the model was trained on: (value - mean) / scale.
RANGES: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "0..1": ((0.0,), (255.0,)),
    "-1..1": ((127.5,), (127.5,)),
    "0..255": ((0.0,), (1.0,)),
    "imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),  # torchvision's mean and deviation, RGB
}


class Layout(NamedTuple):
    """Where height, width and channels stand in an image input; ``height`` and ``width`` None if free."""

    height: int | None
    width: int | None
    channels: int
    channels_first: bool
    rank: int


def layout(spec: TensorSpec, pinned: tuple[int, ...] | None = None) -> Layout | None:
    """Reads an input's shape as one of images [N, H, W, C], [N, C, H, W] or [N, H, W]; None when it is not."""
    shape = spec.shape if pinned is None or len(pinned) != len(spec.shape) else pinned
    sizes = [d if isinstance(d, int) else None for d in shape]
    if len(sizes) == 3:
        return Layout(sizes[1], sizes[2], 1, False, 3)
    if len(sizes) != 4:
        return None
    if sizes[3] in _MODES and not (sizes[1] in _MODES and sizes[2] == sizes[3]):
        return Layout(sizes[1], sizes[2], sizes[3], False, 4)
    if sizes[1] in _MODES:
        return Layout(sizes[2], sizes[3], sizes[1], True, 4)
    return None


def read(folder: Path, model: Model, pixels: str) -> Raw:
    """Reads a folder of class folders (labels by name order), or a flat folder of images without labels.

    Every image is turned upright, converted to the input's channels, resized (bilinear, aspect ratio not kept) to
    the input's size and scaled to ``pixels``. Of a large folder a part is read that depends on file names alone.

    Raises:
        InputError: a file is not an image, there is one class only, or the model takes no images.
    """
    spec, place = image_input(model, str(folder))
    classes, files = _listing(folder)
    height, width = place.height, place.width
    if height is None or width is None:
        first = _open(files[0][0], place.channels)
        height, width = height or first.height, width or first.width
    chosen = _part(files, folder, most_images(place, height, width))
    table = np.empty((len(chosen), height, width, place.channels), np.uint8)
    for i, (path, _) in enumerate(chosen):
        image = _open(path, place.channels).resize((width, height), resample=2)
        table[i] = np.asarray(image, np.uint8).reshape(height, width, place.channels)
    notes = [f"images resized to {height}x{width}, {_MODES[place.channels]}"]
    if len(chosen) < len(files):
        notes.append(f"{len(chosen):,} of {len(files):,} images were read")
    arrays, range_note = arrange(table, spec, place, pixels)
    labels = np.array([label for _, label in chosen], np.int64) if classes else None
    return Raw({spec.name: arrays}, labels, classes, (*notes, range_note))


def image_input(model: Model, source: str) -> tuple[TensorSpec, Layout]:
    """The model's one image input.

    Raises:
        InputError: there are several inputs, or it takes no images.
    """
    if len(model.inputs) != 1:
        raise InputError(f"{source} holds images, the model has {len(model.inputs)} inputs: give an .npz with an array "
                         "for each")
    spec = model.inputs[0]
    place = layout(spec, dict(model.fix).get(spec.name))
    if place is None or spec.dtype == "str" or spec.dtype == "bool":
        shape = ", ".join("?" if d is None else str(d) for d in spec.shape)
        raise InputError(f"{source} holds images, the model's input '{spec.name}' is {spec.dtype} [{shape}], neither "
                         "[N, H, W, C] nor [N, C, H, W] with 1, 3 or 4 channels: pin sizes with fix={...} or give "
                         "an .npz")
    return spec, place


def arrange(table: np.ndarray, spec: TensorSpec, place: Layout, pixels: str) -> tuple[np.ndarray, str]:
    """uint8 [n, h, w, c] becomes the input's layout and range.

    Returns:
        array that :func:`fit` takes, and a note that states the range.
    """
    if pixels not in RANGES:
        raise InputError(f"pixels is '{pixels}'; allowed: {', '.join(RANGES)}")
    if spec.dtype.startswith(("float", "bfloat")):
        mean, scale = (np.array(v, np.float32) for v in RANGES[pixels])
        if mean.size not in (1, place.channels):
            raise InputError(f"pixels '{pixels}' is for RGB, the model takes {place.channels} channels: use 0..1")
        table = (table.astype(np.float32) - mean) / scale
        note = f"pixels scaled to {pixels}"
    elif spec.dtype == "int8":
        table = (table.astype(np.int16) - 128).astype(np.int8)
        note = "pixels shifted to -128..127 for an int8 input"
    else:
        note = "pixels left at 0..255"
    if place.rank == 3:
        return np.ascontiguousarray(table[..., 0]), note
    return np.ascontiguousarray(table.transpose(0, 3, 1, 2) if place.channels_first else table), note


def most_images(place: Layout, height: int, width: int) -> int:
    """How many images of that size are kept in memory."""
    return max(1, min(MAX_IMAGES, MAX_BYTES // (height * width * place.channels * 4)))


def resize(table: np.ndarray, place: Layout) -> np.ndarray:
    """uint8 [n, h, w, c] fitted to a layout's size and channels; unchanged where it fits already."""
    from PIL import Image

    height, width = place.height or table.shape[1], place.width or table.shape[2]
    if table.shape[1:] == (height, width, place.channels):
        return table
    out = np.empty((len(table), height, width, place.channels), np.uint8)
    for i, row in enumerate(table):
        image = Image.fromarray(row[..., 0] if row.shape[2] == 1 else row).convert(_MODES[place.channels])
        out[i] = np.asarray(image.resize((width, height), 2)).reshape(height, width, place.channels)
    return out


def _listing(folder: Path) -> tuple[tuple[str, ...] | None, list[tuple[Path, int]]]:
    """Class names (None for a flat folder) and (file, label) in name order."""
    subfolders = sorted((p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")), key=_natural)
    flat = _images_in(folder, deep=False)
    if not subfolders:
        if not flat:
            raise InputError(f"{folder} holds no images ({', '.join(SUFFIXES[:4])}, ...): give a folder with one "
                             "sub-folder of images a class")
        return None, [(p, 0) for p in flat]
    if flat:
        raise InputError(f"{folder} holds images beside class folders, e.g. {flat[0].name}: move them into one")
    files = [(p, label) for label, sub in enumerate(subfolders) for p in _images_in(sub, deep=True)]
    filled = {label for _, label in files}
    if not files:
        raise InputError(f"the folders in {folder} hold no images: give one sub-folder of images a class")
    if len(subfolders) == 1:
        raise InputError(f"{folder} holds one class folder only, '{subfolders[0].name}': give one sub-folder a class, "
                         "or put the images in one flat folder to go without labels")
    empty = [sub.name for label, sub in enumerate(subfolders) if label not in filled]
    if empty:
        raise InputError(f"class folder '{empty[0]}' in {folder} holds no images: fill it or remove it, "
                         "as labels follow the order of the folders")
    return tuple(sub.name for sub in subfolders), files


def _natural(path: Path) -> tuple:
    """Numbers in number order, words in word order."""
    return (0, int(path.name), "") if path.name.isdecimal() and len(path.name) < 10 else (1, 0, path.name)


def _images_in(folder: Path, *, deep: bool) -> list[Path]:
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [f for f in folders if not f.startswith(".")] if deep else []
        found += [Path(place) / n for n in names if n.lower().endswith(SUFFIXES) and not n.startswith(".")]
    return sorted(found)


def _part(files: list[tuple[Path, int]], folder: Path, most: int) -> list[tuple[Path, int]]:
    """At most so many files, in an order that mixes the classes and depends on file names alone."""
    return sorted(files, key=lambda f: hashlib.sha256(str(f[0].relative_to(folder)).encode()).digest())[:most]


def _open(path: Path, channels: int):
    """One image, upright, in the wanted channels; 16-bit greys become 8-bit."""
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                if image.width * image.height > _MAX_PIXELS:
                    raise InputError(f"{path} has {image.width}x{image.height} pixels, more than is read: make it "
                                     "smaller")
                image = ImageOps.exif_transpose(image)
                if image.mode.startswith("I"):
                    image = Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
                return image.convert(_MODES[channels])
    except InputError:
        raise
    except Exception as error:  # decoders raise many kinds for a damaged file
        reason = (str(error) or type(error).__name__).splitlines()[0][:80]
        raise InputError(f"{path} is not an image that can be read ({reason}): remove or replace it") from None


def pixels_of(image, channels: int) -> np.ndarray:
    """uint8 [h, w, c] of a path, a PIL image or a uint8 array.

    Raises:
        InputError: it is no image.
    """
    from PIL import Image

    if isinstance(image, str | Path):
        image = _open(Path(image), channels)
    elif isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim in (2, 3):
        flat = image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image
        image = Image.fromarray(flat).convert(_MODES[channels])
    elif isinstance(image, Image.Image):
        image = image.convert(_MODES[channels])
    else:
        raise InputError(f"{type(image).__name__} is no image: give a path, a PIL image or a uint8 array [h, w, c]")
    return np.asarray(image, np.uint8).reshape(image.height, image.width, channels)
