"""The search on real models: goals, the space, resuming, stopping, and a bundle that runs without the workbench."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.pass_parts import conv_net
from tests.test_study import result
from workbench import bundled, datasets
from workbench import model as models
from workbench import recipe as recipes
from workbench.errors import InputError
from workbench.results import Fidelity
from workbench.search import Goal, terms, tune
from workbench.search.ranking import Ranking, finished
from workbench.search.routes import Aim
from workbench.search.sampling import Sampler
from workbench.search.space import Space
from workbench.search.split import halves
from workbench.study import Study


@pytest.fixture(scope="module")
def mlp():
    model = bundled.model("mlp")
    return model, datasets.load("mlp", model)


def measured(metric=0.9, delta=0.0, ratio=0.5, **changes):
    fidelity = Fidelity(100, "accuracy", metric, (metric, metric), delta)
    return replace(result(), fidelity=fidelity, ratio=ratio, **changes)


def test_goal_names_what_is_missed():
    goal = Goal(max_drop=1.0, latency_s=0.0005, size_bytes=10)
    missed = goal.unmet(measured(delta=-0.05, size_bytes=100))
    assert set(missed) == {"max_drop", "latency_s", "size_bytes"}
    assert "5.00 points" in missed["max_drop"]
    assert Goal(max_drop=6.0).unmet(measured(delta=-0.05)) == {}


def test_a_variant_whose_answers_are_nan_never_meets_a_goal():
    broken = Fidelity(10, "cosine", float("nan"), (0.0, 1.0), float("nan"))
    assert "fidelity" in Goal(fidelity=0.5).unmet(replace(result(), fidelity=broken))
    assert "max_drop" in Goal(max_drop=50.0).unmet(replace(result(), fidelity=broken))
    assert "fidelity" in Goal(fidelity=0.5).unmet(replace(result(), fidelity=None))


def test_binding_constraint_is_the_one_that_stands_alone_in_the_way():
    goal = Goal(fidelity=0.5, latency_s=0.0001)
    assert goal.binding([measured(), measured(metric=0.4)]) == ["latency_s"]
    assert Goal(fidelity=0.5).binding([measured()]) == []


@pytest.mark.parametrize("values,said", [({"fidelity": 1.5}, "allowed: 0 to 1"), ({"batch": 0}, "allowed: 1"),
                                         ({"fidelity": 0.9, "max_drop": 1.0}, "not both")])
def test_impossible_goals_are_refused(values, said):
    with pytest.raises(InputError, match=said):
        Goal(**values)


def test_space_obeys_the_goal(mlp):
    model, _ = mlp
    space = Space(model, Goal(runtimes=("onnxruntime",), formats=("onnx",), threads=1))
    recipes = [space.recipe(p) for p in space.points()]
    assert recipes and {r.runtime for r in recipes} == {"onnxruntime"} and {r.threads for r in recipes} == {1}
    assert len({r.key for r in recipes}) == len(recipes)
    with pytest.raises(InputError, match="unknown runtime 'abacus'"):
        Space(model, Goal(runtimes=("abacus",)))


def test_what_the_goal_forbids_never_meets_it():
    """The original itself may be forbidden: must be ONNX, one thread only, a runtime that is not its own."""
    original = measured(ratio=1.0, recipe=recipes.make(runtime="tensorflow", threads=2), is_baseline=True)
    assert "formats" in Goal(fidelity=0.5, formats=("onnx",)).unmet(original, "keras")
    assert "threads" in Goal(fidelity=0.5, threads=1).unmet(original)
    assert "runtimes" in Goal(fidelity=0.5, runtimes=("litert",)).unmet(original)
    ranking = Ranking(Goal(fidelity=0.5, formats=("onnx",)), lambda recipe: "onnx" if recipe.steps else "keras")
    allowed = measured(ratio=1.5, run_id="b", recipe=recipes.make("onnx-convert", runtime="onnxruntime", threads=2))
    assert ranking.take(original) and ranking.take(allowed) and ranking.best is allowed
    assert ranking.pick([original, allowed]) is allowed


def test_a_trial_that_was_cut_short_is_not_finished_and_never_the_best():
    cut = replace(measured(ratio=0.1), fidelity=None, stopped="cancelled")
    ranking = Ranking(Goal(fidelity=0.5), lambda recipe: "onnx")
    assert not finished(cut) and not ranking.take(cut) and ranking.best is None
    assert finished(measured()) and finished(replace(measured(), status="failed"))


def test_mixed_precision_aims_at_the_goal(mlp):
    model, _ = mlp

    def settings(aim):
        route = Space(model, Goal(), aim=aim).routes["onnxruntime int8 mixed"]
        return dict(route.steps[0][1])

    assert settings(Aim("cosine", 0.97)) == {"target": 0.97}
    labelled = settings(Aim("accuracy", 1 - 2.5 / 100))
    assert labelled["metric"] == "accuracy" and labelled["target"] == 0.975
    assert Space(model, Goal(fidelity=0.95)).routes["onnxruntime int8 mixed"].steps[0][1]["target"] == 0.95


def test_what_the_processor_cannot_do_costs_no_trial(mlp):
    model, _ = mlp
    old = Space(model, Goal(), fingerprint={"isa": ["avx2"], "physical_cores": 2})
    assert "bfloat16" in old.ruled_out["openvino bf16"] and "openvino bf16" not in old.routes
    new = Space(model, Goal(), fingerprint={"isa": ["avx2", "avx512f"], "physical_cores": 2})
    assert "openvino bf16" in new.routes


def test_words_are_the_same_for_flags_keywords_and_widgets():
    goal = terms.goal({"latency_ms": 2, "size_mb": "1.5", "runtimes": "onnxruntime, litert", "max_drop": None})
    assert goal == Goal(latency_s=0.002, size_bytes=1.5e6, runtimes=("onnxruntime", "litert"))
    assert [terms.goal({"finetune": t}).finetune for t in ("no", False, "yes", None)] == [False, False, True, True]
    for words, said in (({"latency_ms": -1}, "'latency_ms' is -1"), ({"runtimes": "abacus"}, "unknown runtime"),
                        ({"threads": 1.5}, "a whole number"), ({"speed": 1}, "unknown constraint 'speed'"),
                        ({"fidelity": 0.9, "max_drop": 1}, "not both"), ({"formats": ["h5"]}, "unknown format"),
                        ({"finetune": "perhaps"}, "allowed: yes, no")):
        with pytest.raises(InputError, match=said):
            terms.goal(words)
    done = shell("--help")
    assert all(t.flag in done.stdout for t in terms.TERMS)


def test_sampler_visits_every_point_once(mlp):
    points = Space(mlp[0], Goal()).points()
    sampler = Sampler(points, seed=1)
    seen = []
    while (point := sampler.ask()) is not None:
        seen.append(point)
        sampler.tell(point, measured(ratio=0.5 + 0.1 * len(seen)), Goal())
    assert sorted(seen) == sorted(points)


def test_the_last_measurement_uses_samples_the_search_did_not_see(mlp):
    _, data = mlp
    search, final = halves(data, seed=3)
    rows = [{a.tobytes() for a in d.evaluation.rows["features"]} for d in (search, final)]
    assert rows[0] and rows[1] and not rows[0] & rows[1]
    assert len(search.evaluation) + len(final.evaluation) == len(data.evaluation)
    assert search.sha256 != final.sha256


@pytest.mark.slow
def test_tune_finds_a_variant_and_a_second_call_repeats_nothing(mlp, tmp_path):
    model, data = mlp
    study = Study(tmp_path / "s.sqlite")
    goal = Goal(max_drop=2.0, runtimes=("onnxruntime", "litert", "tensorflow"), threads=1)
    best: list = []
    found = tune(model, data, goal, minutes=1.0, study=study, on_best=best.append)
    assert found.met and found.best.fidelity.delta >= -0.02
    assert found.best.verdict == "faster" and not found.best.is_baseline
    assert best[0].is_baseline and len(found.contenders) >= 2
    ok = [t.result for t in found.trials if t.result.status == "ok"]
    assert all(study.rounds(r.run_id) for r in ok) and len(found.trials) >= 3
    again = tune(model, data, goal, minutes=0.2, study=study)
    done = {t.result.recipe.key for t in found.trials if finished(t.result)}
    assert len(done) >= 3 and all(t.reused for t in again.trials if t.result.recipe.key in done)


@pytest.mark.slow
def test_cancel_returns_the_best_so_far(mlp):
    cancel = threading.Event()
    found = tune(*mlp, Goal(runtimes=("onnxruntime", "tensorflow")), minutes=5, cancel=cancel,
                 on_trial=lambda trial: cancel.set() if trial.number >= 1 else None)
    assert found.stopped == "cancelled" and found.best.median_s > 0 and len(found.trials) <= 3


def shell(*args, **kwargs):
    return subprocess.run([sys.executable, "-m", "workbench", "tune", *map(str, args)], capture_output=True, text=True,
                          env={**os.environ, "WORKBENCH_QUICK": "1"}, timeout=300, **kwargs)


@pytest.mark.slow
def test_bundle_runs_without_the_workbench(mlp, tmp_path):
    model, data = mlp
    folder = tmp_path / "bundle"
    done = shell("mlp", "--minutes", "0.6", "--max-drop", "3", "--runtimes", "onnxruntime,tensorflow",
                 "-o", folder, "--json")
    assert done.returncode == 0, done.stderr[-800:]
    said = json.loads(done.stdout)
    assert said["met"] and said["best"]["ratio"] <= 1
    names = {p.name for p in folder.iterdir()}
    assert {"predict.py", "requirements.txt", "recipe.yaml", "measurement.json"} <= names
    assert "==" in (folder / "requirements.txt").read_text() and "workbench" not in (folder / "predict.py").read_text()
    x = data.evaluation.rows["features"][:1]
    np.save(tmp_path / "x.npy", x)
    script = ("import sys, numpy as np; sys.path.insert(0, sys.argv[1]); import predict; "
              "out = predict.Predictor().run({'features': np.load(sys.argv[2])}); np.savez(sys.argv[3], **out); "
              "assert not any(m.startswith('workbench') for m in sys.modules)")
    subprocess.run([sys.executable, "-c", script, str(folder), str(tmp_path / "x.npy"), str(tmp_path / "y.npz")],
                   check=True, cwd=tmp_path, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"})
    got = np.load(tmp_path / "y.npz")["probabilities"]
    assert got.shape == (1, 2) and got.sum() == pytest.approx(1.0, abs=0.02)
    evidence = json.loads((folder / "measurement.json").read_text())
    assert evidence["rounds_s"] and evidence["final"]


@pytest.mark.slow
def test_an_impossible_goal_exits_3_with_a_bundle_and_the_constraint(tmp_path):
    done = shell("mlp", "--minutes", "0.3", "--latency-ms", "0.000001", "--runtimes", "onnxruntime,tensorflow",
                 "-o", tmp_path / "b", "--json")
    assert done.returncode == 3, done.stderr[-800:]
    said = json.loads(done.stdout)
    assert not said["met"] and said["binding"] == ["latency_s"] and said["nearest"]
    assert (tmp_path / "b/predict.py").exists()


@pytest.mark.slow
def test_kill_loses_neither_the_best_nor_a_trial_and_a_second_call_repeats_none(tmp_path):
    """``kill -9`` in a search: the bundle runs, every trial that was told is kept, resuming measures others."""
    folder, model = tmp_path / "b", models.load(conv_net(tmp_path / "m.onnx"))
    np.savez(tmp_path / "d.npz", image=np.random.default_rng(0).normal(size=(96, 3, 12, 12)).astype("f4"))
    told = [tmp_path / "m.onnx", "--data", tmp_path / "d.npz", "--fidelity", 0.9, "--runtimes", "onnxruntime",
            "-o", folder]
    process = subprocess.Popen([sys.executable, "-m", "workbench", "tune", *map(str, told), "--minutes", "5"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
                               env={**os.environ, "WORKBENCH_QUICK": "1"})
    lines = []
    while len(lines) < 4 and (line := process.stderr.readline()):
        lines += [line] if line.startswith("[") else []
    time.sleep(0.7)  # in the middle of the next trial
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    evidence = json.loads((folder / "measurement.json").read_text())
    done = subprocess.run([sys.executable, "predict.py"], cwd=folder, capture_output=True, text=True)
    assert evidence["final"] is False and done.returncode == 0 and "probabilities" in done.stdout
    study = Study(folder / "study.sqlite")
    before = {r.recipe.key: r for r in study.results(model.sha256) if finished(r)}
    heard = {x.split("] ")[1].split(": ")[0] for x in lines}
    assert heard <= {r.recipe.label for r in before.values()} and len(heard) >= 2
    good = [r for r in before.values() if r.recipe.label in heard and r.status == "ok" and r.fidelity.metric >= 0.9]
    assert evidence["result"]["ratio"] <= 1.001 * min(r.ratio for r in good)
    study.close()
    again = shell(*told, "--minutes", "0.15", "--json")
    trials = json.loads(again.stdout)["trials"]
    repeated = [t for t in trials if recipes.from_dict(t["recipe"]).key in before and not t["reused"]]
    assert again.returncode == 0 and trials and not repeated
    assert json.loads((folder / "measurement.json").read_text())["final"] is True


def test_bundle_is_not_written_over_other_files(tmp_path):
    (tmp_path / "precious.txt").write_text("x")
    done = shell("mlp", "-o", tmp_path)
    assert done.returncode == 2 and "holds other files" in done.stderr
    assert Path(tmp_path / "precious.txt").read_text() == "x"
