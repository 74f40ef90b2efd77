"""Meeting mode: the findings of a study as steps in large type, live. ``workbench.meeting()`` is all a notebook calls.

Several people may open it, each with a kernel of its own: all read the same study file, and a run that anybody adds
shows in all of them within seconds.
"""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import traitlets as t

from .. import units
from ..errors import InputError, WorkbenchError
from ..export import report, report_data, report_page
from ..export.report_data import Report
from ..export.report_graph import GraphPart
from ..search import Goal
from ..study import Study
from . import opening, theme
from .marshal import Marshal
from .widgets.base import Pane

LOOK_S = 2.0  # between two looks whether the study has grown
_READING = GraphPart("", b"", "Reading both graphs …")


def meeting(study: Any = None, *, model: Any = None, goal: Goal | None = None) -> Meeting:
    """Opens the meeting; as the last line of a cell it shows itself.

    Args:
        study: the study, its file, or anything that has one (a bench, a dashboard's engine); None for the study of
            the model in ``studies/``.
        model: bundled name, path or live object of the original; None takes what the study says.
        goal: what a recommended variant must meet.

    Raises:
        WorkbenchError: the study or the model cannot be opened.
    """
    known = getattr(study, "model", None) if model is None else None
    found = getattr(study, "study", study)
    if found is None:
        name = opening.bundled_name(model)
        found = opening.STUDIES / f"{name or Path(str(model)).stem}.sqlite"
    if isinstance(found, str | Path):
        found = Study(found)  # made when it is not there yet: results may follow
    if not isinstance(found, Study):
        raise InputError("a meeting is opened on a study: give its .sqlite file")
    if model is not None:
        name = opening.bundled_name(model)
        known = opening.bundled.model(name) if name else opening.models.load(model)
    return Meeting(found, model=known, goal=goal)


def _is_app() -> bool:
    """Whether this kernel serves an app and not a notebook."""
    return os.environ.get("SERVER_SOFTWARE", "").lower().startswith("voila")


class Meeting(Pane):
    """The steps: question, baseline, what was tried, trade-off with a budget slider, graph, recommendation.

    Args:
        study: read again whenever it has grown.
        model: the original; None takes what the study says.
        goal: what a recommended variant must meet.

    Attributes:
        at: index of the step that is shown.
        whole: whether it fills the window; served as an app (Voila) it does from the start.
    """

    _esm = "\n".join([report_page.source("plot.js"), report_page.source("deck.js"), theme.esm("meeting")])
    sheet = t.Unicode().tag(sync=True)
    html = t.Unicode().tag(sync=True)
    at = t.Int(0).tag(sync=True)
    whole = t.Bool(False).tag(sync=True)

    def __init__(self, study: Study, *, model: Any = None, goal: Goal | None = None) -> None:
        sheet = "\n".join([report_page.source("report.css"), report_page.source("deck.css")])
        super().__init__(self._on_click, sheet=sheet, whole=_is_app())
        self.study, self._model, self._goal = study, model, goal
        self._marshal, self._seen, self._told = Marshal(), -1, None
        self._graph: tuple[str, GraphPart] = ("", _READING)
        self._watch: asyncio.Task | None = None
        self.look()
        try:
            self._watch = asyncio.get_running_loop().create_task(self._look_again())
        except RuntimeError:
            pass  # a script: it calls look() itself

    def close(self) -> None:
        """Stops looking at the study."""
        if self._watch is not None:
            self._watch.cancel()
        super().close()

    def report(self, path: str | Path = "", *, slides: bool = False) -> Any:
        """Writes the report, or the slides, once what is measured now is done; returns at once and shows itself.

        Args:
            path: file to write; default ``reports/`` beside the study, named after it.
            slides: the deck instead of the page.
        """
        from .notebook import pages
        from .notebook.work import Work

        def write(_task: Any) -> Path:
            source = self.study.path or Path("study.sqlite")
            usual = source.parent / "reports" / f"{source.stem}{'-slides' if slides else ''}.html"
            place = Path(path) if path else usual
            return report.write_report(self.study, place, model=self._model, goal=self._goal, slides=slides)

        def show(place: Path) -> Any:
            what = "The slides are" if slides else "The report is"
            return pages.html(pages.said(f"{what} in {place} ({units.size(place.stat().st_size)}).",
                                         "One file, complete: open it in any browser, send it, print it."))

        return Work(write, show, title="slides" if slides else "report")

    def look(self) -> None:
        """Reads the study and draws what is new; nothing is sent when nothing is."""
        if self._grown():
            self._show(*self._read())

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            if self._grown():  # reading takes a moment, and clicks are served meanwhile
                self._show(*await asyncio.to_thread(self._read))

    def _grown(self) -> bool:
        before, self._seen = self._seen, len(self.study)
        return self._seen != before

    def _read(self) -> tuple[Report | None, str]:
        """What the study says, and the slides of it; a defect is told on the slide."""
        try:
            told = report_data.gather(self.study, model=self._model, goal=self._goal)
            return told, self._slides(told)
        except InputError:
            problem = ""  # nothing is measured yet
        except Exception as error:
            problem = str(error) if isinstance(error, WorkbenchError) else f"{type(error).__name__}: {error}"
        template = report_page.environment().get_template("waiting.html.j2")
        return None, template.render(live=True, problem=problem)

    def _show(self, told: Report | None, html: str) -> None:
        self._told, self.html = told, html
        if told is None:
            return
        self._model = self._model or told.original
        if self._graph[0] != told.result.run_id:
            self._graph = (told.result.run_id, _READING)
            threading.Thread(target=self._read_graph, args=(told,), daemon=True, name="graphs").start()

    def _slides(self, told: Report) -> str:
        graph = self._graph[1] if self._graph[0] == told.result.run_id else _READING
        context = report_page.context(told, graph, slides=True)
        return report_page.environment().get_template("deck.html.j2").render(c=context, live=True)

    def _read_graph(self, told: Report) -> None:
        """In the background: reading the graphs takes seconds."""
        try:
            found = report.graph_of(told)
        except Exception as error:  # a defect must show on the slide, not die with the thread
            found = GraphPart("", b"", f"The graphs cannot be compared: {type(error).__name__}: {error}")
        self._marshal(self._graph_read, told.result.run_id, found)

    def _graph_read(self, run_id: str, found: GraphPart) -> None:
        if self._graph[0] == run_id:
            self._graph = (run_id, found)
            self.html = self._slides(self._told)

    def _on_click(self, message: dict[str, Any], _buffers: Any) -> None:
        if message.get("type") == "save" and self._told is not None:
            slides = message.get("kind") == "slides"
            threading.Thread(target=self._save, args=(slides,), daemon=True, name="report").start()

    def _save(self, slides: bool) -> None:
        told = self._told
        try:
            graph = self._graph[1] if self._graph[1] is not _READING else report.graph_of(told)
        except WorkbenchError:
            graph = None
        text = report.render(told, graph, slides=slides)
        name = f"{told.model.get('name', 'study')}-{'slides' if slides else 'report'}.html"
        self._marshal(lambda: self.send({"type": "file", "name": name}, [text.encode()]))
