"""``workbench leak`` and the memory figure."""

import json

from tests.small_onnx import classifier
from tests.view_parts import BASE, LITERT_INT8, ORT, result
from workbench import cli, leak_check, recipe
from workbench.views import resource_figures


def test_the_command_clears_a_clean_model(tmp_path, capsys):
    made = tmp_path / "r.yaml"
    made.write_text(recipe.make(runtime="onnxruntime", threads=1).to_yaml())
    model = str(classifier(tmp_path / "m.onnx"))
    assert cli.main(["leak", model, "--recipe", str(made), "--runs", "2000", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"] == "steady" and told["advice"] == [] and len(told["rss_bytes"]) >= 16
    assert told["interval_bytes_per_run"][0] <= told["bytes_per_run"] <= told["interval_bytes_per_run"][1]
    assert cli.main(["leak", model, "--runs", "5"]) == 2 and "at least 200" in capsys.readouterr().err


def test_from_python(tmp_path):
    found = leak_check(classifier(tmp_path / "m.onnx"), recipe.make(runtime="onnxruntime", threads=1), runs=600)
    assert found.slope.verdict in ("steady", "undecided") and not found.shapes_differ and found.advice == ()


def test_memory_over_variants():
    def memory(peak, steady, load):
        return {"rss_peak_bytes": peak, "rss_steady_bytes": steady, "load_s": load}

    rows = resource_figures.memory_rows([
        result(BASE, memory=memory(20e6, 15e6, 0.2)), result(ORT, memory=memory(9e6, 8e6, 0.01)),
        result(LITERT_INT8, status="failed", reason="no")])
    assert [r.name for r in rows] == ["ORT float32", "TF function"]
    drawn = resource_figures.memory_figure(rows)
    assert list(drawn.data[0].x) == [8.0, 15.0] and list(drawn.data[1].x) == [9.0, 20.0]
    assert list(drawn.data[3].text) == ["10.0 ms", "200 ms"] and drawn.data[2].text[0] == "900 kB"
