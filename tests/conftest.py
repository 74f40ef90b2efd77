"""Shared parts of the suite: quick measuring plans, a cache of the suite's own, real third-party models."""

import importlib.util
import os
from pathlib import Path

import pytest

os.environ.setdefault("WORKBENCH_QUICK", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """The suite neither reads nor fills the user's cache of artefacts."""
    if "WORKBENCH_CACHE" not in os.environ:
        os.environ["WORKBENCH_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    return Path(os.environ["WORKBENCH_CACHE"])


def _package_folder(name: str) -> Path:
    return Path(importlib.util.find_spec(name).origin).parent


@pytest.fixture(scope="session")
def ocr_models() -> list[Path]:
    """The ONNX files inside the ddddocr wheel: recognition and detection models that nobody here trained."""
    found = sorted(_package_folder("ddddocr").rglob("*.onnx"))
    assert len(found) >= 3
    return found


@pytest.fixture(scope="session")
def light_models() -> list[Path]:
    """The ``light_*`` topologies inside the onnx wheel."""
    found = sorted((_package_folder("onnx") / "backend/test/data/light").glob("*.onnx"))
    assert len(found) >= 5
    return found
