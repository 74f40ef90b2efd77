"""The tab 'Where time goes': end-to-end numbers and, on demand, the profile of the selected variant node by node."""

from __future__ import annotations

import threading
from typing import Any

import ipywidgets

from .. import units
from ..diagnose import diagnose
from ..engine import Engine
from ..errors import Cancelled, WorkbenchError
from ..results import Result
from ..where import TimeSpent, where_time_goes
from . import panes
from .marshal import Marshal

TOP = 12
_START, _STOP = "Profile node by node", "Cancel the profile"


class ProfilePane:
    """The widget of the tab; what was profiled once is shown again at once.

    Call :meth:`show` whenever the selection changes.
    """

    def __init__(self) -> None:
        self._marshal = Marshal()
        self._known: dict[str, TimeSpent] = {}  # by run id
        self._result: Result | None = None
        self._baseline: Result | None = None
        self._engine: Engine | None = None
        self._cancel: threading.Event | None = None
        self._button = ipywidgets.Button(description=_START, disabled=True, layout={"width": "auto"},
                                         tooltip="Times every node of the selected variant, in a process of its own")
        self._limits = ipywidgets.Checkbox(value=True, indent=False, layout={"width": "auto"},
                                           description="and this machine's limits (30 s, once)")
        self._line, self._nodes, self._timing = ipywidgets.HTML(), ipywidgets.HTML(), ipywidgets.HTML()
        controls = ipywidgets.HBox([self._button, self._limits, self._line])
        controls.add_class("wb-graph-controls")
        self.widget = ipywidgets.VBox([controls, self._nodes, self._timing])
        self.widget.add_class("wb-graph-pane")
        self._button.on_click(lambda _: self._clicked())

    def show(self, engine: Engine, result: Result | None, baseline: Result | None, raw: tuple[float, ...] = (),
             base_raw: tuple[float, ...] = ()) -> None:
        """Shows a variant.

        Args:
            engine: of the open model and data.
            result: the selected variant, or None when it was not measured.
            baseline: what it is compared with.
            raw: latencies of the variant, seconds.
            base_raw: the same of the baseline.
        """
        self._engine, self._result, self._baseline = engine, result, baseline
        if self._cancel is None:
            self._button.disabled = result is None or result.status != "ok"
        _put(self._timing, panes.timing(result, baseline, raw, base_raw))
        self._draw()

    def close(self) -> None:
        """Ends a profile that runs."""
        if self._cancel is not None:
            self._cancel.set()

    def _draw(self) -> None:
        found = self._known.get(self._result.run_id) if self._result else None
        _put(self._nodes, why(self._result, self._baseline, found) + (nodes(found) if found else ""))

    def _clicked(self) -> None:
        if self._cancel is not None:
            self._cancel.set()
            return
        if self._result is None or self._engine is None:
            return
        self._cancel = threading.Event()
        self._button.description = _STOP
        self._tell("starting …")
        threading.Thread(target=self._work, daemon=True, name="profile",
                         args=(self._engine, self._result, self._limits.value, self._cancel)).start()

    def _work(self, engine: Engine, result: Result, limits: bool, cancel: threading.Event) -> None:
        try:
            found = where_time_goes(engine, result.recipe, limits=limits, cancel=cancel,
                                    on_line=lambda text: self._marshal(self._tell, f"{text} …"))
        except Cancelled:
            self._marshal(self._finished, "cancelled", False)
        except WorkbenchError as error:
            self._marshal(self._finished, str(error), True)
        except Exception as error:  # a defect must show where the click was
            self._marshal(self._finished, f"the profile failed: {type(error).__name__}: {error}", True)
        else:
            self._known[result.run_id] = found
            self._marshal(self._finished, "", False)

    def _tell(self, text: str, bad: bool = False) -> None:
        kind = "wb-failed" if bad else "wb-dim"
        self._line.value = f"<span class='{kind}'>{panes.escape(text)}</span>" if text else ""

    def _finished(self, text: str, bad: bool) -> None:
        self._cancel = None
        self._button.description = _START
        self._button.disabled = self._result is None or self._result.status != "ok"
        self._tell(text, bad)
        self._draw()


def why(result: Result | None, baseline: Result | None, found: TimeSpent | None) -> str:
    """Why the variant is not faster, with the evidence of its profile where there is one."""
    if found is None or result is None or baseline is None or result.is_baseline:
        return panes.why_not_faster(result, baseline)
    told = diagnose(result, baseline, profile=found.profile, limits=found.limits)
    if not told.causes:
        return ""
    lines = "".join(f"<p><b>{panes.escape(c.title)}</b> {panes.escape(c.evidence)} "
                    f"<span class='wb-dim'>{panes.escape(c.advice)}</span></p>" for c in told.causes)
    return f"<div class='wb-pane'><p>Why is it not faster? {panes.escape(told.line)}</p>{lines}</div>"


def nodes(found: TimeSpent) -> str:
    """The slowest nodes as a table, the line that reconciles them with the whole run, and the notes."""
    made, roof = found.profile, found.roofline
    under = {r.name: r for r in roof.rows} if roof else {}
    widest = made.rows[0].share if made.rows else 1.0
    rows = "".join(_row(r, under.get(r.name), widest) for r in made.rows[:TOP])
    rest = made.rows[TOP:]
    if rest:
        rows += (f"<tr class='wb-dim'><td></td><td>{len(rest)} more nodes</td><td></td>"
                 f"<td>{units.duration(sum(r.median_s for r in rest))}</td><td></td>"
                 f"<td>{sum(r.share for r in rest):.1%}</td><td></td></tr>")
    notes = [*made.notes, *(roof.notes if roof else ()), *(made.describe.get("notes") or ())]
    if found.is_random:
        notes.append("inputs are random")
    told = "".join(f"<p class='wb-dim'>{panes.escape(str(n))}</p>" for n in notes)
    limit = "<th>of its limit</th>" if roof else "<th></th>"
    shares = f"<p>By operator: {panes.escape(made.operators())}</p>"
    return (f"<div class='wb-pane'><p>{panes.escape(found.sentence)}</p>{shares}{told}"
            "<table class='wb-nodes'><thead><tr><th></th>"
            "<th>operator</th><th>node</th><th>median</th><th>5 to 95 % of runs</th><th>share</th>"
            f"{limit}</tr></thead><tbody>{rows}</tbody></table></div>")


def _row(row: Any, under: Any, widest: float) -> str:
    low, high = row.spread_s
    limit = ""
    if under is not None and under.percent is not None:
        percent = f"{under.percent:.0f}" if under.percent >= 1 else "&lt; 1"
        limit = f"{percent} % <span class='wb-dim'>{under.bound.kind}</span>"
    stands = panes.escape(f"{row.name}: stands for {', '.join(row.nodes)}" if row.nodes else row.name, quote=True)
    return (f"<tr><td><span class='wb-share' style='width:{100 * row.share / (widest or 1):.0f}%'></span></td>"
            f"<td>{panes.escape(row.op)}</td><td title='{stands}'>{panes.escape(row.name)}</td>"
            f"<td>{units.duration(row.median_s)}</td><td class='wb-dim'>{units.duration(low)} to "
            f"{units.duration(high)}</td><td>{row.share:.1%}</td><td>{limit}</td></tr>")


def _put(widget: ipywidgets.HTML, html: str) -> None:
    if widget.value != html:
        widget.value = html
