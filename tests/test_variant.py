"""Recipes completed, refused and built: chains, the cache, and the worker processes, on bundled models."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from workbench import bundled, datasets, passes, recipe, variant
from workbench import model as models
from workbench.cache import Cache
from workbench.errors import Cancelled, InputError, NotApplicable, WorkerError
from workbench.model import ModelFormat, TensorSpec
from workbench.passes import wire
from workbench.passes.process import PassWorker

from . import pass_parts as parts

SPINE = ("onnx-convert", "onnx-graph-level", "onnx-float16", "onnx-int8-dynamic", "onnx-int8-static", "tflite-convert",
         "tflite-dynamic-range", "tflite-float16", "tflite-int8")
QUIET = {"progress": lambda fraction, line: None}


@pytest.fixture(scope="module")
def mlp():
    return bundled.model("mlp")


@pytest.fixture(scope="module")
def mlp_data(mlp):
    return datasets.load("mlp", mlp)


@pytest.fixture
def conv(tmp_path):
    return models.load(parts.conv_net(tmp_path / "conv.onnx"))


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache")


def steps(r):
    return [s.name for s in r.steps]


# --- complete ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked,expected,runtime", [
    (recipe.make(), [], "tensorflow"),
    (recipe.make(runtime="onnxruntime"), ["onnx-convert"], "onnxruntime"),
    (recipe.make(runtime="litert"), ["tflite-convert"], "litert"),
    (recipe.make("onnx-int8-static"), ["onnx-convert", "onnx-int8-static"], "onnxruntime"),
    (recipe.make("tflite-int8"), ["tflite-int8"], "litert"),
    (recipe.make("onnx-convert", "onnx-float16"), ["onnx-convert", "onnx-float16"], "onnxruntime"),
])
def test_complete_inserts_conversions_and_the_natural_runtime(asked, expected, runtime, mlp):
    done = variant.complete(mlp, asked)
    assert (steps(done), done.runtime) == (expected, runtime)
    assert done.threads >= 1 and done.runtime_settings is not None
    assert variant.complete(mlp, done) == done
    assert variant.problem(mlp, asked) is None


def test_complete_spells_out_what_silence_means(mlp):
    silent = variant.complete(mlp, recipe.make())
    spoken = variant.complete(mlp, recipe.make(runtime="tensorflow", threads=silent.threads))
    assert silent.key == spoken.key


def test_a_torch_file_runs_through_onnx_where_nothing_else_runs_it(conv, monkeypatch):
    monkeypatch.setattr("workbench.runtimes.registry.for_format", lambda form: ())
    done = variant.complete(replace(conv, format=ModelFormat.TORCHSCRIPT), recipe.make())
    assert steps(done) == ["onnx-convert"]


# --- problem -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SPINE)
def test_the_same_pass_twice_is_refused_before_anything_runs(name, mlp):
    reason = variant.problem(mlp, recipe.make(name, name))
    assert reason and "\n" not in reason and passes.get(name).title in reason


@pytest.mark.parametrize("asked,words", [
    (recipe.make("onnx-int8-static", "onnx-float16"), ("cannot follow", "INT8 static", "order")),
    (recipe.make("onnx-graph-level", "onnx-int8-static"), ("cannot follow", "ORT graph")),
    (recipe.make("onnx-float16", "tflite-int8"), ("works on Keras", "ONNX cannot become")),
    (recipe.make("tflite-int8", runtime="onnxruntime"), ("ONNX Runtime runs ONNX", "LiteRT")),
    (recipe.make("onnx-convert", runtime="litert"), ("LiteRT runs TFLite", "ONNX Runtime")),
])
def test_chains_that_do_not_fit_are_one_sentence_with_the_remedy(asked, words, mlp):
    reason = variant.problem(mlp, asked)
    assert reason and all(w in reason for w in words), reason
    with pytest.raises(InputError, match=reason[:30].replace("(", r"\(").replace(")", r"\)")):
        variant.build(mlp, asked, None)


def test_tflite_from_onnx_says_there_is_no_way(conv):
    assert "ONNX cannot become" in variant.problem(conv, recipe.make("tflite-int8"))


def test_a_missing_package_comes_with_its_install_line(mlp, monkeypatch):
    monkeypatch.setattr("workbench.chain.find_spec", lambda name: None)
    assert "pip install" in variant.problem(mlp, recipe.make("tflite-int8"))


def test_a_fixed_batch_is_told_before_anything_runs(conv):
    fixed = replace(conv, inputs=(TensorSpec("image", "float32", (1, 3, 12, 12)),))
    assert "choose batch 1" in variant.problem(fixed, recipe.make(batch=8))
    assert variant.problem(fixed, recipe.make()) is None and variant.problem(conv, recipe.make(batch=8)) is None


def test_an_absent_gpu_is_told_with_the_reason(conv):
    if os.path.exists("/dev/nvidia0"):
        pytest.skip("there is a GPU here")
    assert "gpu" in variant.problem(conv, recipe.make(device="gpu")).lower()


def test_problem_reads_the_file_but_loads_no_framework():
    code = ("from workbench import bundled, recipe, variant\nm = bundled.model('mlp')\n"
            "for n in ('onnx-int8-static', 'tflite-int8', 'onnx-graph-level'):\n"
            "    assert variant.problem(m, recipe.make(n)) is None\n"
            "import sys; print([m for m in ('tensorflow', 'onnxruntime', 'torch') if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- build and cache ---------------------------------------------------------------------------------------------


def test_a_change_in_the_last_pass_reuses_the_first(mlp, mlp_data, cache):
    first = variant.build(mlp, recipe.make("onnx-int8-static"), mlp_data, cache=cache)
    lines = []
    second = variant.build(mlp, recipe.make(("onnx-int8-static", {"per_channel": False})), mlp_data, cache=cache,
                           progress=lambda fraction, line: lines.append((fraction, line)))
    assert [s["cached"] for s in first.stages] == [False, False]
    assert [s["cached"] for s in second.stages] == [True, False]
    assert first.stages[0]["path"] == second.stages[0]["path"]
    third = variant.build(mlp, recipe.make("onnx-int8-static"), mlp_data, cache=cache)
    assert [s["cached"] for s in third.stages] == [True, True] and third.model == first.model
    assert all(0 <= f <= 1 for f, _ in lines) and [f for f, _ in lines] == sorted(f for f, _ in lines)
    assert {"name", "path", "format", "notes", "details", "seconds", "cached"} == set(third.stages[1])
    json.dumps(third.stages)


def test_calibration_data_is_part_of_the_key(mlp, mlp_data, cache):
    def made(data):
        return variant.build(mlp, recipe.make("onnx-int8-static"), data, cache=cache).stages

    half = replace(mlp_data, calibration=mlp_data.calibration.take(np.arange(20)))
    full, other = made(mlp_data), made(half)
    assert [s["cached"] for s in other] == [True, False]
    assert full[1]["path"] != other[1]["path"]


def test_without_passes_the_variant_is_the_model_itself(mlp, cache):
    built = variant.build(mlp, recipe.make(), None, cache=cache)
    assert built.model is mlp and built.stages == () and cache.size_bytes == 0


def test_calibration_samples_are_asked_for(mlp, cache):
    with pytest.raises(InputError, match="INT8 static needs calibration samples"):
        variant.build(mlp, recipe.make("onnx-int8-static"), None, cache=cache)


def test_not_applicable_passes_through_and_the_worker_lives(conv, mlp, mlp_data, cache, tmp_path):
    path = parts.branching_net(tmp_path / "if.onnx")
    model = models.load(path)
    data = datasets.random(model, 4)
    variant.build(conv, recipe.make("onnx-graph-level"), None, cache=cache)
    before = variant._worker("onnx").pid
    with pytest.raises(NotApplicable, match="INT8 static: .*inside If"):
        variant.build(model, recipe.make("onnx-int8-static"), data, cache=cache)
    assert before is not None and variant._worker("onnx").pid == before
    assert not list((cache.root / "tmp").iterdir())


def test_pinned_sizes_stay_pinned(tmp_path, cache):
    model = models.load(parts.embedding_net(tmp_path / "m.onnx"), fix={"tokens": [1, 7]})
    built = variant.build(model, recipe.make("onnx-int8-dynamic"), None, cache=cache)
    assert built.model.fix == model.fix == (("tokens", (1, 7)),)


def test_the_least_recently_used_goes_first(tmp_path):
    cache = Cache(tmp_path, max_bytes=2500)
    for name in ("a", "b", "c"):
        folder = cache.workdir()
        (folder / "model").write_bytes(b"x" * 1000)
        os.utime(folder / "model")
        cache.put(name, folder, {"file": "model"})
        time.sleep(0.01)
        assert cache.get("a") is not None  # keeps it young
        time.sleep(0.01)
    assert cache.get("b") is None and cache.get("a") and cache.get("c")
    assert 2000 < cache.size_bytes <= 2500
    cache.clear()
    assert cache.size_bytes == 0 and cache.get("a") is None


def test_two_writers_of_one_key_both_get_a_whole_entry(tmp_path):
    one, two = Cache(tmp_path), Cache(tmp_path)
    entries = []
    for cache, text in ((one, "first"), (two, "second")):
        folder = cache.workdir()
        (folder / "model").write_text(text)
        entries.append(cache.put("key", folder, {"file": "model", "who": text}))
    assert [e.meta["who"] for e in entries] == ["first", "first"]
    assert (entries[1].folder / "model").read_text() == "first"
    assert not list((tmp_path / "tmp").iterdir())


def test_two_processes_build_the_same_variant_at_once(conv, tmp_path):
    code = ("import sys\nfrom workbench import model, recipe, variant\n"
            "v = variant.build(model.load(sys.argv[1]), recipe.make('onnx-float16'), None,\n"
            "                  cache=variant.Cache(sys.argv[2]))\n"
            "print(v.model.path.stat().st_size, v.model.sha256)")
    both = [subprocess.Popen([sys.executable, "-c", code, str(conv.path), str(tmp_path / "shared")],
                             stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [p.communicate()[0] for p in both]
    assert said[0] and said[0] == said[1]
    assert len(list((tmp_path / "shared" / "artefacts").iterdir())) == 1


def test_feeds_survive_the_way_to_the_worker(tmp_path):
    feeds = ({"x": np.arange(6, dtype=np.int32).reshape(2, 3), "s": np.float64(1.5), "t": np.array(["a", "bb"])},
             {"x": np.zeros((1, 3), np.int32), "s": np.float64(2.5), "t": np.array(["c"])})
    wire.write_feeds(tmp_path / "f.npz", feeds, np.array([1, 2]))
    back, labels = wire.read_feeds(tmp_path / "f.npz")
    assert labels.tolist() == [1, 2] and wire.feeds_hash(back) == wire.feeds_hash(feeds)
    assert wire.feeds_hash(feeds) != wire.feeds_hash(feeds[:1])
    with pytest.raises(InputError, match="Python objects"):
        wire.write_feeds(tmp_path / "g.npz", ({"x": np.array([{}], dtype=object)},), None)


# --- the worker --------------------------------------------------------------------------------------------------


@pytest.fixture
def worker():
    made = PassWorker("onnx")
    yield made
    made.close()


def request(model, folder, name="onnx-graph-level"):
    folder.mkdir(exist_ok=True)
    return {"pass": name, "settings": {}, "model": wire.model_to_dict(model), "workdir": str(folder),
            "calibration": "", "seed": 0}


@pytest.mark.parametrize("sign,words", [(signal.SIGKILL, "memory ran out"), (signal.SIGSEGV, "crashed .SIGSEGV")])
def test_a_crash_is_one_line_and_the_next_pass_gets_a_fresh_worker(sign, words, worker, conv, tmp_path):
    def strike():
        while worker.pid is None:
            time.sleep(0.01)
        os.kill(worker.pid, sign)

    threading.Thread(target=strike).start()
    with pytest.raises(WorkerError, match=f"^ORT graph: .*{words}") as caught:
        worker.apply(request(conv, tmp_path / "a"), title="ORT graph", **QUIET)
    assert "\n" not in str(caught.value)
    assert worker.apply(request(conv, tmp_path / "b"), title="ORT graph", **QUIET)["format"] == "onnx"


def test_a_pass_that_hangs_is_stopped(worker, conv, tmp_path):
    with pytest.raises(WorkerError, match="took too long"):
        worker.apply(request(conv, tmp_path / "a"), title="ORT graph", timeout_s=0.1, **QUIET)
    assert worker.pid is None


def test_cancel_ends_the_work_at_once(worker, conv, tmp_path):
    cancel = threading.Event()
    with pytest.raises(Cancelled):
        worker.apply(request(conv, tmp_path / "a"), title="ORT graph", cancel=cancel,
                     progress=lambda fraction, line: cancel.set())
    assert worker.pid is None


def test_what_a_library_leaves_behind_goes_with_the_worker(worker, conv, tmp_path, monkeypatch):
    """TensorFlow writes its generated sources to the temporary folder, and the end of the process was a kill."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    worker.apply(request(conv, tmp_path / "a"), title="ORT graph", **QUIET)
    pairs = Path(f"/proc/{worker.pid}/environ").read_text().split("\0")
    variables = dict(pair.split("=", 1) for pair in pairs if pair)
    scratch = Path(variables["TMPDIR"])
    assert scratch.parent == tmp_path and variables["TEMP"] == variables["TMP"] == str(scratch)
    (scratch / "__autograph_generated_file.py").write_text("left behind")
    worker.close()
    assert not scratch.exists()


