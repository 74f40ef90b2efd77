"""``workbench diff BEFORE AFTER``: what an optimizer did, node by node."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from . import common

HELP = "compare the graphs of two models: kept, fused, folded, inserted, quantized, unexplained"


def add_arguments(parser) -> None:
    """Declares the arguments."""
    parser.add_argument("before", metavar="BEFORE", help="model file or bundled name")
    parser.add_argument("after", metavar="AFTER", help="what became of it")
    parser.add_argument("-o", "--output", metavar="diff.html", help="also write an interactive page")
    common.add_model_arguments(parser)


def run(args) -> tuple[dict, str]:
    """Reads both graphs and relates their nodes; nothing is run."""
    from ..graph import diff, readers, wire

    sides = [readers.read(common.model(source, args.fix)) for source in (args.before, args.after)]
    found = diff.diff(*sides)
    data = wire.summary(found)
    lines = [f"{len(sides[0].nodes)} nodes before, {len(sides[1].nodes)} after: "
             + ", ".join(f"{n} {status}" for status, n in found.counts.items() if n or status == "unexplained")]
    lines.extend(g.summary or g.evidence for g in found.groups if g.status != "kept")
    if args.output:
        lines.append(f"wrote {_write(found, Path(args.output), args)}")
        data["page"] = args.output
    return data, "\n".join(lines)


def _write(found, path: Path, args) -> Path:
    from ..graph import wire
    from ..views import graph_html

    title = f"{Path(args.before).name} and {Path(args.after).name}"
    try:
        path.write_text(graph_html.to_html(wire.payload(found, title=title), title=title), "utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; name another file with -o") from None
    return path
