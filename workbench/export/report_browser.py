"""PDF and PNG through Chromium: found on this machine, run without a window and without a network."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from ..errors import InputError, MissingError

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
_MAC = tuple(f"/Applications/{name}.app/Contents/MacOS/{name}" for name in ("Google Chrome", "Chromium"))
# The page is ours and asks for nothing, so that the sandbox, which needs rights that containers lack, may stay off.
_FLAGS = ("--headless=new", "--disable-gpu", "--no-sandbox", "--no-first-run", "--disable-background-networking",
          "--disable-sync", "--hide-scrollbars", "--virtual-time-budget=8000")
TIMEOUT_S = 90


def chromium() -> str | None:
    """Path of a Chromium, Chrome or Edge: WORKBENCH_CHROMIUM, one on the path, Playwright's own, or None."""
    folder = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache" / "ms-playwright")
    own = sorted(folder.glob("chromium-*/*/chrome"), reverse=True) if folder.is_dir() else []
    found = [os.environ.get("WORKBENCH_CHROMIUM"), *(shutil.which(name) for name in NAMES), *_MAC, *map(str, own)]
    return next((path for path in found if path and Path(path).exists()), None)


def pdf(html: str, path: Path, *, slides: bool = False) -> Path:
    """Prints a page to PDF.

    Raises:
        MissingError: there is no Chromium.
        InputError: printing failed, or the file cannot be written.
    """
    from .report import put

    with tempfile.TemporaryDirectory(prefix="workbench-print-", ignore_cleanup_errors=True) as folder:
        out = Path(folder) / "out.pdf"
        _run(html, Path(folder), ["--no-pdf-header-footer", f"--print-to-pdf={out}"], out)
        return put(path, out.read_bytes())


def png(svg: str, path: Path, width: int, height: int, *, zoom: float = 2.0) -> Path:
    """Draws an SVG as PNG, ``zoom`` pixels a unit; raises as :func:`pdf` does."""
    from .report import put

    style = "<style>body { margin: 0 } svg { display: block }</style>"
    page = f'<!doctype html><meta charset="utf-8">{style}{svg.split("?>", 1)[-1]}'
    with tempfile.TemporaryDirectory(prefix="workbench-print-", ignore_cleanup_errors=True) as folder:
        out = Path(folder) / "out.png"
        _run(page, Path(folder), [f"--window-size={width},{height}", f"--force-device-scale-factor={zoom:g}",
                                  f"--screenshot={out}"], out)
        return put(path, out.read_bytes())


def _run(html: str, folder: Path, options: list[str], out: Path) -> None:
    program = chromium()
    if program is None:
        raise MissingError("PDF and PNG need Chromium or Chrome, which is not installed; install one, or name it in "
                           "WORKBENCH_CHROMIUM, or open the HTML report and print it from there")
    page = folder / "page.html"
    page.write_text(html, "utf-8")
    command = [program, *_FLAGS, f"--user-data-dir={folder / 'profile'}", *options, page.as_uri()]
    try:
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        late = f"Chromium did not finish within {TIMEOUT_S} s: try again, or print the HTML report yourself"
        raise InputError(late) from None
    if not out.exists():
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no message"]
        raise InputError(f"Chromium could not print: {last[0][:200]}; open the HTML report and print it from there")
