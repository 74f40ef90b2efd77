"""A page that is loaded again in the middle of a measurement or a search: nothing is lost, and it goes on being shown.

The tests run in this order, on one page.
"""

from contextlib import closing

import pytest

from workbench.study import Study

from . import lab

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]

RUNNING = '[data-action="cancel"][aria-disabled="false"]'
IDLE = '[data-action="cancel"][aria-disabled="true"]'


@pytest.fixture(scope="module")
def lab_server(tmp_path_factory):
    """A server of its own: an empty study, and a JupyterLab that has no other tabs to bring back."""
    with closing(lab.Server(tmp_path_factory.mktemp("reload"))) as server:
        yield server


@pytest.fixture(scope="module")
def board(page, lab_server):
    lab.run_notebook(page, lab_server, "00_workbench.ipynb")
    page.wait_for_selector(".wb-plot .main-svg")
    return page


@pytest.fixture(scope="module")
def kernel(board, lab_server):
    """Id of the notebook's kernel, as the server tells it."""
    def ask():
        answer = board.request.get(f"http://127.0.0.1:{lab_server.port}/api/kernels?token={lab.TOKEN}")
        return [k["id"] for k in answer.json()]

    return ask


def test_a_cell_that_is_run_again_finds_its_measurement(board, lab_server, kernel):
    before = kernel()
    board.click('[data-choice="precision/int8-static"]')
    board.wait_for_selector('[data-choice="runtime/onnxruntime"]:checked')
    board.click('[data-action="measure"]')
    board.wait_for_selector(RUNNING)
    board.reload()  # nothing was saved
    lab.wait_for_kernel(board)
    assert kernel() == before
    lab.run_all(board)
    board.wait_for_selector(".wb-plot .main-svg")
    board.wait_for_selector(IDLE)
    board.wait_for_function("document.querySelectorAll('.wb-row').length === 2")
    study = Study(lab_server.notebooks / "studies" / "cnn.sqlite")
    assert [r.status for r in study.results()] == ["ok", "ok"]
    assert len(study) == 2  # measured once


def test_a_search_goes_on_being_shown(board, lab_server, kernel):
    board.locator(".wb-tabs .lm-TabBar-tab", has_text="Tune").click()
    board.fill('[data-term="minutes"]', "5")
    board.keyboard.press("Tab")
    board.wait_for_function("document.querySelector('[data-action=tune]').textContent.includes('5 min')")
    board.click('[data-action="tune"]')
    board.wait_for_selector(".wb-tried")
    tried, before = board.locator(".wb-tried").count(), kernel()
    lab.save(board)
    board.reload()
    board.wait_for_selector(".wb-tune-now")  # without running anything
    assert board.locator(RUNNING).count() == 1 and board.locator(".wb-tried").count() >= tried
    assert kernel() == before
    board.click('[data-choice="threads/1"]')  # the kernel answers
    board.wait_for_selector('[data-choice="threads/1"]:checked')
    board.click('[data-action="cancel"]')
    board.wait_for_selector(IDLE)
    study = Study(lab_server.notebooks / "studies" / "cnn.sqlite")
    assert len(study.results()) >= 2 + tried
    lab.keep(board, "reload")
    assert board.watch.outside == []
