"""The parts of measuring: warm-up rule, arrays between processes, files."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from workbench.measure import arrays as stored_arrays
from workbench.measure.files import Shelf
from workbench.measure.warmup import agree, warm_up

from .common import PLAN


def test_warm_up_ends_when_two_blocks_agree():
    speed = [9.0, *[1.0 * 0.8**i for i in range(20)], *[0.8**20] * 1000]
    taken = []

    def block(start, runs, budget_s):
        assert start == len(taken)
        taken.extend(speed[start:start + runs])
        return speed[start:start + runs]

    found = warm_up(block, replace(PLAN, block_s=5 * 0.8**20, warmup_max_s=1e9))
    assert found.steady and found.run_s == pytest.approx(0.8**20) and found.seconds == taken
    assert 26 <= len(taken) <= 40


def test_warm_up_has_a_floor_and_a_ceiling():
    always = warm_up(lambda start, runs, budget: [1.0] * runs, replace(PLAN, warmup_min_runs=50, warmup_max_s=1e9))
    assert always.steady and len(always.seconds) >= 50
    falling = warm_up(lambda start, runs, budget: [0.5 ** (start / 5)] * runs, replace(PLAN, warmup_max_s=0.5))
    assert not falling.steady and len(falling.seconds) == 1  # the first run alone was over the ceiling


def test_blocks_agree_within_five_per_cent_or_within_their_scatter():
    assert agree([1.0, 1.0, 1.0], [1.04, 1.04, 1.04])
    assert not agree([1.0, 1.0, 1.0], [0.9, 0.9, 0.9])
    assert agree([0.8, 1.0, 1.2, 1.4], [0.7, 0.9, 1.1, 1.3])
    assert not agree([9.0], [1.0])


def test_arrays_travel_whole(tmp_path):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    feed = {"file": np.arange(3, dtype="float32"), "a/b:0": np.array(["x", "yy"], dtype=object),
            "scalar": np.array(2.5), "bf16": np.ones((2, 2), ml_dtypes.bfloat16),
            "int4": np.ones(3, ml_dtypes.int4), "empty": np.zeros((0, 3), "int64"),
            "fortran": np.asfortranarray(np.random.default_rng(0).random((3, 4))), "flag": np.array([True, False])}
    stored_arrays.write_feeds(tmp_path / "f.npz", [feed, feed])
    read = list(stored_arrays.read_feeds(tmp_path / "f.npz"))
    assert len(read) == stored_arrays.count_feeds(tmp_path / "f.npz") == 2
    for name, array in feed.items():
        assert read[1][name].dtype == array.dtype
        np.testing.assert_array_equal(read[1][name], array)
    assert stored_arrays.digest([feed]) != stored_arrays.digest([feed, feed])
    other = {**feed, "scalar": np.array(2.6)}
    assert stored_arrays.digest([feed]) != stored_arrays.digest([other])


def test_outputs_join_by_batch_else_by_run(tmp_path):
    path = tmp_path / "o.npz"
    first = {"logits": np.zeros((2, 5)), "time": np.ones((7, 2, 3)), "file": np.array(["a", "bb"], dtype=object)}
    second = {"logits": np.ones((3, 5)), "time": np.ones((9, 3, 3)), "file": np.array(["c", "d", "e"], dtype=object)}
    assert stored_arrays.write_outputs(path, [first, second], [2, 3]) == ["time"]
    with np.load(path, allow_pickle=False) as read:
        assert read["logits"].shape == (5, 5) and read["time"].shape == (2, 9, 3, 3)
        assert read["time"][0].sum() == 7 * 2 * 3
        assert read["file"].tolist() == ["a", "bb", "c", "d", "e"]


def test_a_shelf_drops_the_longest_unused():
    shelf = Shelf("test", max_bytes=25)
    for key in "abc":
        shelf.path(key).write_bytes(b"0123456789")
        shelf.add(key)
    assert shelf.get("a").exists()
    shelf.trim()
    assert shelf.get("b") is None and shelf.get("a") and shelf.get("c")


def test_files_of_a_killed_process_are_swept_up(tmp_path, monkeypatch):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left, mine = (tmp_path / f"workbench-measure-{pid}-abc" for pid in (dead.pid, os.getpid()))
    left.mkdir()
    mine.mkdir()
    code = "from workbench.measure import WorkerPool; print(WorkerPool().outputs.path('x'))"
    where = subprocess.run([sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(tmp_path)}, text=True,
                           stdout=subprocess.PIPE, check=True).stdout
    assert str(tmp_path) in where and not Path(where.strip()).parent.exists()
    assert not left.exists() and mine.exists()
