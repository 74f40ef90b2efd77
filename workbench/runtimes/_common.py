"""What the adapters share: environment of a worker, GPU presence, one-line errors. Imports no framework."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# "/path/model.cc:182 ns::Model::Model(args) message": the place and, where one follows, the C++ signature.
_PLACE = re.compile(
    r"(?<![^\s:])(?:[A-Za-z]:)?[^\s:]+\.(?:h|hpp|cc|cpp|cxx|mm):\d+:?\s*"
    r"(?:[^()\n]*?[\w~>]+::[^()]*\((?:[^()]|\([^()]*\))*\)\s*(?:const\s+)?(?:\[with [^\]]*\]\s*)?)?")
_LOADING = re.compile(r"^(?:Load model from .+? failed:\s*)+")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_STATUS = re.compile(r"\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ")
_LONGEST = 400
_READ = 4000  # what is further down in a message is never the cause


def thread_environment(threads: int, device: str) -> dict[str, str]:
    """Variables that hold every common thread pool to ``threads`` and hide GPUs from a CPU variant."""
    count = str(threads)
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
    env = dict.fromkeys(names, count)
    # An OpenMP pool that spins after its work would slow whichever other variant is timed next.
    env["OMP_WAIT_POLICY"] = "PASSIVE"
    if device == "cpu":
        env["CUDA_VISIBLE_DEVICES"] = "-1"
    return env


def one_line(error: BaseException | str) -> str:
    """The cause in a framework's error, without its file names, C++ signatures and line breaks."""
    text = _COLOUR.sub("", " ".join(str(error)[:_READ].split()))
    text = _STATUS.sub("", text)
    text = _LOADING.sub("", _PLACE.sub("", text)).strip()
    if not text:
        text = type(error).__name__ if isinstance(error, BaseException) else "no reason given"
    return text if len(text) <= _LONGEST else text[:_LONGEST].rstrip() + " ..."


@cache
def nvidia_gpu() -> bool:
    """True when an NVIDIA driver and device are visible; looks at files only, so the picker may ask."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "") == "-1":
        return False
    if Path("/proc/driver/nvidia/version").exists() and any(Path("/dev").glob("nvidia[0-9]*")):
        return True
    if Path("/dev/dxg").exists() and Path("/usr/lib/wsl/lib/libcuda.so.1").exists():
        return True
    return os.name == "nt" and shutil.which("nvidia-smi") is not None


def package_version(name: str) -> str:
    """Version of an installed distribution, '' when it is absent; reads metadata, imports nothing."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def natural_order(names: Iterable[str]) -> list[str]:
    """'output_2' before 'output_10' when all are numbered so (as Keras exports them); other names keep their order."""
    listed = list(names)
    numbers = {n: re.fullmatch(r"output_(\d+)", n) for n in listed}
    return sorted(listed, key=lambda n: int(numbers[n].group(1))) if all(numbers.values()) else listed
