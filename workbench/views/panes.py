"""HTML of the evidence tabs, from results. Everything that came from a file or a model is escaped."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime
from html import escape
from typing import Any, NamedTuple

from .. import units
from ..diagnose import diagnose
from ..errors import InputError
from ..results import Result
from . import curves
from .choices import pass_title
from .frames import Tradeoff, name_of, precision_of

Fact = tuple[str, str]
_FLAGS = {"avx512_vnni": "AVX512 VNNI", "avx_vnni": "AVX VNNI", "avx512f": "AVX512", "avx2": "AVX2",
          "amx_int8": "AMX INT8", "i8mm": "I8MM", "asimddp": "dot product", "f16c": "F16C", "fma": "FMA"}
_STOPPED = {"narrow": "the interval was narrow enough", "time": "its time was up", "cancelled": "it was cancelled"}


class Entry(NamedTuple):
    """One line of the log; ``bad`` marks what failed."""

    time: datetime
    text: str
    bad: bool = False


def stages(result: Result | None, model_line: str) -> str:
    """How the variant was made: one box a pass, with its notes."""
    if result is None:
        hint = "Measure this selection to see what each pass did to the graph."
        return _pane(f"<p>{escape(model_line)}</p>{_dim(hint)}")
    boxes = [f"<li><b>Original</b><br><span class='wb-dim'>{escape(model_line)}</span></li>"]
    boxes += [_stage(s) for s in result.stages]
    sizes = f"{units.size(result.size_bytes)} on disk, {units.size(result.compressed_bytes)} compressed"
    boxes.append(f"<li><b>{escape(_name(result))}</b><br><span class='wb-dim'>{sizes}</span></li>")
    notes = [f"<p>{escape(note)}</p>" for s in result.stages for note in s.get("notes", ())]
    failed = f"<p class='wb-failed'>failed: {escape(result.reason)}</p>" if result.status == "failed" else ""
    if result.status == "failed":
        boxes.pop()
    learnt = [curves.training(s["details"]["training"], _stage_title(s["name"])) for s in result.stages
              if (s.get("details") or {}).get("training")]
    return _pane(f"{failed}<ol class='wb-stages'>{''.join(boxes)}</ol>{''.join(learnt)}{''.join(notes)}")


def learning(found: dict[str, Any] | None, line: str) -> str:
    """What the first tab shows while a pass trains: the line of the bar and the curves so far."""
    drawn = curves.training({**found, "live": True}) if found else ""
    return _pane(f"<p>{escape(line)}</p>{drawn or _dim('The curves begin with the first epoch.')}")


def why_not_faster(result: Result | None, baseline: Result | None) -> str:
    """The causes, with evidence and advice, why a variant is not faster; nothing for one that is."""
    if result is None or baseline is None or result.is_baseline:
        return ""
    found = diagnose(result, baseline)
    if not found.causes:
        return ""
    lines = "".join(f"<p><b>{escape(c.title)}</b> {escape(c.evidence)} {_dim_text(c.advice)}</p>" for c in found.causes)
    return _pane(f"<p>Why is it not faster? {escape(found.line)}</p>{lines}")


def _dim_text(text: str) -> str:
    return f"<span class='wb-dim'>{escape(text)}</span>"


def timing(result: Result | None, baseline: Result | None, raw: tuple[float, ...] = (),
           base_raw: tuple[float, ...] = ()) -> str:
    """Where the time goes, as far as end-to-end numbers tell: distribution, tail, load, memory."""
    if result is None or result.median_s is None:
        return _pane(_dim("Measure this selection to see its latencies."))
    low, high = result.span_s
    facts = [
        ("median of one run", f"{units.duration(result.median_s)} ({units.duration(low)} to {units.duration(high)})"),
        *_copies(result.describe),
        *((k, units.duration(v) if v is not None else "too few samples") for k, v in result.percentiles_s.items()),
        ("throughput, one stream", f"{units.significant(result.throughput_per_s)} samples/s"),
        ("timed runs", units.count(result.samples)),
        ("size on disk, compressed", f"{units.size(result.size_bytes)}, {units.size(result.compressed_bytes)}"),
        *_memory(result.memory),
    ]
    drawn = histogram([(_name(r), precision_of(r.recipe), s) for r, s in ((baseline, base_raw), (result, raw))
                       if r is not None and s and (r is not result or r is not baseline)][-2:])
    return _pane(f"<div class='wb-split'>{_facts(facts)}<div>{drawn}</div></div>")


def _copies(told: dict[str, Any]) -> list[tuple[str, str]]:
    """On a GPU: what the median holds, and what is left of it without the copies."""
    if "without_copies_s" in told:
        low, high = told["without_copies_interval_s"]
        without = (f"{units.duration(told['without_copies_s'])} ({units.duration(low)} to {units.duration(high)}), "
                   f"{units.count(told['without_copies_runs'])} runs")
    elif "without_copies" in told:
        without = str(told["without_copies"])
    else:
        return []
    return [("the median includes", "copies from host to device and back"), ("without these copies", without)]


def accuracy(result: Result | None, shown: Tradeoff, class_names: tuple[str, ...] | None = None) -> str:
    """How far the variant's answers are from the original's."""
    f = result.fidelity if result else None
    if f is None:
        return _pane(_dim("Measure this selection to see how its answers compare with the original's."))
    facts = [(f.metric_name, _interval(f.metric, f.metric_interval, f.metric_name))]
    if not result.is_baseline:
        if f.metric_name == "accuracy":
            low, high = f.delta_interval
            facts.append(("change against the baseline", f"{units.points(f.delta)} points "
                                                         f"({units.points(low)} to {units.points(high)})"))
        facts += [(f"{f.likeness} to the original, mean", f"{f.cosine_mean:.5f}"),
                  (f"{f.likeness}, worst 5 %", f"{f.cosine_p5:.5f}"),
                  ("signal to noise (SQNR)", "identical" if math.isinf(f.sqnr_db) else f"{f.sqnr_db:.1f} dB")]
        if f.top1_agreement is not None:
            facts.append(("same prediction", f"{100 * f.top1_agreement:.2f} % of samples"))
    facts.append(("evaluation samples", units.count(f.samples)))
    lines = [f"<p>{escape(note)}</p>" for note in f.notes]
    if shown.is_random:
        lines.insert(0, "<p>Inputs are random: these numbers show agreement with the original, not accuracy.</p>")
    return _pane(f"{''.join(lines)}{_facts(facts)}{'' if result.is_baseline else _changed(f.changed, f.samples)}")


def machine(environment: dict[str, Any], result: Result | None, plan: Any) -> str:
    """What the numbers were measured on, and how."""
    versions = ", ".join(f"{k} {v}" for k, v in (environment.get("frameworks") or {}).items())
    facts = [("processor", str(environment.get("cpu_model", "unknown"))), ("cores", _cores(environment)),
             ("instructions", isa_line(environment) or "not known"),
             ("memory", f"{environment['memory_gib']} GiB" if environment.get("memory_gib") else "unknown"),
             ("system", str(environment.get("os", "unknown"))),
             *_state(environment.get("state") or {})]
    if result is not None:
        facts += [("measured", result.created.replace("T", " ")[:19] + " UTC"), ("run", result.run_id),
                  ("stopped because", _STOPPED.get(result.stopped, result.stopped or "–"))]
        facts += [(f"runtime: {k}".replace("_", " "), str(v)) for k, v in result.describe.items()
                  if isinstance(v, str | int | float | bool)]
    method = (f"Each variant runs in a process of its own. After a warm-up until steady, variants and the baseline "
              f"take turns in blocks of {units.duration(plan.block_s)} and in shuffled order, until the 95 % interval "
              f"of the ratio is within ±{100 * plan.target:g} % (or {100 * plan.distant:g} % of its distance from 1, "
              f"on a logarithmic scale, where that is more) or {plan.max_s:g} s are over. "
              f"A ratio whose interval touches 1 ± {plan.margin:g} is undecided.")
    warned = [str(w) for w in (result.environment.get("warnings") or ())] if result is not None else []
    warnings = "".join(f"<p class='wb-warning'>{escape(w)}</p>" for w in warned)
    return _pane(f"{warnings}<p>{escape(method)}</p>{_facts(facts)}<p class='wb-dim'>{escape(versions)}</p>")


def log(entries: Iterable[Entry]) -> str:
    """What happened, newest first."""
    lines = [f"<li><time>{e.time:%H:%M:%S}</time><span{' class=wb-bad' if e.bad else ''}>{escape(e.text)}</span></li>"
             for e in entries]
    return _pane(f"<ul class='wb-log'>{''.join(reversed(lines))}</ul>" if lines else _dim("Nothing happened yet."))


def histogram(series: list[tuple[str, str, tuple[float, ...]]], bins: int = 72) -> str:
    """Latencies of all runs on one log axis as inline SVG, one row a variant: (name, precision, seconds)."""
    from .theme import color

    kept = [(name, precision, _trim(values)) for name, precision, values in series if len(values) > 4]
    if not kept:
        return ""
    low = math.log(min(min(v) for _, _, v in kept))
    high = math.log(max(max(v) for _, _, v in kept)) + 1e-6
    width, row = 560, 46
    bars, texts = [], []
    for index, (name, precision, values) in enumerate(kept):
        counts = [0] * bins
        for value in values:
            counts[min(bins - 1, int((math.log(value) - low) / (high - low) * bins))] += 1
        base = (index + 1) * row
        for i, n in enumerate(counts):
            if n:
                tall = max(1.5, n / max(counts) * (row - 20))
                bars.append(f"<rect x='{i * width / bins:.1f}' y='{base - tall:.1f}' width='{width / bins - 1:.1f}' "
                            f"height='{tall:.1f}' fill='{color(precision)}'/>")
        texts.append(f"<text x='0' y='{base - row + 12}'>{escape(name)}</text>")
        bars.append(f"<path d='M0 {base + .5}H{width}' stroke='currentColor' stroke-opacity='.25'/>")
    bottom = len(kept) * row + 14
    texts += [f"<text x='0' y='{bottom}'>{units.duration(math.exp(low))}</text>",
              f"<text x='{width}' y='{bottom}' text-anchor='end'>{units.duration(math.exp(high))} (log)</text>"]
    return (f"<svg viewBox='0 0 {width} {bottom + 4}' role='img' aria-label='latencies of all runs' font-size='11.5' "
            f"fill='currentColor'>{''.join(bars)}<g fill-opacity='.75'>{''.join(texts)}</g></svg>")


def cpu_line(environment: dict[str, Any]) -> str:
    """'EPYC 7B13, 2 cores, AVX2': the processor in a few words."""
    name = str(environment.get("cpu_model") or "")
    drop = ("amd", "intel", "cpu", "processor", "with", "@")
    words = name.replace("(R)", "").replace("(TM)", "").split()
    words = [w for w in words if w.lower() not in drop and "-Core" not in w]
    short = " ".join(w for w in words[:3] if not w.lower().endswith("ghz"))
    cores = environment.get("usable_cores")
    vector = next((t for k, t in _FLAGS.items() if k in (environment.get("isa") or ())), "")
    vector = "VNNI" if "VNNI" in vector else vector
    counted = f"{cores} cores" if cores and cores > 1 else "1 core" if cores else ""
    return ", ".join(part for part in (short, counted, vector) if part)


def isa_line(environment: dict[str, Any]) -> str:
    """The vector instructions that matter, in people's spelling."""
    flags = environment.get("isa") or ()
    return ", ".join(title for flag, title in _FLAGS.items() if flag in flags)


