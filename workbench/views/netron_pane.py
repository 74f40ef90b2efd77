"""'Open in Netron': a process of its own for each model, on this machine only, ended with the kernel."""

from __future__ import annotations

import atexit
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from datetime import date, timedelta
from html import escape
from pathlib import Path

import anywidget
import traitlets

from ..errors import InputError, MissingError, WorkbenchError

START_S = 30.0
LIFETIME_DAYS = 180  # Netron shows an update dialog instead of the model so long after its build
_ESM = Path(__file__).parent / "static" / "graph" / "netron.js"


class NetronServer:
    """One Netron over a lone copy of one file.

    In one process a second ``netron.serve`` would replace the content of the first, and its ``/data/`` hands out the
    whole folder of the model; so each model gets a process, and a folder with nothing else in it.

    Args:
        path: the model file; of a SavedModel folder only ``saved_model.pb`` is shown.

    Attributes:
        url: where it listens.

    Raises:
        InputError: there is no such file.
        MissingError: Netron is not installed.
        WorkbenchError: it did not start.
    """

    def __init__(self, path: str | Path) -> None:
        source = Path(path)
        source = source / "saved_model.pb" if source.is_dir() else source
        if not source.is_file():
            raise InputError(f"no model file at {source}: choose the file again")
        if importlib.util.find_spec("netron") is None:
            raise MissingError("Netron is not installed: pip install netron")
        self._folder = Path(tempfile.mkdtemp(prefix="workbench-netron-"))
        try:
            copy = self._folder / safe_name(source.name)
            shutil.copyfile(source, copy)
            self._process = subprocess.Popen([sys.executable, "-m", "workbench.views.netron_serve", str(copy)],
                                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            self.url = f"http://127.0.0.1:{self._port()}/"
        except BaseException:
            self.close()
            raise
        atexit.register(self.close)

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def close(self) -> None:
        """Ends the process and removes the copy; harmless when repeated."""
        process = getattr(self, "_process", None)
        if process is not None and process.poll() is None:
            process.stdin.close()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
        atexit.unregister(self.close)

    def _port(self) -> int:
        alarm = threading.Timer(START_S, self._process.kill)
        alarm.start()
        try:
            line = self._process.stdout.readline()
        finally:
            alarm.cancel()
        try:
            return int(json.loads(line)["port"])
        except (ValueError, KeyError, TypeError):
            raise WorkbenchError("Netron did not start: try it in a shell with 'netron FILE' to see why") from None


class NetronPane(anywidget.AnyWidget):
    """A button that shows a model in Netron in a new tab, with the text that says what this does.

    Args:
        path: of the model, None when there is none yet; see :meth:`show`.
        name: of the model, for people.
        compact: in one line, with the text behind an 'i'; for a row of controls.
    """

    _esm = _ESM.read_text("utf-8")
    label = traitlets.Unicode("").tag(sync=True)
    about = traitlets.Unicode("").tag(sync=True)
    enabled = traitlets.Bool(False).tag(sync=True)
    compact = traitlets.Bool(False).tag(sync=True)

    def __init__(self, path: str | Path | None = None, name: str = "", *, compact: bool = False) -> None:
        self._servers: dict[Path, NetronServer] = {}
        self._path: Path | None = None
        super().__init__(label="Open in Netron", about=about(), compact=compact)
        self.on_msg(self._receive)
        self.show(path, name)

    def show(self, path: str | Path | None, name: str = "") -> None:
        """Chooses the model that the button opens; those that are open stay open."""
        self._path = Path(path) if path is not None else None
        self.label = f"Open {name} in Netron" if name else "Open in Netron"
        self.enabled = self._path is not None

    def start(self) -> str:
        """Starts the process for the chosen model, unless it runs; returns its address."""
        if self._path is None:
            raise InputError("no model is chosen: choose one first")
        running = self._servers.get(self._path)
        if running is None or not running.alive:
            self._servers[self._path] = running = NetronServer(self._path)
        return running.url

    def close(self) -> None:
        """Ends all processes that it started."""
        for server in self._servers.values():
            server.close()
        self._servers.clear()
        super().close()

    def _receive(self, _widget: object, message: object, _buffers: object) -> None:
        if not isinstance(message, dict) or message.get("type") != "open":
            return
        try:
            self.send({"type": "opened", "url": self.start(), "ticket": message.get("ticket")})
        except (WorkbenchError, OSError) as error:
            self.send({"type": "failed", "reason": str(error), "ticket": message.get("ticket")})


def safe_name(name: str) -> str:
    """A file name that means nothing to HTML or a URL, since Netron writes it into its page as it is."""
    clean = re.sub(r"[^A-Za-z0-9._-]+", "_", name).lstrip(".")
    return clean[-120:] or "model"


def built_on() -> date | None:
    """The day the installed Netron was built, from its own page; None when that cannot be told."""
    spec = importlib.util.find_spec("netron")
    if spec is None or not spec.submodule_search_locations:
        return None
    page = Path(next(iter(spec.submodule_search_locations))) / "index.html"
    try:
        found = re.search(r'<meta name="date" content="(\d{4})-(\d\d)-(\d\d)', page.read_text("utf-8"))
        return date(*(int(part) for part in found.groups())) if found else None
    except (OSError, ValueError):
        return None


def about() -> str:
    """What opening does, in plain words, as HTML."""
    day = built_on()
    end = f" This one was built on {day}: it works until {day + timedelta(days=LIFETIME_DAYS)}." if day else ""
    return escape(
        "Netron is a viewer by others. It opens in a new tab, from a process of its own on this computer (127.0.0.1), "
        "which serves a copy of this one file, without a password, to programs on this computer, and ends with the "
        "kernel. In your browser it may ask for consent and report its use to its maker where there is a network. It "
        f"stops working {LIFETIME_DAYS} days after its build and asks for an update.{end} When the notebook runs on "
        "another computer, forward the port first.")
