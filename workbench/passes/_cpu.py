"""What the CPU at hand does with 8-bit integers."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

_DOT_FLAGS = {"avx512_vnni", "avx_vnni", "avx512vnni", "avxvnni", "asimddp"}


@cache
def has_int8_dot() -> bool:
    """True when 8-bit products are summed in 32 bits (x86 VNNI, Arm dot product).

    Without it x86 sums pairs in 16 bits, which saturates for full-range unsigned x signed operands and ruins the
    output silently: weights must then keep to 7 bits.
    Source: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
    """
    if platform.machine().lower() in ("arm64", "aarch64") and platform.system() != "Linux":
        return True
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        return not _DOT_FLAGS.isdisjoint(cpuinfo.read_text(errors="replace").split())
    return _numpy_says()


def _numpy_says() -> bool:
    """Where the system has no /proc: numpy's own detection; an unknown CPU counts as one without."""
    try:
        from numpy._core._multiarray_umath import __cpu_features__ as features
    except ImportError:
        return False
    return any(features.get(name) for name in ("AVX512_CLX", "AVX512_CNL", "AVX512_ICL", "ASIMDDP"))


@cache
def identity() -> str:
    """Machine type and CPU flags; artefacts that depend on them are cached apart."""
    cpuinfo = Path("/proc/cpuinfo")
    flags = ""
    if cpuinfo.exists():
        lines = cpuinfo.read_text(errors="replace").splitlines()
        flags = next((x for x in lines if x.startswith(("flags", "Features"))), "")
    return f"{platform.machine()} {flags}"
