"""First look at a path: does it exist, can it be read, and if it is no model, what is it?"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from ..errors import InputError
from . import archive
from .base import Probe

HEAD = 512
READS = "ONNX, Keras (.keras, .h5), SavedModel, TFLite, TorchScript or torch.export (.pt2)"

# What people hand over by mistake: first bytes -> what it is and what to do.
_KNOWN: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "is a Git LFS pointer, not the file itself: run 'git lfs pull'"),
    (b"\x93NUMPY", "is a NumPy array: data, not a model; give it as data"),
    (b"\x1f\x8b", "is gzip-compressed: unpack it first"),
    (b"BZh", "is bzip2-compressed: unpack it first"),
    (b"\xfd7zXZ", "is xz-compressed: unpack it first"),
    (b"(\xb5/\xfd", "is zstd-compressed: unpack it first"),
    (b"7z\xbc\xaf", "is a 7-Zip archive: unpack it first"),
    (b"GGUF", f"is a GGUF language model, which the workbench does not read; it reads {READS}"),
    (b"\x7fELF", "is a compiled program, which is never run from here; give the model it was made from"),
    (b"MZ", "is a compiled program, which is never run from here; give the model it was made from"),
    (b"\x89PNG", "is an image: data, not a model"),
    (b"\xff\xd8\xff", "is an image: data, not a model"),
    (b"%PDF", "is a PDF document, not a model"),
    (b"SQLite format 3", "is a database, not a model; open a study with study=..."),
)
_BY_SUFFIX = {  # formats without a mark of their own at the start
    ".pb": "looks like a frozen TensorFlow graph, which does not say what its inputs and outputs are: export a "
           "SavedModel, or name them in 'python -m tf2onnx.convert --graphdef FILE --inputs x:0 --outputs y:0 --output "
           "model.onnx'",
    ".pdmodel": "is a Paddle model: convert it with paddle2onnx",
    ".mlmodel": "is a Core ML model: give the model it was made from",
    ".engine": "is a TensorRT engine, made for one GPU: give the model it was made from",
    ".caffemodel": "is a Caffe model: convert it to ONNX first",
}
_CHECKPOINT = ("is a pickled PyTorch checkpoint (weights or objects, no graph), and unpickling would run code: "
               "in the program that made it, export the model with torch.export.save or torch.jit.save")


def probe(path: Path) -> Probe:
    """Looks at a path without running or unpacking anything.

    Raises:
        InputError: missing, unreadable, empty, not a file or folder, or a damaged archive.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            with os.scandir(path) as entries:
                return Probe(path, True, b"", tuple(sorted(e.name for e in entries)))
        if not stat.S_ISREG(mode):
            raise InputError(f"{path} is a device or pipe, not a file")
        with path.open("rb") as stream:
            head = stream.read(HEAD)
    except FileNotFoundError:
        raise InputError(f"no such file: {path}; check the path (the current folder is {Path.cwd()})") from None
    except PermissionError:
        raise InputError(f"no permission to read {path}: change its mode or copy it") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot read {str(path)[:200]!r}: {reason}") from None
    if not head:
        raise InputError(f"{path} is empty: copy or download it again")
    members = archive.names(path) if head.startswith(b"PK\x03\x04") else ()
    return Probe(path, False, head, members)


def explain(found: Probe) -> str:
    """One sentence why this is no model that the workbench reads, and what to do."""
    reason = _explain_folder(found) if found.is_dir else _explain_zip(found) if found.members else _explain_file(found)
    return f"{found.path.name or found.path} {reason}"


def is_safetensors(head: bytes) -> bool:
    """Eight bytes of length, then JSON."""
    return re.match(rb"(?s).{8}\{\s*\"", head) is not None


def _explain_folder(found: Probe) -> str:
    models = [n for n in found.members if n.endswith((".onnx", ".keras", ".h5", ".tflite", ".pt2", ".pt"))]
    if models:
        return f"is a folder without saved_model.pb: give the model file inside it, e.g. {found.path / models[0]}"
    return "is a folder without saved_model.pb, so it is no SavedModel: give the model file or its export folder"


def _explain_zip(found: Probe) -> str:
    if all(n.endswith(".npy") for n in found.members):
        return "is a NumPy .npz archive: data, not a model; give it as data"
    if any(n.endswith("data.pkl") for n in found.members):
        return _CHECKPOINT
    if any("aotinductor/" in n for n in found.members):
        return ("is an AOTInductor package: compiled code, which is never run from here; "
                "save the exported program with torch.export.save")
    inside = [n for n in found.members if n.endswith((".onnx", ".keras", ".h5", ".tflite", ".pb", ".pt2"))]
    if inside:
        return f"is a zip archive with '{inside[0]}' inside: unpack it and give that file"
    return f"is a zip archive but no model; the workbench reads {READS}"


def _explain_file(found: Probe) -> str:
    head = found.head
    for magic, reason in _KNOWN:
        if head.startswith(magic):
            return reason
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "is an HTML page, probably a download that failed: open the link in a browser and save the file itself"
    if start.startswith(b"<?xml") or start.startswith(b"<net"):
        return f"is XML (OpenVINO IR?), which is not read; give the model it was made from: {READS}"
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05":
        return _CHECKPOINT
    if is_safetensors(head):
        return "is a safetensors file: weights without a graph; export the whole model (ONNX, SavedModel, .pt2)"
    return _BY_SUFFIX.get(found.path.suffix.lower(), f"is no model that the workbench reads ({READS}), or is damaged")
