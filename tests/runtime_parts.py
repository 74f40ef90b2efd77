"""Small real models for the runtime tests, and a process that opens sessions as a worker does.

    python -m tests.runtime_parts make FOLDER         Keras 3, SavedModel, TFLite and ONNX of the same weights
    python -m tests.runtime_parts make-legacy FOLDER  Keras 2
    python -m tests.runtime_parts run JOBS.json       opens and runs; answers as JSON on the last line
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]


def call(*arguments, **environment):
    """Runs this module in a fresh process and returns what it printed last."""
    done = subprocess.run([sys.executable, "-m", "tests.runtime_parts", *map(str, arguments)], cwd=ROOT,
                          env={**os.environ, **environment}, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip().splitlines()[-1]


def run(folder, runtime, format, jobs, *, threads=1, feeds=None):
    """Opens and runs each job in one fresh process; a job is {'path', settings...}.

    Returns:
        for each job {'outputs', 'describe', 'inputs', 'tasks'} or {'error': message, 'kind': class}.
    """
    np.savez(folder / "feeds.npz", **(feeds or {}))
    request = {"folder": str(folder), "runtime": runtime, "format": format, "threads": threads, "jobs": jobs}
    (folder / "jobs.json").write_text(json.dumps(request))
    answers = json.loads(call("run", folder / "jobs.json"))
    for i, answer in enumerate(answers):
        if "error" not in answer:
            with np.load(folder / f"out{i}.npz") as archive:
                answer["outputs"] = dict(archive)
    return answers


def _run(path):
    from workbench.errors import WorkbenchError
    from workbench.model import ModelFormat
    from workbench.runtimes import registry
    from workbench.runtimes.base import SessionRequest

    wanted = json.loads(Path(path).read_text())
    folder, format, threads = Path(wanted["folder"]), ModelFormat(wanted["format"]), wanted["threads"]
    adapter = registry.adapter(wanted["runtime"])
    feeds = dict(np.load(folder / "feeds.npz"))
    answers = []
    for i, job in enumerate(wanted["jobs"]):
        job, artefact, device = dict(job), job["path"], job.get("device", "cpu")
        settings = adapter.Settings(**{k: v for k, v in job.items() if k not in ("path", "device")})
        os.environ.update(adapter.environment(threads, device, settings, format))
        adapter.preload()
        try:
            session = adapter.open_session(SessionRequest(folder / artefact, format, settings, threads, device, feeds))
            outputs = session.run({s.name: feeds[s.name] for s in session.inputs})
        except WorkbenchError as error:
            answers.append({"error": str(error), "kind": type(error).__name__})
            continue
        np.savez(folder / f"out{i}.npz", **outputs)
        tasks = Path("/proc/self/task")
        answers.append({"describe": session.describe(), "inputs": [s.to_dict() for s in session.inputs],
                        "tasks": len(list(tasks.iterdir())) if tasks.exists() else 0})
        session.close()
    print(json.dumps(answers))


def _make(folder):
    os.environ.update(TF_USE_LEGACY_KERAS="0", KERAS_BACKEND="tensorflow")
    import keras
    import tensorflow as tf
    import tf2onnx

    layers = keras.layers
    keras.utils.set_random_seed(1)
    image, extra = keras.Input((12, 12, 3), name="image"), keras.Input((4,), name="extra")
    x = layers.MaxPooling2D()(layers.Conv2D(8, 3, activation="relu")(image))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(16, 3, activation="relu")(x))
    model = keras.Model(image, layers.Dense(5, activation="softmax", name="probs", kernel_initializer="he_normal")(x))
    _save(tf, model, folder, "cnn")
    tf2onnx.convert.from_keras(_named(model), [tf.TensorSpec([None, 12, 12, 3], tf.float32, name="image")], opset=17,
                               output_path=str(folder / "cnn.onnx"))
    joined = layers.Concatenate(name="joined")([extra, x])
    several = keras.Model({"extra": extra, "image": image}, [layers.Dense(3, name="first")(joined), joined])
    several.save(folder / "several.keras")
    samples = np.random.default_rng(0).random((32, 1, 12, 12, 3), dtype=np.float32)
    quantized = tf.lite.TFLiteConverter.from_keras_model(model)
    quantized.optimizations = [tf.lite.Optimize.DEFAULT]
    quantized.representative_dataset = lambda: ([s] for s in samples)
    quantized.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    quantized.inference_input_type = quantized.inference_output_type = tf.int8
    (folder / "int8.tflite").write_bytes(quantized.convert())
    steps = keras.Input((6, 3), batch_size=1, name="steps")
    _save_tflite(tf, keras.Model(steps, layers.LSTM(4)(steps)), folder / "lstm.tflite")
    _save_inverse(tf, folder)
    print(json.dumps("made"))


def _named(model):
    model.output_names = ["probs"]  # tf2onnx looks for it, Keras 3 has dropped it
    return model


def _save(tf, model, folder, name):
    model.save(folder / f"{name}.keras")
    model.save(folder / f"{name}.h5")
    model.export(folder / f"{name}_saved", verbose=False)
    _save_tflite(tf, model, folder / f"{name}.tflite")


def _save_tflite(tf, model, path):
    path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())


def _save_inverse(tf, folder):
    """An operator that LiteRT lacks (Flex), and one that XLA lacks."""
    holder = tf.Module()
    holder.inverse = tf.function(lambda x: {"y": tf.linalg.inv(x)}, [tf.TensorSpec([2, 2], tf.float32, name="x")])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([holder.inverse.get_concrete_function()], holder)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    (folder / "flex.tflite").write_bytes(converter.convert())
    holder.text = tf.function(lambda x: {"y": tf.strings.to_number(tf.strings.as_string(x))},
                              [tf.TensorSpec([None], tf.float32, name="x")])
    tf.saved_model.save(holder, folder / "text_saved", signatures=holder.text)


def _make_legacy(folder):
    os.environ.update(TF_USE_LEGACY_KERAS="1")
    import tensorflow as tf

    layers = tf.keras.layers
    tf.keras.utils.set_random_seed(1)
    image = tf.keras.Input((12, 12, 3), name="image")
    x = layers.Flatten()(layers.Conv2D(4, 3, activation="relu")(image))
    model = tf.keras.Model(image, layers.Dense(5, activation="softmax", name="probs")(x))
    model.save(folder / "legacy.h5")
    model.save(folder / "legacy.keras")
    # What a hostile file would hold: byte code that leaves a trace when it runs.
    trace = str(folder / "executed")
    code = layers.Lambda(lambda t: (open(trace, "w"), t)[1])(image)
    tf.keras.Model(image, code).save(folder / "lambda.h5")
    Path(trace).unlink(missing_ok=True)
    feeds = np.load(folder / "image.npy")
    np.save(folder / "legacy_expected.npy", model.predict(feeds, verbose=0))
    print(json.dumps("made"))


if __name__ == "__main__":
    {"make": lambda p: _make(Path(p)), "make-legacy": lambda p: _make_legacy(Path(p)), "run": _run}[sys.argv[1]](
        sys.argv[2])
