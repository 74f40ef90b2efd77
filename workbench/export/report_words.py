"""The report's sentences, written from the study in plain words. Text only; numbers are marked when it is rendered."""

from __future__ import annotations

from .. import units
from ..measure import Plan
from ..measure.environment import INT8_DOT
from ..results import Result
from ..runtimes import registry
from ..views import budget, panes, sentences
from ..views.choices import pass_title
from ..views.frames import Point
from .report_data import Report
from .report_numbers import same_unit


def answer(report: Report) -> str:
    """The recommendation in one sentence."""
    if report.chosen is not None:
        return sentences.headline(report.shown, report.chosen.key, report.chosen.name).text
    base = report.shown.baseline
    if base is None:
        return f"{report.focus.name} takes {units.duration(report.focus.latency_s)}; no baseline stands beside it."
    text = f"Keep the original ({base.name}, {units.duration(base.latency_s)})"
    others = [p for p in report.shown.points if not p.is_baseline]
    if not others:
        return f"{base.name} takes {units.duration(base.latency_s)} a run; no other variant is measured yet."
    return f"{text}: nothing measured is surely faster {limit(report)}."


def limit(report: Report) -> str:
    """'within a loss of 1 point': the goal in words."""
    goal = report.goal
    parts = []
    if goal.max_drop is not None:
        parts.append(f"within a loss of {goal.max_drop:g} point{'' if goal.max_drop == 1 else 's'}")
    if goal.fidelity is not None:
        parts.append(f"at {report.shown.quality_name} {goal.fidelity:g} or more")
    if goal.latency_s is not None:
        parts.append(f"in at most {units.duration(goal.latency_s)}")
    if goal.size_bytes is not None:
        parts.append(f"in at most {units.size(goal.size_bytes)}")
    return " and ".join(parts)


def goal(report: Report) -> str:
    """What 'recommended' means here."""
    if not report.named:
        return f"Recommended is the fastest variant that is surely faster, {limit(report)}."
    if report.goal.unmet(report.result):
        return f"The variant was named for this report; it does not meet the goal: {limit(report)}."
    return f"The variant was named for this report; it meets the goal: {limit(report)}."


def problem(report: Report) -> str:
    """The question of the first slide."""
    name = report.model.get("name", "the model")
    return f"How fast can {name} answer on this machine, and what does speed cost?"


def baseline(report: Report) -> str:
    """The original as it is, in one sentence."""
    base = report.shown.baseline
    if base is None:
        return "No baseline is measured."
    low, high = base.latency_interval_s
    between = " to ".join(same_unit(units.duration(low), units.duration(high)))
    text = f"{base.name} takes {units.duration(base.latency_s)} a run ({between})"
    if base.quality is not None and report.shown.quality_name == "accuracy":
        text += f", with {100 * base.quality:.1f} % accuracy"
    return text + "."


def tried(report: Report) -> str:
    """How many variants came out how."""
    others = [p for p in report.shown.points if not p.is_baseline]
    counts = [(sum(p.verdict == v for p in others), v) for v in ("faster", "slower", "undecided")]
    told = ", ".join(f"{n} {verdict}" for n, verdict in counts if n)
    failed, left = len(report.shown.failures), report.left_out
    text = f"{len(others)} variant{'' if len(others) == 1 else 's'} beside the original: {told or 'none timed'}"
    text = f"{text}, {failed} failed." if failed else f"{text}."
    return f"{text} {left} more of the study are behind the front and left out here." if left else text


def advice(report: Report) -> list[str]:
    """What to do, what it gains, what it costs, what to watch."""
    p, shown = report.focus, report.shown
    if report.chosen is None:
        return [answer(report), *_undecided(report)]
    if report.chosen.verdict != "faster":
        return [answer(report), _size(report.result, report.baseline)]
    lines = [f"Use {p.name}. It is {sentences.speed(p)} than {shown.baseline.name}: "
             f"{units.duration(p.latency_s)} instead of {units.duration(shown.baseline.latency_s)} a run."]
    lines += [_cost(p, report), _size(report.result, report.baseline)]
    lines += _overlaps(p, report)
    return [line for line in lines if line]