def _name(result: Result) -> str:
    return name_of(result.recipe, result.recipe.threads)


def _state(state: dict[str, Any]) -> list[Fact]:
    titles = {"clock_mhz": ("clock", "{} MHz"), "load_1min": ("load, last minute", "{}"),
              "temperature_c": ("temperature", "{} °C"), "governor": ("governor", "{}")}
    found = {k: titles.get(k, (k.replace("_", " "), "{}")) for k in state}
    return [(title, form.format(state[k])) for k, (title, form) in found.items()]


def _cores(environment: dict[str, Any]) -> str:
    physical, logical = environment.get("physical_cores"), environment.get("logical_cores")
    return f"{physical} physical, {logical} logical" if physical else "unknown"


def _pane(html: str) -> str:
    return f"<div class='wb-pane'>{html}</div>"


def _dim(text: str) -> str:
    return f"<p class='wb-dim'>{escape(text)}</p>"


def _facts(facts: list[Fact]) -> str:
    rows = (f"<div><dt>{escape(k)}</dt><dd title='{escape(v, quote=True)}'>{escape(v)}</dd></div>" for k, v in facts)
    return f"<dl class='wb-facts'>{''.join(rows)}</dl>"


def _stage(stage: dict[str, Any]) -> str:
    details = stage.get("details") or {}
    before, after = details.get("nodes_before"), details.get("nodes_after")
    nodes = f"{before} → {after} nodes · " if before is not None and after is not None else ""
    took = "from the cache" if stage.get("cached") else units.duration(stage.get("seconds"))
    return (f"<li><b>{escape(_stage_title(str(stage.get('name', ''))))}</b><br>"
            f"<span class='wb-dim'>{nodes}{escape(str(stage.get('format', '')).upper())} · {took}</span></li>")


