"""The machine as part of the result: what it is, what it is doing, and which cores a worker may use.

Everything is read from files and standard calls, nothing is run, no framework is imported; what a system does not tell
is left out.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ISA_OF_INTEREST = (
    "sse4_2", "avx", "f16c", "fma", "avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16",
    "amx_tile", "amx_int8", "amx_bf16",  # x86
    "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2", "sme",  # Arm
)
INT8_DOT = frozenset({"avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm"})  # sums of 8-bit products in 32 bits
FRAMEWORKS = ("numpy", "onnx", "onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "openvino", "tensorflow",
              "tf-keras", "keras", "tensorflow-model-optimization", "ai-edge-litert", "torch", "tf2onnx")
_STABLE = ("cpu_model", "isa", "physical_cores", "logical_cores", "usable_cores", "cpu_quota", "memory_gib", "arch",
           "system", "virtual", "gpus")
_CPU = Path("/sys/devices/system/cpu")
_CGROUP = Path("/sys/fs/cgroup")
_CPUINFO = Path("/proc/cpuinfo")
_OWN_GROUPS = Path("/proc/self/cgroup")


def fingerprint() -> dict[str, Any]:
    """Describes the machine and its present state in plain data.

    Returns:
        Always: 'cpu_model', 'isa', 'physical_cores', 'logical_cores', 'usable_cores' (of this process), 'cpu_quota'
        (cores a container may use, or None), 'memory_bytes', 'memory_gib', 'arch', 'system', 'os', 'virtual', 'gpus',
        'python', 'frameworks' (name -> version), and 'state', see :func:`state`.
    """
    import psutil

    memory = _memory_limit(psutil.virtual_memory().total)
    return {
        "cpu_model": _cpu_model(),
        "isa": _isa(),
        "physical_cores": psutil.cpu_count(logical=False) or psutil.cpu_count() or 1,
        "logical_cores": psutil.cpu_count() or 1,
        "usable_cores": len(usable_cores()),
        "cpu_quota": cpu_quota(),
        "memory_bytes": memory,
        "memory_gib": round(memory / 2**30),
        "arch": platform.machine(),
        "system": platform.system(),
        "os": platform.platform(),
        "virtual": _virtual(),
        "gpus": _gpus(),
        "python": platform.python_version(),
        "frameworks": _versions(),
        "state": state(),
    }


def machine_id(found: dict[str, Any]) -> str:
    """Id (12 hex digits) of the part of a fingerprint that does not change from day to day.

    Load, clocks, temperature, the kernel's and the frameworks' versions are not part of it; the cores that the
    process may use are, since half the cores are another machine.
    """
    stable = {k: found.get(k) for k in _STABLE}
    return hashlib.sha256(json.dumps(stable, sort_keys=True).encode()).hexdigest()[:12]


def state() -> dict[str, Any]:
    """What changes while measuring: governor, clock, temperature, load, mains or battery; only what is readable."""
    import psutil

    clock = _try(lambda: psutil.cpu_freq().current)
    battery = _try(psutil.sensors_battery)
    found = {
        "governor": _text(_CPU / "cpu0/cpufreq/scaling_governor"),
        "boost": _text(_CPU / "cpufreq/boost"),
        "clock_mhz": round(clock) if clock else None,
        "temperature_c": _temperature(psutil),
        "load_1min": _try(lambda: round(os.getloadavg()[0], 2)),
        "on_battery": None if battery is None or battery.power_plugged is None else not battery.power_plugged,
    }
    return {k: v for k, v in found.items() if v is not None}


# --- cores -------------------------------------------------------------------------------------------------------


def usable_cores() -> tuple[int, ...]:
    """Logical cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def physical_threads() -> int:
    """Threads that 'all cores' stands for: usable physical cores, or fewer if a container's quota is smaller."""
    if _CPU.exists():
        physical = len({_siblings(c) for c in usable_cores()})
    else:
        import psutil

        physical = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    quota = cpu_quota()
    return max(1, min(physical, int(quota)) if quota else physical)


def cores_for(threads: int) -> tuple[int, ...]:
    """Logical cores for a worker with that many threads.

    One core a thread, on distinct physical cores, the fastest kind first, and from the last core down: the first
    serves most interrupts and, often, the notebook. The same count always gets the same cores, so that candidates
    under comparison differ in nothing else. As many threads as physical cores, or more, get all cores: there the
    system's scheduler does better than a fixed choice.
    """
    usable = usable_cores()
    first_of: dict[Any, int] = {}
    for core in usable:
        first_of.setdefault(_siblings(core), core)
    physical = list(first_of.values())
    if threads >= len(physical):
        return usable
    ranked = sorted(physical, key=lambda core: (-_speed(core), -core))
    return tuple(sorted(ranked[:threads]))