def test_cancel_is_heard_while_a_pass_reports_without_a_pause(worker, conv, tmp_path):
    class Chatty:
        """A pass that tells each batch: no silence in which the wait would end."""

        def get(self, timeout):
            return {"progress": (0.5, "epoch 1 of 9")}

    cancel, told = threading.Event(), []

    def progress(fraction, line):
        told.append(line)
        cancel.set()
        assert len(told) < 50, "the cancel is not heard"

    worker._answers = Chatty()
    worker._start = lambda: None
    worker._send = lambda message: None
    with pytest.raises(Cancelled):
        worker.apply(request(conv, tmp_path / "a"), title="Training", cancel=cancel, progress=progress)


def test_a_warm_worker_answers_passes_like_a_cold_one(worker, conv, tmp_path):
    worker.warm()
    pid = worker.pid
    worker.warm()
    made = worker.apply(request(conv, tmp_path / "a"), title="ORT graph", **QUIET)
    assert worker.pid == pid and made["notes"]


def test_a_bug_in_a_pass_is_one_line(worker, conv, tmp_path):
    broken = request(conv, tmp_path / "a")
    del broken["model"]["inputs"]
    with pytest.raises(WorkerError, match="^ORT graph: it failed: KeyError"):
        worker.apply(broken, title="ORT graph", **QUIET)


