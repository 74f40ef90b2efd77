"""The dashboard: composes the widgets over a session. ``workbench.open()`` is all that a notebook calls."""

from __future__ import annotations

import threading
from typing import Any

import ipywidgets

from .. import bundled, units
from ..errors import WorkbenchError
from . import choices, frames, opening, panes, sentences, shared, theme
from .graph_pane import GraphPane
from .marshal import Marshal
from .opening import FORMAT_TITLES, RANDOM
from .profile_pane import ProfilePane
from .session import Session
from .widgets import bar
from .widgets.picker import Item, Picker
from .widgets.plot import TradeoffPlot
from .widgets.probe import Probe
from .widgets.rail import Rail
from .widgets.table import VariantTable
from .widgets.tabs import ACCURACY, LOG, MACHINE, TIME, TUNE, Tabs
from .widgets.tune import TunePane

_WAITS = " The file does not tell: choose its data above, and it opens with them."
_OPENING = "Another model or other data are being opened: wait a moment."
_NO_EXPORT = "Measure this selection first: a bundle holds the model and its measurement."
_OPEN: dict[str, Dashboard] = {}  # by study, so that running the cell again ends the earlier worker processes


def open(model: Any = None, data: Any = None, study: Any = None) -> Dashboard:
    """Opens the dashboard; as the last line of a cell it shows itself.

    Called again, as after a reload of the page, while the earlier one still measures, that one is shown.

    Args:
        model: name of a bundled model ('cnn'), path of a model file, or a live Keras model or torch module.
        data: name of a bundled data set, path of .npz, .csv or an image folder, or 'random'.
        study: path of the SQLite file that keeps the results; default ``studies/NAME.sqlite`` beside the notebook.
    """
    error, waiting = "", None
    try:
        opened = opening.open_engine(model, data, study)
    except WorkbenchError as problem:
        error = f"{problem} (shown instead: the bundled '{opening.DEFAULT_MODEL}')"
        if isinstance(problem, opening.NeedsData):
            error, waiting = f"{problem}{_WAITS}", model
        opened = opening.open_engine()
    key = str(opened.engine.study.path)
    if key in _OPEN:
        earlier = _OPEN.pop(key)
        if earlier.session.busy and earlier.asked == _asked(opened):
            opened.engine.close()
            return _OPEN.setdefault(key, earlier)
        earlier.close()
    _OPEN[key] = Dashboard(opened, error=error, waiting=waiting)
    return _OPEN[key]


