"""A real JupyterLab and a real Chromium for the tests: servers on 127.0.0.1 with a token, in a folder of their own."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import Page
from playwright.sync_api import TimeoutError as PlaywrightTimeout

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "tests" / "output"
TOKEN = "browser-test"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-sync"]
# What ``make present`` gives to Voila.
PRESENT = re.search(r"/voila notebooks (.*) \$\(ARGS\)", (ROOT / "Makefile").read_text()).group(1).split()
_QUIET = {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}


def chromium() -> str | None:
    """Path of a Chromium or Chrome: the one named in WORKBENCH_CHROMIUM, one on the path, playwright's own, or None."""
    named = os.environ.get("WORKBENCH_CHROMIUM")
    found = [named, *(shutil.which(name) for name in NAMES), _playwrights_own()]
    return next((path for path in found if path and Path(path).exists()), None)


def install_chromium() -> str | None:
    """Lets playwright fetch its Chromium where there is a network; the path, or None."""
    command = [sys.executable, "-m", "playwright", "install", "chromium"]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=120)
    except (subprocess.SubprocessError, OSError):
        return None
    return _playwrights_own()


def _playwrights_own() -> str | None:
    folder = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache" / "ms-playwright")
    return next((str(p) for p in sorted(folder.glob("chromium-*/*/chrome"), reverse=True)), None)


class Server:
    """``jupyter lab`` or ``voila`` over copies of the notebooks.

    Args:
        folder: an empty folder for everything that the server writes.
        program: 'lab' or 'voila'.
    """

    def __init__(self, folder: Path, program: str = "lab") -> None:
        self.folder = folder
        self.notebooks = folder / "notebooks"
        self.notebooks.mkdir(parents=True)
        for notebook in (ROOT / "notebooks").glob("*.ipynb"):
            shutil.copy(notebook, self.notebooks)
        settings = folder / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
        settings.parent.mkdir(parents=True)
        settings.write_text(json.dumps(_QUIET))
        self.port = _free_port()
        self.log = folder / f"{program}.log"
        self._process = subprocess.Popen(
            [sys.executable, "-m", *self._command(program)], cwd=self.notebooks, env=self._environment(),
            stdout=self.log.open("w"), stderr=subprocess.STDOUT)
        self._wait(f"http://127.0.0.1:{self.port}/{'api' if program == 'lab' else 'static/voila.js'}")

    def _command(self, program: str) -> list[str]:
        if program == "voila":
            return ["voila", "--no-browser", f"--port={self.port}", ".", *PRESENT]
        return ["jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", f"--port={self.port}",
                f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={self.folder}"]

    def _environment(self) -> dict[str, str]:
        # As ``make present`` does; an ordinary JupyterLab does not mind.
        path = {"JUPYTER_PATH": str(ROOT / "workbench" / "views" / "jupyter")}
        own = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime",
               "JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
               "IPYTHONDIR": "ipython"}
        return {**os.environ, **path, **{name: str(self.folder / leaf) for name, leaf in own.items()}}

    def app(self, notebook: str) -> str:
        """Address of a notebook that Voila serves without its code."""
        return f"http://127.0.0.1:{self.port}/voila/render/{notebook}"

    def _wait(self, url: str) -> None:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{url}?token={TOKEN}", timeout=5)
                return
            except urllib.error.HTTPError:
                return  # it answers
            except OSError:
                assert self._process.poll() is None, f"the server ended:\n{self.log.read_text()[-2000:]}"
                time.sleep(0.25)
        raise AssertionError(f"the server does not answer:\n{self.log.read_text()[-2000:]}")

    def close(self) -> None:
        """Ends the server and its kernels."""
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Watch:
    """What a page did wrong: errors on its console, and requests that left this machine (they are blocked)."""

    def __init__(self, page: Page) -> None:
        self.errors: list[str] = []
        self.outside: list[str] = []
        page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.route(_leaves, self._block)

    def _block(self, route) -> None:
        self.outside.append(route.request.url)
        route.abort()


def run_notebook(page: Page, server: Server, name: str) -> None:
    """Opens a notebook, and no other, in JupyterLab, folds the file browser and runs all cells."""
    page.goto(f"http://127.0.0.1:{server.port}/lab/tree/notebooks/{name}?token={TOKEN}&reset")
    wait_for_kernel(page)
    page.keyboard.press("Control+B")
    run_all(page)


def wait_for_kernel(page: Page) -> None:
    """Waits until a notebook that is being opened, or was loaded again, can be used."""
    page.wait_for_selector(".jp-Notebook", timeout=120_000)
    page.wait_for_function("document.querySelector('#jp-main-statusbar')?.textContent.includes('| Idle')",
                           timeout=120_000)


def run_all(page: Page) -> None:
    """Runs all cells through the menu."""
    for _ in range(3):  # a click on the menu of a page that is still settling may be lost
        page.locator(".lm-MenuBar-item", has_text="Run").first.click()
        page.click('.lm-Menu-item[data-command="runmenu:run-all"]')
        try:
            page.wait_for_function("[...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')]"
                                   ".some(p => !p.textContent.includes('[ ]'))", timeout=20_000)
            return
        except PlaywrightTimeout:
            continue
    raise AssertionError("the notebook does not start to run")


def save(page: Page) -> None:
    """Saves the notebook by its key and waits until the server has it."""
    with page.expect_response(lambda r: r.request.method == "PUT" and "/api/contents/" in r.url) as saved:
        page.keyboard.press("Control+s")
    assert saved.value.ok


def keep(page: Page, name: str, **options: object) -> None:
    """A screenshot for people, in ``tests/output``."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=OUTPUT / f"{name}.png", **options)


def text(page: Page, selector: str) -> str:
    """All text in the elements of a selector."""
    return " ".join(page.locator(selector).all_text_contents())


def set_theme(page: Page, name: str) -> None:
    """Switches JupyterLab's theme through its menu."""
    page.locator(".lm-MenuBar-item", has_text="Settings").first.click()
    page.locator(".lm-Menu-item", has_text="Theme").first.hover()
    page.locator(".lm-Menu-itemLabel", has_text=re.compile(f"^{name}$")).click()


def _leaves(url: str) -> bool:
    return not url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:", "about:"))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
