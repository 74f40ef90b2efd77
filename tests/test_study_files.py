"""Studies travel as JSON and CSV and into each other; machines stay apart; damaged files are one line."""

import csv
import json
import random

import numpy as np
import pytest

from tests.test_study import BASE, FAST, result
from workbench import cli, study_files
from workbench.errors import InputError
from workbench.study import Run, Study
from workbench.views import frames


@pytest.fixture
def study(tmp_path):
    made = Study(tmp_path / "a.sqlite")
    made.remember_model("m", {"name": "net", "path": "net.onnx", "format": "onnx"})
    made.remember_data("d", "photos")
    for machine, shift in (("here", 1.0), ("there", 0.01)):
        made.add(result(f"base-{machine}", BASE, machine=machine, median_s=0.002 * shift), f"s-{machine}",
                 [[0.002, 0.003], [0.002]])
        made.add(result(f"fast-{machine}", machine=machine, median_s=0.001 * shift,
                        interval_s=(0.0009 * shift, 0.0011 * shift)), f"s-{machine}", [[0.001]])
    made.add(result("bad", machine="here", recipe=FAST, status="failed", reason="=cmd|'/c calc'!A1", median_s=None),
             "s3")
    return made


def said(capsys, *args, code=0):
    assert cli.main([*map(str, args), "--json"]) == code
    out = capsys.readouterr()
    return json.loads(out.out) if code == 0 else out.err


@pytest.mark.parametrize("form", study_files.FORMATS)
def test_export_and_import_lose_nothing(study, tmp_path, capsys, form):
    file, other = tmp_path / f"out.{form}", tmp_path / "b.sqlite"
    assert said(capsys, "study", "export", study.path, "-o", file)["runs"] == 5
    assert said(capsys, "study", "import", other, file)["runs"] == 5
    again = Study(other)
    assert again.results() == study.results() and len(again) == len(study)
    assert all(np.array_equal(np.concatenate(again.rounds(r)), np.concatenate(study.rounds(r)))
               for r in ("base-here", "fast-there"))
    assert said(capsys, "study", "import", other, file)["files"][0]["added"] == 0  # a second time changes nothing
    if form == "json":
        assert again.models() == study.models() and again.data_names() == {"d": "photos"}


def test_csv_is_for_spreadsheets_and_no_cell_is_a_formula(study, tmp_path):
    with (tmp_path / "x.csv").open("w", newline="") as stream:
        study_files.export(study, stream, "csv")
    rows = list(csv.DictReader((tmp_path / "x.csv").open(newline="")))
    assert (rows[1]["model"], rows[1]["data"]) == ("net", "photos")
    assert float(rows[1]["median_s"]) == 0.001 and rows[1]["verdict"] == "faster"
    assert rows[4]["reason"].startswith("'=")


def test_machines_in_one_study_never_share_a_front(study, tmp_path, capsys):
    groups = said(capsys, "study", "show", study.path)["groups"]
    assert [g["machine"] for g in groups] == ["here", "there"]
    assert all({v["run_id"].split("-")[1] for v in g["variants"]} == {g["machine"]} for g in groups)
    for g in groups:  # the other machine is a hundred times faster, and yet nothing here is dominated by it
        assert [v["standing"] for v in g["variants"] if not v["is_baseline"]] == ["front"]
    shown = frames.tradeoff(study.results(), machine="here")
    assert {p.run_id for p in shown.points} == {"base-here", "fast-here"} and min(x for x, _ in shown.front) == 0.001


def test_merge_and_list(study, tmp_path, capsys):
    other = Study(tmp_path / "other.sqlite")
    other.add(result("elsewhere", machine="third"), "s9", [[0.001]])
    told = said(capsys, "study", "merge", tmp_path / "all.sqlite", study.path, tmp_path / "other.sqlite")
    assert told["runs"] == 6 and [s["added"] for s in told["sources"]] == [5, 1]
    assert said(capsys, "study", "merge", tmp_path / "all.sqlite", study.path)["sources"][0]["added"] == 0
    listed = {r["path"].split("/")[-1]: r for r in said(capsys, "study", "list", tmp_path)["studies"]}
    assert listed["all.sqlite"]["machines"] == ["here", "there", "third"] and listed["a.sqlite"]["models"] == ["net"]
    assert listed["a.sqlite"]["failed"] == 1