class Dashboard:
    """All panes, made once and refilled in place.

    Args:
        opened: model, data and engine.
        error: shown in the top bar.
        waiting: a model that opens as soon as data for it are chosen.
    """

    def __init__(self, opened: opening.Opened, error: str = "", waiting: Any = None) -> None:
        self._waiting, self._opening, self._opens = waiting, False, 0
        self._marshal, self._drawn_key = Marshal(), ""
        self.asked = _asked(opened)
        self.session = Session(opened, self.refresh)
        self.picker = Picker(self._on_pick)
        self.rail = Rail(self._on_rail)
        self.headline = bar.headline(self._on_action)
        self.plot = TradeoffPlot(self._select, self.session.samples, self.session.prewarm)
        self.table = VariantTable(self._on_table)
        self.graph = GraphPane()
        self.tune = TunePane(self._on_tune)
        self.profile = ProfilePane()
        self.tabs = Tabs(self.graph.widget, self.profile.widget, self.tune)
        self.bar = bar.progress(self._on_action)
        self.probe = Probe(self._on_page)
        self.root = self._layout()
        self._leave = lambda: None
        self._join()
        self._frame()
        self.picker.error = error
        self.refresh()

    def _layout(self) -> ipywidgets.Box:
        stage = ipywidgets.Box([self.plot, self.table])
        stage.add_class("wb-stage")
        main = ipywidgets.Box([self.headline, stage, self.tabs.widget])
        main.add_class("wb-main-pane")
        root = ipywidgets.Box([self.picker, self.rail, main, self.bar, self.probe])
        root.add_class("wb-root")
        return root

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return self.root._repr_mimebundle_(**kwargs)

    def close(self) -> None:
        """Ends the worker processes; the study stays."""
        self._leave()
        self.profile.close()
        self.session.close()
        self.graph.close()

    # --- drawing ------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Draws what changed with the selection or with new results; panes that did not change send nothing."""
        session = self.session
        with session.lock:
            shown, key = session.shown(), session.recipe.key
            if key != self._drawn_key:  # a search moves the selection along
                self._draw_toggles()
            self.plot.draw(shown, key)
            self.table.draw(frames.rows(_by_key(session), shown), shown, key)
            told = sentences.headline(shown, key, session.name)
            self.headline.show(line=told.text, tone=told.tone,
                               actions=[bar.button("export", "Export bundle", reason=self._no_export())])
            self._draw_bar()
            self._draw_tabs(shown)
            tuning = session.tuning
            self.tune.draw(tuning.fields(session.tuned), tuning.state(session.tuned), tuning.tried())
            if session.selected is not None:
                self._shared.select(key)

    def _no_export(self) -> str:
        chosen = self.session.selected
        return "" if chosen is not None and chosen.status == "ok" and chosen.artefact else _NO_EXPORT

    def _draw_toggles(self) -> None:
        session = self.session
        self._drawn_key = session.recipe.key
        self.rail.draw(session.groups(), session.note)
        self.picker.draw_device(self._device_group())

    def _frame(self) -> None:
        """Draws what changes only with the model, the data or the selection."""
        self._draw_toggles()
        engine, name = self.session.engine, self.session.opened.bundled_name
        model, data = engine.model, engine.dataset
        models = [Item(m.name, m.name, m.title, m.name == name) for m in bundled.MODELS]
        self.picker.draw_model(model.name, f"{FORMAT_TITLES[model.format]} · {units.size(model.size_bytes)}", models)
        own = bundled.dataset_name(name) if name else None
        items = [Item(own, own, "comes with this model", not data.is_random)] if own else []
        items.append(Item(RANDOM, "random inputs", "no labels: agreement with the original only", data.is_random))
        held = f"{units.count(len(data.evaluation))} held out" if not data.is_random else "agreement only"
        self.picker.draw_data("random inputs" if data.is_random else data.name, held, items)

    def _device_group(self) -> choices.Group:
        group = choices.device_group(self.session.selection)
        cpu, gpu = group.choices
        line = panes.cpu_line(self.session.engine.fingerprint)
        return group._replace(choices=(cpu._replace(title=f"CPU · {line}" if line else "CPU"),
                                       gpu._replace(title="GPU: none found" if gpu.reason else "GPU")))

    def _draw_bar(self) -> None:
        session = self.session
        line, tone, fraction = session.status
        what = "search" if session.tuned else "measurement"
        busy = f"A {what} is running: wait, or cancel it." if session.busy else _OPENING if self._opening else ""
        reason = busy or session.problem()
        again = session.selected is not None and session.selected.status == "ok"
        self.bar.show(line=line, tone=tone, fraction=fraction, actions=[
            bar.button("measure", "Measure again" if again else "Measure", reason=reason, primary=True,
                       hint="Adds samples to the study" if again else "Times this selection beside the baseline"),
            bar.button("tune", session.tuning.label, reason=busy or session.tuning.problem,
                       hint="Searches the fastest variant that still answers right; its limits are in the tab 'Tune'"),
            bar.button("cancel", "Cancel", reason="" if session.busy else "Nothing is running."),
        ])

    def _draw_tabs(self, shown: frames.Tradeoff) -> None:
        session = self.session
        result, base, model = session.selected, session.baseline, session.engine.model
        nodes = f"{units.count(model.nodes)} nodes · " if model.nodes else ""
        line = f"{nodes}{units.count(model.parameters)} parameters · {units.size(model.size_bytes)}"
        learning = panes.learning(session.training, session.status[0]) if session.training else ""
        self.graph.show(session.engine, result, f"{model.name} · {FORMAT_TITLES[model.format]} · {line}", learning)
        raw = session.samples(result.recipe.key) if result else ()
        base_raw = session.samples(base.recipe.key) if base else ()
        self.profile.show(session.engine, result, base, raw, base_raw)
        self.tabs.fill(ACCURACY, panes.accuracy(result, shown))
        self.tabs.fill(MACHINE, panes.machine(session.engine.fingerprint, result, session.engine.plan))
        self.tabs.fill(LOG, panes.log(session.log))

    # --- what a user does ---------------------------------------------------------------------------------------

    def _on_rail(self, message: dict[str, Any], _buffers: Any) -> None:
        try:
            if message["type"] == "choose":
                self.session.choose(message["group"], message["id"], bool(message["on"]))
            elif message["type"] == "set":
                self.session.set(message["owner"], message["name"], message["value"])
        except WorkbenchError as error:
            self.session.note = str(error)
        self._changed_selection()

    def _on_table(self, message: dict[str, Any], _buffers: Any) -> None:
        self._select(message["key"])
        if message["type"] == "why":
            self.tabs.open(TIME)

    def _select(self, key: str) -> None:
        self.session.select(key)
        self._changed_selection()

    def _join(self) -> None:
        """What is selected here and in the other views of the study is one thing."""
        self._leave()
        self._shared = shared.selection(self.session.engine.study)
        self._leave = self._shared.subscribe(self._follow)
        self.session.select(self._shared.key)

    def _follow(self, key: str) -> None:
        if key != self.session.recipe.key or self.session.selected is None:
            self._select(key)

    def _changed_selection(self) -> None:
        self._draw_toggles()
        self.refresh()

    def _on_action(self, message: dict[str, Any], _buffers: Any) -> None:
        if message.get("id") in ("measure", "tune") and self._opening:
            pass  # clicked before the button was off: what is shown is about to go
        elif message.get("id") == "measure":
            self.session.measure()
        elif message.get("id") == "tune":
            self.session.tune()
            self.tabs.open(TUNE)
        elif message.get("id") == "cancel":
            self.session.cancel()
        elif message.get("id") == "export":
            self.session.export()
        self.refresh()

    def _on_tune(self, message: dict[str, Any], _buffers: Any) -> None:
        if message["type"] == "select":
            self._select(message["key"])
        elif message["type"] == "set" and not self.session.tuned:
            self.session.tuning.set(message["name"], message["value"])
            self.refresh()
        elif message["type"] == "allow" and not self.session.tuned:
            self.session.tuning.allow(message["name"], message["id"], bool(message["on"]))
            self.refresh()

    def _on_page(self, seen: dict[str, Any]) -> None:
        with self.session.lock:
            self.plot.resize(mode=seen["mode"], width=int(seen["width"]), height=int(seen["height"]))

    def _on_pick(self, message: dict[str, Any], _buffers: Any) -> None:
        kind = message["type"]
        if kind == "device":
            self.session.choose("device", message["id"])
            self._changed_selection()
        elif kind == "text":
            self._set_text(message["size"])
        elif kind == "dismiss":
            self.picker.error, self._waiting = "", None
        elif kind in ("open", "uploaded"):
            self._open(message["kind"], message.get("source") or message.get("path"))

    def _set_text(self, size: int) -> None:
        if size not in theme.FONT_SIZES:
            return
        self.picker.draw_text(size)
        change = self.root.add_class if size == theme.FONT_SIZES[1] else self.root.remove_class
        change("wb-large")
        self.plot.resize(font_size=size)

    def _open(self, kind: str, source: str) -> None:
        """Opens another model or other data in the background; what is shown stays until it is ready."""
        if self.session.busy:
            self.picker.error = f"A measurement is running: cancel it, then open the {kind}."
            return
        self._opening, self._opens = True, self._opens + 1
        self.picker.show(error="", busy=f"opening {source} …")
        self._draw_bar()
        threading.Thread(target=self._open_now, args=(kind, source, self._opens), daemon=True, name="open").start()

    def _open_now(self, kind: str, source: str, number: int) -> None:
        before, waiting = self.session.opened, self._waiting
        try:
            if kind == "model":
                opened = opening.open_engine(source)
            elif waiting is not None:
                opened = opening.open_engine(waiting, source)
            else:
                opened = opening.with_data(before, source)
        except opening.NeedsData as error:
            self._marshal(self._not_opened, number, f"{error}{_WAITS}", source)
        except WorkbenchError as error:
            self._marshal(self._not_opened, number, str(error), waiting if kind == "data" else None)
        except Exception as error:  # a defect must show where the click was
            self._marshal(self._not_opened, number, f"cannot open {source}: {type(error).__name__}: {error}")
        else:
            self._marshal(self._opened, number, opened)

    def _not_opened(self, number: int, line: str, waiting: Any = None) -> None:
        if number != self._opens:
            return  # another one was asked for since
        self._waiting, self._opening = waiting, False
        self.picker.show(error=line, busy="")
        self._draw_bar()

    def _opened(self, number: int, opened: opening.Opened) -> None:
        if number != self._opens:
            opened.engine.close()
            return
        self._waiting, self._opening = None, False
        with self.session.lock:
            before = self.session.engine
            self.session.take(opened)
            before.close()
        self._join()
        self.picker.show(error="", busy="")
        self._frame()
        self.refresh()
        self.session.prewarm()


def _asked(opened: opening.Opened) -> tuple[str, str]:
    return opened.engine.model.sha256, opened.engine.dataset.sha256


def _by_key(session: Session) -> list:
    """Stored results, with the live ones that have none yet."""
    known = {r.recipe.key: r for r in [*session.tried, *session.live]}
    known.update({r.recipe.key: r for r in session.results})
    return list(known.values())
