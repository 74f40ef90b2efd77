"""plotly's widget, imported without a detour that costs seconds.

plotly looks for ``nbformat``, which validates with ``jsonschema``, which compiles 38 grammars of RFC 3987 when
``rfc3987_syntax`` is installed (JupyterLab brings it): about 5 s of a dashboard that must stand in 5 s. Only the
format check 'iri' needs them, which no notebook schema uses; so it is left out, as where the package is missing.
"""

from __future__ import annotations

import sys

_SLOW = "rfc3987_syntax"


def _import_lean():
    hide = _SLOW not in sys.modules
    if hide:
        sys.modules[_SLOW] = None  # an import of it now raises ImportError, which jsonschema expects
    try:
        import plotly.graph_objects as graph_objects

        graph_objects.FigureWidget  # noqa: B018  resolved lazily by plotly; here is where the time goes
        return graph_objects
    finally:
        if hide:
            del sys.modules[_SLOW]


go = _import_lean()
