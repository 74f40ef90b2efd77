"""State behind the dashboard: selection, results, what is being measured. UI-free; tells listeners what changed."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from .. import units
from ..engine import Engine, Progress
from ..errors import Cancelled, WorkbenchError
from ..export import bundle
from ..measure.environment import physical_threads
from ..recipe import Recipe
from ..results import Result
from ..search import split
from . import choices, frames, opening, sentences
from .marshal import Marshal
from .panes import Entry
from .tuning import Tuning, searched

LOG_LINES = 400
REFRESH_S = 0.5  # between two drawings while measuring: on a small machine they slow what is being timed


class Session:
    """One open model with its toggles and its study.

    Args:
        opened: model, data and engine.
        on_change: called, on the event loop, whenever something that is shown has changed.

    Attributes:
        recipe: what the toggles mean, complete; its key is what 'selected' means everywhere.
        status: (line, tone, fraction) of the bar; a negative fraction hides the progress.
        log: what happened, oldest first.
    """

    def __init__(self, opened: opening.Opened, on_change: Callable[[], None]) -> None:
        self.lock = threading.RLock()
        self.log: deque[Entry] = deque(maxlen=LOG_LINES)
        self.status: tuple[str, str, float] = ("", "plain", -1.0)
        self.note = ""
        self._on_change, self._marshal = on_change, Marshal()
        self._thread: threading.Thread | None = None
        self._cancel = threading.Event()
        self._live: dict[str, Result] = {}
        self._incoming: dict[str, Result] = {}  # live results on their way to the event loop
        self._drawn, self._raw = 0.0, {}
        self._warmed: Engine | None = None
        self.training: dict[str, Any] | None = None  # curves of the pass that trains now
        self.take(opened)

    def take(self, opened: opening.Opened) -> None:
        """Switches to another model or other data; the study's results are there at once."""
        self.opened, self.engine = opened, opened.engine
        self.tuning = Tuning(self.engine.dataset.evaluation.labels is not None, self.engine.baseline.threads)
        self._results = {r.recipe.key: r for r in self.engine.results()}
        self._tried: dict[str, Result] = {}  # screened by a search: short measurements on half of the samples
        for result in searched(self.engine):
            self._place(result)
        self.selection, self.recipe = choices.Selection(), self.engine.baseline
        self._select_recipe(self.engine.baseline)
        self._live.clear()
        self._raw.clear()
        self.note = opened.note
        self.status = (self._idle_line(), "plain", -1.0)
        self._write(f"opened {self.engine.model.name} with {self.engine.dataset.name}")

    def prewarm(self) -> None:
        """Starts what a first measurement would wait for; once for each model, and not before the page is drawn.

        Frameworks that load while the page draws would take its processor time.
        """
        if self._warmed is not self.engine:
            self._warmed = self.engine
            self.engine.prewarm()

    @property
    def busy(self) -> bool:
        """Whether a measurement runs, or its last results are still on their way to the event loop."""
        return self._thread is not None

    @property
    def results(self) -> list[Result]:
        """Stored results of this model, data and machine."""
        return list(self._results.values())

    @property
    def live(self) -> list[Result]:
        """Partial results of what is being measured."""
        return list(self._live.values())

    @property
    def selected(self) -> Result | None:
        """The stored result of the selection, or None."""
        return self._results.get(self.recipe.key) or self._tried.get(self.recipe.key)

    @property
    def baseline(self) -> Result | None:
        """The stored baseline at the selected batch size, or None."""
        key = self.engine.baseline_for(self.recipe).key
        return self._results.get(key) or self._tried.get(key)

    @property
    def tuned(self) -> bool:
        """Whether a search runs."""
        return self._thread is not None and self._thread.name == "tune"

    @property
    def tried(self) -> list[Result]:
        """What a search has screened, and what nobody has measured longer since."""
        return [r for key, r in self._tried.items() if key not in self._results]

    def _marked(self, result: Result) -> bool:
        """The original and the search's best so far stand out among what was screened."""
        best = self.tuning.best
        return result.is_baseline or best is not None and result.recipe.key == best.recipe.key

    @property
    def name(self) -> str:
        """How people call the selected recipe."""
        return frames.name_of(self.recipe, self.engine.baseline.threads)

    def shown(self) -> frames.Tradeoff:
        """The trade-off at the selected batch size."""
        marked = [r for r in self.tried if self._marked(r)]
        return frames.tradeoff([*self.results, *marked], batch=self.recipe.batch, machine=self.engine.machine,
                               live=self.live, tried=self.tried)

    def groups(self) -> tuple[choices.Group, ...]:
        """The rail."""
        return choices.groups(self.selection, self.engine.problem, physical_threads())

    def problem(self) -> str:
        """Why the selection cannot be measured; '' when it can."""
        return self.engine.problem(self.recipe) or ""

    def samples(self, key: str) -> tuple[float, ...]:
        """Raw latencies of a stored result, in seconds."""
        result = self._results.get(key) or self._tried.get(key)
        if result is None:
            return ()
        if result.run_id not in self._raw:
            rounds = result.rounds or self.engine.study.rounds(result.run_id)
            self._raw[result.run_id] = tuple(float(s) for block in rounds for s in block)
        return self._raw[result.run_id]

    # --- what a user does ---------------------------------------------------------------------------------------

    def choose(self, group: str, choice: str, on: bool = True) -> None:
        """One toggle clicked."""
        with self.lock:
            self.selection, self.note = choices.change(self.selection, group, choice, on)
            self._take_toggles()

    def set(self, owner: str, name: str, value: Any) -> None:
        """One setting changed.

        Raises:
            InputError: the value is out of range; the old one stays.
        """
        with self.lock:
            self.selection, self.note = choices.with_setting(self.selection, owner, name, value), ""
            self._take_toggles()

    def select(self, key: str) -> None:
        """A point or a row chosen, here or in another view of the study: the toggles follow."""
        with self.lock:
            result = self._results.get(key) or self._live.get(key) or self._tried.get(key)
            if result is None and key:  # another view may have measured it meanwhile
                engine = self.engine
                result = engine.study.find(key, engine.model.sha256, engine.dataset.sha256, engine.machine)
                if result is not None:
                    self._place(result)
            if result is not None:
                self.note, self.tuning.follow = "", False
                self._select_recipe(result.recipe)

    def measure(self) -> None:
        """Measures the selection beside the baseline, in the background."""
        with self.lock:
            if self.busy or self.problem():
                return
            self._cancel = threading.Event()
            self.status = (f"{self.name}: starting", "plain", 0.0)
            self._write(f"measuring {self.name}")
            self._thread = threading.Thread(target=self._work, args=(self.recipe, self._cancel), daemon=True,
                                            name="measure")
            self._thread.start()

    def tune(self) -> None:
        """Searches the fastest variant within the pane's limits, in the background."""
        with self.lock:
            if self.busy or self.tuning.problem:
                return
            self.tuning.start()
            self._cancel = self.tuning.cancel
            self.status = ("tuning: starting", "plain", 0.0)
            self._write(f"tuning for {self.tuning.minutes:g} min")
            self._thread = threading.Thread(target=self._tune, daemon=True, name="tune")
            self._thread.start()

    def cancel(self) -> None:
        """Stops what runs; what was finished is kept."""
        with self.lock:
            if self.busy:
                self._cancel.set()
                self.status = ("stopping …", "plain", self.status[2])
                self._write("cancel")

    def export(self) -> None:
        """Writes the selected variant's bundle beside the study, in the background."""
        chosen, study = self.selected, self.engine.study
        if chosen is None or self.busy:
            return
        home = (study.path or Path("study")).absolute().parent
        folder = home / "bundles" / f"{self.engine.model.name}-{chosen.run_id}"
        self.status = (f"writing the bundle {folder.name} …", "plain", -1.0)
        threading.Thread(target=self._export, args=(chosen, folder), daemon=True, name="export").start()

    def _export(self, chosen: Result, folder: Path) -> None:
        try:
            bundle.write(chosen, self.engine.model, folder, self.engine.study)
            line, bad = f"bundle written: {os.path.relpath(folder)}", False
        except WorkbenchError as error:
            line, bad = str(error), True
        except Exception as error:  # a defect must show in the bar, not die with the thread
            line, bad = f"unexpected {type(error).__name__}: {error}", True
        self._marshal(self._exported, line, bad)

    def _exported(self, line: str, bad: bool) -> None:
        with self.lock:
            if not self.busy:
                self.status = (line, "failed" if bad else "plain", -1.0)
            self._write(line, bad)
        self._on_change()

    def close(self) -> None:
        """Stops the work and ends the worker processes."""
        self._cancel.set()
        self.engine.close()

    # --- the measuring thread, and what it hands to the event loop ----------------------------------------------

    def _work(self, recipe: Recipe, cancel: threading.Event) -> None:
        started, line, bad = time.monotonic(), "", False
        engine = self.engine
        try:
            done = engine.measure([recipe], on_progress=self._on_progress, on_result=self._on_result, cancel=cancel)
            line, bad = self._summary(recipe, done, cancel, time.monotonic() - started)
        except Cancelled:
            line = "cancelled"
        except WorkbenchError as error:
            line, bad = str(error), True
        except Exception as error:  # a defect must show in the bar, not die with the thread
            line, bad = f"unexpected {type(error).__name__}: {error}", True
        self._marshal(self._finished, line, bad)

    def _tune(self) -> None:
        tuning, marshal = self.tuning, self._marshal
        outcome, line, bad = None, "", False
        calls = {"on_trial": lambda trial: marshal(self._on_trial, trial),
                 "on_try": lambda attempt: marshal(self._on_try, attempt),
                 "on_progress": lambda progress: self._on_progress(tuning.progress(progress))}
        try:
            outcome = tuning.run(self, calls)
            line, bad = outcome.sentence, not outcome.met
        except WorkbenchError as error:
            line, bad = str(error), True
        except Exception as error:  # a defect must show in the bar, not die with the thread
            line, bad = f"unexpected {type(error).__name__}: {error}", True
        if tuning.cancel.is_set() and outcome is None:
            line, bad = "cancelled; what was tried is kept", False
        marshal(self._tuned, outcome, line, bad)

    def _on_try(self, attempt: Any) -> None:
        with self.lock:
            self.tuning.attempt = attempt
            self._live.clear()
            self._incoming.clear()
            self._write(f"trying {frames.name_of(attempt.recipe)}: {attempt.why}")
        self._on_change()

    def _on_trial(self, trial: Any) -> None:
        with self.lock:
            self.tuning.trials.append(trial)
            self.tuning.best = trial.best
            if trial.result.status == "ok":
                self._tried[trial.result.recipe.key] = trial.result
            best = trial.best
            if best is not None:
                if self.tuning.follow and best.recipe.key != self.recipe.key:
                    self._select_recipe(best.recipe)
        self._on_change()

    def _tuned(self, outcome: Any, line: str, bad: bool) -> None:
        with self.lock:
            self.tuning.outcome, self.tuning.failed = outcome, line if outcome is None else ""
            for result in outcome.contenders if outcome else ():
                self._place(result)
            if outcome:
                self._select_recipe(outcome.best.recipe)
        self._finished(line, bad)

    def _place(self, result: Result) -> None:
        """A result of a search: its last measurement counts as any other, the newest one; its screening is faint."""
        key, old = result.recipe.key, self._results.get(result.recipe.key)
        if split.role(result.data_sha256)[1] == "search":
            self._tried[key] = result
        elif old is None or old.status != "ok" or old.created <= result.created:
            self._results[key] = result

    def _summary(self, recipe: Recipe, done: list[Result], cancel: threading.Event, seconds: float) -> tuple[str, bool]:
        result = next((r for r in done if r.recipe.key == recipe.key), None)
        if cancel.is_set():
            return "cancelled; what was finished is kept", False
        if result is None or result.status == "failed":
            return f"failed: {result.reason if result else 'no result'}", True
        stopped = "interval narrow enough" if result.stopped == "narrow" else "time was up"
        name = frames.name_of(recipe, self.engine.baseline.threads)
        return f"{name}: {units.duration(result.median_s)} · {stopped} · done in {units.duration(seconds)}", False

    def _on_progress(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.partial is not None:
            self._incoming[progress.partial.recipe.key] = progress.partial
        told = progress.stage in ("done", "failed") or progress.partial is None
        if now - self._drawn < REFRESH_S and not told:
            return
        self._drawn = now
        self._marshal(self._progressed, progress)

    def _progressed(self, progress: Progress) -> None:
        with self.lock:
            if self._thread is not None:
                self._live.update(self._incoming)
            if not self._cancel.is_set():
                line = sentences.progress(progress.line, progress.remaining_s)
                self.status = (line, "plain", max(0.0, progress.fraction))
            self.training = progress.training
            if progress.partial is None:
                self._write(progress.line, progress.stage == "failed")
        self._on_change()

    def _on_result(self, result: Result) -> None:
        self._marshal(self._arrived, result)

    def _arrived(self, result: Result) -> None:
        with self.lock:
            key = result.recipe.key
            old = self._results.get(key)
            if result.status == "ok" and result.stopped != "cancelled" or old is None or old.status != "ok":
                self._results.pop(key, None)
                self._results[key] = result
            self._live.pop(key, None)
            self._incoming.pop(key, None)
            notes = [n for s in result.stages for n in s.get("notes", ())]
            for note in [*notes, *result.environment.get("warnings", ())]:
                self._write(str(note))
        self._on_change()

    def _finished(self, line: str, bad: bool) -> None:
        with self.lock:
            self._thread = self.training = None
            self._live.clear()
            self._incoming.clear()
            self.status = (line, "failed" if bad else "plain", -1.0)
            self._write(line, bad)
        self._on_change()

    # --- helpers ------------------------------------------------------------------------------------------------

    def _take_toggles(self) -> None:
        self.tuning.follow = False  # a search does not take the toggles out of the user's hand
        self.recipe = self.engine.complete(choices.to_recipe(self.selection))
        self._tell_idle()

    def _select_recipe(self, recipe: Recipe) -> None:
        self.recipe, self.selection = recipe, choices.from_recipe(recipe)
        self._tell_idle()

    def _tell_idle(self) -> None:
        if not self.busy:
            self.status = (self.problem() or self._idle_line(), "plain", -1.0)

    def _idle_line(self) -> str:
        n = len(self._results)
        path = self.engine.study.path
        where = f" in {path.name}" if path else ""
        return f"{n} variant{'' if n == 1 else 's'} measured{where}" if n else "ready: nothing measured yet"

    def _write(self, text: str, bad: bool = False) -> None:
        if not self.log or self.log[-1].text != text:
            self.log.append(Entry(datetime.now(), text, bad))