def _stage_title(name: str) -> str:
    try:
        return pass_title(name)
    except InputError:  # a study of another version may name passes that this one lacks
        return name


def _memory(memory: dict[str, float]) -> list[Fact]:
    facts = [("load time", units.duration(memory["load_s"]))] if "load_s" in memory else []
    for key, title in (("rss_steady_bytes", "memory, steady"), ("rss_peak_bytes", "memory, peak")):
        if key in memory:
            facts.append((title, f"{units.size(memory[key])} above the empty worker"))
    return facts


def _interval(value: float, interval: tuple[float, float], name: str) -> str:
    if name == "accuracy":
        return f"{100 * value:.2f} % ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})"
    return f"{value:.5f} ({interval[0]:.5f} to {interval[1]:.5f})"


def _changed(changed: tuple[int, ...], samples: int) -> str:
    if not changed:
        return _dim("No prediction changed.")
    listed = ", ".join(str(i) for i in changed[:40]) + (", …" if len(changed) > 40 else "")
    return f"<p class='wb-dim'>{len(changed)} of {samples} predictions changed; samples {listed}</p>"


def _trim(values: tuple[float, ...]) -> list[float]:
    """Without the slowest half percent, which would squeeze the rest into one bar."""
    ordered = sorted(values)
    return ordered[: max(5, math.ceil(0.995 * len(ordered)))]
