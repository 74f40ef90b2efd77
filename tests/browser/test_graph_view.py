"""The graph pair in a real browser: static page, JupyterLab, Voila, exported notebook; nothing leaves the machine."""

import json
import shutil
import subprocess
import sys

import pytest

from tests import graph_payloads
from workbench.views import graph_html

from . import lab

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

CODE = ["import sys", f"sys.path.insert(0, {str(lab.ROOT)!r})", "from tests import graph_payloads",
        "import ipywidgets", "from workbench.views.graph_view import GraphDiff",
        "view = GraphDiff(graph_payloads.small(), height=560)", "heard = ipywidgets.Label('nothing yet')",
        "view.observe(lambda change: setattr(heard, 'value', 'kernel: ' + change.new.get('name', '')), 'selected')",
        "display(view, heard)"]
HANDLE = "(document.querySelector('[data-graphdiff]') || document.querySelector('.graphdiff-host')).graphdiff"
NAME = "graph_pair.ipynb"


def notebook(folder, name=NAME, code=CODE):
    cell = {"cell_type": "code", "id": "pair", "execution_count": None, "metadata": {}, "outputs": [],
            "source": "\n".join(code)}
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    path = folder / name
    book = {"cells": [cell], "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(book))
    return path


class Server(lab.Server):
    """A JupyterLab or Voila that has the notebook of this test."""

    def _command(self, program):
        notebook(self.notebooks)
        return super()._command(program)


@pytest.fixture
def static(browser, tmp_path):
    """Opens a payload as a page of its own, with the network blocked; ``open(payload, dark=False)``."""
    opened = []

    def open_page(payload, dark=False, script=True):
        path = tmp_path / f"pair{len(opened)}.html"
        path.write_text(graph_html.to_html(payload), "utf-8")
        context = browser.new_context(viewport={"width": 1280, "height": 800}, java_script_enabled=script,
                                      color_scheme="dark" if dark else "light", offline=True)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.outside, page.errors = [], []
        inside = ("file:", "data:", "blob:")
        page.on("request", lambda r: None if r.url.startswith(inside) else page.outside.append(r.url))
        page.on("console", lambda m: page.errors.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda e: page.errors.append(str(e)))
        page.goto(path.as_uri())
        if script:
            page.wait_for_selector("[data-ready]")
        opened.append(context)
        return page

    yield open_page
    for context in opened:
        context.close()


def do(page, script, value=None):
    return page.evaluate(f"(value) => {{ const pair = {HANDLE}, view = pair.view; return ({script}); }}", value)


def click(page, side, name):
    spot = do(page, "pair.locate(value[0], value[1])", [side, name])
    assert spot, f"{name} is not drawn on the side {side}"
    page.mouse.click(spot["x"], spot["y"])


def marks(page):
    return {(m["how"], m["side"], m["name"]) for m in do(page, "pair.marks()")}


def region(page, side, name):
    """The pixels of a node's box, a little around it."""
    at = do(page, "pair.locate(value[0], value[1])", [side, name])
    left, top = at["left"] - 6, at["top"] - 6
    return page.screenshot(clip={"x": left, "y": top, "width": at["w"] + 12, "height": at["h"] + 12})


def check_selection(page):
    """What every place must do: a click on the left marks the counterpart on the right, to the eye as well."""
    before = region(page, "after", "conv_nchwc")
    click(page, "before", "bn")
    assert {("selected", "before", "bn"), ("same", "before", "conv"), ("same", "before", "relu"),
            ("other", "after", "conv_nchwc")} <= marks(page)
    page.mouse.move(5, 5)
    page.wait_for_timeout(200)
    assert region(page, "after", "conv_nchwc") != before


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_static_page_renders_and_selects(static, dark):
    page = static(graph_payloads.small(), dark)
    check_selection(page)
    lab.keep(page, "graph-static-dark" if dark else "static-light")
    colors = do(page, "[...view.ctx.getImageData(2, 2, 1, 1).data]")
    assert (max(colors[:3]) < 60) == dark
    assert page.errors == [] and page.outside == []


def test_before_and_after_stand_level(static):
    page = static(graph_payloads.small())
    for before, after in (("relu", "conv_nchwc"), ("add", "add"), ("mat", "mat"), ("soft", "soft")):
        pairs = (["before", before], ["after", after])
        tops = [do(page, "pair.locate(value[0], value[1]).top", pair) for pair in pairs]
        assert abs(tops[0] - tops[1]) < 1, before


def test_inputs_stand_level_even_when_renamed(static):
    made = graph_payloads.small()
    made["after"]["inputs"] = ["serving:0"]
    made["after"]["nodes"][0]["in"] = ["serving:0"]
    page = static(made)
    tops = [do(page, "pair.locate(value[0], value[1]).top", pair) for pair in (["before", "x"], ["after", "serving:0"])]
    assert abs(tops[0] - tops[1]) < 1
    click(page, "before", "x")
    assert ("other", "after", "serving:0") in marks(page)


@pytest.mark.parametrize("name", ["squeezenet", "inception_v1", "resnet50"])
def test_real_pairs_are_drawn_well(static, light_models, name):
    from workbench import model
    from workbench.graph import diff, readers, wire

    source = model.load(next(p for p in light_models if name in p.name))
    page = static(wire.payload(diff.diff(readers.read(source), readers.executed(source, "onnxruntime")), title=name))
    lab.keep(page, f"graph-{name}-collapsed")
    fused = do(page, """(() => {
      const side = view.model.sides[0];
      for (let i = 0; i < side.count; i += 1) {
        if (side.op(i) === 'Conv' && side.statuses[side.status[i]] === 'fused') return i;
      }
    })()""")
    do(page, "view.select({ side: 0, leaf: value, group: -1 }, { reveal: true })", fused)
    page.wait_for_timeout(200)
    lab.keep(page, f"graph-{name}-selected")
    found = marks(page)
    assert any(how == "other" and side == "after" for how, side, _ in found)
    do(page, "view.relayout(() => view.scene.openAll())")
    level = do(page, """(() => {
      let level = 0, all = 0;
      for (const item of view.scene.items(0)) {
        if (item.leaf < 0) continue;
        const side = view.model.sides[0], g = side.group[item.leaf];
        if (g < 0 || !view.model.groups.of(1, g).length || view.model.groups.of(0, g).at(-1) !== item.leaf) continue;
        const other = view.scene.itemOfLeaf(1, view.model.groups.of(1, g).at(-1));
        all += 1;
        if (Math.abs(view.scene.place(item).y - view.scene.place(other).y) < 1) level += 1;
      }
      return [level, all];
    })()""")
    assert level[1] > 10 and level[0] >= 0.9 * level[1], level
    assert page.errors == [] and page.outside == []


def test_boxes_do_not_overlap_and_edges_run_down(static):
    page = static(graph_payloads.stack(1200))
    do(page, "view.relayout(() => view.scene.openAll())")
    clashes = do(page, """(() => {
      let clashes = 0, upward = 0;
      const check = (layout) => { for (let s = 0; s < 2; s += 1) {
        const items = layout.items[s];
        for (let i = 0; i < items.length; i += 1) for (let j = i + 1; j < items.length; j += 1) {
          const p = items[i], q = items[j];
          if (p.x < q.x + q.w - 1 && q.x < p.x + p.w - 1 && p.y < q.y + q.h - 1 && q.y < p.y + p.h - 1) clashes += 1;
        }
        for (const edge of layout.edges[s]) for (let k = 3; k < edge.points.length; k += 2) {
          if (!(edge.points[k] >= edge.points[k - 2] - 0.5)) upward += 1;
        }
        for (const item of items) if (item.sub && s === 0) check(item.sub);
      } };
      check(view.scene.root);
      return [clashes, upward];
    })()""")
    assert clashes == [0, 0]


def test_expanding_by_keys_and_by_mouse(static):
    page = static(graph_payloads.stack(1200))
    start = len(do(page, "pair.boxes('before')"))
    box = next(b for b in do(page, "pair.boxes('before')") if b["group"] >= 0 and not b["open"])
    spot = do(page, "pair.locateGroup('before', view.model.tree.title[value])", box["group"])
    page.mouse.click(spot["x"], spot["y"])
    page.keyboard.press("Enter")
    opened = do(page, "pair.boxes('before')")
    assert len(opened) > start and any(b["group"] == box["group"] and b["open"] for b in opened)
    assert any(b["group"] == box["group"] and b["open"] for b in do(page, "pair.boxes('after')"))
    page.keyboard.press("Enter")
    assert len(do(page, "pair.boxes('before')")) == start
    page.wait_for_timeout(100)
    spot = do(page, "pair.locateGroup('before', view.model.tree.title[value])", box["group"])
    page.mouse.dblclick(spot["x"], spot["y"])
    assert len(do(page, "pair.boxes('before')")) > start


def test_arrows_walk_edges_and_c_crosses(static):
    page = static(graph_payloads.small())
    click(page, "before", "conv")
    page.keyboard.press("ArrowDown")
    assert do(page, "view.host.dataset.selected") == "bn"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("c")
    assert ("selected", "after", "conv_nchwc") in marks(page)
    page.keyboard.press("ArrowUp")
    assert do(page, "view.host.dataset.selected") == "x"
    page.keyboard.press("Escape")
    assert marks(page) == set()


def test_slash_searches_and_reveals(static):
    page = static(graph_payloads.stack(1200))
    target = do(page, "view.model.sides[0].name(700)")
    page.locator(".gd-canvas").focus()
    page.keyboard.press("/")
    page.keyboard.type(target)
    assert page.locator(".gd-hits [role=option]").count() >= 2  # found on both sides
    page.keyboard.press("Enter")
    assert do(page, "view.host.dataset.selected") == target
    assert any(b["leaf"] == 700 for b in do(page, "pair.boxes('before')"))
    at = do(page, "pair.locate('before', value)", target)
    assert 0 < at["x"] < 1280 and 0 < at["y"] < 800


def test_the_table_is_an_accessible_twin(static):
    page = static(graph_payloads.small())
    table = page.locator(".gd-changes table")
    text = table.inner_text()
    for word in ("Conv + BatchNormalization + Relu → nchwc.Conv", "QuantizeLinear", "Dropout"):
        assert word in text
    counts = page.locator("[data-sort=n]")
    counts.focus()
    page.keyboard.press("Enter")
    assert page.locator("th[aria-sort=descending]").count() == 1
    assert do(page, "view.root.getRootNode().activeElement.dataset.sort") == "n"
    row = page.locator(".gd-changes tbody button", has_text="BatchNormalization")
    row.focus()
    page.keyboard.press("Enter")
    assert ("other", "after", "conv_nchwc") in marks(page)
    page.keyboard.press("ArrowDown")
    assert do(page, "view.root.getRootNode().activeElement.closest('tbody') !== null")


def test_counts_always_name_the_unexplained(static):
    made = graph_payloads.small()
    page = static(made)
    chips = page.locator(".gd-chip").all_inner_texts()
    assert any("2 unexplained" in chip for chip in chips) and any("1 fused" in chip for chip in chips)
    clean = static(graph_payloads.stack(300))
    assert any("0 unexplained" in chip for chip in clean.locator(".gd-chip").all_inner_texts())


def test_filter_dims_the_rest_and_heat_uses_one_scale(static):
    page = static(graph_payloads.small())
    page.locator(".gd-chip", has_text="fused").click()
    assert page.locator(".gd-changes tbody tr").count() == 1
    page.locator(".gd-chip", has_text="fused").click()
    page.locator(".gd-heat").select_option("time_s")
    assert "100 % = 910 µs" in page.locator(".gd-legend").inner_text()  # the sum of the slower side
    page.wait_for_timeout(200)
    assert page.locator(".gd-heat option[value=sensitivity]").is_disabled()
    looks = do(page, """['before', 'after'].map((side, s) => {
      const at = pair.locate(side, s ? 'conv_nchwc' : 'conv');
      const c = view.canvas.getBoundingClientRect(), r = view.size.ratio;
      return [...view.ctx.getImageData((at.left + at.w - 5 - c.left) * r, (at.top + at.h / 2 - c.top) * r, 1, 1).data];
    })""")
    assert looks[0] != looks[1] and looks[0][2] < 160  # the costly one is hotter, on both sides' scale


def test_panel_shows_cost_and_counterpart(static):
    page = static(graph_payloads.small())
    click(page, "before", "relu")
    text = page.locator(".gd-details").inner_text()
    for word in ("fused", "nchwc.Conv", "made up for fused", "900 µs", "400 µs", "Changed together with"):
        assert word in text
    page.locator(".gd-details [data-counterpart=conv_nchwc]").click()
    assert ("selected", "after", "conv_nchwc") in marks(page)


def test_manual_theme_overrides_the_system(static):
    page = static(graph_payloads.small(), dark=False)
    page.locator("[aria-label='Light or dark']").click()
    page.wait_for_timeout(150)
    assert max(do(page, "[...view.ctx.getImageData(2, 2, 1, 1).data]")[:3]) < 60


def test_hubs_become_named_stubs(static):
    page = static(graph_payloads.stack(1200))
    do(page, "view.relayout(() => view.scene.openAll())")
    stubs = do(page, "[...view.scene.items(0)].filter((i) => i.leaf >= 0 && i.stubsIn.length).length")
    assert stubs > 40
    wide = do(page, "view.scene.root.w[0]")
    assert wide < 3000


def test_hostile_names_do_nothing(static):
    from tests.test_graph_html import hostile_payload

    page = static(hostile_payload())
    do(page, "view.relayout(() => view.scene.openAll())")
    page.keyboard.press("/")
    page.keyboard.type("conv")
    page.keyboard.press("Enter")
    page.locator(".gd-tabs [data-tab=changes]").click()
    page.mouse.move(300, 300)
    page.wait_for_timeout(300)
    assert page.evaluate("window.hacked") is None
    assert page.evaluate(f"{HANDLE}.view.root.querySelectorAll('img, script').length") == 0
    assert page.errors == [] and page.outside == []


def test_a_still_stands_in_where_scripts_do_not_run(static):
    page = static(graph_payloads.small(), script=False)
    assert page.locator(".graphdiff-still img").is_visible()
    assert "2 unexplained" in page.locator(".graphdiff-still").inner_text()
    lab.keep(page, "graph-still")


def test_ten_thousand_nodes_open_collapsed_and_expand(static):
    page = static(graph_payloads.stack(10000))
    assert len(do(page, "pair.boxes('before')")) < 80
    assert do(page, "view.relayout(() => view.scene.openAll())")
    assert len(do(page, "pair.boxes('before')")) > 10000
    page.wait_for_timeout(300)
    lab.keep(page, "graph-10000")
    assert page.errors == []


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The notebook as HTML, run and exported with the project's nbconvert settings; the run notebook lies beside it."""
    folder = tmp_path_factory.mktemp("export")
    path = notebook(folder)
    run = [sys.executable, "-m", "nbconvert", "--to"]
    shutil.copy(lab.ROOT / "notebooks" / "jupyter_nbconvert_config.json", folder)
    subprocess.run([*run, "notebook", "--execute", "--inplace", str(path)], check=True, cwd=folder, capture_output=True)
    subprocess.run([*run, "html", str(path)], check=True, cwd=folder, capture_output=True)
    return path.with_suffix(".html")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    found = Server(tmp_path_factory.mktemp("graph"))
    yield found
    found.close()


def test_jupyterlab_renders_selects_and_tells_the_kernel(page, server):
    lab.run_notebook(page, server, NAME)
    page.wait_for_selector(".graphdiff-host[data-ready]")
    page.locator(".graphdiff-host").scroll_into_view_if_needed()
    check_selection(page)
    page.keyboard.press("ArrowDown")  # walks in the graph, not in the notebook
    assert do(page, "view.host.dataset.selected") == "relu"
    page.get_by_text("kernel: relu", exact=True).wait_for(state="attached")
    lab.keep(page, "graph-lab-light")
    lab.set_theme(page, "JupyterLab Dark")
    page.wait_for_function(f"{HANDLE}.view.theme.mode === 'dark'")
    page.wait_for_timeout(300)
    lab.keep(page, "graph-lab-dark")
    assert max(do(page, "[...view.ctx.getImageData(2, 2, 1, 1).data]")[:3]) < 60
    assert page.watch.outside == []
    assert [e for e in page.watch.errors if "graph" in e.lower() or "anywidget" in e.lower()] == []


def test_a_notebook_opened_again_shows_the_still(browser, server, exported):
    shutil.copy(exported.with_suffix(".ipynb"), server.notebooks / "again.ipynb")
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    watch = lab.Watch(page)
    page.goto(f"http://127.0.0.1:{server.port}/lab/tree/notebooks/again.ipynb?token={lab.TOKEN}", timeout=120_000)
    still = page.locator(".graphdiff-still, .jp-OutputArea-output img").first  # classes may be taken out
    still.wait_for(timeout=120_000)
    page.get_by_text("2 unexplained").first.wait_for(timeout=60_000)
    assert page.locator(".jp-OutputArea img").first.evaluate("e => e.naturalWidth") > 1000
    assert watch.outside == []
    page.close()


@pytest.fixture
def fresh_server(tmp_path):
    """Another JupyterLab: the first one would open its notebooks again."""
    found = Server(tmp_path / "lab")
    yield found
    found.close()


def test_netron_opens_in_a_tab_with_one_click(browser, fresh_server, light_models):
    code = ["from workbench.views.netron_pane import NetronPane", f"NetronPane({str(light_models[0])!r}, 'alexnet')"]
    notebook(fresh_server.notebooks, "netron.ipynb", code)
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(120_000)
    lab.run_notebook(page, fresh_server, "netron.ipynb")
    button = page.locator(".netron-pane button")
    button.wait_for()
    assert "127.0.0.1" in page.locator(".netron-pane").inner_text()
    with page.context.expect_page() as opened:
        button.click()
    tab = opened.value
    tab.route(lambda url: not url.startswith("http://127.0.0.1:"), lambda route: route.abort())
    tab.wait_for_url("http://127.0.0.1:*/", timeout=60_000)
    assert light_models[0].name in tab.content()
    page.context.close()


def test_voila_renders_and_selects(browser, tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("voila"), "voila")
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    watch = lab.Watch(page)
    try:
        page.goto(server.app(NAME), timeout=120_000)
        page.wait_for_selector(".graphdiff-host[data-ready]", timeout=120_000)
        page.wait_for_timeout(500)
        check_selection(page)
        lab.keep(page, "graph-voila")
        assert watch.outside == []
    finally:
        page.close()
        server.close()


def test_exported_notebook_works_offline(browser, exported):
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    outside = []
    page.route(lambda url: url.startswith("http"), lambda route: (outside.append(route.request.url), route.abort()))
    page.goto(exported.as_uri(), wait_until="domcontentloaded")
    page.wait_for_selector("[data-ready]", timeout=60_000)
    page.locator("[data-graphdiff]").scroll_into_view_if_needed()
    check_selection(page)
    lab.keep(page, "graph-nbconvert")
    template = ("mathjax", "require", "jquery", "mermaid", "html-manager")  # nbconvert's own page asks for these
    assert [url for url in outside if not any(word in url.lower() for word in template)] == []
    page.close()
