"""A study as a small project would hold it, and a reader of the pages that the report makes of it."""

import re
from html.parser import HTMLParser
from pathlib import Path

import onnx

import workbench
from workbench import recipe as recipes
from workbench.study import Study

from .graph_models import Builder, conv_bn_relu
from .view_parts import fidelity, result

BASE = recipes.make(runtime="onnxruntime", threads=2)
FUSED = recipes.make("onnx-simplify", runtime="onnxruntime", threads=2)
INT8 = recipes.make("onnx-int8-static", runtime="onnxruntime", threads=2)
OPENVINO = recipes.make("onnx-int8-static", runtime="openvino", threads=2)
FLOAT16 = recipes.make("onnx-float16", runtime="onnxruntime", threads=2)
DYNAMIC = recipes.make("onnx-int8-dynamic", runtime="onnxruntime", threads=2)
BROKEN = recipes.make("onnx-float16", runtime="openvino", threads=2)
ENVIRONMENT = {"cpu_model": "AMD EPYC 7B13 64-Core Processor", "usable_cores": 2, "physical_cores": 2,
               "logical_cores": 2, "isa": ["avx2", "fma"], "memory_gib": 24, "os": "Linux-6", "python": "3.11.7",
               "frameworks": {"onnxruntime": "1.32.0"},
               "warnings": ["other programs kept 1.6 of 2 cores busy while measuring"]}


def fused_model() -> onnx.ModelProto:
    """What is left of ``conv_bn_relu`` when the batch norm has gone into the convolution."""
    b = Builder(1)
    x = b.add("Conv", ["x", b.weight("w", 16, 3, 3, 3), b.weight("b", 16)], "conv", pads=[1, 1, 1, 1])
    x = b.add("Relu", [x], "relu")
    x = b.add("GlobalAveragePool", [x], "pool")
    x = b.add("Flatten", [x], "flatten")
    b.add("Gemm", [x, b.weight("dense_w", 16, 4), b.weight("dense_b", 4)], "dense", out="y")
    return b.model({"x": (1, 3, 16, 16)}, ["y"])


def filled(folder: Path, name: str = "camera", **common) -> tuple[Study, workbench.Model]:
    """A study with a baseline, five variants of all verdicts and one that failed; the graphs are real files."""
    onnx.save(conv_bn_relu(), folder / f"{name}.onnx")
    onnx.save(fused_model(), folder / "after.onnx")
    model = workbench.load(folder / f"{name}.onnx")
    study = Study(folder / "study.sqlite")
    study.remember_model(model.sha256, {**model.to_dict(), "path": str(model.path)})
    stage = {"name": "onnx-simplify", "path": str(folder / "after.onnx"), "format": "onnx",
             "notes": ["7 nodes became 5"], "details": {}, "seconds": 0.2}
    same = {"model_sha256": model.sha256, "environment": ENVIRONMENT, "percentiles_s": {"p90": None, "p99": None},
            "memory": {"load_s": 0.17, "rss_steady_bytes": 12_300_000.0}, "compressed_bytes": 801_234, **common}
    quiet = {**same, "is_baseline": False}
    rows = [
        result(BASE, 7.31e-3, ratio=1.0, fidelity=fidelity(0.913), **{**same, "is_baseline": True}),
        result(FUSED, 5.17e-3, ratio=0.7072, verdict="faster", fidelity=fidelity(0.913, half=0.001), stages=(stage,),
               artefact=str(folder / "after.onnx"), **quiet),
        result(INT8, 1.86e-3, ratio=0.2544, verdict="faster", fidelity=fidelity(0.9097, -0.0033), stages=(stage,),
               size_bytes=239_000, artefact=str(folder / "after.onnx"), **quiet),
        result(OPENVINO, 1.21e-3, ratio=0.1655, verdict="faster", fidelity=fidelity(0.8738, -0.0392), **quiet),
        result(FLOAT16, 8.93e-3, ratio=1.2216, verdict="slower", fidelity=fidelity(0.9124, -0.0006), **quiet),
        result(DYNAMIC, 7.29e-3, ratio=0.9973, verdict="undecided", fidelity=fidelity(0.9109, -0.0021), **quiet),
        result(BROKEN, status="failed", reason="the operator Foo is not there", **quiet),
    ]
    for i, row in enumerate(rows):
        rounds = [[row.median_s] * 4] if row.median_s else []
        study.add(row, "session", rounds)
        assert i or row.is_baseline
    return study, model


class Page(HTMLParser):
    """Texts of a page with the elements around each, and its ``<data>`` elements; scripts, styles and SVG left out."""

    VOID = {"meta", "link", "img", "input", "br", "hr"}

    def __init__(self, html: str) -> None:
        super().__init__()
        self.stack: list[tuple[str, dict]] = []
        self.texts: list[tuple[str, tuple[str, ...], set[str]]] = []  # text, tags, classes around it
        self.data: list[tuple[dict, str]] = []
        self.links: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        self.links += [v for k, v in attrs.items() if k in ("src", "href", "action", "data") and v]
        if tag not in self.VOID:
            self.stack.append((tag, attrs))
        if tag == "data":
            self.data.append((attrs, ""))

    def handle_endtag(self, tag):
        while self.stack and self.stack.pop()[0] != tag:
            pass

    def handle_data(self, text):
        tags = tuple(t for t, _ in self.stack)
        if {"script", "style", "svg"} & set(tags) or not text.strip():
            return
        if tags[-1] == "data":
            self.data[-1] = (self.data[-1][0], self.data[-1][1] + text)
        classes = {c for _, a in self.stack for c in (a.get("class") or "").split()}
        self.texts.append((text, tags, classes))


# Text that is not measured: names, reasons and notes as they came, limits that were given, the model's own facts.
NAMED = {"name", "reason", "given", "spec", "id", "recipe", "counts", "tag"}
CONSTANT = re.compile(r"95 %|worst 5 %|8-bit|\d+ nodes")


def bare_numbers(page: Page) -> list[str]:
    """Texts with a digit that no ``<data>`` element, name or known constant explains."""
    return [text.strip() for text, tags, classes in page.texts
            if re.search(r"\d", CONSTANT.sub("", text)) and not {"data", "time", "title", "code", "pre"} & set(tags)
            and not NAMED & classes]
