"""The main job in a real browser: notebook 00 in JupyterLab, a toggle, a measurement, a point.

The tests run in this order, on one page.
"""

import os

import pytest

from workbench.measure import turn

from . import lab

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

NAME = ".wb-row .wb-name"
POINTS = "[...document.querySelectorAll('.wb-plot-area')].flatMap(p => p.data ? p.data.flatMap(t => t.ids || []) : [])"

FONT = "document.querySelector('.wb-plot-area').layout.template.layout.font"


@pytest.fixture(scope="module")
def dashboard(page, lab_server):
    lab.run_notebook(page, lab_server, "00_workbench.ipynb")
    page.wait_for_selector(".wb-plot .main-svg")
    page.evaluate("document.querySelector('.wb-root').scrollIntoView({block: 'start'})")
    return page


def idle(page):
    page.wait_for_selector('[data-action="cancel"][aria-disabled="true"]')


def choose(page, choice):
    page.click(f'[data-choice="{choice}"]')
    page.wait_for_selector(f'[data-choice="{choice}"]:checked')


def test_opens_with_every_pane_in_place(dashboard):
    for pane in (".wb-top", ".wb-rail", ".wb-headline", ".wb-plot", ".wb-table", ".wb-tabs", ".wb-bar"):
        assert dashboard.locator(pane).is_visible(), pane
    groups = dashboard.locator(".wb-group-title").all_text_contents()
    assert [g for g in groups if g in ("Graph", "Precision", "Runtime", "Threads", "Batch")] == [
        "Graph", "Precision", "Runtime", "Threads", "Batch"]
    assert "GPU" in lab.text(dashboard, ".wb-segments")


def test_what_cannot_be_used_says_why(dashboard):
    dashboard.hover('[data-segment="device/gpu"]')
    dashboard.wait_for_selector(".wb-tip")
    assert "GPU" in lab.text(dashboard, ".wb-tip")
    dashboard.mouse.move(2, 2)


def test_toggle_moves_the_runtime_along(dashboard):
    choose(dashboard, "precision/int8-static")
    dashboard.wait_for_selector('[data-choice="runtime/onnxruntime"]:checked')
    assert "Runtime moved to ONNX Runtime" in lab.text(dashboard, ".wb-note")


def test_measuring_adds_points_while_the_rest_stays_usable(dashboard):
    dashboard.click('[data-action="measure"]')
    dashboard.wait_for_selector('[data-action="measure"][aria-disabled="true"]')
    choose(dashboard, "threads/1")  # the kernel answers while it measures
    choose(dashboard, "threads/2")
    assert dashboard.locator('[data-action="cancel"]').get_attribute("aria-disabled") == "false", "still measuring"
    idle(dashboard)
    dashboard.wait_for_function(f"{POINTS}.length >= 2")
    assert any("INT8 static" in name for name in dashboard.locator(NAME).all_text_contents())
    assert "INT8 static on ONNX Runtime is" in lab.text(dashboard, ".wb-headline .wb-line")
    lab.keep(dashboard, "dashboard-light")


def test_another_notebook_that_measures_is_waited_for(dashboard):
    status = "document.querySelector('.wb-bar').textContent"
    with turn.machine():
        dashboard.click('[data-action="measure"]')
        dashboard.wait_for_function(f"{status}.includes('another notebook or command (process {os.getpid()})')")
        lab.keep(dashboard, "dashboard-waits")
    idle(dashboard)
    dashboard.wait_for_function(f"{status}.includes('done in')")


def test_what_was_measured_answers_from_the_study(dashboard):
    choose(dashboard, "precision/float32")
    dashboard.wait_for_function("document.querySelector('.wb-headline .wb-line').textContent.includes('not measured')")
    choose(dashboard, "precision/int8-static")
    dashboard.wait_for_function("document.querySelector('.wb-headline .wb-line').textContent.startsWith('INT8 static')")
    assert "INT8 static" in lab.text(dashboard, ".wb-row.wb-on .wb-name")


def test_row_and_toggles_show_the_same_variant(dashboard):
    baseline = dashboard.locator(".wb-row", has=dashboard.locator(".wb-tag", has_text="baseline"))
    baseline.click()
    dashboard.wait_for_selector('[data-choice="runtime/tensorflow"]:checked')
    dashboard.locator(".wb-row.wb-on").press("ArrowUp")
    dashboard.wait_for_selector('[data-choice="precision/int8-static"]:checked')


def test_cancel_stops_and_leaves_everything_usable(dashboard):
    choose(dashboard, "precision/int8-dynamic")
    dashboard.click('[data-action="measure"]')
    dashboard.wait_for_selector('[data-action="cancel"][aria-disabled="false"]')
    dashboard.click('[data-action="cancel"]')
    idle(dashboard)
    assert "cancelled" in lab.text(dashboard, ".wb-bar .wb-line")
    assert dashboard.locator('[data-action="measure"]').get_attribute("aria-disabled") == "false"


def test_a_wrong_path_is_one_line_where_it_was_typed(dashboard):
    dashboard.click('[data-pick="model"]')
    dashboard.fill(".wb-path", "/no/such/model.onnx")
    dashboard.keyboard.press("Enter")
    dashboard.wait_for_selector(".wb-error")
    assert "/no/such/model.onnx" in lab.text(dashboard, ".wb-error")
    assert "Traceback" not in lab.text(dashboard, ".wb-root")
    dashboard.locator(".wb-error .wb-link").click()
    dashboard.wait_for_selector(".wb-error", state="detached")


def test_an_upload_becomes_the_model(dashboard, light_models):
    dashboard.click('[data-pick="model"]')
    smallest = min(light_models, key=lambda path: path.stat().st_size)
    dashboard.set_input_files(".wb-panel input[type=file]", smallest)
    dashboard.wait_for_function(
        f"document.querySelector('[data-pick=model] .wb-select-title').textContent === '{smallest.stem}'")
    dashboard.wait_for_function(
        "document.querySelector('[data-pick=data] .wb-select-title').textContent === 'random inputs'")
    dashboard.click('[data-pick="model"]')
    dashboard.click('[data-item="cnn"]')
    dashboard.wait_for_function("document.querySelector('[data-pick=model] .wb-select-title').textContent === 'cnn'")
    dashboard.wait_for_function(f"{POINTS}.length >= 2")


def test_dark_theme_reaches_widgets_and_plot(dashboard):
    lab.set_theme(dashboard, "JupyterLab Dark")
    dashboard.wait_for_selector(".wb-root.wb-dark")
    dashboard.wait_for_function(f"{FONT}.color === '#e6e6e6'")
    lab.keep(dashboard, "dashboard-dark")


def test_large_text_for_a_room(dashboard):
    dashboard.click('[data-segment="text/20"]')
    dashboard.wait_for_function("getComputedStyle(document.querySelector('.wb-rail')).fontSize === '20px'")
    dashboard.wait_for_function(f"{FONT}.size === 20")
    lab.keep(dashboard, "dashboard-large")


def test_no_errors_and_nothing_from_outside(dashboard):
    assert dashboard.watch.errors == []
    assert dashboard.watch.outside == []
