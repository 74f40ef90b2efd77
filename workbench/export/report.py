"""The report: one self-contained file from a study, to read, to present or to print."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError, MissingError
from . import report_browser, report_data, report_graph, report_page, report_svg
from .report_data import Report
from .report_graph import GraphPart

if TYPE_CHECKING:
    from ..model import Model
    from ..search import Goal
    from ..study import Study


def report(study: Study | str | Path, path: str | Path = "report.html", *, model: Model | str | Path | None = None,
           goal: Goal | None = None, choose: str = "", graph: bool = True, slides: bool = False,
           pdf: bool = False) -> Path:
    """Writes the report of a study; see :func:`write_report` for the arguments.

    Args:
        study: the study, or its file.
        model: the original, or its file or bundled name.
    """
    if isinstance(study, str | Path):
        study = open_study(study)
    if isinstance(model, str | Path):
        from ..views import opening

        name = opening.bundled_name(str(model))
        model = opening.bundled.model(name) if name else opening.models.load(model)
    return write_report(study, path, model=model, goal=goal, choose=choose, graph=graph, slides=slides, pdf=pdf)


def open_study(path: str | Path) -> Study:
    """Opens a study that is there; a report never makes an empty one.

    Raises:
        InputError: no such file, or not a study.
    """
    from ..study import Study

    if not Path(path).is_file():
        raise InputError(f"no such study: {path}; give the .sqlite file that the workbench keeps its results in")
    return Study(path)


def write_report(study: Study, path: str | Path, *, model: Model | None = None, goal: Goal | None = None,
                 choose: str = "", graph: bool = True, slides: bool = False, pdf: bool = False) -> Path:
    """Writes one self-contained HTML file (or a PDF) that opens without a network.

    Args:
        study: what was measured; the newest model, data and machine in it are reported.
        path: file to write; replaced at once, so that a reader never sees half of it.
        model: the original; default: that of the newest result, from its file.
        goal: what a recommended variant must meet; default: at most 1 point of accuracy lost, or cosine 0.99.
        choose: recipe key or run id of the variant to recommend instead of the fastest that meets the goal.
        graph: whether the graph before and after is shown.
        slides: a deck instead of a page.
        pdf: printed through Chromium; the path should end in .pdf.

    Raises:
        InputError: nothing is measured, or the file cannot be written.
        MissingError: there is no Chromium to print with.
    """
    path = Path(path)
    told = report_data.gather(study, model=model, goal=goal, choose=choose)
    text = render(told, graph_of(told) if graph else None, slides=slides)
    if pdf:
        return report_browser.pdf(text, path, slides=slides)
    return put(path, text.encode())


def graph_of(told: Report) -> GraphPart:
    """The graph part of a report; reads the graphs, which takes a moment."""
    return report_graph.part(told.result, told.original)


def render(told: Report, graph: GraphPart | None, *, slides: bool = False) -> str:
    """The page or the deck as HTML."""
    template = report_page.environment().get_template("slides.html.j2" if slides else "report.html.j2")
    return template.render(c=report_page.context(told, graph, slides=slides))


def write_plots(told: Report, graph: GraphPart | None, folder: Path) -> tuple[list[Path], str]:
    """The plots as files: SVG for a light and a dark ground, PNG where there is a Chromium.

    Returns:
        the files, and one line on what is missing ('' when nothing is).
    """
    size = (960, 540, 14)
    written, note = [], ""
    key = told.chosen.key if told.chosen else ""
    svg = str(report_svg.tradeoff(told.shown, tried=told.tried, selected=key, width=size[0],
                                  height=size[1], font_size=size[2]))
    for mode in ("light", "dark"):
        text = report_svg.standalone(svg, mode)
        written.append(put(folder / f"tradeoff-{mode}.svg", text.encode()))
        try:
            written.append(report_browser.png(text, folder / f"tradeoff-{mode}.png", *size[:2]))
        except MissingError as error:
            note = str(error)
    if graph and graph.picture:
        written.append(put(folder / "graph.png", graph.picture))
    return written, note


def put(path: Path, data: bytes) -> Path:
    """Writes a file beside its place, then moves it there.

    Raises:
        InputError: it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data)
        os.replace(partial, path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; name another file with -o") from None
    return path