def test_the_worker_ends_with_its_parent(tmp_path):
    code = ("import sys, time\nfrom workbench.passes.process import PassWorker\nw = PassWorker('onnx'); w.warm()\n"
            "print(w.pid, flush=True); time.sleep(60)")
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    for _ in range(600):
        if not _alive(pid):
            return
        time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("the worker outlived its parent by a minute")


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


# --- every pass on the bundled models ----------------------------------------------------------------------------

def check(name: str, model, data, cache) -> None:
    """Names, open axes and the file's bytes survive; the pass reports a cosine to its source near 1."""
    before = hashlib.sha256(model.path.read_bytes()).hexdigest()
    built = variant.build(model, recipe.make(name), data, cache=cache)
    assert hashlib.sha256(model.path.read_bytes()).hexdigest() == before

    def form(specs):
        return {(s.name, tuple(d if isinstance(d, int) else None for d in s.shape)) for s in specs}

    assert form(built.model.inputs) == form(model.inputs)
    assert form(built.model.outputs) == form(model.outputs)
    cosine = built.stages[-1]["details"].get("cosine")
    assert cosine is None or cosine > 0.98, built.stages[-1]["notes"]
    # Shape arithmetic for an open batch would cut a delegate's graph in pieces.
    assert "SHAPE" not in built.stages[-1]["details"].get("ops", {})


@pytest.mark.parametrize("name", SPINE)
def test_every_pass_on_the_mlp(name, mlp, mlp_data, cache):
    check(name, mlp, mlp_data, cache)


@pytest.mark.slow
@pytest.mark.parametrize("name", SPINE)
@pytest.mark.parametrize("which", ["cnn", "separable", "language"])
def test_every_pass_on_the_other_bundled_models(which, name, own_cache):
    model = bundled.model(which)
    data = datasets.load(bundled.dataset_name(which), model)
    check(name, model, data, Cache(own_cache))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["onnx-convert", "tflite-int8"])
def test_conversions_give_the_same_bytes_in_another_process(name, mlp, mlp_data, tmp_path):
    first = variant.build(mlp, recipe.make(name), mlp_data, cache=Cache(tmp_path / "a")).model.path.read_bytes()
    variant._worker("tensorflow").close()
    second = variant.build(mlp, recipe.make(name), mlp_data, cache=Cache(tmp_path / "b")).model.path.read_bytes()
    assert first == second
