"""The report: each number in it is the study's, it is one file, and it says what the study says, no more."""

import dataclasses
import json
import re
import time
import xml.etree.ElementTree as ElementTree

import pytest

import workbench
from workbench import cli, units
from workbench.errors import InputError, MissingError
from workbench.export import report, report_browser, report_data, report_page, report_svg, report_words
from workbench.search import Goal
from workbench.study import Study
from workbench.views import budget
from workbench.views.meeting import Meeting

from .report_parts import BASE, FUSED, INT8, OPENVINO, Page, bare_numbers, filled
from .view_parts import fidelity, result


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    return filled(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def told(known):
    return report_data.gather(known[0])


@pytest.fixture(scope="module")
def graph(told):
    return report.graph_of(told)


@pytest.fixture(scope="module")
def pages(told, graph):
    return {"report": report.render(told, graph), "slides": report.render(told, graph, slides=True)}


def page_of(study, **arguments):
    found = report_data.gather(study, **arguments)
    return report.render(found, None)


# --- numbers --------------------------------------------------------------------------------------------------------


def expected(results, attrs):
    """The study's value for a ``<data>`` element, found again without the report's code."""
    if attrs["data-run"] == "study":
        timed = [r for r in results if r.median_s is not None]
        if attrs["data-field"] == "more":
            return len(results) - 9
        return {"variants": len(timed) - 1, "runs": len(timed), "narrow": sum(r.stopped == "narrow" for r in timed),
                "failed": sum(r.status == "failed" for r in results),
                }.get(attrs["data-field"], sum(r.verdict == attrs["data-field"] for r in timed))
    r = next(r for r in results if r.run_id == attrs["data-run"])
    name, _, end = attrs["data-field"].partition("_interval.")
    if name == "speedup" and end:
        return 1 / r.ratio_interval[1 - int(end)]
    base = next(r for r in results if r.is_baseline)
    if name == "speedup":
        return 1 / r.ratio
    if name == "quality":
        return base.fidelity.metric + (r.fidelity.delta if not r.is_baseline else 0)
    if name == "loss":
        return max(0.0, -r.fidelity.delta)
    value = dataclasses.asdict(dataclasses.replace(r, recipe=None))
    value |= {"throughput_per_s": 1 / r.median_s if r.median_s else None,
              "recipe": {"batch": r.recipe.batch, "threads": r.recipe.threads}}
    for part in attrs["data-field"].split("."):
        value = value[int(part)] if isinstance(value, tuple) else value[part]
    return value


def wrong_numbers(html, study):
    """Every ``<data>`` element whose exact value is not the study's, or whose text is not that value."""
    results = study.results()
    found, wrong = Page(html).data, []
    assert len(found) > 60
    for attrs, text in found:
        value = float(attrs["value"])
        digits = re.sub(r"[^\d.]", "", text.replace("−", "-"))
        shown = {w.replace(",", "") for w in written(abs(value))}
        if value != pytest.approx(expected(results, attrs), rel=1e-9) or (digits and digits not in shown):
            wrong.append((attrs, text))
    return wrong


def written(value):
    """All ways in which a number may be written: digits of any unit and precision."""
    for scale in (1, 100, 1e3, 1e6, 1e-3, 1e-6):
        yield from (f"{value * scale:.{n}f}" for n in range(6))
        yield f"{value * scale:,.0f}"


@pytest.mark.parametrize("kind", ["report", "slides"])
def test_each_number_in_the_page_is_the_studys(pages, known, kind):
    assert wrong_numbers(pages[kind], known[0]) == []


@pytest.mark.parametrize("kind", ["report", "slides"])
def test_no_number_stands_without_its_origin(pages, kind):
    assert bare_numbers(Page(pages[kind])) == []


def test_the_check_of_numbers_can_fail(pages, known):
    html = pages["report"]
    assert wrong_numbers(html.replace(">1.86 ms</data>", ">1.68 ms</data>", 1), known[0]) != []
    assert wrong_numbers(html.replace('value="0.00186"', 'value="0.00187"', 1), known[0]) != []
    assert bare_numbers(Page(html.replace("</h1>", " and 12 more</h1>", 1))) != []


def test_numbers_name_their_run_samples_and_interval(pages, known):
    chosen = next(r for r in known[0].results() if r.recipe == INT8)
    titles = {a["data-field"]: a["title"] for a, _ in Page(pages["report"]).data if a["data-run"] == chosen.run_id}
    assert titles["median_s"] == f"run {chosen.run_id}, 400 timed runs, 95 % interval 1.82 to 1.90 ms"
    assert "2,000 evaluation samples" in titles["fidelity.delta"] and "−0.7 to +0.1" in titles["fidelity.delta"]


# --- what it says ---------------------------------------------------------------------------------------------------


def test_the_first_screen_answers_in_one_sentence(pages):
    head = re.sub(r"<[^>]+>", "", pages["report"].split("<h1>")[1].split("</h1>")[0]).replace("\u00a0", " ")
    assert head == "INT8 static on ONNX Runtime is 3.9x faster (3.9 to 4.0) at −0.3 points (−0.7 to +0.1)."
    parts = ("<h1>", 'class="tradeoff"', 'class="big"', "How this was measured", "What would change this", "<table")
    order = [pages["report"].index(part) for part in parts]
    assert order == sorted(order)


def test_recommended_is_the_fastest_that_is_surely_faster_and_meets_the_goal(known, told):
    assert told.chosen.key == INT8.key  # OpenVINO is faster still, but loses 3.9 points
    loose = report_data.gather(known[0], goal=Goal(max_drop=5.0))
    assert loose.chosen.key == OPENVINO.key
    strict = report_data.gather(known[0], goal=Goal(max_drop=0.1))
    assert strict.chosen.key == FUSED.key
    assert "within a loss of 0.1 points" in report_words.limit(strict)


def test_nothing_surely_faster_means_keep_the_original(tmp_path):
    study = Study(tmp_path / "s.sqlite")
    study.add(result(BASE, 1e-3, ratio=1.0, is_baseline=True), "s")
    study.add(result(INT8, 0.99e-3, ratio=0.99, verdict="undecided", is_baseline=False), "s")
    found = report_data.gather(study)
    assert found.chosen is None
    assert report_words.answer(found).startswith("Keep the original")
    assert "undecided" in " ".join(report_words.changes(found))
    assert bare_numbers(Page(report.render(found, None))) == []


def test_the_ends_of_a_wide_undecided_interval_have_their_origin_too(tmp_path):
    study = Study(tmp_path / "s.sqlite")
    study.add(result(BASE, 1e-3, ratio=1.0, is_baseline=True), "s")
    study.add(result(INT8, 0.95e-3, ratio=0.95, ratio_interval=(0.77, 1.09), verdict="undecided", is_baseline=False),
              "s")
    page = Page(report.render(report_data.gather(study), None))
    assert bare_numbers(page) == []
    ends = {attrs["data-field"]: float(attrs["value"]) for attrs, text in page.data if text in ("0.92", "1.30")}
    assert ends == {"speedup_interval.0": 1 / 1.09, "speedup_interval.1": 1 / 0.77}


ODD = {
    "only the baseline": [result(BASE, 2e-3, ratio=1.0, is_baseline=True)],
    "answers not checked": [result(BASE, 2e-3, ratio=1.0, is_baseline=True, fidelity=None),
                            result(INT8, 1e-3, ratio=0.5, verdict="faster", is_baseline=False, fidelity=None)],
    "no baseline": [result(INT8, 1e-3, ratio=0.5, verdict="faster", is_baseline=False)],
    "a failed baseline": [result(BASE, status="failed", reason="out of memory", is_baseline=True),
                          result(INT8, 1e-3, is_baseline=False)],
    "all slower": [result(BASE, 2e-3, ratio=1.0, is_baseline=True),
                   result(INT8, 9e-3, ratio=4.5, verdict="slower", is_baseline=False)],
    "cancelled": [result(BASE, 2e-3, ratio=1.0, is_baseline=True), result(INT8, status="cancelled", is_baseline=False)],
    "nothing known of the machine": [result(BASE, 2e-3, ratio=1.0, is_baseline=True, size_bytes=0)],
}


@pytest.mark.parametrize("name", ODD)
def test_odd_studies_recommend_nothing_and_still_read_well(tmp_path, name):
    study = Study(tmp_path / "s.sqlite")
    for row in ODD[name]:
        study.add(row, "s")
    found = report_data.gather(study)
    assert found.chosen is None
    for slides in (False, True):
        page = Page(report.render(found, report.graph_of(found), slides=slides))
        assert bare_numbers(page) == []
        assert not any("None" in text for text, _, _ in page.texts)


def test_a_named_run_is_recommended_instead(known):
    run = next(r for r in known[0].results() if r.recipe == FUSED).run_id
    named = report_data.gather(known[0], choose=run)
    assert named.chosen.key == FUSED.key and "named for this report; it meets the goal" in report_words.goal(named)
    lossy = report_data.gather(known[0], choose=OPENVINO.key)
    assert "does not meet the goal: within a loss of 1 point" in report_words.goal(lossy)
    with pytest.raises(InputError) as error:
        report_data.gather(known[0], choose="no-such-run")
    assert "no-such-run" in str(error.value) and "\n" not in str(error.value)


def test_what_would_change_this_names_what_applies_here(told):
    text = " ".join(report_words.changes(told))
    assert "If no loss at all is accepted:" in text
    assert "OpenVINO is not surely slower" not in text  # it is faster, but does not meet the goal
    assert "If a larger loss is accepted: INT8 static on OpenVINO" in text
    assert "may be as bad as −0.7 points" in text
    assert "no 8-bit dot product (VNNI)" in text and "not idle" in text
    assert "undecided" in text and "failed" in text


def test_the_budget_repicks(told):
    loss = [(round(s.limit, 6), s.key) for s in told.by_loss]
    assert loss == [(0.0, FUSED.key), (0.0033, INT8.key), (0.0392, OPENVINO.key)]
    time = {s.key: s for s in told.by_time}
    assert [s.key for s in told.by_time][0] == OPENVINO.key
    assert time[FUSED.key].limit == pytest.approx(5.17e-3)
    # the fused model is the most accurate within 6 ms, but INT8 is faster and its loss is not proven
    assert time[FUSED.key].rival == INT8.key


def test_a_faster_variant_whose_loss_may_be_that_small_is_named(told):
    step = next(s for s in told.by_loss if s.key == FUSED.key)
    assert step.rival == INT8.key
    assert "its loss may be that small too" in report_words.what_if(told, step, "loss")
    assert budget.least_loss(told.shown.point(INT8.key), told.shown) == 0.0


@pytest.mark.parametrize("data", ["d", "d-final0"])
def test_the_data_are_named_where_the_study_knows_them(tmp_path, data):
    study, _ = filled(tmp_path, data_sha256=data)
    assert report_data.gather(study).data_name == ""  # a study from before names were kept
    study.remember_data("d", "street photos")
    told = report_data.gather(study)
    assert told.data_name == "street photos"
    html = report.render(told, None)
    assert re.search(r"held-out samples of street photos", re.sub(r"<[^>]+>", "", html))


def test_random_inputs_are_said_on_the_page(tmp_path):
    study, _ = filled(tmp_path, data_sha256="random")
    html = page_of(study)
    assert "RANDOM INPUTS" in html and "Inputs are random" in html


def test_without_labels_agreement_stands_for_accuracy(tmp_path):
    study = Study(tmp_path / "s.sqlite")

    def cosine(value):
        return dataclasses.replace(fidelity(), metric_name="cosine", metric=value, cosine_mean=value,
                                   metric_interval=(value - 1e-4, value), cosine_p5=value - 1e-3)

    study.add(result(BASE, 2e-3, ratio=1.0, is_baseline=True, fidelity=cosine(1.0)), "s")
    study.add(result(INT8, 1e-3, ratio=0.5, verdict="faster", is_baseline=False, fidelity=cosine(0.9987)), "s")
    html = page_of(study)
    assert "cosine to the original" in html and "points of accuracy" not in html
    assert bare_numbers(Page(html)) == []
    assert "agreement and not accuracy" in html


def test_other_machines_and_models_stay_out(tmp_path):
    study, model = filled(tmp_path)
    study.add(result(FUSED, 9e-9, ratio=0.1, verdict="faster", machine="machine-two", model_sha256=model.sha256,
                     is_baseline=False, created="2020-01-01T00:00:00+00:00"), "t")
    with pytest.raises(InputError):
        report_data.gather(study, model=dataclasses.replace(model, sha256="another"))
    found = report_data.gather(study, model=model)
    assert {r.machine for r in found.results.values()} == {"machine-two"}  # the newest run decides


def test_a_large_study_stays_one_handy_file(tmp_path):
    from workbench import recipe

    study, model = filled(tmp_path)
    for i in range(1, 101):
        many = recipe.make("onnx-int8-static", runtime="onnxruntime", threads=i + 2)
        study.add(result(many, 2e-3 * (1 + i / 50), ratio=0.3, verdict="faster", model_sha256=model.sha256,
                         is_baseline=False, fidelity=fidelity(0.8, -0.11)), f"s{i}")
    found = report_data.gather(study)
    assert len(found.shown.points) == report_data.MOST and found.left_out == 106 - report_data.MOST
    assert found.chosen.key == INT8.key and found.shown.baseline
    html = report.render(found, None)
    assert len(html) < 2_000_000 and bare_numbers(Page(html)) == []
    assert "left out here" in html


def test_what_a_search_tried_is_listed_apart(tmp_path):
    study, model = filled(tmp_path, data_sha256="d-final0")
    from workbench import recipe

    early = {"data_sha256": "d-search0", "model_sha256": model.sha256, "is_baseline": False, "verdict": "faster",
             "created": "2020-01-01T00:00:00+00:00"}
    study.add(result(FUSED, 5.5e-3, ratio=0.75, **early), "t")  # measured again at the end
    study.add(result(recipe.make("onnx-simplify", "onnx-int8-static", runtime="openvino", threads=2), 6.5e-3,
                     ratio=0.8, **early), "t")
    study.add(result(BASE, 7.4e-3, ratio=1.0, data_sha256="d-final0", model_sha256=model.sha256, is_baseline=True), "u")
    html = page_of(study)
    assert "Also tried in the search" in html and "5.50 ms" in html and "6.50 ms" in html
    found = report_data.gather(study)
    assert len(found.tried) == 1 and len(found.shown.points) == 6
    assert "tried in the search</text>" in html and html.count('class="mark"') == 6


# --- one file, safe and readable ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["report", "slides"])
def test_one_file_that_asks_for_nothing(pages, kind):
    html = pages[kind]
    assert len(html.encode()) < 5_000_000
    page = Page(html)
    assert all(link.startswith(("data:", "#")) for link in page.links)
    assert not re.search(r"@import|url\(\s*['\"]?https?:", html)
    assert "default-src 'none'" in html


def test_the_graph_is_a_live_page_with_a_still_beside_it(pages, graph):
    assert graph.line.startswith("6 → 5 nodes: ")
    frame = next(a for t, a in Page(pages["report"]).tags if t == "iframe")
    assert "graphdiff" in frame["srcdoc"]
    assert any(t == "img" and a["src"].startswith("data:image/png") for t, a in Page(pages["report"]).tags)


def test_it_reads_without_scripts(pages):
    body = pages["report"].split("<script>")[0]
    loss, time = (re.findall(rf'data-steps="{kind}".*?</ul>', body, re.S)[0] for kind in ("loss", "time"))
    assert loss.count("<li") == 3 and time.count("<li") >= 3
    assert "By the loss that is accepted" in body and "<table" in body


def test_gone_artefacts_are_said_and_not_guessed(tmp_path):
    study, model = filled(tmp_path)
    (tmp_path / "after.onnx").unlink()
    found = report_data.gather(study)
    assert "measure the variant again" in report.graph_of(found).line
    model.path.unlink()
    gone = report_data.gather(study)
    assert gone.original is None and "no longer where it was" in report.graph_of(gone).line
    assert "measure the variant again" in report.render(found, report.graph_of(found))


def test_names_from_files_are_never_markup(tmp_path):
    study, model = filled(tmp_path)
    study.remember_model(model.sha256, {**model.to_dict(), "name": '<img src=x onerror="alert(1)">', "path": ""})
    evil = dataclasses.replace(fidelity(), metric_name="<script>alert(2)</script>")
    study.add(result(FUSED, 5e-3, ratio=0.7, verdict="faster", model_sha256=model.sha256, is_baseline=False,
                     run_id='"><script>alert(3)</script>', fidelity=evil), "t")
    for slides in (False, True):
        html = report.render(report_data.gather(study), None, slides=slides)
        assert "<img src=x" not in html and "&lt;img src=x" in html
        assert "<script>alert" not in html and "&lt;script&gt;alert(3)" in html


def test_written_at_once_or_not_at_all(known, tmp_path):
    path = workbench.report(known[0].path, tmp_path / "deep" / "r.html", graph=False)
    assert path.read_text("utf-8").startswith("<!doctype html>") and list(path.parent.iterdir()) == [path]
    with pytest.raises(InputError) as error:
        report.write_report(known[0], tmp_path, graph=False)
    assert "another file" in str(error.value)
    with pytest.raises(InputError):
        workbench.report(tmp_path / "none.sqlite", tmp_path / "r.html")
    with pytest.raises(InputError) as error:
        report.write_report(Study(tmp_path / "empty.sqlite"), tmp_path / "r.html")
    assert "holds no measurement" in str(error.value)


# --- plots, PDF, shell ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_a_plot_is_a_file_of_its_own(told, mode):
    text = report_svg.standalone(str(report_svg.tradeoff(told.shown, selected=told.chosen.key)), mode)
    root = ElementTree.fromstring(text)
    assert root.tag.endswith("svg") and "var(" not in text
    assert len([g for g in root.iter() if g.get("class") == "mark"]) == len(told.shown.points)


def test_marks_stand_where_the_numbers_say(told):
    svg = str(report_svg.tradeoff(told.shown))
    found = re.findall(r'data-key="(\w+)" data-x="([\d.]+)" data-y="([\d.]+)"', svg)
    places = {k: (float(x), float(y)) for k, x, y in found}
    by_time = sorted(told.shown.points, key=lambda p: p.latency_s)
    by_quality = sorted(told.shown.points, key=lambda p: -p.quality)
    assert [places[p.key][0] for p in by_time] == sorted(x for x, _ in places.values())
    assert [places[p.key][1] for p in by_quality] == sorted(y for _, y in places.values())


def test_without_chromium_pdf_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(report_browser, "chromium", lambda: None)
    with pytest.raises(MissingError) as error:
        report_browser.pdf("<p>x</p>", tmp_path / "x.pdf")
    assert "WORKBENCH_CHROMIUM" in str(error.value)


def test_from_the_shell(known, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(report_browser, "chromium", lambda: None)
    out = tmp_path / "r.html"
    assert cli.main(["report", str(known[0].path), "-o", str(out), "--no-graph", "--plots", str(tmp_path / "p"),
                     "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["variants"] == 6 and data["size_bytes"] == out.stat().st_size
    assert data["answer"].startswith("INT8 static")
    assert sorted(p.name for p in (tmp_path / "p").iterdir()) == ["tradeoff-dark.svg", "tradeoff-light.svg"]
    assert cli.main(["report", str(tmp_path / "none.sqlite")]) == 2
    assert "no such study" in capsys.readouterr().err
    assert cli.main(["report", str(known[0].path), "--choose", "zzz", "-o", str(out)]) == 2


@pytest.mark.slow
def test_pdf_through_chromium(pages, tmp_path):
    if report_browser.chromium() is None:
        pytest.skip("no Chromium here: install one or set WORKBENCH_CHROMIUM")
    path = report_browser.pdf(pages["slides"], tmp_path / "s.pdf", slides=True)
    data = path.read_bytes()
    assert data.startswith(b"%PDF") and len(re.findall(rb"/Type\s*/Page\b", data)) == 6


# --- the meeting ----------------------------------------------------------------------------------------------------


def test_the_meeting_waits_then_fills_and_follows_the_study(tmp_path):
    study = Study(tmp_path / "s.sqlite")
    show = Meeting(study)
    assert "Nothing is measured yet" in show.html
    other = Study(tmp_path / "s.sqlite")  # somebody else measures
    other.add(result(BASE, 2e-3, ratio=1.0, is_baseline=True), "s")
    show.look()
    assert "The baseline" in show.html and "no other variant is measured yet" in show.html
    while "Reading both graphs" in show.html:  # a thread does; the suite's time limit is the only clock
        time.sleep(0.05)
    before = show.html
    show.look()
    assert show.html is before  # nothing new, nothing sent
    other.add(result(INT8, 1e-3, ratio=0.5, verdict="faster", is_baseline=False), "s")
    show.look()
    assert "2.0x" in show.html and bare_numbers(Page(show.html)) == []
    show.close()


def test_the_meeting_hands_out_files(known):
    show = workbench.meeting(known[0])
    sent = []
    show.send = lambda content, buffers=None: sent.append((content, buffers))
    show._save(slides=True)
    show._save(slides=False)
    assert [c["name"] for c, _ in sent] == ["camera-slides.html", "camera-report.html"]
    assert sent[0][1][0].startswith(b"<!doctype html>")
    show.close()


def test_the_numbers_of_the_meeting_are_the_studys(known):
    show = Meeting(known[0])
    assert wrong_numbers(show.html, known[0]) == [] and bare_numbers(Page(show.html)) == []
    show.close()


# --- for real -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_from_a_real_measurement_to_a_report(tmp_path):
    from workbench import datasets, recipe

    model = workbench.load(filled(tmp_path)[1].path)
    study = Study(tmp_path / "real.sqlite")
    with workbench.Engine(model, datasets.random(model), study) as engine:
        engine.measure([recipe.make("onnx-simplify", runtime="onnxruntime"),
                        recipe.make("onnx-int8-dynamic", runtime="onnxruntime")])
    found = report_data.gather(study)
    html = report.write_report(study, tmp_path / "real.html").read_text("utf-8")
    assert bare_numbers(Page(html)) == []
    assert 'class="live"' in html or found.chosen is None
    for attrs, _ in Page(html).data:
        if attrs["data-field"] == "median_s":
            stored = next(r for r in study.results() if r.run_id == attrs["data-run"])
            assert float(attrs["value"]) == stored.median_s
            assert units.duration(stored.median_s)


def test_templates_are_part_of_the_package():
    assert {p.name for p in report_page.TEMPLATES.iterdir()} >= {"report.html.j2", "slides.html.j2", "report.css"}
