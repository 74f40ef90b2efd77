"""The graph pair without a browser: its tree of blocks, its packed form, its page, its picture."""

import base64
import io
import json
import re
import shutil
import subprocess
import zlib
from html.parser import HTMLParser

import pytest
from PIL import Image

from tests import graph_payloads
from workbench.errors import InputError
from workbench.views import graph_bundle, graph_html, graph_pack, graph_segments, graph_tree
from workbench.views.graph_view import GraphDiff

HOSTILE = '</script><img src=x onerror="window.hacked=1"><script>window.hacked=1</script><!--'


def unpack(data):
    return json.loads(zlib.decompress(data))


def titles(tree, kind):
    return [t for t, k in zip(tree.title, tree.kind, strict=True) if k == kind]


def chain(ops, edges, inputs=("x",)):
    nodes = [graph_payloads.node(f"n{i}", op, [], [f"t{i}"]) for i, op in enumerate(ops)]
    for a, b in edges:
        nodes[b]["in"].append(f"t{a}")
    nodes[0]["in"] = list(inputs)
    graph = graph_payloads.side("g", nodes, list(inputs), [f"t{len(ops) - 1}"])
    return {"version": 1, "title": "g", "before": graph, "after": graph_payloads.side("e", [], [], []), "groups": [],
            "counts": {}}


# blocks

def test_scopes_make_blocks_and_repeats_fold():
    made = graph_payloads.stack(600)
    layers = {n["scope"].split("/")[1] for n in made["before"]["nodes"] if n["scope"].startswith("encoder/")}
    tree = graph_tree.build(made)
    fold = [i for i, kind in enumerate(tree.kind) if kind == "repeat"]
    assert any(sum(p == f for p in tree.parent) == len(layers) for f in fold)
    assert {"attention", "mlp", "ln1"} <= set(titles(tree, "scope"))


def test_blocks_come_from_structure_where_names_tell_nothing():
    tree = graph_tree.build(graph_payloads.stack(600, named=False))
    assert titles(tree, "repeat") and len(titles(tree, "block")) > 12


def test_a_residual_network_is_cut_at_its_waists():
    ops, edges = ["Conv"], []
    for _ in range(10):  # x -> Conv -> Relu -> Conv -> Add(x), ten times
        x = len(ops) - 1
        ops += ["Conv", "Relu", "Conv", "Add"]
        edges += [(x, x + 1), (x + 1, x + 2), (x + 2, x + 3), (x + 3, x + 4), (x, x + 4)]
    found = graph_segments.units(len(ops), edges, lambda i: ops[i] == "Conv")
    assert [len(r) for r in found] == [1] + [4] * 10


def test_a_hub_does_not_hide_the_blocks():
    ops, edges = ["Cast", "Conv"], []
    for _ in range(20):
        x = len(ops) - 1
        ops += ["Conv", "Mul"]
        edges += [(x, x + 1), (x + 1, x + 2), (0, x + 2)]
    cuts = graph_segments.waists(len(ops), edges)
    assert sum(cuts) > 30


def test_no_level_is_too_crowded_even_without_structure():
    rows = 40
    ops = ["Split"] + ["Relu"] * (rows * 60) + ["Concat"]
    edges = [(0, 1 + c) for c in range(rows)]
    edges += [(1 + c + rows * r, 1 + c + rows * (r + 1)) for r in range(59) for c in range(rows)]
    edges += [(1 + c + rows * 59, len(ops) - 1) for c in range(rows)]
    tree = graph_tree.build(chain(ops, edges))
    sizes = [0] * len(tree.parent)
    for g in [*tree.before, *(p for p in tree.parent if p >= 0)]:
        sizes[g] += 1
    assert max(sizes) <= 1000


def test_a_node_of_the_other_graph_goes_where_its_counterpart_is():
    made = graph_payloads.stack(600)
    tree = graph_tree.build(made)
    for group in made["groups"]:
        assert tree.after[group["after"][-1]] == tree.before[group["before"][-1]]


