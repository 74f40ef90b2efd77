"""The set-up files agree with each other: pyproject.toml, the lock, environment.yml, Makefile, .ci/run, README."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]


def canonical(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[><=\[!~; ]", requirement)[0]).lower()


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def lock() -> dict[str, str]:
    lines = [x for x in (ROOT / "requirements.lock").read_text().splitlines() if x and not x.startswith("#")]
    assert all("==" in x for x in lines), "the lock holds exact versions only"
    return {canonical(x): x.split("==")[1] for x in lines}


def declared(*extras: str) -> set[str]:
    p = project()
    named = p["dependencies"] + [d for e in extras for d in p["optional-dependencies"][e]]
    return {canonical(d) for d in named}


def test_every_declared_dependency_is_locked():
    assert declared("torch", "openvino", "dask", "test") <= set(lock())


def test_the_seed_packages_are_core_dependencies():
    wanted = {"jupyterlab", "ipywidgets", "plotly", "tensorflow", "tensorflow-model-optimization", "onnxruntime",
              "netron"}
    assert wanted <= declared()


def test_conda_environment_installs_the_same():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())
    pip = next(d["pip"] for d in conda["dependencies"] if isinstance(d, dict))
    assert "--constraint requirements.lock" in pip and "--editable ." in pip
    pinned = {canonical(x): x.split("==")[1] for x in pip if not x.startswith("--")}
    assert set(pinned) == declared("torch", "openvino", "dask")
    locked = lock()
    assert pinned == {name: locked[name] for name in pinned}


def test_installed_versions_are_the_locked_ones():
    from importlib.metadata import version

    for name in declared("torch", "test"):
        assert version(name).split("+")[0] == lock()[name], name


def test_torch_is_pinned_to_the_cpu_release():
    assert lock()["torch"] == "2.13.0"


@pytest.mark.parametrize("target", ["lab", "test", "lock", "present"])
def test_make_knows_the_target(target):
    done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_make_lab_passes_arguments_through_and_stays_local():
    command = subprocess.run(["make", "-n", "lab", "ARGS=--no-browser --port 8890"], cwd=ROOT, capture_output=True,
                             text=True).stdout
    assert "--no-browser --port 8890" in command
    assert "127.0.0.1" in command and "token=" not in command.lower()


def test_ci_calls_the_test_command_of_the_readme():
    assert "make test" in (ROOT / ".ci/run").read_text()
    readme = (ROOT / "README.md").read_text()
    assert "make test" in readme and "make lab" in readme


def test_data_stays_small():
    files = subprocess.run(["git", "ls-files", "data"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    assert files and sum((ROOT / f).stat().st_size for f in files) < 15_000_000
