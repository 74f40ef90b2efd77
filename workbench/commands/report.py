"""``workbench report STUDY -o report.html``: the findings of a study as one file, to read, to present or to print."""

from __future__ import annotations

from pathlib import Path

from . import common

HELP = "write a study as one self-contained report (or slides, PDF, plots) that opens without a network"


def add_arguments(parser) -> None:
    """Declares the arguments."""
    parser.add_argument("study", metavar="STUDY", help="study (.sqlite), e.g. studies/cnn.sqlite")
    parser.add_argument("-o", "--output", metavar="FILE", help="default: report.html (slides.html, report.pdf)")
    parser.add_argument("--slides", action="store_true", help="a deck of slides instead of a page")
    parser.add_argument("--pdf", action="store_true", help="printed to PDF; needs Chromium or Chrome")
    parser.add_argument("--plots", metavar="DIR", help="also write the plots: SVG, and PNG where there is Chromium")
    parser.add_argument("--model", metavar="MODEL", help="the original; default: that of the newest result")
    parser.add_argument("--choose", default="", metavar="RUN", help="run id of the variant to recommend instead")
    parser.add_argument("--max-drop", type=float, help="largest loss of the metric of a recommended variant, in points")
    parser.add_argument("--fidelity", type=float, help="smallest metric or mean cosine of a recommended variant")
    parser.add_argument("--no-graph", action="store_true", help="leave out the graph before and after")
    common.add_model_arguments(parser)


def run(args) -> tuple[dict, str]:
    """Writes the report and the plots that are asked for."""
    from ..export import report, report_browser, report_words
    from ..search import Goal

    study = report.open_study(args.study)
    model = common.model(args.model, args.fix) if args.model else None
    goal = Goal(fidelity=args.fidelity, max_drop=args.max_drop)
    told = report.report_data.gather(study, model=model, goal=goal, choose=args.choose)
    graph = None if args.no_graph else report.graph_of(told)
    path = Path(args.output or ("slides" if args.slides else "report") + (".pdf" if args.pdf else ".html"))
    html = report.render(told, graph, slides=args.slides)
    written = [report_browser.pdf(html, path, slides=args.slides) if args.pdf else report.put(path, html.encode())]
    lines = [report_words.answer(told)]
    if args.plots:
        plots, note = report.write_plots(told, graph, Path(args.plots))
        written += plots
        lines += [f"note: {note}"] if note else []
    data = {"answer": lines[0], "files": [str(p) for p in written], "size_bytes": path.stat().st_size,
            "recommended": told.result.run_id if told.chosen else None, "variants": len(told.shown.points)}
    return data, "\n".join([*lines, *(f"wrote {p}" for p in written)])
