"""The top bar: model, data, device and text size, with uploads in pieces."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import traitlets as t

from ...errors import InputError
from .. import theme
from ..choices import Group
from .base import Handler, Pane, script

MAX_UPLOAD = 4 << 30
_MODEL_FILES = ".onnx,.keras,.h5,.tflite,.pt,.pt2,.ts,.zip"
_DATA_FILES = ".npz,.csv"


class Item(NamedTuple):
    """One line of a picker's list."""

    id: str
    title: str
    note: str
    on: bool = False
    reason: str = ""


class Picker(Pane):
    """Sends ``open`` (kind, source), ``uploaded`` (kind, path), ``device`` (id), ``text`` (size) and ``dismiss``."""

    _esm = script("picker")
    model = t.Dict().tag(sync=True)
    data = t.Dict().tag(sync=True)
    device = t.List().tag(sync=True)
    text = t.List().tag(sync=True)
    error = t.Unicode().tag(sync=True)
    busy = t.Unicode().tag(sync=True)

    def __init__(self, on_event: Handler) -> None:
        empty = {"label": "", "title": "", "note": "", "items": [], "placeholder": "", "accept": "", "help": ""}
        super().__init__(self._route, model=empty, data=empty)
        self._handler = on_event
        self._uploads: dict[str, _Upload] = {}
        self.draw_text(theme.FONT_SIZES[0])

    def draw_model(self, title: str, note: str, items: list[Item]) -> None:
        """Shows which model is open and which are at hand."""
        self.model = {
            "label": "Model", "title": title, "note": note, "items": [i._asdict() for i in items],
            "accept": _MODEL_FILES, "placeholder": "path of a model: model.onnx, model.keras, saved_model/ …",
            "help": "ONNX, Keras, SavedModel, TFLite, TorchScript or torch.export. A folder, or a file with weights "
                    "beside it, opens by its path."}

    def draw_data(self, title: str, note: str, items: list[Item]) -> None:
        """Shows which data set is open and which are at hand."""
        self.data = {
            "label": "Data", "title": title, "note": note, "items": [i._asdict() for i in items],
            "accept": _DATA_FILES, "placeholder": "path of data: samples.npz, table.csv, images/ …",
            "help": ".npz with one array for each input and optional labels, CSV, or a folder of images in class "
                    "folders."}

    def draw_device(self, group: Group) -> None:
        """Shows CPU and GPU."""
        self.device = [{"id": c.id, "title": c.title, "summary": c.summary, "on": c.on, "reason": c.reason}
                       for c in group.choices]

    def draw_text(self, size: int) -> None:
        """Marks the text size in use."""
        shown = zip(theme.FONT_SIZES, ("A", "A+"), ("Text for the desk", "Text for a room"), strict=True)
        self.text = [{"id": str(s), "title": title, "summary": hint, "on": s == size, "reason": ""}
                     for s, title, hint in shown]

    def _route(self, message: dict[str, Any], buffers: list[memoryview]) -> None:
        if message["type"] != "chunk":
            self._handler(message, buffers)
            return
        try:
            path = self._receive_chunk(message, bytes(buffers[0]) if buffers else b"")
        except (InputError, OSError, KeyError, TypeError, ValueError) as error:
            self._uploads.pop(str(message.get("token")), None)
            self.send({"type": "stop", "token": message.get("token")})
            self.show(error=f"upload failed: {error}", busy="")
            return
        if path:
            self.busy = ""
            self._handler({"type": "uploaded", "kind": message["kind"], "path": str(path)}, [])

    def _receive_chunk(self, message: dict[str, Any], part: bytes) -> Path | None:
        token = str(message["token"])
        upload = self._uploads.setdefault(token, _Upload(str(message["name"]), int(message["size"])))
        done = upload.add(int(message["offset"]), part)
        self.busy = f"uploading {upload.path.name}: {100 * upload.received // max(1, upload.size)} %"
        self.send({"type": "stop" if done else "next", "token": token})
        return self._uploads.pop(token).path if done else None


class _Upload:
    """A file that arrives in pieces, kept in a folder of its own for as long as the process lives."""

    def __init__(self, name: str, size: int) -> None:
        if not 0 <= size <= MAX_UPLOAD:
            raise InputError("the file is larger than 4 GB; copy it beside the notebook and open it by its path")
        self._folder = tempfile.TemporaryDirectory(prefix="workbench-upload-")
        self.path = Path(self._folder.name) / (Path(name.replace("\\", "/")).name or "upload")
        self.size, self.received = size, 0
        _KEPT.append(self._folder)

    def add(self, offset: int, part: bytes) -> bool:
        """Appends a piece; True when the file is whole."""
        if offset != self.received:
            raise InputError("pieces arrived out of order; upload the file again")
        with self.path.open("ab") as file:
            file.write(part)
        self.received += len(part)
        if self.received > self.size:
            raise InputError("the file grew while it was read; upload it again")
        return self.received == self.size


_KEPT: list[tempfile.TemporaryDirectory] = []
