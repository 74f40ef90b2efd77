"""Each kind of bundle, replayed where the workbench cannot be imported: same outputs, same ratio to the original."""

from dataclasses import replace

import numpy as np
import pytest

from tests.bundle_parts import Replay
from workbench import assemble, bundled, datasets, recipe, variant
from workbench import model as models
from workbench.engine import Engine
from workbench.errors import InputError
from workbench.export import bundle
from workbench.measure import Plan, measure, stats
from workbench.study import Study

KINDS = {
    "tensorflow": recipe.make(runtime="tensorflow", threads=1),
    "onnxruntime": recipe.make(runtime="onnxruntime", threads=1),
    "onnxruntime int8": recipe.make("onnx-int8-static", runtime="onnxruntime", threads=1),
    "litert int8": recipe.make("tflite-int8", runtime="litert", threads=1),
    "openvino": recipe.make(runtime="openvino", threads=1),
}
RUNS, ROUNDS = 8, 12


class Made:
    """Variants of the bundled CNN, each with its result, its answers to a few samples, and its bundle."""

    def __init__(self, folder):
        model = bundled.model("cnn")
        data = datasets.load("fashion-mnist", model)
        self.feeds = data.evaluation.feeds(1, RUNS)
        study = Study(folder / "s.sqlite")
        plan = replace(Plan.default(), fidelity_samples=64, max_s=4.0)
        with Engine(model, data, study, plan=plan) as engine:
            wanted = {kind: engine.complete(r) for kind, r in KINDS.items()}
            built = {kind: variant.build(model, r, data) for kind, r in wanted.items()}
            found = {r.recipe.key: r for r in engine.measure(list(wanted.values()))}
            self.results = {kind: found[r.key] for kind, r in wanted.items()}
            candidates = [assemble.candidate(model, built[kind], r) for kind, r in wanted.items()]
            told = measure(candidates, self.feeds, evaluation=self.feeds, plan=plan, pool=engine._pool)
        self.told = {kind: told[r.key] for kind, r in wanted.items()}
        self.answers = {kind: assemble.load_outputs(m.outputs_path) for kind, m in self.told.items()}
        self.folders = {kind: folder / kind.replace(" ", "-") for kind in KINDS}
        for kind, r in self.results.items():
            assert r.status == "ok", r.reason
            bundle.write(r, model, self.folders[kind], study)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return Made(tmp_path_factory.mktemp("bundles"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_outputs_are_those_of_the_variant(made, tmp_path, kind):
    replay = Replay(made.folders[kind], tmp_path, made.feeds)
    replay.close()
    for name, expected in made.answers[kind].items():
        got = np.concatenate([replay.outputs[f"{name}/{i}"] for i in range(RUNS)])
        assert np.abs(got - expected).max() <= 1e-5, kind


@pytest.mark.slow
def test_the_ratio_to_the_original_is_found_again(ocr_models, tmp_path):
    """Both bundles in processes of their own, in turn, as the measuring does it; the intervals must overlap."""
    model = models.load(next(p for p in ocr_models if p.name == "common_old.onnx"), fix={"input1": [1, 1, 64, 96]})
    data = datasets.random(model, samples=RUNS)
    slow = recipe.make(runtime="onnxruntime", runtime_settings={"graph_level": "disabled"}, threads=1)
    study = Study()
    with Engine(model, data, study, plan=replace(Plan.default(), max_s=6.0, rounds_min=12)) as engine:
        results = engine.measure([replace(engine.baseline, threads=1), slow])[-2:]
        measured = stats.ratio_interval(results[1].rounds, results[0].rounds)
    sides = []
    for name, result in zip(("fast", "slow"), results, strict=True):
        bundle.write(result, model, tmp_path / name, study, final=False)
        (tmp_path / f"{name}-work").mkdir()
        sides.append(Replay(tmp_path / name, tmp_path / f"{name}-work", data.evaluation.feeds(1)))
    try:
        for _ in range(3):  # a busy machine may disturb one of them
            rounds = [[side.block(5)[2:] for side in sides] for _ in range(ROUNDS)]
            again = stats.ratio_interval([r[1] for r in rounds], [r[0] for r in rounds])
            margin = 1 + Plan.margin  # two processes that run the same thing differ by that much
            overlaps = again.low <= measured.high * margin and measured.low <= again.high * margin
            if overlaps:
                break
        assert overlaps, (measured, again)
    finally:
        for side in sides:
            side.close()


@pytest.mark.slow
def test_a_bundle_is_whole_whenever_the_writer_stops(made, tmp_path, monkeypatch):
    """A write over another bundle that is cut at any step leaves a predictor with its own model."""
    model, study = bundled.model("cnn"), Study(made.folders["openvino"].parent / "s.sqlite")
    folder = tmp_path / "bundle"
    bundle.write(made.results["onnxruntime"], model, folder, study)
    before = made.answers["onnxruntime"]
    put = bundle._put
    for cut in ("requirements.txt", "recipe.yaml", "predict.py"):
        def stop(path, text, cut=cut):
            if path.name == cut:
                raise KeyboardInterrupt
            put(path, text)

        monkeypatch.setattr(bundle, "_put", stop)
        with pytest.raises(KeyboardInterrupt):
            bundle.write(made.results["onnxruntime int8"], model, folder, study)
    monkeypatch.undo()
    replay = Replay(folder, tmp_path, made.feeds)
    replay.close()
    name, expected = next(iter(before.items()))
    assert np.abs(replay.outputs[f"{name}/0"] - expected[:1]).max() <= 1e-5
    bundle.write(made.results["onnxruntime int8"], model, folder, study)
    assert len(list(folder.glob("model*"))) == 1 and not list(folder.glob(".partial*"))


def test_what_did_not_run_gives_no_bundle(tmp_path):
    model = bundled.model("mlp")
    study = Study()
    with Engine(model, datasets.random(model), study, plan=replace(Plan.default(), max_s=0.5)) as engine:
        failed = engine.measure([recipe.make("onnx-convert", "onnx-dequantize", runtime="onnxruntime")])[-1]
    assert failed.status == "failed"
    with pytest.raises(InputError, match="back to float.* did not run .*no dynamically.*one that did"):
        bundle.write(failed, model, tmp_path / "b", study)
    assert not (tmp_path / "b").exists()