def set_cores(cores: tuple[int, ...]) -> bool:
    """Holds this process, and the threads it starts from now on, to these cores; False where that cannot be done."""
    if not hasattr(os, "sched_setaffinity"):
        return False
    try:
        os.sched_setaffinity(0, cores)
    except OSError:
        return False
    return True


def cpu_quota() -> float | None:
    """Cores that the container's CPU quota allows, or None without one (cgroup v2, then v1)."""
    limits = []
    for folder in _cgroups("cpu"):
        v2 = (_text(folder / "cpu.max") or "").split()
        quota, period = v2 if len(v2) == 2 else (_text(folder / f"cpu.cfs_{x}_us") or "" for x in ("quota", "period"))
        if quota.isdigit() and period.isdigit():  # without a limit: 'max' in v2, -1 in v1
            limits.append(int(quota) / int(period))
    return min(limits, default=None)


def _cgroups(controller: str) -> list[Path]:
    """Folders of this process's control groups for 'cpu' or 'memory', own group first, all ancestors after it."""
    found = []
    for line in (_text(_OWN_GROUPS) or "").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        base = _CGROUP / controller if controllers else _CGROUP
        own = base / path.strip("/")
        found += [own, *(p for p in own.parents if p == base or base in p.parents)]
    return found


def _siblings(core: int) -> str | int:
    """What names the physical core; the logical core itself where the system does not tell."""
    return _text(_CPU / f"cpu{core}/topology/thread_siblings_list") or core


def _speed(core: int) -> int:
    """Larger for faster kinds of cores (performance and efficiency cores); equal where the system does not tell."""
    for name in ("cpufreq/cpuinfo_max_freq", "cpu_capacity"):
        value = _text(_CPU / f"cpu{core}/{name}")
        if value and value.isdigit():
            return int(value)
    return 0


# --- parts -------------------------------------------------------------------------------------------------------


@cache
def _cpuinfo() -> dict[str, str]:
    """The first processor of /proc/cpuinfo; {} elsewhere."""
    first = (_text(_CPUINFO) or "").split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _cpu_model() -> str:
    info = _cpuinfo()
    name = info.get("model name") or info.get("Model") or info.get("Hardware")
    if not name and sys.platform == "darwin":
        name = _sysctl("machdep.cpu.brand_string")
    if not name and "CPU part" in info:
        name = f"Arm implementer {info.get('CPU implementer')} part {info['CPU part']}"
    return name or platform.processor() or platform.machine() or "unknown CPU"


def _isa() -> list[str]:
    """Instruction sets of interest that the processor has."""
    info = _cpuinfo()
    flags = set((info.get("flags") or info.get("Features") or "").split())
    if not flags:  # macOS, Windows: what numpy found out for its own kernels
        core = _try(lambda: __import__("numpy")._core._multiarray_umath.__cpu_features__) or {}
        flags = {name.lower() for name, there in core.items() if there}
        flags |= {"fma"} if "fma3" in flags else set()
    plain = {flag.replace("_", "") for flag in flags}
    return [name for name in ISA_OF_INTEREST if name.replace("_", "") in plain]


def _sysctl(name: str) -> str:
    """A text value of macOS's sysctl, '' when there is none."""
    import ctypes

    def read() -> str:
        libc, size = ctypes.CDLL(None), ctypes.c_size_t(256)
        buffer = ctypes.create_string_buffer(size.value)
        failed = libc.sysctlbyname(name.encode(), buffer, ctypes.byref(size), None, ctypes.c_size_t(0))
        return "" if failed else buffer.value.decode()

    return _try(read) or ""


def _virtual() -> bool:
    """True in a virtual machine (x86 Linux tells by a CPU flag)."""
    return "hypervisor" in (_cpuinfo().get("flags") or "").split()


def _gpus() -> list[str]:
    """NVIDIA GPUs that the driver lists; looks at files only."""
    found = []
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        for line in (_text(path) or "").splitlines():
            if line.startswith("Model:"):
                found.append(line.partition(":")[2].strip())
    return found


def _memory_limit(total: int) -> int:
    """Bytes of memory, or the container's limit where that is smaller."""
    texts = [_text(f / name) or "" for f in _cgroups("memory") for name in ("memory.max", "memory.limit_in_bytes")]
    return min([total, *(int(text) for text in texts if text.isdigit())])


def _versions() -> dict[str, str]:
    found = {}
    for name in FRAMEWORKS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _temperature(psutil: Any) -> float | None:
    """Hottest CPU sensor in degrees Celsius."""
    sensors = _try(psutil.sensors_temperatures) if hasattr(psutil, "sensors_temperatures") else None
    chips = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "cpu-thermal", "soc_thermal")
    read = [s.current for chip in chips for s in (sensors or {}).get(chip, []) if s.current]
    return max(read) if read else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None


def _try(read: Any) -> Any:
    """The value, or None where this system does not offer it: a missing sensor must never stop a measurement."""
    try:
        return read()
    except Exception:
        return None
