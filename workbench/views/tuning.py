"""State behind the tune pane: the constraints, the running search, what was tried and what came out. UI-free."""

from __future__ import annotations

import threading
import time
from typing import Any, NamedTuple

from .. import search, units
from ..engine import Engine, Progress
from ..errors import WorkbenchError
from ..results import Result
from ..runtimes import registry
from ..search import split, terms
from ..told_apart import told_apart
from . import frames

_IDLE = "Nothing was tried yet: 'Tune' searches the fastest variant within these limits."


class Field(NamedTuple):
    """One constraint as the pane draws it."""

    name: str
    title: str
    help: str
    kind: str
    value: Any
    placeholder: str
    options: tuple[dict[str, Any], ...] = ()
    error: str = ""


class Tried(NamedTuple):
    """One line of what was tried."""

    key: str
    number: int
    name: str
    why: str
    status: str
    median: str
    speed: str
    quality: str
    note: str
    is_best: bool


class Tuning:
    """The automatic search of one open model.

    Args:
        labelled: the data have labels, so that the default constraint is a drop in points.
        threads: that variants usually take; names leave them out.
    """

    def __init__(self, labelled: bool, threads: int = 0) -> None:
        self.labelled, self.threads = labelled, threads
        self.words: dict[str, Any] = {t.name: t.default for t in terms.TERMS}
        self.errors: dict[str, str] = {}
        self.cancel = threading.Event()
        self.reset()

    def reset(self) -> None:
        """Forgets the last run."""
        self.trials: list[search.Trial] = []
        self.outcome: search.Outcome | None = None
        self.attempt: search.Attempt | None = None
        self.failed, self.best, self.follow = "", None, True
        self._started = time.time()

    def start(self) -> None:
        """Begins a run: the clock starts, what the last one told goes."""
        self.reset()
        self.cancel = threading.Event()

    def set(self, name: str, value: Any) -> None:
        """One constraint changed; a wrong value is kept with its reason beside it."""
        term = terms.BY_NAME[name]
        try:
            self.words[name] = terms.check(term, value)
            self.errors.pop(name, None)
        except WorkbenchError as error:
            self.errors[name] = str(error)
            return
        other = {"fidelity": "max_drop", "max_drop": "fidelity"}.get(name)
        if other and self.words[name] is not None:
            self.words[other] = None  # one or the other

    def allow(self, name: str, choice: str, on: bool) -> None:
        """One choice of a constraint that lists names; all of them allowed is no constraint."""
        usable = [o for o in self._options(name) if not o["reason"]]
        kept = [o["id"] for o in usable if (on if o["id"] == choice else o["on"])]
        if kept:
            self.set(name, [] if len(kept) == len(usable) else kept)
        else:
            self.errors[name] = f"allow at least one of the {terms.BY_NAME[name].title}"

    @property
    def minutes(self) -> float:
        """Time budget."""
        return self.words["minutes"]

    @property
    def label(self) -> str:
        """'Tune for 5 min'."""
        return f"Tune for {self.minutes:g} min"

    @property
    def problem(self) -> str:
        """Why it cannot start; '' when it can."""
        return next(iter(self.errors.values()), "")

    def run(self, session: Any, calls: dict[str, Any]) -> search.Outcome:
        """The search itself; blocks.

        Raises:
            WorkbenchError: a constraint, or the original, cannot be used.
        """
        engine = session.engine
        return search.tune(engine.model, engine.dataset, terms.goal(self.words), minutes=self.minutes,
                           study=engine.study, cancel=self.cancel, **calls)

    def progress(self, told: Progress) -> Progress:
        """A trial's progress as progress of the whole budget."""
        spent, budget = time.time() - self._started, 60 * self.minutes
        line = f"tuning, {self.doing}: {told.line}" if self.doing else told.line
        return told._replace(line=line, fraction=min(1.0, spent / budget), remaining_s=max(0.0, budget - spent))

    @property
    def doing(self) -> str:
        """What is being tried, in few words."""
        if self.attempt is None:
            return ""
        if self.attempt.stage == "final":
            return "last measurement"
        return frames.short_name(self.attempt.recipe, self.threads)

    # --- what the pane shows

    def fields(self, running: bool) -> list[dict[str, Any]]:
        """The constraints."""
        return [self._field(t)._asdict() for t in terms.TERMS]

    def _field(self, term: terms.Term) -> Field:
        value = self.words[term.name]
        return Field(term.name, term.title, term.help, term.kind, list(value) if term.kind == "names" else value,
                     self._placeholder(term.name), self._options(term.name), self.errors.get(term.name, ""))

    def _options(self, name: str) -> tuple[dict[str, Any], ...]:
        """What a list of names chooses from."""
        value = self.words[name]
        if name == "runtimes":
            none = name in self.errors
            return tuple({"id": r.name, "title": frames.short_runtime(r.name),
                          "on": (not value or r.name in value) and not none,
                          "reason": registry.missing(r.name) or ""} for r in registry.RUNTIMES)
        if name == "formats":
            return tuple({"id": name, "title": title, "on": (list(value) or [""])[0] == name}
                         for name, title in (("", "any format"), ("onnx", "ONNX"), ("tflite", "TFLite")))
        return ()

    def _placeholder(self, name: str) -> str:
        """What an empty field means."""
        if self.words["fidelity"] is None and self.words["max_drop"] is None:
            default = {"max_drop": "1", "fidelity": ""} if self.labelled else {"fidelity": "0.99", "max_drop": ""}
            if default.get(name):
                return default[name]
        return {"threads": "all", "minutes": "5", "batch": "1"}.get(name, "no limit")

    def state(self, running: bool) -> dict[str, Any]:
        """The lines above the list: what happens now and why, what came out."""
        now, why = "", ""
        shown = self.outcome is not None and not running
        if running:
            now = f"Trying {frames.name_of(self.attempt.recipe, self.threads)}" if self.attempt else "Starting"
            if self.attempt and self.attempt.stage == "final":
                now = "Measuring the best few side by side"
            why = self.attempt.why if self.attempt else ""
        ends = (self._started + 60 * self.minutes) * 1000 if running else 0
        told, tone = self._told(running)
        return {"running": running, "now": now, "why": why, "ends_ms": ends, "told": told, "tone": tone,
                "reasons": self._reasons() if shown else [], "left_out": self._left_out() if shown else []}

    def _told(self, running: bool) -> tuple[str, str]:
        if self.failed:
            return self.failed, "failed"
        if self.outcome is not None:
            return self.outcome.sentence, "plain" if self.outcome.met else "failed"
        if running and self.best is not None:
            return f"Best so far: {self._short(self.best)}", "plain"
        return ("" if running else _IDLE), "plain"

    def _short(self, result: Result) -> str:
        speed = "the original" if result.is_baseline or not result.speedup else units.times(result.speedup)
        return f"{frames.name_of(result.recipe, self.threads)}, {units.duration(result.median_s)} ({speed})"

    def _reasons(self) -> list[str]:
        """What stands in the way, where the nearest are, and how much was tried."""
        found, lines = self.outcome, []
        if not found.met:
            titles = [terms_title(b) for b in found.binding]
            lines.append("In the way: " + (", ".join(titles) or found.in_the_way))
            lines.append("Nearest: " + "; ".join(self._short(r) for r in found.nearest))
        return [*lines, found.ended]

    def _left_out(self) -> list[str]:
        return [f"Not tried, {name}: {reason}" for name, reason in self.outcome.ruled_out.items()]

    def tried(self) -> list[dict[str, Any]]:
        """What was tried, newest first."""
        best = self.outcome.best.recipe.key if self.outcome else self.best.recipe.key if self.best else ""
        recipes = [t.result.recipe for t in self.trials]
        names = told_apart([frames.short_name(r, self.threads) for r in recipes], recipes)
        return [self._tried(t, name, best)._asdict() for t, name in zip(self.trials[::-1], names[::-1], strict=True)]

    def _tried(self, trial: search.Trial, name: str, best: str) -> Tried:
        r = trial.result
        note = r.reason if r.status != "ok" else "; ".join(trial.unmet.values())
        quality = ""
        if r.fidelity:
            value = r.fidelity.metric
            quality = f"{100 * value:.1f} %" if r.fidelity.metric_name == "accuracy" else f"{value:.4f}"
        status = "failed" if r.status != "ok" else "missed" if trial.unmet else "met"
        return Tried(r.recipe.key, trial.number + 1, name, trial.why, status,
                     units.duration(r.median_s) if r.median_s else "",
                     units.times(r.speedup) if r.speedup else "", quality,
                     "from the study" if trial.reused and not note else note, r.recipe.key == best)


def terms_title(field: str) -> str:
    """How people call a field of the goal."""
    return next((t.title for t in terms.TERMS if t.field == field), field)


def searched(engine: Engine) -> list[Result]:
    """What searches on this model, data and machine have measured, oldest first."""
    sides = [d for d in engine.study.data(engine.model.sha256, engine.machine)
             if d != engine.dataset.sha256 and split.role(d)[0] == engine.dataset.sha256]
    found = [r for d in sides for r in engine.study.results(engine.model.sha256, engine.machine, d)]
    return sorted((r for r in found if r.status == "ok"), key=lambda r: r.created)
