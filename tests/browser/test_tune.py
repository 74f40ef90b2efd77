"""The tune pane in a real browser: limits, a live search, cancel, the recommendation, the bundle.

The tests run in this order, on one page.
"""

import pytest

from . import lab

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]

IDLE = '[data-action="cancel"][aria-disabled="true"]'


@pytest.fixture(scope="module")
def board(page, lab_server):
    lab.run_notebook(page, lab_server, "00_workbench.ipynb")
    page.wait_for_selector(".wb-plot .main-svg")
    page.evaluate("document.querySelector('.wb-root').scrollIntoView({block: 'start'})")
    page.locator(".wb-tabs .lm-TabBar-tab", has_text="Tune").click()
    page.wait_for_selector('[data-term="minutes"]')
    return page


def fill(page, term, value):
    page.fill(f'[data-term="{term}"]', value)
    page.keyboard.press("Tab")


def test_the_limits_are_named_and_reached_by_keyboard_in_reading_order(board):
    terms = board.get_by_role("group", name="limits of the search").locator("[data-term]:enabled")
    named = terms.evaluate_all("all => all.map(n => [n.dataset.term, n.ariaLabel || n.closest('label').innerText])")
    assert len(named) >= 8 and all(name.strip() for _, name in named)
    terms.first.focus()
    reached = []
    for _ in named:
        reached.append(board.evaluate("document.activeElement.dataset.term"))
        board.keyboard.press("Tab")
    assert reached == [term for term, _ in named]


def test_a_wrong_limit_says_what_is_allowed_and_stops_the_button(board):
    fill(board, "minutes", "0")
    board.wait_for_selector('[data-action="tune"][aria-disabled="true"]')
    board.wait_for_selector(".wb-term-bad")
    fill(board, "minutes", "0.4")
    board.wait_for_selector('[data-action="tune"][aria-disabled="false"]')
    assert lab.text(board, '[data-action="tune"]') == "Tune for 0.4 min"


def test_what_the_user_is_doing_survives_what_the_kernel_answers(board):
    """Three quick clicks, a text half typed and a press that lasts, each while an answer redraws the form."""
    board.evaluate("""for (const name of ['tensorflow', 'openvino', 'torch'])
        document.querySelector(`[data-term="runtimes/${name}"]`).click()""")
    board.fill('[data-term="latency_ms"]', "12.5")  # not entered yet
    for name in ("tensorflow", "openvino", "torch"):
        board.wait_for_selector(f'[data-term="runtimes/{name}"]:not(:checked)', state="attached")
    press = board.locator(".wb-chip", has=board.locator('[data-term="runtimes/torch"]'))
    press.hover()
    board.mouse.down()
    board.evaluate("""const field = document.querySelector('[data-term="minutes"]');
        field.value = '0.5'; field.dispatchEvent(new Event('change'))""")
    board.wait_for_function("document.querySelector('[data-action=tune]').textContent === 'Tune for 0.5 min'")
    board.mouse.up()
    board.wait_for_selector('[data-term="runtimes/torch"]:checked', state="attached")
    assert board.locator('[data-term="runtimes/openvino"]').is_checked() is False
    assert board.input_value('[data-term="latency_ms"]') == "12.5"
    press.click()
    board.wait_for_selector('[data-term="runtimes/torch"]:not(:checked)', state="attached")
    fill(board, "latency_ms", "")
    fill(board, "minutes", "0.4")
    board.wait_for_function("document.querySelector('[data-action=tune]').textContent === 'Tune for 0.4 min'")


def test_search_is_live_and_ends_with_a_recommendation(board):
    board.click('[data-action="tune"]')
    board.wait_for_selector(".wb-tune-now")
    board.wait_for_selector(".wb-tried")
    assert "left" in lab.text(board, ".wb-tune-left") and lab.text(board, ".wb-tune-now .wb-dim")
    board.click('[data-choice="threads/1"]')  # the kernel answers while it searches
    board.wait_for_selector('[data-choice="threads/1"]:checked')
    board.wait_for_selector(IDLE)
    board.wait_for_function("document.querySelector('.wb-tune-told').textContent.length > 20")
    tried = board.locator(".wb-tried:not(.wb-tried-failed) .wb-tried-name").all_text_contents()
    distinct = {name.removesuffix("best") for name in tried}  # one may be measured again, for longer
    assert board.locator(".wb-row").count() >= len(distinct) >= 1 and "0.4" in lab.text(board, '[data-action="tune"]')
    lab.keep(board, "tune")


def test_a_tried_row_selects_its_point_and_its_bundle_is_written(board):
    board.locator(".wb-tried:not(.wb-tried-failed)").last.click()
    board.wait_for_function("document.querySelector('[data-action=export]').getAttribute('aria-disabled') === 'false'")
    board.click('[data-action="export"]')
    board.wait_for_function("document.querySelector('.wb-bar .wb-line').textContent.includes('bundle written')")


def test_cancel_ends_a_search_at_once(board):
    fill(board, "minutes", "5")
    board.wait_for_function("document.querySelector('[data-action=tune]').textContent.includes('5 min')")
    board.click('[data-action="tune"]')
    board.wait_for_selector(".wb-tune-now")
    board.wait_for_function("document.querySelectorAll('.wb-tried').length >= 1")
    board.click('[data-action="cancel"]')
    board.wait_for_selector(IDLE, timeout=30_000)
    assert board.watch.errors == [] and board.watch.outside == []