def test_constant_makers_stand_apart():
    made = chain(["Conv", *["Constant", "Mul"] * 4, "Concat"],
                 [(i, i + 1) for i in (1, 3, 5, 7)] + [(0, 9), (2, 9), (4, 9), (6, 9), (8, 9)])
    tree = graph_tree.build(made)
    assert {tree.kind[tree.before[i]] for i in range(1, 9)} == {"constants"}
    assert tree.kind[tree.before[0]] == "root"


def test_small_graphs_open_whole_and_large_ones_collapsed():
    assert all(graph_tree.build(graph_payloads.small()).expanded[:1])
    tree = graph_tree.build(graph_payloads.stack(3000))
    assert sum(tree.expanded) < 6


def test_cycles_in_a_damaged_file_do_not_hang():
    made = chain(["A", "B", "C"], [(0, 1), (1, 2)])
    made["before"]["edges"] += [[2, 0, "t2"], [1, 1, "t1"]]
    assert len(graph_tree.build(made).before) == 3


@pytest.mark.parametrize("part", ["before", "after"])
def test_one_empty_side_is_fine(part):
    made = graph_payloads.small()
    made[part] = graph_payloads.side("nothing", [], [], [])
    made["groups"], made["counts"] = [], {}
    assert graph_html.to_html(made).startswith("<!doctype html>") and graph_html.to_png(made)


def test_a_real_pair_has_every_node_in_a_block_and_on_the_page(light_models):
    from workbench import model
    from workbench.graph import diff, readers, wire

    source = model.load(next(p for p in light_models if "squeezenet" in p.name))
    made = wire.payload(diff.diff(readers.read(source), readers.executed(source, "onnxruntime")), title="squeezenet")
    tree = graph_tree.build(made)
    assert len(tree.before) == len(made["before"]["nodes"]) and len(tree.after) == len(made["after"]["nodes"])
    assert {"Conv + Relu"} <= set(tree.title)
    page = graph_html.to_html(made)
    assert "Conv + Relu → nchwc.Conv" in page and len(page) < 600_000


# packing

def test_packing_keeps_what_the_payload_says():
    made = graph_payloads.small()
    got = unpack(graph_pack.pack(made))
    names = [got["strings"][i] for i in got["before"]["name"]]
    assert names[:13] == [n["name"] for n in made["before"]["nodes"]] and names[13:] == ["x", "y"]
    assert graph_pack.members(got, "before") == [g["before"] for g in made["groups"]]
    assert graph_pack.members(got, "after") == [g["after"] for g in made["groups"]]
    assert got["counts"] == made["counts"] and got["counts"]["unexplained"] == 2
    assert [graph_pack.STATUSES[s] for s in got["groups"]["status"]] == [g["status"] for g in made["groups"]]


def test_packing_survives_odd_values():
    made = graph_payloads.small()
    odd = made["before"]["nodes"][2]
    odd.update(time_s=float("nan"), flops=None, shape=None, attrs={"data": b"\x00\xff", "big": 1 << 80}, status="new",
               name="\ud800 lone surrogate")
    got = unpack(graph_pack.pack(made))
    assert got["before"]["time_s"][2] is None and got["before"]["status"][2] == graph_pack.STATUSES.index("unexplained")


def test_shapes_read_well():
    assert graph_pack.shape_text([1, None, "n"]) == "1×?×n"
    assert graph_pack.shape_text([]) == "scalar" and graph_pack.shape_text(None) == ""


# the page

class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found, self.handlers, self.links = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append(tag)
        self.handlers += [k for k, _ in attributes if k.startswith("on")]
        self.links += [v for k, v in attributes if k in ("src", "href") and not (v or "").startswith("data:image/png")]


def hostile_payload():
    made = graph_payloads.small(HOSTILE)
    for s in ("before", "after"):
        made[s]["title"] = HOSTILE
        for n in made[s]["nodes"]:
            n.update(name=n["name"] + HOSTILE, op=n["op"] + HOSTILE, scope=HOSTILE, attrs={HOSTILE: HOSTILE})
    for g in made["groups"]:
        g.update(evidence=HOSTILE, summary=HOSTILE)
    return made