def test_history_pairs_the_same_after_a_merge(study, tmp_path, capsys):
    said(capsys, "study", "merge", tmp_path / "all.sqlite", study.path)
    for s in (study, Study(tmp_path / "all.sqlite")):
        mine, base = s.history(FAST.key, BASE.key, "m", "d", "here")
        assert len(mine) == len(base) == 1 and mine[0][0] == 0.001


@pytest.mark.parametrize("name,content,words", [
    ("x.json", "{", "is not JSON"), ("x.json", "[1]", "no exported study"),
    ("x.json", '{"workbench_study": 1, "runs": [3]}', "run 1 of"),
    ("x.json", '{"workbench_study": 1, "runs": [{"session": "s", "result": {}, "rounds_s": []}]}', "lacks fields"),
    ("x.csv", "a,b\n1,2\n", "column result_json is missing"),
    ("x.csv", "session,result_json,rounds_json\ns,{,[]\n", "line 2 of"), ("x.txt", "", "written as .json or .csv"),
    ("x.json", b"\xff\xfe\x00", "is not JSON"), ("gone.json", None, "cannot read")])
def test_what_is_no_export_is_one_line_and_makes_no_study(tmp_path, capsys, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    error = said(capsys, "study", "import", tmp_path / "new.sqlite", tmp_path / name, code=2)
    assert words in error and error.count("\n") == 1 and not (tmp_path / "new.sqlite").exists()


@pytest.mark.parametrize("field,value", [("median_s", "fast"), ("median_s", -1), ("status", "fine"), ("ratio", True),
                                         ("run_id", 7), ("size_bytes", None), ("recipe", {"passes": [{"name": "x"}]}),
                                         ("memory", [])])
def test_values_that_no_result_has_are_refused(study, tmp_path, field, value):
    path = tmp_path / "x.json"
    with path.open("w") as stream:
        study_files.export(study, stream)
    data = json.loads(path.read_text())
    data["runs"][1]["result"][field] = value
    path.write_text(json.dumps(data))
    with pytest.raises(InputError, match="run 2 of"):
        list(study_files.read(path))


def test_show_of_a_missing_study_makes_none(tmp_path, capsys):
    assert "no such study" in said(capsys, "study", "show", tmp_path / "gone.sqlite", code=2)
    assert not (tmp_path / "gone.sqlite").exists()


def test_a_run_of_an_unknown_pass_hides_no_other(tmp_path):
    study = Study(tmp_path / "s.sqlite")
    study.add_many([Run("s1", result("a")), Run("s2", result("b", BASE))])
    study._db.execute("UPDATE runs SET payload = replace(payload, 'onnx-int8-static', 'pass-of-the-future')")
    assert [r.run_id for r in study.results()] == ["b"]


def test_standing_of_many_points_is_what_pairwise_comparison_says():
    rng = random.Random(0)
    points = []
    for i in range(120):
        x, q = rng.choice([0.8, 1.0, rng.uniform(0.5, 2)]), rng.choice([0.9, rng.uniform(0.8, 1)])
        spread = rng.uniform(0, 0.1)
        points.append(frames.Point(
            str(i), str(i), "", "", "float32", "onnxruntime", x, (x * (1 - spread), x * (1 + spread)),
            None if i % 17 == 0 else q, None if i % 5 == 0 else (q - spread / 9, q + spread / 9), 1.0, None, "", 1,
            i == 0, live=i % 13 == 0))

    def ahead(a, b):
        if a.quality is None or b.quality is None:
            return False
        return (a.latency_s <= b.latency_s and a.quality >= b.quality
                and (a.latency_s < b.latency_s or a.quality > b.quality))

    for p, told in zip(points, frames._with_standing(points), strict=True):
        expected = ("dominated" if any(frames.dominates(q, p) for q in points)
                    else "undecided" if any(ahead(q, p) for q in points) else "front")
        assert told.standing == expected, p.key
