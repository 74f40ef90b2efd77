"""How long a user waits in notebook 00: ``python benchmarks/dashboard.py [--n 3]``.

A real JupyterLab and a real Chromium, the full measuring plan, a new study each time. Three waits, in seconds: from the
start of the cell to the drawn dashboard; from the click on Measure to the final verdict of static INT8 on the bundled
CNN; from a toggle that was measured before to the sentence about it (median of ten toggles).
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import common  # noqa: E402
from tests.browser import lab  # noqa: E402

NAME = "00_workbench.ipynb"
_LINE = "document.querySelector('.wb-headline .wb-line').textContent"
# Timed inside the page: the wait of a test driver between two looks is longer than the answer.
_TOGGLE = """([choice, start]) => new Promise((done) => {
  const line = document.querySelector('.wb-headline .wb-line'), from = performance.now();
  const look = () => line.textContent.startsWith(start) ? done((performance.now() - from) / 1000)
    : requestAnimationFrame(look);
  document.querySelector(`[data-choice="${choice}"]`).click();
  requestAnimationFrame(look);
})"""


def main() -> None:
    """Runs all rounds and prints the table."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=3, help="rounds, each with a server and a study of its own")
    args = parser.parse_args()
    os.environ.pop("WORKBENCH_QUICK", None)
    print(f"{common.machine_line()}; load {os.getloadavg()[0]:.1f} at the start\n")
    print("| round | cell to dashboard | click to verdict | toggle measured before | verdict |")
    print("|---|---|---|---|---|")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=lab.chromium(), args=lab.FLAGS)
        for number in range(1, args.n + 1):
            with tempfile.TemporaryDirectory(prefix="workbench-") as folder:
                os.environ["WORKBENCH_CACHE"] = str(Path(folder) / "cache")
                server = lab.Server(Path(folder) / "lab")
                try:
                    print(_round(browser, server, number), flush=True)
                finally:
                    server.close()


def _round(browser, server: lab.Server, number: int) -> str:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(180_000)
    lab.run_notebook(page, server, NAME)
    start = time.monotonic()
    page.wait_for_selector(".wb-plot .main-svg")
    page.wait_for_selector('[data-choice="precision/int8-static"]')
    opened = time.monotonic() - start
    page.evaluate("document.querySelector('.wb-root').scrollIntoView({block: 'start'})")
    time.sleep(5)  # someone who looks before they click
    page.click('[data-choice="precision/int8-static"]')
    page.wait_for_selector('[data-choice="runtime/onnxruntime"]:checked')
    start = time.monotonic()
    page.click('[data-action="measure"]')
    page.wait_for_selector('[data-action="cancel"][aria-disabled="false"]')
    page.wait_for_selector('[data-action="cancel"][aria-disabled="true"]')
    measured = time.monotonic() - start
    verdict = page.evaluate(_LINE)
    waits = []
    for _ in range(10):
        page.click('[data-choice="precision/float32"]')
        page.wait_for_function(f"{_LINE}.includes('not measured')")
        waits.append(page.evaluate(_TOGGLE, ["precision/int8-static", verdict[:20]]))
    page.close()
    return f"| {number} | {opened:.1f} | {measured:.1f} | {statistics.median(waits):.2f} | {verdict} |"


if __name__ == "__main__":
    main()