def _cost(p: Point, report: Report) -> str:
    f = report.result.fidelity
    if f is None:
        return "Its answers could not be checked."
    if f.metric_name != "accuracy":
        return (f"Its answers have a mean {f.likeness} of {f.cosine_mean:.4f} to the original's on "
                f"{units.count(f.samples)} samples; there are no labels, so this is agreement and not accuracy.")
    low, high = f.delta_interval
    text = (f"Accuracy changes by {units.points(f.delta)} points ({units.points(low)} to {units.points(high)}) on "
            f"{units.count(f.samples)} held-out samples")
    return f"{text}: no loss is proven." if low < 0 < high or low == high == 0 else f"{text}."


def _size(r: Result, base: Result | None) -> str:
    if base is None or not r.size_bytes or not base.size_bytes:
        return ""
    return f"The file is {units.size(r.size_bytes)}; the original's is {units.size(base.size_bytes)}."


def _overlaps(chosen: Point, report: Report) -> list[str]:
    """Variants that meet the goal and may be as fast: the intervals overlap, so their order is not proven."""
    low, high = chosen.latency_interval_s
    near = [p.name for p in report.shown.points
            if p is not chosen and not p.is_baseline and p.latency_interval_s[0] <= high
            and p.latency_interval_s[1] >= low and not report.goal.unmet(report.results[p.key])]
    if not near:
        return []
    verb = "is" if len(near) == 1 else "are"
    return [f"{_list(near)} {verb} not surely slower (the intervals overlap): choose between them by what is "
            "easier to deploy."]


def _undecided(report: Report) -> list[str]:
    names = [p.name for p in report.shown.points if p.verdict == "undecided"]
    if not names:
        return []
    verb = "is" if len(names) == 1 else "are"
    return [f"{_list(names)} {verb} undecided: measuring again adds samples and narrows the interval."]


def how(report: Report) -> list[str]:
    """How this was measured."""
    runs = [r for r in report.results.values() if r.median_s is not None]
    counts = sorted(r.samples for r in runs)
    narrow = sum(r.stopped == "narrow" for r in runs)
    margin = f"{100 * Plan().margin:g}"
    lines = [
        "Each variant ran in a clean process of its own. After a warm-up, all took turns with the baseline in short "
        "blocks and in shuffled order, so that a busy moment hits all of them.",
        f"A time is the median of {_range(counts)} timed runs a variant, with a 95 % bootstrap interval over rounds. "
        f"Speed is the ratio of medians paired by round; 'faster' or 'slower' is said only when the whole interval "
        f"lies beyond ±{margin} %.",
        _stopped(narrow, len(runs)),
    ]
    return [*lines, *_checked(report)]


def _stopped(narrow: int, runs: int) -> str:
    if narrow == runs:
        return f"All {runs} were timed until their interval was narrow enough."
    if not narrow:
        return f"All {runs} used their whole time; a longer time makes the intervals narrower."
    return f"{narrow} of {runs} stopped because their interval was narrow enough, the others when their time was up."


def _checked(report: Report) -> list[str]:
    checked = sorted({r.fidelity.samples for r in report.results.values() if r.fidelity})
    if not checked:
        return ["The answers were not checked."]
    if report.shown.is_random:
        return [f"Inputs were random ({_range(checked)} samples): quality is agreement with the original, not "
                "accuracy, and speed may differ on real data."]
    where = f" of {report.data_name}" if report.data_name else ""
    if report.shown.quality_name == "accuracy":
        return [f"Accuracy is counted on {_range(checked)} held-out samples{where}, never used for calibration. Its "
                "change is paired: the same samples, the original's answer beside the variant's."]
    return [f"Answers are compared with the original's on {_range(checked)} held-out samples{where}; "
            "there are no labels."]


def changes(report: Report) -> list[str]:
    """What would change this."""
    lines = [*_other_limits(report), *_accuracy_doubt(report)]
    if report.chosen is not None:
        lines += _overlaps(report.chosen, report)
    lines += [*_undecided(report), *_machine(report), *_coverage(report)]
    failed = [f.name for f in report.shown.failures]
    if failed:
        lines.append(f"{_list(failed)} failed; the table says why. Once they run they may come out ahead.")
    return lines


