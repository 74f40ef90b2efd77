"""The tools that users would take otherwise, with their own defaults. Each call is a process of its own.

    python -m benchmarks.tune_peers static|dynamic MODEL.onnx CALIBRATION.npz OUT.onnx
"""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np

# Runs in NNCF's own environment, which knows nothing of this project.
_NNCF = """
import sys
import numpy as np, nncf, openvino as ov
source, samples, target = sys.argv[1:]
with np.load(samples) as archive:
    names = sorted({k.split("/")[0] for k in archive.files})
    count = len(archive.files) // len(names)
    feeds = [{n: archive[f"{n}/{i}"] for n in names} for i in range(count)]
model = ov.Core().read_model(source)
made = nncf.quantize(model, nncf.Dataset(feeds), subset_size=len(feeds))
ov.save_model(made, target)
"""


def save_feeds(path: Path, feeds: list[dict[str, np.ndarray]]) -> Path:
    """Calibration feeds as 'NAME/I' arrays."""
    np.savez(path, **{f"{n}/{i}": a for i, f in enumerate(feeds) for n, a in f.items()})
    return path


def read_feeds(path: str) -> list[dict[str, np.ndarray]]:
    """Inverse of :func:`save_feeds`."""
    with np.load(path) as archive:
        names = sorted({k.split("/")[0] for k in archive.files})
        return [{n: archive[f"{n}/{i}"] for n in names} for i in range(len(archive.files) // len(names))]


def stock(kind: str, model: Path, samples: Path, target: Path) -> str:
    """ONNX Runtime's own quantizer with its defaults; '' when it worked, else the last line that it said."""
    command = [sys.executable, "-m", "benchmarks.tune_peers", kind, str(model), str(samples), str(target)]
    return _run(command)


def nncf_environment(folder: Path) -> tuple[Path | None, str]:
    """A virtual environment with NNCF and the OpenVINO that is installed here: its Python, or why there is none."""
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    if not python.exists():
        reason = _run([sys.executable, "-m", "venv", str(folder)])
        if reason:
            return None, reason
    if _run([str(python), "-c", "import nncf, openvino"]):
        pip = [str(python), "-m", "pip", "install", "-q", "nncf", f"openvino=={version('openvino').split('+')[0]}"]
        reason = _run(pip)
        if reason:
            return None, f"pip cannot install nncf: {reason}"
    return python, ""


def nncf(python: Path, model: Path, samples: Path, target: Path) -> str:
    """NNCF's ``quantize`` with its defaults; '' when it worked, else the last line that it said."""
    return _run([str(python), "-c", _NNCF, str(model), str(samples), str(target)])


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).resolve().parents[1])
    if done.returncode == 0:
        return ""
    lines = [line for line in (done.stderr or done.stdout).strip().splitlines() if line.strip()]
    return lines[-1][:160] if lines else f"ended with {done.returncode}"


def _main(kind: str, model: str, samples: str, target: str) -> None:
    from onnxruntime import quantization

    if kind == "dynamic":
        quantization.quantize_dynamic(model, target)
        return

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self._feeds = iter(read_feeds(samples))

        def get_next(self):
            return next(self._feeds, None)

    quantization.quantize_static(model, target, Reader())


if __name__ == "__main__":
    _main(*sys.argv[1:])
