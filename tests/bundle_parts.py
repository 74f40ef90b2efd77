"""An environment with what a bundle's requirements.txt names and nothing else, and a process that replays there."""

import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np

SCRIPT = """
import json, sys, time
sys.path[:0] = [sys.argv[1], sys.argv[2]]
try:
    import workbench
except ImportError:
    pass
else:
    raise SystemExit("the workbench can be imported here")
import numpy as np
import predict
feeds = [dict(np.load(f"{sys.argv[3]}/{i}.npz")) for i in range(int(sys.argv[4]))]
predictor = predict.Predictor()
outputs = [predictor.run(f) for f in feeds]
np.savez(sys.argv[5], **{f"{n}/{i}": a for i, o in enumerate(outputs) for n, a in o.items()})
print("ready", flush=True)
for line in sys.stdin:
    taken = []
    for i in range(int(line)):
        start = time.perf_counter()
        predictor.run(feeds[i % len(feeds)])
        taken.append(time.perf_counter() - start)
    print(json.dumps(taken), flush=True)
"""


def environment(requirements: Path, folder: Path) -> Path:
    """A folder for ``sys.path`` with links to the named distributions, in these versions, and what they need."""
    wanted = [re.split(r"==", line.strip()) for line in requirements.read_text().splitlines() if line.strip()]
    for name, version in wanted:
        assert metadata.version(name).split("+")[0] == version, f"{name} {version} is not what was measured"
    folder.mkdir(exist_ok=True)
    for name in _closure([name for name, _ in wanted]):
        for top in _top_level(metadata.distribution(name)):
            link = folder / top.name
            if not link.exists():
                os.symlink(top, link)
    return folder


def _closure(names: list[str]) -> set[str]:
    from packaging.requirements import Requirement

    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name.lower() in found:
            continue
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        found.add(name.lower())
        parsed = map(Requirement, needs)
        waiting += [r.name for r in parsed if r.marker is None or r.marker.evaluate({"extra": ""})]
    return found


def _top_level(distribution) -> set[Path]:
    names = {Path(str(f)).parts[0] for f in distribution.files or () if not str(f).startswith("..")}
    root = Path(str(distribution.locate_file(""))).resolve()
    return {root / n for n in names if n != "__pycache__" and (root / n).exists()}


class Replay:
    """A bundle's predictor in a process of its own: ``python -I -S``, so that no site-packages is on its path.

    Args:
        bundle: folder.
        work: an empty folder.
        feeds: inputs, one dict a run.
        variables: of the process, e.g. a runtime's thread settings.
    """

    def __init__(self, bundle: Path, work: Path, feeds: list[dict], variables: dict[str, str] | None = None) -> None:
        packages = environment(bundle / "requirements.txt", work / "packages")
        for i, feed in enumerate(feeds):
            np.savez(work / f"{i}.npz", **feed)
        self._outputs = work / "outputs.npz"
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", SCRIPT, str(packages), str(bundle), str(work), str(len(feeds)),
             str(self._outputs)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={"PATH": os.environ["PATH"], "TF_CPP_MIN_LOG_LEVEL": "3", "HOME": str(work), **(variables or {})})
        line = self._process.stdout.readline()
        while line and line.strip() != "ready":
            line = self._process.stdout.readline()
        assert line, self._process.stderr.read()[-3000:]

    @property
    def outputs(self) -> dict[str, np.ndarray]:
        """'NAME/I' -> array of run I."""
        with np.load(self._outputs) as archive:
            return dict(archive)

    def block(self, runs: int) -> list[float]:
        """Seconds of each of some runs."""
        self._process.stdin.write(f"{runs}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.communicate()