def _other_limits(report: Report) -> list[str]:
    """Another limit on the loss picks another variant."""
    chosen = report.chosen.key if report.chosen else ""
    lines = []
    for step in report.by_loss:
        p = report.shown.point(step.key)
        if p is None or p.key == chosen or p.is_baseline or report.baseline is None:
            continue
        if step.limit == 0:
            lines.append(f"If no loss at all is accepted: {p.name}, {sentences.speed(p)}.")
        elif report.chosen is None or p.latency_s < report.chosen.latency_s:
            lines.append(f"If a larger loss is accepted: {p.name}, {sentences.speed(p)}, "
                         f"{sentences.quality(p, report.shown)}.")
    return lines[:3]


def _accuracy_doubt(report: Report) -> list[str]:
    f = report.result.fidelity
    if report.chosen is None or f is None or f.metric_name != "accuracy" or f.delta_interval[0] >= 0:
        return []
    low = units.points(f.delta_interval[0])
    return [f"The change of accuracy may be as bad as {low} points: that is where its interval on "
            f"{units.count(f.samples)} samples ends. More labelled samples narrow it."]


def _machine(report: Report) -> list[str]:
    environment = report.result.environment
    line = panes.cpu_line(environment) or "this machine"
    text = f"Another processor can turn the order round; all of this is from one machine ({line})."
    if not INT8_DOT & set(environment.get("isa") or ()) and not environment.get("gpus"):
        text += " It has no 8-bit dot product (VNNI): on a processor that has one, INT8 gains more."
    found = {str(w) for r in report.results.values() for w in (r.environment.get("warnings") or ())}
    busy = any("busy" in w for w in found)
    return [text, *(["The machine was not idle while measuring, which widens the intervals: measure again when it is."]
                    if busy else [])]


def _coverage(report: Report) -> list[str]:
    threads = sorted({r.recipe.threads for r in report.results.values()})
    many = ", ".join(map(str, threads)) if len(threads) < 5 else f"{threads[0]} to {threads[-1]}"
    text = (f"Only batch {report.shown.batch} with {many} thread{'' if threads == [1] else 's'} is compared here; "
            "larger batches and other thread counts have an order of their own.")
    if report.shown.others:
        text += " The study holds variants of other batch sizes too."
    return [text]


def what_if(report: Report, step: budget.Step, kind: str) -> str:
    """The pick of one step of the budget slider; ``kind`` is 'time' or 'loss'."""
    p, shown = report.shown.point(step.key), report.shown
    text = f"{p.name}: {units.duration(p.latency_s)} a run"
    if not p.is_baseline and shown.baseline is not None:
        text += f", {sentences.speed(p)}, {sentences.quality(p, shown)}"
    rival = shown.point(step.rival)
    if rival is None:
        return text + "."
    if kind == "time":
        return f"{text}. {rival.name} is faster ({units.duration(rival.latency_s)}) and not surely less accurate."
    return f"{text}. {rival.name} is faster ({units.duration(rival.latency_s)}); its loss may be that small too."


def too_tight(report: Report, kind: str) -> str:
    """What is said below the first step."""
    if kind == "time":
        p = report.shown.points[0]
        return f"Nothing measured is that fast. The fastest is {p.name}: {units.duration(p.latency_s)}."
    return "Nothing measured loses as little."


def deploy(report: Report) -> str:
    """How the recommended variant is made and run, in one sentence."""
    recipe = report.result.recipe
    steps = ", then ".join(pass_title(s.name) for s in recipe.steps) or "the file as it is"
    return (f"Made by: {steps}. Run with {registry.info(recipe.runtime).title}, "
            f"{recipe.threads} thread{'' if recipe.threads == 1 else 's'}, batch {recipe.batch}.")


def _range(values: list[int]) -> str:
    low, high = units.count(values[0]), units.count(values[-1])
    return low if low == high else f"{low} to {high}"


def _list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
