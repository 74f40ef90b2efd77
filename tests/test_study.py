"""The study keeps what was measured: append-only, paired by session, safe under kill and two writers."""

import json
import multiprocessing
import pickle
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from workbench import recipe as recipes
from workbench.errors import InputError
from workbench.results import Fidelity, Result
from workbench.results_json import from_dict, to_dict
from workbench.study import Study

BASE = recipes.make(runtime="onnxruntime", threads=2)
FAST = recipes.make("onnx-int8-static", runtime="onnxruntime", threads=2)


def result(run_id="a", recipe=FAST, **changes) -> Result:
    fidelity = Fidelity(200, "accuracy", 0.91, (0.90, 0.92), -0.01, (-0.02, 0.0), changed=(3, 9), notes=("x",))
    made = Result(run_id=run_id, created="2026-11-24T05:00:00+00:00", model_sha256="m", data_sha256="d", recipe=recipe,
                  machine="host", is_baseline=recipe == BASE, status="ok", median_s=0.001, interval_s=(0.0009, 0.0011),
                  samples=10, percentiles_s={"p90": 0.002, "p99": None}, ratio=0.5, ratio_interval=(0.4, 0.6),
                  verdict="faster", fidelity=fidelity, stages=({"name": "p", "notes": ["n"]},), warmup_s=(0.1,))
    return replace(made, **changes)


def test_result_survives_json_with_infinite_sqnr():
    original = result()
    again = from_dict(json.loads(json.dumps(to_dict(original), allow_nan=False)))
    assert again == original
    assert again.fidelity.sqnr_db == float("inf")


def test_reopened_study_shows_what_was_stored(tmp_path):
    path = tmp_path / "deep" / "s.sqlite"
    study = Study(path)
    study.add(result(), "s1", [[0.001, 0.002], [0.003]])
    study.close()
    again = Study(path)
    assert again.results("m", "host") == [result()]
    assert [list(r) for r in again.rounds("a")] == [[0.001, 0.002], [0.003]]
    assert again.find(FAST.key, "m", "d", "host") == result()
    assert again.find(FAST.key, "m", "d", "another machine") is None


def test_what_a_stored_result_carries_is_read_when_it_is_asked_for():
    study = Study()
    study.add(result(environment={"cpu_model": "x"}), "s1")
    found, other = study.results()[0], pickle.loads(pickle.dumps(study.results()[0]))
    assert "environment" not in vars(found) and not hasattr(found, "no such thing")
    assert found.environment == {"cpu_model": "x"} and found.stages == ({"name": "p", "notes": ["n"]},)
    assert found == other == replace(other, verdict="faster") == result(environment={"cpu_model": "x"})


def test_a_study_of_an_older_workbench_is_read_and_goes_on(tmp_path):
    path = tmp_path / "old.sqlite"
    study = Study(path)
    study.add(result(environment={"cpu_model": "x"}), "s1")
    study.close()
    db = sqlite3.connect(path)  # as schema 1 had it: one text with everything
    db.execute("UPDATE runs SET payload = ?", (json.dumps(to_dict(result(environment={"cpu_model": "x"}))),))
    db.execute("ALTER TABLE runs DROP COLUMN carried")
    db.execute("UPDATE meta SET value = '1' WHERE key = 'schema'")
    db.commit()
    db.close()
    again = Study(path)
    again.add(result("b", BASE), "s2")
    assert again.results() == [result(environment={"cpu_model": "x"}), result("b", BASE)]
    assert Study(path).find(FAST.key, "m", "d", "host").environment == {"cpu_model": "x"}


def test_results_of_another_machine_or_data_stay_apart():
    study = Study()
    study.add(result("a"), "s1")
    study.add(result("b", machine="other"), "s2")
    study.add(result("c", data_sha256="other"), "s3")
    assert [r.run_id for r in study.results("m", "host", "d")] == ["a"]
    assert len(study.results()) == 3


def test_a_later_failure_does_not_hide_a_good_result():
    study = Study()
    study.add(result("a"), "s1")
    study.add(result("b", status="failed", reason="worker died"), "s2")
    assert [r.run_id for r in study.results("m")] == ["a"]
    study.add(result("c"), "s3")
    assert [r.run_id for r in study.results("m")] == ["c"]
    assert len(study) == 3


def test_a_run_that_was_cut_short_hides_no_whole_one():
    study = Study()
    study.add(result("a", stopped="narrow"), "s1")
    study.add(result("b", stopped="cancelled", fidelity=None), "s2")
    assert [r.run_id for r in study.results("m")] == ["a"] and study.find(FAST.key, "m", "d", "host").run_id == "a"
    alone = Study()
    alone.add(result("b", stopped="cancelled", fidelity=None), "s2")
    assert alone.find(FAST.key, "m", "d", "host").run_id == "b"


def test_history_pairs_rounds_within_a_session_only():
    study = Study()
    for session, shift in (("s1", 0), ("s2", 10)):
        study.add(result(f"base-{session}", BASE), session, [[1 + shift], [2 + shift], [3 + shift]])
        study.add(result(f"fast-{session}"), session, [[0.1 + shift], [0.2 + shift]])
    study.add(result("lonely"), "s3", [[99.0]])
    mine, base = study.history(FAST.key, BASE.key, "m", "d", "host")
    assert np.allclose(np.concatenate(mine), [0.1, 0.2, 10.1, 10.2])
    assert np.allclose(np.concatenate(base), [1, 2, 11, 12])


def _write_many(path: str, tag: str) -> None:
    study = Study(path)
    for i in range(50):
        study.add(result(f"{tag}{i}"), f"{tag}{i}", [[0.1]])


def test_two_processes_write_at_once(tmp_path):
    path = str(tmp_path / "s.sqlite")
    Study(path).close()
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_many, args=(path, tag)) for tag in "xy"]
    for w in writers:
        w.start()
    for w in writers:
        w.join()
    assert [w.exitcode for w in writers] == [0, 0]
    assert len(Study(path)) == 100


def test_kill_in_the_middle_loses_no_finished_run(tmp_path):
    path = tmp_path / "s.sqlite"
    script = ("from tests.test_study import *; import sys\nstudy = Study(sys.argv[1])\n"
              "for i in range(10**6):\n    study.add(result(f'r{i}'), f's{i}', [[0.1]] * 20); print(i, flush=True)")
    writer = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True)
    said = [int(writer.stdout.readline()) for _ in range(20)]
    time.sleep(0.05)
    writer.kill()
    said += [int(x) for x in writer.stdout.read().split()]
    writer.wait()
    study = Study(path)
    assert len(study) >= len(said)
    assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert all(len(study.rounds(f"r{i}")) == 20 for i in said)


@pytest.mark.parametrize("content", [b"not a database, just text\n" * 40, b"SQLite format 3\x00" + b"\xff" * 500])
def test_a_file_that_is_no_study_is_one_line(tmp_path, content):
    path = tmp_path / "s.sqlite"
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot open study"):
        Study(path)
    assert path.read_bytes() == content


def test_a_study_of_a_newer_workbench_is_refused(tmp_path):
    path = tmp_path / "s.sqlite"
    Study(path)._db.execute("UPDATE meta SET value = '99'")
    with pytest.raises(InputError, match="upgrade"):
        Study(path)
