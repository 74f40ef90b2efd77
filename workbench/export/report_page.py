"""From a report to what its templates fill in: every number marked with its origin, every name escaped."""

from __future__ import annotations

import base64
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from .. import units
from ..chain import FORMAT_TITLES
from ..diagnose import diagnose
from ..model import ModelFormat
from ..results import Result
from ..views import budget, panes, theme
from ..views.frames import Point, Row
from . import report_numbers as numbers
from . import report_svg, report_words
from .report_data import Report
from .report_graph import GraphPart
from .report_numbers import Annotator, number, span

TEMPLATES = Path(__file__).parent / "templates"
FEW_ROWS = 9  # on a slide
FEW = "too few samples"
SLIDE_PLOT = (1240, 520, 19)  # width, height, font size


@cache
def environment() -> Environment:
    """Templates with everything escaped that is not marked as HTML."""
    return Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
                       trim_blocks=True, lstrip_blocks=True)


def source(name: str) -> Markup:
    """A script or style sheet of the report, to stand inside the page."""
    text = (TEMPLATES / name).read_text("utf-8")
    return Markup(text.replace("/*FONT*/sans-serif", theme.FONT))


def context(report: Report, graph: GraphPart | None, *, slides: bool = False) -> dict[str, Any]:
    """All that the templates name."""
    told = _annotator(report)
    key = report.chosen.key if report.chosen else ""
    rows = [row(r, report) for r in report.rows]
    size = dict(zip(("width", "height", "font_size"), SLIDE_PLOT, strict=True)) if slides else {}
    return {
        "title": str(report.model.get("name", "model")), "source": source, "about": _about(report),
        "date": _date(report.newest), "random": report.shown.is_random,
        "answer": told(report_words.answer(report)), "advice": [told(x) for x in report_words.advice(report)],
        "how": [told(x) for x in report_words.how(report)], "changes": [told(x) for x in report_words.changes(report)],
        "problem": report_words.problem(report), "baseline_line": told(report_words.baseline(report)),
        "tried": Annotator((), (), (), _counts(report))(report_words.tried(report)),
        "deploy": told(report_words.deploy(report)),
        "goal": told(report_words.goal(report)),
        "plot": report_svg.tradeoff(report.shown, tried=report.tried, selected=key, **size),
        "cards": [_card(p, report) for p in report.shown.points],
        "big": big(report), "base_big": base_big(report),
        "base_facts": [fact for fact in _facts(report.baseline or report.result)[1:] if fact[1] != FEW],
        "whatif": what_if(report, told),
        "rows": rows, "few": _few(rows), "more": _more(rows), "screened": [_screened(r) for r in report.screened],
        "quality": "accuracy, %" if report.shown.quality_name == "accuracy" else "cosine to the original",
        "labelled": report.shown.quality_name == "accuracy", "chosen": report.focus if report.chosen else None,
        "recipe": report.result.recipe.to_yaml() if report.chosen else "", "graph": _graph(graph),
        "evidence": [_evidence(r, report) for r in report.results.values() if r.median_s is not None],
        "machine": _machine(report), "runs": [_run(r, report) for r in report.results.values()],
        "notes": _notes(report),
    }


