"""The same notebook served by Voila, without JupyterLab around it."""

import pytest

from . import lab

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]


def test_dashboard_draws_and_answers_in_voila(browser, tmp_path):
    server = lab.Server(tmp_path / "voila", "voila")
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    watch = lab.Watch(page)
    try:
        page.goto(f"http://127.0.0.1:{server.port}/?token={lab.TOKEN}", timeout=120_000)
        page.wait_for_selector(".wb-plot .main-svg", timeout=180_000)
        page.click('[data-choice="precision/int8-static"]')
        page.wait_for_selector('[data-choice="runtime/onnxruntime"]:checked', timeout=60_000)
        lab.OUTPUT.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=lab.OUTPUT / "dashboard-voila.png", full_page=True)
        ours = [url for url in watch.outside if "fortawesome" not in url]  # Voila's own template asks for that font
        assert ours == []
    finally:
        page.close()
        server.close()
