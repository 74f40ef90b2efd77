"""A page that is loaded again keeps its kernel: what it says must reach the subshell that it names.

ipykernel 7.4 sends it to the subshell of the last thing that the widget said, which JupyterLab ended with the page's
last load; the message is then lost. Older releases go by the page, but may lose the first request to a new kernel
(ipython/ipykernel issue 1554), so they are no way out.
"""

from __future__ import annotations

import sys
from typing import Any


def by_the_page() -> None:
    """Messages of a page go where the page says. Only in a kernel; other releases than 7.4 are left as they are."""
    comm = getattr(sys.modules.get("ipykernel.comm.comm"), "BaseComm", None)
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = _named


def _named(comm: Any, data: Any, named: str | None) -> str | None:
    return named
