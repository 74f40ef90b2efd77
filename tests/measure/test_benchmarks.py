"""The benchmarks of the protocol run and print their tables; what they find depends on the machine."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def table(name, *arguments):
    command = [sys.executable, str(BENCHMARKS / name), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_aa():
    text = table("aa.py", "--n", "1")
    assert re.search(r"\| A against A \| 1 \| \d \| \d \| \d \|", text)
    assert re.search(r"\| A slowed by 10% \| 1 \|", text)


@pytest.mark.slow
def test_loadgen():
    text = table("loadgen.py", "--rounds", "3", "--threads", "1")
    assert re.search(r"\| workbench \| \d+\.\d+ ms \|", text) and re.search(r"\| MLPerf LoadGen.* ms \|", text)
    assert re.search(r"\| ratio, paired by round \| \d\.\d+ \|", text)
