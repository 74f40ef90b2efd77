"""``make present``: the notebooks as apps without code, offline; the dashboard, and a meeting that two people follow.

One Voila serves all tests; they run in this order.
"""

import re

import pytest

from tests.view_parts import fidelity, result
from workbench import recipe as recipes
from workbench.views import opening

from . import lab

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]

# What notebook 12 measures, with (seconds, accuracy lost) that tell a story; the study is there before it opens.
TRIED = {("onnx-convert", "onnxruntime"): (4e-3, 0.0), ("onnx-int8-static", "onnxruntime"): (2e-3, -0.001),
         ("onnx-int8-dynamic", "onnxruntime"): (9e-3, -0.002), ("tflite-convert", "litert"): (5e-3, 0.0),
         ("tflite-int8", "litert"): (3e-3, -0.003)}
LATER = ("onnx-int8-mixed", "onnxruntime")
PICK = "document.querySelector('.wb-meeting-host').shadowRoot.querySelector('figure.plot').dataset.pick"
ROWS = "document.querySelector('.wb-meeting-host').shadowRoot.querySelectorAll('[data-row]').length"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    found = lab.Server(tmp_path_factory.mktemp("voila"), "voila")
    yield found
    found.close()


@pytest.fixture
def opened(browser):
    """Opens pages, each with a watch, and closes them."""
    pages = []

    def go(url):
        page = browser.new_page(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
        page.set_default_timeout(180_000)
        page.watch = lab.Watch(page)
        page.goto(url, timeout=120_000)
        pages.append(page)
        return page

    yield go
    for page in pages:
        page.close()


@pytest.fixture(scope="module")
def engine(server):
    """Opens what the notebook will open, in the server's folder."""
    found = opening.open_engine("cnn", study=server.notebooks / "studies" / "cnn.sqlite").engine
    yield found
    found.close()


def add(engine, step, runtime, median, lost):
    recipe = engine.complete(recipes.make(step, runtime=runtime))
    row = result(recipe, median, ratio=median / 8e-3, verdict="faster" if median < 8e-3 else "slower",
                 fidelity=fidelity(0.9 + lost, lost, half=0.001), machine=engine.machine,
                 model_sha256=engine.model.sha256, data_sha256=engine.dataset.sha256)
    engine.study.add(row, "session", [[median] * 4])
    return recipe.key


@pytest.fixture(scope="module")
def filled(engine):
    base = result(engine.baseline, 8e-3, ratio=1.0, fidelity=fidelity(0.9), machine=engine.machine,
                  model_sha256=engine.model.sha256, data_sha256=engine.dataset.sha256)
    engine.study.add(base, "session", [[8e-3] * 4])
    return {step: add(engine, *step, *told) for step, told in TRIED.items()}


def test_the_list_of_notebooks_opens_the_dashboard(server, opened):
    page = opened(f"http://127.0.0.1:{server.port}/")
    links = page.get_by_role("link").all_inner_texts()
    assert len(links) == len(list((lab.ROOT / "notebooks").glob("*.ipynb"))) and links == sorted(links)
    with page.context.expect_page() as found:
        page.get_by_role("link", name=re.compile("workbench")).click()
    assert found.value.url.startswith(server.app("00_workbench.ipynb"))
    found.value.close()
    assert page.watch.outside == [] and page.watch.errors == []


def test_the_dashboard_draws_and_answers_in_voila(server, opened):
    page = opened(server.app("00_workbench.ipynb"))
    page.wait_for_selector(".wb-plot .main-svg")
    page.click('[data-choice="precision/int8-static"]')
    page.wait_for_selector('[data-choice="runtime/onnxruntime"]:checked')
    lab.keep(page, "dashboard-voila", full_page=True)
    page.click('[data-segment="text/20"]')  # large type for a room
    page.wait_for_function("getComputedStyle(document.querySelector('.wb-rail')).fontSize === '20px'")
    page.wait_for_function("document.querySelector('.wb-plot-area').layout.template.layout.font.size === 20")
    assert page.get_by_text("import workbench").count() == 0  # no code
    assert page.watch.outside == [] and page.watch.errors == []


def slide(page, value):
    """Moves the budget slider as a drag does."""
    page.locator(".wb-meeting-host figure.plot input[type=range]").evaluate(
        "(node, value) => { node.value = value; node.dispatchEvent(new Event('input', {bubbles: true})); }", value)


def test_a_meeting_that_two_people_follow(server, opened, engine, filled):
    pages = [opened(server.app("12_report.ipynb")) for _ in range(2)]
    for page in pages:
        deck = page.locator(".wb-meeting-host .deck")
        deck.wait_for()
        page.locator(".wb-meeting-host .slide.now h1").wait_for()
        box = page.locator(".wb-meeting-host").bounding_box()
        assert (box["width"], box["height"]) == (1280, 800)  # the whole window, for a room
        page.wait_for_function(f"{ROWS} === {len(filled) + 1}")
    first, second = pages
    titles = []
    for _ in range(6):  # by keys alone: the deck has the focus
        shown = first.locator(".wb-meeting-host .slide.now")
        titles.append(shown.get_attribute("data-title"))
        assert first.get_by_role("group", name=titles[-1]).count() == 1  # a screen reader finds this step and no other
        size = shown.evaluate("n => parseFloat(getComputedStyle(n).fontSize) * n.getBoundingClientRect().width / 1600")
        assert size >= 20, titles[-1]
        lab.keep(first, f"meeting-{len(titles)}")
        first.keyboard.press("ArrowRight")
    assert titles == ["The question", "The baseline", "What we tried", "The trade-off", "The graph", "Recommendation"]
    other = second.locator(".wb-meeting-host .slide.now")
    assert other.get_attribute("data-title") == titles[0]  # each at a step of their own
    second.get_by_role("button", name="The trade-off").click()
    slide(second, 0)
    assert second.evaluate(PICK) == filled["onnx-convert", "onnxruntime"]  # nothing may be lost
    slide(second, 1000)
    assert second.evaluate(PICK) == filled["onnx-int8-static", "onnxruntime"]

    fastest = add(engine, *LATER, 1e-3, -0.002)  # a third person measures
    for page in pages:
        page.wait_for_function(f"{ROWS} === {len(filled) + 2}")
    assert other.get_attribute("data-title") == "The trade-off"  # what is new leaves the step and the slider alone
    slide(second, 1000)
    assert second.evaluate(PICK) == fastest
    first.locator(".wb-meeting-host [data-whole]").click()
    assert first.get_by_role("heading", name="Present and hand out").is_visible()
    assert [page.watch.outside + page.watch.errors for page in pages] == [[], []]
