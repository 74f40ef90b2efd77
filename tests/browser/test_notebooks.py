"""Notebooks 02 and 08 in a real browser, driven by clicks: selection, graphs, reload, theme; search, budget, bundle.

The tests run in this order, on one page.
"""

import re

import pytest

from . import lab

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]

RUNNING = ("[...document.querySelectorAll('.wb-page [data-action=cancel]')].some(b => b.offsetParent) || "
           "[...document.querySelectorAll('.jp-InputPrompt')].some(p => p.textContent.includes('[*]'))")
CANCEL = '[data-action="cancel"]'
MEASURE = re.compile(r"Measure \d+ cells?")
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
    lab.keep(passes, "notebook-02", full_page=True)


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
    lab.save(passes)
    passes.reload()
    passes.wait_for_selector(".wb-chart-area .main-svg", timeout=120_000)
    assert passes.locator(".wb-page .wb-row").count() >= 3


@pytest.fixture(scope="module")
def tuned(tall, lab_server):
    lab.run_notebook(tall, lab_server, "08_tune.ipynb")
    wait_until_done(tall)
    return tall


def test_08_recommends_and_its_bundle_runs(tuned, lab_server):
    assert tuned.locator(".wb-page .wb-tone-failed").all_text_contents() == []
    said = lab.text(tuned, ".wb-page")
    assert "samples that the search did not use" in said and "last round, side by side" in said
    bundle = lab_server.notebooks / "bundles" / "tuned"
    assert {"predict.py", "recipe.yaml", "measurement.json", "report.html"} <= {p.name for p in bundle.iterdir()}
    assert "in a process of its own" in said  # it answered
    lab.keep(tuned, "notebook-08", full_page=True)


def test_a_latency_budget_is_answered_at_once(tuned):
    budget = tuned.locator(".widget-dropdown select", has=tuned.locator("option", has_text="trading"))
    told = tuned.locator(".wb-card").filter(has=budget).first
    assert "Without a budget" in told.inner_text()
    budget.select_option(label=next(o for o in budget.locator("option").all_text_contents() if "imaging" in o))
    told.get_by_text(re.compile("Within 2[.0]* s")).first.wait_for()
    handle = told.locator(".noUi-handle")
    for _ in range(3):  # the slider by keys
        handle.press("ArrowLeft")
    tuned.wait_for_function("s => [...document.querySelectorAll('select')].some(n => n.value === s)", arg="own budget")


def test_open_cells_are_one_click_away_and_cancel_stops(tuned):
    tuned.get_by_role("button", name=MEASURE).click()
    tuned.get_by_role("button", name="Cancel").last.click()
    kept, all_done = tuned.get_by_text("what was finished is kept"), tuned.get_by_role("button", name="All measured")
    kept.or_(all_done).first.wait_for()


def test_a_second_search_is_cancelled_and_the_best_stays(tuned):
    cell = tuned.locator(".jp-CodeCell", has_text="bench.tune(")
    cell.locator(".cm-content").click()
    tuned.keyboard.press("Control+Enter")
    cell.locator(CANCEL).click()
    cell.locator("text=/samples that the search did not use|what was finished is kept/").first.wait_for()


def test_no_errors_and_nothing_from_outside(tall):
    assert tall.watch.errors == []
    assert tall.watch.outside == []
