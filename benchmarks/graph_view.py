"""How quickly the graph pair shows and moves, in a headless Chromium: ``python benchmarks/graph_view.py [--out FILE]``.

Prints a Markdown table. 'First paint' is from the data's arrival (packed bytes in the page) to the first picture;
'frame' is the time to draw one picture while panning and zooming with every block open, with the pixels read back so
that nothing stays queued; 'longest stop' is the longest time the page could not react while it opened the data.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from playwright.sync_api import sync_playwright  # noqa: E402

from tests import graph_payloads  # noqa: E402
from tests.browser import lab  # noqa: E402
from workbench.views import graph_html, graph_pack  # noqa: E402

CASES = ((3_000, True, 3), (10_000, True, 3), (10_000, False, 3), (100_000, True, 3))
ZOOMS = (1.0, 0.5, 0.2, 0.05, 0.01)

_WATCH = """() => {
  window.longest = 0; let last = performance.now();
  const tick = () => { const now = performance.now(); window.longest = Math.max(window.longest, now - last); last = now;
    setTimeout(tick, 0); };
  tick();
}"""
_MOVE = """(zooms) => {
  const view = document.querySelector('[data-graphdiff]').graphdiff.view, started = performance.now();
  const all = view.scene.openAll(); view.relayout(() => view.scene.root);
  const layout = performance.now() - started, frames = [];
  const boxes = [...view.scene.items(0)].length + [...view.scene.items(1)].length;
  for (const zoom of zooms) {
    view.view.z = zoom; view.view.y = view.scene.root.h * 0.3;
    for (let i = 0; i < 40; i += 1) {
      view.view.y += 25 / zoom; if (i % 4 === 0) view.view.z *= 1.01;
      const start = performance.now();
      view.paint(); view.ctx.getImageData(0, 0, 1, 1);
      frames.push(performance.now() - start);
    }
  }
  frames.sort((a, b) => a - b);
  return { all, layout, boxes, median: frames[frames.length >> 1], p95: frames[Math.floor(frames.length * 0.95)] };
}"""


def run(browser, count: int, named: bool, hubs: int, folder: Path) -> list[str]:
    """One row of the table."""
    payload = graph_payloads.stack(count, named, hubs)
    started = time.perf_counter()
    packed = len(graph_pack.pack(payload))
    pack_s = time.perf_counter() - started
    path = folder / "pair.html"
    path.write_text(graph_html.to_html(payload), "utf-8")
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(300_000)
    page.add_init_script(f"({_WATCH})()")
    page.goto(path.as_uri())
    page.wait_for_selector("[data-ready]")
    first = float(page.evaluate("document.querySelector('[data-graphdiff]').dataset.paintMs"))
    longest = page.evaluate("window.longest")
    moved = page.evaluate(_MOVE, list(ZOOMS))
    page.close()
    names = "names" if named else "no names"
    opened = f"{moved['boxes']:,} boxes" + ("" if moved["all"] else " (limit)")
    return [f"{len(payload['before']['nodes']):,} → {len(payload['after']['nodes']):,}, {names}, {hubs} hubs",
            f"{pack_s:.2f} s", f"{packed / 1e6:.2f} MB", f"{first:.0f} ms", f"{longest:.0f} ms",
            f"{moved['layout']:.0f} ms, {opened}", f"{moved['median']:.1f} ms", f"{moved['p95']:.1f} ms"]


def table(rows: list[list[str]]) -> str:
    """Markdown."""
    head = ["nodes", "pack (Python)", "packed", "first paint, collapsed", "longest stop", "open all", "frame, median",
            "frame, p95"]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    parser.add_argument("--most", type=int, default=100_000, help="leave out larger graphs")
    options = parser.parse_args()
    path = lab.chromium()
    if path is None:
        print("no Chromium found: install one or set WORKBENCH_CHROMIUM", file=sys.stderr)
        return 1
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=path, args=lab.FLAGS)
        rows = [run(browser, *case, Path(folder)) for case in CASES if case[0] <= options.most]
        version = browser.version
        browser.close()
    text = (f"{datetime.date.today()}, {platform.machine()}, {os.cpu_count()} cores, load {load:.1f} at the start, "
            f"headless Chromium {version} without GPU, 1280x800\n\n{table(rows)}\n")
    print(text)
    if options.out:
        options.out.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