def _few(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What fits on a slide: the recommended variant and the original always, then the fastest."""
    kept = [r for r in rows if r["chosen"] or r["is_baseline"]]
    kept += [r for r in rows if r not in kept][:FEW_ROWS - len(kept)]
    return [r for r in rows if r in kept]


def _more(rows: list[dict[str, Any]]) -> Markup | str:
    left = len(rows) - FEW_ROWS
    return Markup("and {} more in the report").format(numbers.derived(left, "more", str(left))) if left > 0 else ""


def _annotator(report: Report) -> Annotator:
    order = [report.focus.key, *(p.key for p in report.shown.points)]
    results = [report.results[k] for k in dict.fromkeys(order)]
    base = report.baseline
    ordered = [results[0], *([base] if base else []), *results[1:]]
    goal = report.goal
    given = {f"{goal.max_drop:g}" if goal.max_drop is not None else "",
             f"{goal.fidelity:g}" if goal.fidelity is not None else "", "95", "±2", "8"}
    names = [n for p in report.shown.points for n in (p.name, p.short)] + [str(report.model.get("name", ""))]
    names += [f.name for f in report.shown.failures] + [panes.cpu_line(report.result.environment), report.data_name]
    names += ["INT8", "INT4", "float16", "float32", "bfloat16"]
    return Annotator(ordered, names, given, _counts(report))


def _counts(report: Report) -> dict[str, Markup]:
    """Numbers that are counted over the study, by their text."""
    verdicts = [p.verdict for p in report.shown.points]
    runs = [r for r in report.results.values() if r.median_s is not None]
    found = {"variants": len(verdicts) - (report.baseline is not None), "runs": len(runs),
             "narrow": sum(r.stopped == "narrow" for r in runs), "failed": len(report.shown.failures),
             "left_out": report.left_out, **{v: verdicts.count(v) for v in ("faster", "slower", "undecided")}}
    return {str(n): numbers.derived(n, field, str(n)) for field, n in found.items()}


def _date(iso: str) -> str:
    return f"{datetime.fromisoformat(iso):%d %B %Y}".lstrip("0")


def _about(report: Report) -> list[Markup]:
    """Model, data and machine in one line."""
    about = report.model
    known = about.get("format") in {f.value for f in ModelFormat}
    form = FORMAT_TITLES[ModelFormat(about["format"])] if known else ""
    count = f"{about['parameters']:,} parameters" if about.get("parameters") else ""
    size = units.size(about["size_bytes"]) if about.get("size_bytes") else ""
    model = ", ".join(part for part in (form, count, size) if part)
    parts = [Markup('<b>{}</b> <span class="spec">{}</span>').format(about.get("name", "model"), model)]
    if report.data_name:
        parts.append(Markup('<span class="spec">{}</span>').format(report.data_name))
    line = panes.cpu_line(report.result.environment)
    return [*parts, *([Markup('<span class="spec">{}</span>').format(line)] if line else [])]


def big(report: Report) -> list[dict[str, Any]]:
    """The three large numbers: speed, accuracy, size."""
    if report.chosen is None:
        return base_big(report)
    r, base, p = report.result, report.baseline, report.focus
    speed = {"label": "faster", "value": number(r, "speedup"),
             "note": Markup("95 % interval {}<br>{} instead of {}").format(
                 span(r, "speedup_interval"), number(r, "median_s"), number(base, "median_s"))}
    size = {"label": "on disk", "value": number(r, "size_bytes"),
            "note": Markup("instead of {}").format(number(base, "size_bytes"))}
    return [speed, _quality_number(r, p), size]


def base_big(report: Report) -> list[dict[str, Any]]:
    """The same for the baseline: time, accuracy, size."""
    r = report.baseline or report.result
    found = [{"label": "a run", "value": number(r, "median_s"),
              "note": Markup("95 % interval {}").format(span(r, "interval_s"))}]
    if r.fidelity and r.fidelity.metric_name == "accuracy":
        found.append({"label": "accuracy", "value": number(r, "fidelity.metric") + " %",
                      "note": Markup("95 % interval {}<br>on {} samples").format(
                          span(r, "fidelity.metric_interval"), number(r, "fidelity.samples"))})
    return [*found, {"label": "on disk", "value": number(r, "size_bytes"),
                     "note": Markup("{} compressed").format(number(r, "compressed_bytes"))}]


def _quality_number(r: Result, p: Point) -> dict[str, Any]:
    f = r.fidelity
    if f is None:
        return {"label": "not checked", "value": "–", "note": "the answers could not be compared"}
    if f.metric_name != "accuracy":
        return {"label": f"{f.likeness} to the original", "value": number(r, "fidelity.metric"),
                "note": Markup("worst 5 %: {}; {} samples").format(number(r, "fidelity.cosine_p5"),
                                                                     number(r, "fidelity.samples"))}
    accuracy = numbers.tag(r, "quality", p.quality, numbers.percent(p.quality))
    return {"label": "points of accuracy", "value": number(r, "fidelity.delta"),
            "note": Markup("95 % interval {}<br>{} % on {} samples").format(
                span(r, "fidelity.delta_interval"), accuracy, number(r, "fidelity.samples"))}


def what_if(report: Report, told: Annotator) -> dict[str, Any]:
    """The steps of the budget slider, and where it starts: at the goal, with the recommended variant."""
    shown = report.shown
    losses = [budget.loss(p, shown) for p in shown.points if p.quality is not None]
    base, goal = shown.baseline, report.goal
    reference = base.quality if base and base.quality is not None and shown.quality_name == "accuracy" else 1.0
    start = goal.max_drop / 100 if goal.max_drop is not None else max(0.0, reference - (goal.fidelity or 0.99))
    most = max(2 * start, 1.15 * max(losses, default=0.0), 0.002)
    steps = {kind: [{"limit": s.limit, "key": s.key, "text": told(report_words.what_if(report, s, kind)),
                     "head": _threshold(s.limit, kind, report)} for s in found]
             for kind, found in (("loss", report.by_loss), ("time", report.by_time))}
    none = {kind: told(report_words.too_tight(report, kind)) for kind in steps}
    return {"steps": steps, "none": none, "start": start / most, "most": most, "reference": reference,
            "usable": bool(report.by_loss), "accuracy": shown.quality_name == "accuracy"}


def _threshold(limit: float, kind: str, report: Report) -> Markup:
    """The limit at which a step begins, for readers without scripts."""
    shown = report.shown
    if kind == "time":
        p = next(p for p in shown.points if p.latency_s == limit)
        return Markup("from {} on").format(number(report.results[p.key], "median_s"))
    p = next(p for p in shown.points if p.quality is not None and budget.loss(p, shown) == limit)
    text = f"{100 * limit:.2f}" if shown.quality_name == "accuracy" else f"{1 - limit:.4f}"
    mark = numbers.tag(report.results[p.key], "loss", limit, text)
    return Markup("from {} points on" if shown.quality_name == "accuracy" else "from {} down").format(mark)


def _card(p: Point, report: Report) -> dict[str, Any]:
    """What stands beside the pointer."""
    r = report.results[p.key]
    lines = [Markup("{} a run ({})").format(number(r, "median_s"), span(r, "interval_s"))]
    if not p.is_baseline and p.speedup is not None:
        lines.append(Markup("{} the baseline's speed ({}): {}").format(
            number(r, "speedup"), span(r, "speedup_interval"), p.verdict))
    if r.fidelity:
        lines.append(_quality_text(r, p))
    lines.append(Markup("{}; {} timed runs; run {}").format(number(r, "size_bytes"), number(r, "samples"),
                                                             Markup('<span class="id">{}</span>').format(r.run_id)))
    return {"key": p.key, "name": p.name, "lines": lines}


def _quality_text(r: Result, p: Point) -> Markup:
    f = r.fidelity
    if f.metric_name != "accuracy":
        return Markup("{} {} on {} samples").format(f.likeness, number(r, "fidelity.metric"),
                                                    number(r, "fidelity.samples"))
    shown = numbers.tag(r, "quality", p.quality, numbers.percent(p.quality))
    if p.is_baseline:
        return Markup("accuracy {} % on {} samples").format(shown, number(r, "fidelity.samples"))
    return Markup("accuracy {} %, {} points ({})").format(shown, number(r, "fidelity.delta"),
                                                           span(r, "fidelity.delta_interval"))


def row(r: Row, report: Report) -> dict[str, Any]:
    """One line of the table of variants."""
    result = report.results[r.key]
    made = {"key": r.key, "name": r.name, "short": r.short, "is_baseline": r.is_baseline, "status": r.status,
            "reason": r.reason, "chosen": report.chosen is not None and r.key == report.chosen.key,
            "verdict": r.verdict, "glyph": theme.VERDICT_GLYPHS.get(r.verdict, ""),
            "mark": report_svg.mark(r.runtime, r.precision, r.verdict)}
    if r.median_s is None:
        return made
    f = result.fidelity
    quality = "–" if r.quality is None else numbers.tag(
        result, "quality", r.quality,
        numbers.percent(r.quality) if f.metric_name == "accuracy" else numbers.cosine(r.quality))
    strip = ""
    if r.speedup_interval:
        strip = report_svg.strip(r.speedup_interval[0], r.speedup, r.speedup_interval[1], report_svg.ends(report.shown),
                                 r.precision, r.verdict)
    return made | {
        "median": number(result, "median_s"), "median_span": span(result, "interval_s"),
        "speed": "" if r.is_baseline else number(result, "speedup"),
        "speed_span": "" if r.is_baseline else span(result, "speedup_interval"), "strip": strip, "quality": quality,
        "delta": number(result, "fidelity.delta") if r.delta is not None else "",
        "delta_span": span(result, "fidelity.delta_interval") if r.delta is not None else "",
        "size": number(result, "size_bytes") if r.size_bytes else "–", "samples": number(result, "samples")}


def _screened(r: Result) -> dict[str, Any]:
    """One try of the search: name and outcome."""
    if r.median_s is None:
        line = Markup('<span class="reason">{}</span>').format(r.reason or r.status)
    else:
        line = Markup("{}, {}").format(number(r, "median_s"), r.verdict or "the original")
    return {"name": r.recipe.label, "line": line}


def _graph(graph: GraphPart | None) -> dict[str, str] | None:
    if graph is None:
        return None
    picture = base64.b64encode(graph.picture).decode() if graph.picture else ""
    return {"page": graph.page, "picture": picture, "line": graph.line, "title": graph.title}


def _evidence(r: Result, report: Report) -> dict[str, Any]:
    """All facts of one variant, behind one click."""
    p = report.shown.point(r.recipe.key)
    base = report.baseline
    causes = diagnose(r, base).causes if base and not r.is_baseline and r.verdict != "faster" else ()
    return {"name": p.name if p else r.recipe.label, "facts": [*_facts(r), *_answers(r)], "recipe": r.recipe.to_yaml(),
            "notes": [str(n) for s in r.stages for n in s.get("notes", ())],
            "causes": [f"{c.title} {c.evidence} {c.advice}" for c in causes]}


def _facts(r: Result) -> list[tuple[str, Any]]:
    """Time and memory of one variant."""
    facts = [("median of one run", Markup("{} ({})").format(number(r, "median_s"), span(r, "interval_s"))),
             *((k, number(r, f"percentiles_s.{k}") if v is not None else FEW)
               for k, v in r.percentiles_s.items()),
             ("throughput, one stream", number(r, "throughput_per_s") + " samples/s"),
             ("timed runs", number(r, "samples")), ("size, compressed", number(r, "compressed_bytes"))]
    facts += [(title, number(r, f"memory.{key}")) for key, title in
              (("load_s", "load time"), ("rss_steady_bytes", "memory, steady"), ("rss_peak_bytes", "memory, peak"))
              if key in r.memory]
    return facts


def _answers(r: Result) -> list[tuple[str, Any]]:
    """How its answers are."""
    f, facts = r.fidelity, []
    if f:
        facts.append((f.metric_name, Markup("{} ({}) on {} samples").format(
            number(r, "fidelity.metric"), span(r, "fidelity.metric_interval"), number(r, "fidelity.samples"))))
        if not r.is_baseline:
            facts += [(f"{f.likeness}, mean", number(r, "fidelity.cosine_mean")),
                      (f"{f.likeness}, worst 5 %", number(r, "fidelity.cosine_p5")),
                      ("signal to noise (SQNR)", number(r, "fidelity.sqnr_db"))]
            if f.top1_agreement is not None:
                facts.append(("same prediction", number(r, "fidelity.top1_agreement")))
    return facts


def _machine(report: Report) -> list[tuple[str, str]]:
    e = report.result.environment
    versions = ", ".join(f"{k} {v}" for k, v in (e.get("frameworks") or {}).items())
    cores = f"{e['physical_cores']} physical, {e.get('logical_cores')} logical" if e.get("physical_cores") else ""
    facts = [("processor", str(e.get("cpu_model") or "unknown")), ("instructions", panes.isa_line(e) or "not known"),
             ("cores", cores), ("memory", f"{e['memory_gib']} GiB" if e.get("memory_gib") else "unknown"),
             ("system", str(e.get("os") or "unknown")), ("Python", str(e.get("python") or "")), ("versions", versions)]
    return [(k, v) for k, v in facts if v]


def _run(r: Result, report: Report) -> dict[str, Any]:
    p = report.shown.point(r.recipe.key)
    timed = r.median_s is not None
    return {"name": p.name if p else r.recipe.label, "id": r.run_id, "created": r.created.replace("T", " ")[:19],
            "samples": number(r, "samples") if timed else "–", "interval": span(r, "interval_s") if timed else "–",
            "stopped": r.stopped or r.status, "checked": number(r, "fidelity.samples") if r.fidelity else "–"}


def _notes(report: Report) -> list[str]:
    """Warnings of the machine while measuring, each once."""
    return list(dict.fromkeys(str(w) for r in report.results.values() for w in (r.environment.get("warnings") or ())))
