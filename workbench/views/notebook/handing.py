"""The bundle in a notebook: what is in it, and that it runs without the workbench."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ... import units
from ...errors import InputError, WorkerError
from . import pages
from .work import Task, Work

_TITLES = {"predict.py": "class Predictor; needs numpy and the runtime", "requirements.txt": "exact versions",
           "recipe.yaml": "how it was made", "measurement.json": "raw samples, machine, hashes",
           "report.html": "for people", "study.sqlite": "every trial"}
_RUN = """
import json, sys, numpy as np
from predict import Predictor
with np.load(sys.argv[1]) as feed:
    out = Predictor().run({n: feed[n] for n in feed.files})
known = [m for m in ("workbench",) if m in sys.modules]
outputs = {n: [list(np.shape(a)), np.ravel(a)[:6].tolist()] for n, a in out.items()}
print(json.dumps({"outputs": outputs, "known": known}))
"""


def bundle(bench: Any, folder: str | Path, after: Work | None = None, sample: int = 0) -> Work[dict[str, Any]]:
    """Lists a bundle's files and runs its predictor on one held-out sample, in a process that knows no workbench.

    Args:
        bench: whose data the sample comes from.
        folder: of the bundle.
        after: work that writes it.
        sample: which held-out sample.
    """
    place = Path(folder)

    def run(task: Task) -> dict[str, Any]:
        if after is not None:
            after.wait()
        if not (place / "predict.py").is_file():
            raise InputError(f"there is no bundle in {place.name}: run the search above, or name its folder")
        task.progress(0.5, "running the predictor on its own")
        return predict(place, bench.dataset.evaluation.feeds(1, sample + 1)[sample])

    def show(found: dict[str, Any]):
        rows = [(p.name, units.size(_size(p)), _TITLES.get(p.name, "the model" if p.name.startswith("model") else ""))
                for p in sorted(place.iterdir()) if not p.name.endswith(("-wal", "-shm"))]
        outputs = [(n, str(shape), ", ".join(f"{v:.4f}" for v in first)) for n, (shape, first) in
                   found["outputs"].items()]
        return pages.shown(pages.table(("file", "size", "what it is"), rows, right=(1,)),
                           pages.note("Predictor().run(...) on one held-out sample, in a process of its own:"),
                           pages.table(("output", "shape", "first values"), outputs))

    return Work(run, show, title="the bundle")


def predict(folder: Path, feed: dict[str, np.ndarray]) -> dict[str, Any]:
    """What the bundle's predictor answers; the workbench is not on its path.

    Raises:
        WorkerError: the predictor failed; its last line.
    """
    with tempfile.TemporaryDirectory(prefix="workbench-bundle-") as name:
        given = Path(name) / "feed.npz"
        np.savez(given, **feed)
        clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        done = subprocess.run([sys.executable, "-c", _RUN, str(given)], cwd=folder, env=clean, capture_output=True,
                              text=True, timeout=180)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise WorkerError(f"the bundle's predictor failed: {last[:200]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
