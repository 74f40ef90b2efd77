"""The machine's fingerprint, which cores a worker gets, and what others do meanwhile; on recorded machines too."""

import json
import os
import platform
import subprocess
import sys
import time

import psutil
import pytest

from workbench.measure import environment
from workbench.measure.noise import NoiseMeter, _warnings


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A function that lays out a recorded machine: cpuinfo, topology, control groups."""

    def lay(*, cpuinfo="", siblings=(), speeds=(), groups="", files=()):
        cpu = tmp_path / "cpu"
        for core, text in enumerate(siblings):
            folder = cpu / f"cpu{core}"
            (folder / "topology").mkdir(parents=True)
            (folder / "topology/thread_siblings_list").write_text(text)
            if speeds:
                (folder / "cpufreq").mkdir()
                (folder / "cpufreq/cpuinfo_max_freq").write_text(str(speeds[core]))
        (tmp_path / "cpuinfo").write_text(cpuinfo)
        (tmp_path / "self").write_text(groups)
        for name, text in dict(files).items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        monkeypatch.setattr(environment, "_CPU", cpu)
        monkeypatch.setattr(environment, "_CPUINFO", tmp_path / "cpuinfo")
        monkeypatch.setattr(environment, "_OWN_GROUPS", tmp_path / "self")
        monkeypatch.setattr(environment, "_CGROUP", tmp_path / "cgroup")
        if siblings:
            monkeypatch.setattr(environment, "usable_cores", lambda: tuple(range(len(siblings))))
        environment._cpuinfo.cache_clear()

    yield lay
    environment._cpuinfo.cache_clear()


def test_fingerprint_is_plain_data_about_this_machine():
    found = environment.fingerprint()
    assert json.loads(json.dumps(found)) == found
    assert found["cpu_model"] and found["memory_bytes"] > 2**28 and found["python"] == sys.version.split()[0]
    assert 1 <= found["usable_cores"] <= found["logical_cores"] == os.cpu_count()
    assert {"numpy", "onnxruntime", "tensorflow"} <= set(found["frameworks"])
    if sys.platform == "linux" and found["arch"] == "x86_64":
        assert "sse4_2" in found["isa"]


def test_versions_are_read_without_importing():
    code = ("import sys; from workbench.measure import environment; environment.fingerprint(); "
            "print({'tensorflow', 'torch', 'onnxruntime', 'openvino', 'onnx'} & set(sys.modules))")
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


def test_machine_id_holds_from_day_to_day_and_tells_machines_apart():
    found = environment.fingerprint()
    id = environment.machine_id(found)
    assert len(id) == 12 and id == environment.machine_id(environment.fingerprint())
    other_day = {**found, "state": {"load_1min": 99}, "os": "newer", "frameworks": {}, "python": "3.99",
                 "memory_bytes": found["memory_bytes"] + 1}
    assert environment.machine_id(other_day) == id
    assert environment.machine_id(json.loads(json.dumps(found))) == id
    for change in ({"cpu_model": "x"}, {"isa": []}, {"usable_cores": 99}, {"cpu_quota": 0.5}, {"memory_gib": 1}):
        assert environment.machine_id({**found, **change}) != id


def test_unknown_system_still_gives_a_fingerprint(machine, monkeypatch):
    machine()
    monkeypatch.setattr(sys, "platform", "somethingelse")
    for name in ("sched_getaffinity", "sched_setaffinity", "getloadavg"):
        monkeypatch.delattr(os, name, raising=False)
    for name in ("sensors_temperatures", "sensors_battery", "cpu_freq"):
        def fail(*args, **kw):
            raise NotImplementedError
        monkeypatch.setattr(psutil, name, fail, raising=False)
    found = environment.fingerprint()
    assert found["cpu_model"] and found["usable_cores"] == os.cpu_count() and found["cpu_quota"] is None
    assert environment.machine_id(found)
    assert not environment.set_cores((0,))
    assert environment.physical_threads() >= 1
    if platform.machine() == "x86_64":
        assert "avx" in found["isa"] or "sse4_2" in found["isa"]  # numpy knows


def test_isa_of_recorded_machines(machine):
    machine(cpuinfo="model name : Intel X\nflags : sse4_2 avx2 avx512f avx512_vnni amx_int8 hypervisor\n\nflags : x")
    assert environment._isa() == ["sse4_2", "avx2", "avx512f", "avx512_vnni", "amx_int8"]
    assert environment._cpu_model() == "Intel X" and environment._virtual()
    machine(cpuinfo="CPU implementer : 0x41\nFeatures : asimd asimddp i8mm bf16 sve\nCPU part : 0xd40\n")
    assert environment._isa() == ["asimd", "asimddp", "i8mm", "bf16", "sve"]
    assert environment._cpu_model() == "Arm implementer 0x41 part 0xd40" and not environment._virtual()


def test_cores_are_distinct_physical_ones_and_not_the_first(machine):
    machine(siblings=["0,4", "1,5", "2,6", "3,7", "0,4", "1,5", "2,6", "3,7"])
    assert environment.physical_threads() == 4
    assert environment.cores_for(1) == (3,)
    assert environment.cores_for(3) == (1, 2, 3)
    assert environment.cores_for(4) == environment.cores_for(100) == tuple(range(8))


def test_fast_cores_come_first(machine):
    machine(siblings=["0-1", "0-1", "2-3", "2-3", "4", "5"], speeds=[5000, 5000, 5000, 5000, 3000, 3000])
    assert environment.cores_for(1) == (2,)
    assert environment.cores_for(3) == (0, 2, 5)


def test_cores_of_this_process_only():
    usable = environment.usable_cores()
    for threads in (1, 2, 1000):
        assert set(environment.cores_for(threads)) <= set(usable)
        assert len(environment.cores_for(threads)) >= min(threads, environment.physical_threads())


@pytest.mark.parametrize(("groups", "files", "quota", "limit"), [
    ("0::/\n", {"cpu.max": "150000 100000", "memory.max": "1073741824"}, 1.5, 1073741824),
    ("0::/a/b\n", {"a/cpu.max": "200000 100000", "a/b/cpu.max": "max 100000", "memory.max": "max"}, 2.0, 2**60),
    ("4:memory:/d/x\n1:cpu,cpuacct:/d/x\n", {"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000",
                                             "memory/memory.limit_in_bytes": "4096"}, 0.5, 4096),
    ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}, 0.5, 2**60),
    ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None, 2**60),
    ("", {}, None, 2**60),
])
def test_limits_of_containers(machine, groups, files, quota, limit):
    machine(groups=groups, files=files, siblings=["0", "1", "2", "3"])
    assert environment.cpu_quota() == quota
    assert environment._memory_limit(2**60) == limit
    assert environment.physical_threads() == (max(1, int(quota)) if quota else 4)


def test_load_from_others_is_seen_and_our_own_is_not():
    meter = NoiseMeter()
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        before = psutil.Process(busy.pid).cpu_times().user
        time.sleep(1.5)
        used = psutil.Process(busy.pid).cpu_times().user - before
    finally:
        busy.kill()
        busy.wait()
    as_other, as_own = meter.read(0.0), meter.read(used)
    assert as_other["wall_s"] > 1.4 and as_other["others_cores"] > as_own["others_cores"]
    assert as_other["others_cores"] * as_other["wall_s"] >= 0.5 * used
    assert json.loads(json.dumps(as_other)) == as_other


def test_warnings_are_for_people_and_only_when_it_matters():
    assert _warnings(0.05, 0.0, 8) == []
    assert _warnings(1.5, 0.0, 8) == ["other programs kept 1.5 of 8 cores busy while measuring; "
                                      "close them for narrower intervals"]
    assert "hypervisor took 5%" in _warnings(0.0, 0.05, 8)[0]


_PEAK = """
import os, psutil
from workbench.measure import memory
assert abs(memory.rss_bytes() / psutil.Process().memory_info().rss - 1) < 0.2
can_reset = memory.reset_peak()
start = memory.rss_bytes()
block = bytearray(os.urandom(1 << 16)) * (64 << 4)  # 64 MiB, every page touched
assert memory.rss_bytes() - start > 50e6
del block
assert memory.peak_rss_bytes() - start > 50e6
if can_reset:
    memory.reset_peak()
    assert memory.peak_rss_bytes() < start + 50e6
"""


def test_resident_size_and_its_peak():
    """In a process of its own: the size of this one changes by itself, as other tests' memory goes back."""
    subprocess.run([sys.executable, "-c", _PEAK], check=True)
