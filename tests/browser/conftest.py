"""Fixtures of the browser tests; without a Chromium they are skipped, loudly."""

from contextlib import closing

import pytest

playwright_api = pytest.importorskip("playwright.sync_api", reason="BROWSER TESTS SKIPPED: pip install playwright")

from . import lab  # noqa: E402  needs playwright


@pytest.fixture(scope="module")
def browser():
    # No longer than a module: Playwright keeps an event loop running in this thread, and asyncio.run refuses beside it.
    path = lab.chromium() or lab.install_chromium()
    if path is None:
        pytest.skip("BROWSER TESTS SKIPPED: no Chromium or Chrome found, and none could be installed; "
                    "install one or set WORKBENCH_CHROMIUM")
    with playwright_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=lab.FLAGS)
        yield found
        found.close()


@pytest.fixture(scope="session")
def lab_server(tmp_path_factory):
    with closing(lab.Server(tmp_path_factory.mktemp("lab"))) as server:
        yield server


@pytest.fixture(scope="module")
def page(browser):
    found = browser.new_page(viewport={"width": 1280, "height": 800})
    found.watch = lab.Watch(found)
    found.set_default_timeout(120_000)
    yield found
    found.close()
