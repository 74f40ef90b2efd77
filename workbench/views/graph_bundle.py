"""The view's script as one ES module, joined from small files: no build step, nothing loaded from elsewhere."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "static" / "graph"
# Each file may import from those before it only.
FILES = ("format", "status", "theme", "data", "items", "links", "rows", "order", "columns", "route", "layout", "scene",
         "paint", "overlay", "bar", "search", "table", "panel", "input", "view", "main")
_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./(\w+)\.js";$', re.MULTILINE)
_LEAD = re.compile(r"^[ \t]*(//.*)?\n?", re.MULTILINE)  # indentation, comments, empty lines
_EXPORT = re.compile(r"^export ((?:async )?function|class|const) (\w+)", re.MULTILINE)


@cache
def library() -> str:
    """All files, each in a scope of its own; ``$main`` holds ``render`` and ``mount``."""
    parts = ["// Inference workbench: the graph pair. Joined from the files in workbench/views/static/graph."]
    for name in FILES:
        text = (FOLDER / f"{name}.js").read_text("utf-8")
        if name == "main":
            sheet = json.dumps((FOLDER / "graph.css").read_text("utf-8"))
            text = text.replace('"/*SHEET*/"', sheet).replace("export default { render };", "")
        names = [found[1] for found in _EXPORT.findall(text)] + (["render"] if name == "main" else [])
        text = _IMPORT.sub(lambda m: f"const {{{m[1].replace(' as ', ': ')}}} = ${m[2]};", text)
        text = _EXPORT.sub(r"\1 \2", text)
        text = _LEAD.sub("", text).strip()
        parts.append(f"const ${name} = (() => {{\n{text}\nreturn {{ {', '.join(names)} }};\n}})();")
    return "\n".join(parts)


def widget_module() -> str:
    """The module for anywidget."""
    return f"{library()}\nexport default {{ render: $main.render }};\n"


def page_script(element_id: str, packed_base64: str, options: dict[str, object]) -> str:
    """Content of an inline module script that fills an element of a page.

    Args:
        element_id: of the host element; letters, digits and '-' only.
        packed_base64: what :func:`workbench.views.graph_pack.pack` gave, as base64.
        options: for the view; plain JSON values that are not from a file.
    """
    host = f"document.getElementById({json.dumps(element_id)})"
    return f"{library()}\n$main.mount({host}, {json.dumps(packed_base64)}, {json.dumps(options)});\n"
