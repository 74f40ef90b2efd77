"""The report and the slides as a reader sees them: real Chromium, the network blocked."""

import pytest

from workbench.export import report, report_data

from ..report_parts import INT8, OPENVINO, filled
from . import lab

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]
PICK = "document.querySelector('figure.plot').dataset.pick"
SCREENS = ((1280, 800), (1920, 1080))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    study, _ = filled(folder)
    told = report_data.gather(study)
    graph = report.graph_of(told)
    for name, slides in (("report", False), ("slides", True)):
        report.put(folder / f"{name}.html", report.render(told, graph, slides=slides).encode())
    return folder


def opened(browser, path, width=1280, height=800, **options):
    """A page with nothing but itself: every other request fails and is noted."""
    page = browser.new_page(viewport={"width": width, "height": height}, reduced_motion="reduce", **options)
    page.errors, page.outside = [], []
    page.on("console", lambda m: page.errors.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    own = path.as_uri()
    page.on("request", lambda r: page.outside.append(r.url) if not r.url.startswith(
        (own, "data:", "blob:", "about:")) else None)
    page.context.set_offline(True)
    page.goto(own)
    return page


def slide(page, value):
    """Moves the budget slider as a drag does."""
    page.locator("figure.plot input[type=range]").evaluate(
        "(node, value) => { node.value = value; node.dispatchEvent(new Event('input', {bubbles: true})); }", value)


@pytest.fixture
def page(browser, files):
    found = opened(browser, files / "report.html")
    yield found
    assert found.errors == [] and found.outside == []
    found.close()


def test_plot_table_and_graph_are_there(page):
    assert page.locator("svg.tradeoff .mark").count() == 6
    assert page.locator("table.variants tbody tr").count() == 7
    page.locator("iframe").scroll_into_view_if_needed()
    inside = page.frame_locator("iframe")
    inside.locator(".gd-canvas").wait_for()
    assert "Before" in inside.locator(".gd-heads").inner_text()


def test_the_first_screen_holds_the_answer(page):
    for part in ("h1", "svg.tradeoff", ".big", "figure .whatif", ".asks"):
        box = page.locator(part).first.bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= 800, part
    page.get_by_text("What would change this").click()
    assert page.get_by_text("Another processor").is_visible()


def test_the_budget_slider_repicks(page):
    assert page.evaluate(PICK) == INT8.key
    words = page.locator(".pick .chosen")
    slide(page, 1000)
    assert page.evaluate(PICK) == OPENVINO.key
    assert "OpenVINO" in words.inner_text()
    slide(page, 0)
    assert page.evaluate(PICK) not in (INT8.key, OPENVINO.key)
    page.click("[data-kind=time]")
    slide(page, 0)
    assert page.evaluate(PICK) == "" and "Nothing measured is that fast" in page.locator(".pick .none").inner_text()
    slide(page, 1000)
    assert page.evaluate(PICK) != ""


def test_pointing_shows_the_numbers_with_intervals(page):
    mark = page.locator(f'.mark[data-key="{INT8.key}"]')
    mark.locator(".hit").hover(force=True)
    card = page.locator(f'.card[data-card="{INT8.key}"]')
    assert card.is_visible()
    assert "1.86 ms a run (1.82 to 1.90 ms)" in card.inner_text()
    assert "on" in page.locator(f'tr[data-row="{INT8.key}"]').get_attribute("class")
    page.mouse.move(2, 2)
    mark.focus()
    assert card.is_visible()  # by keyboard too


def test_the_plot_is_saved_as_svg_and_png(page, tmp_path):
    for kind in ("svg", "png"):
        with page.expect_download() as found:
            page.click(f"[data-do={kind}]")
        assert found.value.suggested_filename == f"tradeoff.{kind}"
        found.value.save_as(tmp_path / kind)
    assert b"var(--" not in (tmp_path / "svg").read_bytes()
    assert (tmp_path / "png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SCREENS, ids=str)
def test_it_looks_right(browser, files, size, scheme):
    page = opened(browser, files / "report.html", *size, color_scheme=scheme)
    ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert ground == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(22, 24, 27)")
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    lab.keep(page, f"report-{size[0]}-{scheme}")
    page.click("[data-do=theme]")
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") != ground
    assert page.errors == [] and page.outside == []
    page.close()


def test_it_reads_with_scripts_off(browser, files):
    page = opened(browser, files / "report.html", java_script_enabled=False)
    assert page.locator("svg.tradeoff").is_visible() and page.locator("table.variants").is_visible()
    assert page.get_by_text("By the loss that is accepted").is_visible()
    assert not page.locator("figure input").is_visible() and page.locator("img.still").is_visible()
    page.close()


def test_slides_by_keys_and_by_buttons(browser, files):
    page = opened(browser, files / "slides.html", 1920, 1080)
    shown = page.locator(".slide.now")
    titles = []
    for _ in range(6):
        titles.append(shown.get_attribute("data-title"))
        lab.keep(page, f"slides-{len(titles)}")
        page.keyboard.press("ArrowRight")
    assert titles == ["The question", "The baseline", "What we tried", "The trade-off", "The graph", "Recommendation"]
    page.keyboard.press("Home")
    page.click('[data-step="1"]')
    assert shown.get_attribute("data-title") == "The baseline" and page.url.endswith("#2")
    page.get_by_role("button", name="The trade-off").click()
    slide(page, 1000)
    assert page.evaluate(PICK) == OPENVINO.key
    for i in range(6):  # nothing runs out of its slide
        page.keyboard.press("Home") if i == 0 else page.keyboard.press("PageDown")
        over = shown.evaluate("""node => [node, ...node.querySelectorAll('.scroll')].flatMap(
            (n) => [n.scrollHeight - n.clientHeight, n.scrollWidth - n.clientWidth])""")
        assert max(over) <= 1, (i, over)
    assert page.errors == [] and page.outside == []
    page.close()


def test_printed_the_page_is_whole(browser, files):
    page = opened(browser, files / "report.html")
    page.emulate_media(media="print")
    assert page.locator("img.still").is_visible() and not page.locator("iframe").is_visible()
    assert not page.locator(".tools").is_visible()
    page.close()