def test_names_from_a_hostile_file_stay_text():
    page = graph_html.to_html(hostile_payload(), title=HOSTILE)
    tags = Tags(page)
    assert tags.found.count("script") == 1 and tags.found.count("img") == 1
    assert tags.handlers == [] and tags.links == []
    assert page.count("</script>") == 1 and "<!--" not in page


def test_the_escape_check_can_fail():
    tags = Tags("<body>" + HOSTILE)
    assert tags.found.count("img") == 1 or tags.found.count("script") == 1
    assert Tags('<p onclick="x">').handlers == ["onclick"]


def test_the_page_is_self_contained_and_readable_without_scripts():
    page = graph_html.to_html(graph_payloads.small())
    assert not re.search(r"https?://(?!www\.w3\.org)", page)
    still = page[:page.index("<script")]
    assert "2 unexplained" in still and "data:image/png;base64," in still
    assert "Conv + BatchNormalization + Relu → nchwc.Conv" in still


def test_the_data_inside_the_page_is_the_payload():
    page = graph_html.to_html(graph_payloads.small())
    packed = base64.b64decode(re.search(r'\$main\.mount\([^"]*"[^"]*"\), "([^"]+)"', page)[1])
    assert unpack(packed)["title"] == "small"


def test_a_10000_node_page_stays_small():
    assert len(graph_html.to_html(graph_payloads.stack(10000))) < 2_000_000


def test_the_picture_is_a_readable_png():
    image = Image.open(io.BytesIO(graph_html.to_png(graph_payloads.small())))
    assert image.format == "PNG" and image.width >= 1200 and image.height >= 400
    assert len(image.convert("RGB").getcolors(1 << 24)) > 8


def test_pictures_of_different_changes_differ():
    made = graph_payloads.small()
    other = graph_payloads.small()
    other["counts"]["unexplained"] = 7
    assert graph_html.to_png(made) != graph_html.to_png(other)


# script and widget

def test_script_is_one_valid_module(tmp_path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node here; the browser tests run the script")
    path = tmp_path / "view.mjs"
    path.write_text(graph_bundle.widget_module(), "utf-8")
    subprocess.run([node, "--check", str(path)], check=True)


def test_each_file_imports_only_from_those_before_it():
    known = set()
    for name in graph_bundle.FILES:
        text = (graph_bundle.FOLDER / f"{name}.js").read_text("utf-8")
        assert len(text.splitlines()) <= 400, name
        for wanted, source in re.findall(r'^import \{([^}]*)\} from "\./(\w+)\.js";$', text, re.MULTILINE):
            assert source in known, f"{name} imports {source}"
            exported = re.findall(r"^export (?:(?:async )?function\*?|class|const) (\w+)",
                                  (graph_bundle.FOLDER / f"{source}.js").read_text("utf-8"), re.MULTILINE)
            assert {w.split(" as ")[0].strip() for w in wanted.split(",")} <= set(exported), f"{name} from {source}"
        known.add(name)
    assert not re.search(r"^(import|export) (?!default)", graph_bundle.widget_module(), re.MULTILINE)


def test_widget_gives_view_page_and_picture():
    view = GraphDiff(graph_payloads.small())
    data, _ = view._repr_mimebundle_()
    assert {"application/vnd.jupyter.widget-view+json", "text/html", "image/png"} <= set(data)
    assert data["text/html"].count("</script>") == 1
    assert unpack(view._data)["title"] == "small"
    view.show(graph_payloads.small("second"))
    assert unpack(view._data)["title"] == "second" and view.selected == {}


def test_widget_refuses_what_it_does_not_know():
    with pytest.raises(InputError, match="version"):
        GraphDiff({"version": 99})
    with pytest.raises(InputError, match="no graph"):
        GraphDiff().to_html()
