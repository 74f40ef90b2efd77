"""Every notebook runs top to bottom in a kernel of its own, all its background work included."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from workbench.search import split
from workbench.study import Study

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
LIMIT_S = 420  # of one notebook on a busy machine; quick settings need a tenth
# Work of the cells goes on in the background; this cell waits for it and passes on its first error.
FINISH = f"from workbench.views.notebook.work import finish\nawait finish({LIMIT_S - 60})"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(LIMIT_S + 60)]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """One folder for all notebooks, so that they share their studies as they do beside each other."""
    return tmp_path_factory.mktemp("notebooks")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_runs_top_to_bottom(path, place):
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(FINISH))
    NotebookClient(notebook, timeout=LIMIT_S, kernel_name="python3", resources={"metadata": {"path": str(place)}},
                   shutdown_kernel="graceful").execute()
    told = [str(o.get("text") or o.get("data")) for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
    assert told, "shows nothing"
    seen = [p for text in told for p in (str(place), str(ROOT), str(Path.home())) if p != "/" and p in text]
    assert not seen, f"an output holds a path of this machine: {seen[0]}"
    errors = [text for text in told if re.search(r"wb-failed|Traceback|unexpected \w+Error", text)]
    assert not errors, errors[0][:500]
    assert failures(place) == [], "a recipe of the notebook does not run"


def failures(place):
    """Why variants in the studies failed; a search may try what does not run."""
    results = [r for path in (place / "studies").glob("*.sqlite") for r in Study(path).results()]
    return [r.reason for r in results if r.status == "failed" and split.role(r.data_sha256)[1] == ""]
