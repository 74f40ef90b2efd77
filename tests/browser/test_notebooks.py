"""Notebook 02 in a real browser, driven by clicks: shared selection, graphs, reload, dark theme.

The tests run in this order, on one page.
"""

import pytest

from . import lab

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]

RUNNING = ("[...document.querySelectorAll('.wb-page [data-action=cancel]')].some(b => b.offsetParent) || "
           "[...document.querySelectorAll('.jp-InputPrompt')].some(p => p.textContent.includes('[*]'))")
TRACE = """name => [...document.querySelectorAll('.wb-chart-area')].flatMap(p => p.data || [])
    .filter(t => t.name === name).map(t => (t.x && (t.x.length ?? t.x._inputArray?.length)) || 0)"""


def wait_until_done(page):
    page.wait_for_timeout(3000)
    page.wait_for_function(f"!({RUNNING})", timeout=400_000)
    page.wait_for_timeout(1000)


@pytest.fixture(scope="module")
def tall(page):
    page.set_viewport_size({"width": 1280, "height": 6000})  # JupyterLab takes cells out of the page that are not seen
    return page


@pytest.fixture(scope="module")
def passes(tall, lab_server):
    lab.run_notebook(tall, lab_server, "02_graph_passes.ipynb")
    wait_until_done(tall)
    return tall


def test_every_cell_of_02_shows_what_it_found(passes):
    assert passes.locator(".wb-page .wb-tone-failed").all_text_contents() == []
    assert passes.locator(".wb-chart-area .main-svg").count() >= 3
    lab.OUTPUT.mkdir(parents=True, exist_ok=True)
    passes.screenshot(path=lab.OUTPUT / "notebook-02.png", full_page=True)


def test_a_row_that_is_chosen_has_its_ring_in_the_plot(passes):
    assert passes.evaluate(TRACE, "selected") == [0]
    passes.locator(".wb-page .wb-row", has_text="all at load").click()
    passes.wait_for_function(f"({TRACE})('selected')[0] === 1")
    passes.locator(".wb-page .wb-row.wb-on").press("ArrowDown")
    passes.wait_for_function("!document.querySelector('.wb-page .wb-row.wb-on').textContent.includes('all at load')")


def test_another_change_of_the_graph_is_one_choice_away(passes):
    select = passes.locator(".wb-page .widget-dropdown select").first
    titles = select.locator("option").all_text_contents()
    assert len(titles) >= 3
    select.select_option(label=titles[-1])
    assert select.input_value().split() == titles[-1].split()


def test_dark_theme_reaches_the_figures(passes):
    lab.set_theme(passes, "JupyterLab Dark")
    passes.wait_for_function("document.querySelector('.wb-chart-area').layout.template.layout.font.color === '#e6e6e6'")
    lab.set_theme(passes, "JupyterLab Light")


def test_reload_brings_the_figures_back_without_running(passes):
    passes.keyboard.press("Control+s")
    passes.wait_for_timeout(3000)
    passes.reload()
    passes.wait_for_selector(".wb-chart-area .main-svg", timeout=120_000)
    assert passes.locator(".wb-page .wb-row").count() >= 3


def test_no_errors_and_nothing_from_outside(passes):
    assert passes.watch.errors == []
    assert passes.watch.outside == []
