"""The dashboard without a browser: what each click does to the session, the widgets and the study."""

import asyncio
import dataclasses
import threading

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import workbench
from workbench.engine import Progress
from workbench.errors import InputError
from workbench.study import Study
from workbench.views import dashboard, opening, session, shared, theme
from workbench.views.notebook.variants import Variants
from workbench.views.widgets.picker import Picker
from workbench.views.widgets.plot import TradeoffPlot
from workbench.views.widgets.rail import Rail
from workbench.views.widgets.table import VariantTable

from .view_parts import LITERT_INT8, ORT, fidelity, result


@pytest.fixture
def opened():
    """The bundled CNN with a study that holds a baseline and one variant, as if measured here earlier."""
    found = opening.open_engine("cnn", study=":memory:")
    engine = found.engine
    same = dict(machine=engine.machine, model_sha256=engine.model.sha256, data_sha256=engine.dataset.sha256)
    base, variant = engine.baseline, engine.complete(LITERT_INT8)
    rounds = [[1e-3, 1.1e-3], [0.9e-3]]
    engine.study.add(result(base, 8e-3, ratio=1.0, **same), "s", [[8e-3]])
    engine.study.add(result(variant, 1e-3, ratio=0.125, verdict="faster", fidelity=fidelity(0.898, -0.002), **same),
                     "s", rounds)
    yield found
    engine.close()


@pytest.fixture
def board(opened, monkeypatch):
    monkeypatch.setattr(type(opened.engine), "prewarm", lambda self: None)  # no worker needed for these tests
    found = dashboard.Dashboard(opened)
    yield found
    found.close()


def choose(board, group, choice, on=True):
    board._on_rail({"type": "choose", "group": group, "id": choice, "on": on}, [])


def chosen(board, group):
    rail = next(g for g in board.rail.groups if g["id"] == group)
    return [c["id"] for c in rail["choices"] if c["on"]]


# --- opening ------------------------------------------------------------------------------------------------------


def test_old_results_are_there_at_once(board):
    assert [r["name"] for r in board.table.rows] == ["LiteRT INT8 static", "TF function"]
    assert "Baseline" in board.headline.line
    traces = {t["name"]: t for t in board.plot.spec["data"]}
    assert len(traces["variants"]["x"]) == 2


def test_open_with_a_bad_model_shows_the_error_and_stays_usable(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("workbench.engine.Engine.prewarm", lambda self: None)
    found = workbench.open("no-such-model.onnx")
    assert "no-such-model.onnx" in found.picker.error and "\n" not in found.picker.error
    assert found.session.engine.model.name == "cnn"
    assert (tmp_path / "studies" / "cnn.sqlite").exists()
    again = workbench.open()
    assert again is not found
    again.close()


def test_a_model_with_open_sizes_waits_for_its_data(board, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 1, "width"]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"], "relu")], "g", [ends[0]], [ends[1]])
    path = tmp_path / "open.onnx"
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)]), path)
    np.savez(tmp_path / "bad.npz", nothing=np.zeros(3))
    np.savez(tmp_path / "good.npz", x=np.random.default_rng(0).normal(size=(12, 1, 9)).astype(np.float32))
    board._open_now("model", str(path), board._opens)
    assert "how long is axis" in board.picker.error and "choose its data above" in board.picker.error
    assert "fix=" not in board.picker.error  # nothing that can be typed here
    board._open_now("data", str(tmp_path / "bad.npz"), board._opens)  # still waits
    assert board.picker.error and board.session.engine.model.name == "cnn"
    board._open_now("data", str(tmp_path / "good.npz"), board._opens)
    assert board.picker.error == "" and board.session.engine.model.name == "open"
    assert board.picker.data["title"] == "good"


def test_while_another_model_opens_nothing_is_begun_that_it_would_cut_off(board, tmp_path, monkeypatch):
    """A measurement of the old model was ended by the new one, and stored as 'failed: the worker was closed'."""
    monkeypatch.chdir(tmp_path)
    go, real, closed = threading.Event(), opening.open_engine, []

    def slow(source):
        go.wait(60)
        found = real(source, study=":memory:")
        if source == "separable":
            monkeypatch.setattr(found.engine, "close", lambda: closed.append(source))
        return found

    monkeypatch.setattr(opening, "open_engine", slow)
    threads = set(threading.enumerate())
    for source in ("separable", "mlp"):  # the user thinks better of it
        board._on_pick({"type": "open", "kind": "model", "source": source}, [])
    reasons = {a["id"]: a["reason"] for a in board.bar.actions}
    assert "being opened" in reasons["measure"] and "being opened" in reasons["tune"]
    for what in ("measure", "tune"):
        board._on_action({"type": "action", "id": what}, [])
    assert not board.session.busy
    go.set()
    for thread in set(threading.enumerate()) - threads:
        if thread.name == "open":
            thread.join(60)
    assert board.session.engine.model.name == "mlp" and closed == ["separable"] and board.picker.busy == ""
    assert not {a["id"]: a["reason"] for a in board.bar.actions}["measure"]


def test_data_that_do_not_fit_are_refused_in_one_line(opened, tmp_path):
    np.savez(tmp_path / "bad.npz", nothing=np.zeros(3))
    with pytest.raises(InputError) as error:
        opening.with_data(opened, str(tmp_path / "bad.npz"))
    assert "\n" not in str(error.value)


def test_random_inputs_share_the_study_but_not_the_plot(opened):
    other = opening.with_data(opened, opening.RANDOM)
    assert other.engine.study is opened.engine.study
    assert other.engine.results() == []
    other.engine.close()


# --- selection ----------------------------------------------------------------------------------------------------


def test_a_measured_toggle_answers_from_the_study(board):
    choose(board, "precision", "int8-static")
    assert "not measured" in board.headline.line
    choose(board, "runtime", "litert")
    assert board.headline.line.startswith("INT8 static on LiteRT is 8.0x faster")
    assert board.table.selected == board.session.recipe.key
    ring = next(t for t in board.plot.spec["data"] if t["name"] == "selected")
    assert len(ring["x"]) == 1


def test_point_row_and_toggles_share_the_selection(board):
    key = board.table.rows[0]["key"]
    board._on_table({"type": "select", "key": key}, [])
    assert chosen(board, "precision") == ["int8-static"] and chosen(board, "runtime") == ["litert"]
    baseline = next(r["key"] for r in board.table.rows if r["is_baseline"])
    board.plot._receive_event({"type": "select", "key": baseline}, [])
    assert chosen(board, "runtime") == ["tensorflow"]


def test_a_notebooks_views_and_the_dashboard_show_the_same_variant(opened, monkeypatch, tmp_path):
    monkeypatch.setattr(type(opened.engine), "prewarm", lambda self: None)
    engine = opened.engine
    engine.study.path = tmp_path / "shared.sqlite"  # what names the selection
    board = dashboard.Dashboard(opened)
    view = Variants(shared.selection(engine.study), engine.machine, {}, lambda run: ())
    view.show(engine.results())
    fast, base = engine.complete(LITERT_INT8).key, engine.baseline.key
    board.plot._receive_event({"type": "select", "key": fast}, [])
    assert view.table.selected == fast
    view.table._receive(None, {"type": "select", "key": base}, [])
    assert board.table.selected == base and chosen(board, "runtime") == ["tensorflow"]
    choose(board, "runtime", "onnxruntime")  # not measured: the others stay where they are
    assert view.table.selected == base
    engine.study.add(outcome(engine), "s", [[2e-3]])  # a cell of the notebook measured it
    view.show(engine.results())
    view.chart._receive_event({"type": "select", "key": engine.complete(ORT).key}, [])
    assert board.table.selected == engine.complete(ORT).key and len(board.table.rows) == 3
    board.close()
    view.table._receive(None, {"type": "select", "key": fast}, [])  # one that is closed listens no more
    assert board.table.selected != fast
    again = dashboard.Dashboard(opened)
    assert again.table.selected == fast  # a new one starts where the others are
    again.close()


def test_raw_samples_of_the_pointed_variant_become_the_strip(board):
    key = board.table.rows[0]["key"]
    board.plot._receive_event({"type": "hover", "key": key}, [])
    strip = next(t for t in board.plot.spec["data"] if t["name"] == "samples")
    assert sorted(strip["x"]) == pytest.approx([0.9, 1.0, 1.1])


def test_a_bad_setting_is_a_note_and_the_old_value_stays(board):
    choose(board, "precision", "int8-static")
    before = board.session.recipe
    board._on_rail({"type": "set", "owner": "onnx-int8-static", "name": "no_such", "value": 1}, [])
    assert "no_such" in board.rail.note
    assert board.session.recipe == before


def test_other_batch_sizes_have_a_plot_of_their_own(board):
    choose(board, "batch", "4")
    assert board.table.rows == []
    assert "2 variants measured at another batch size" in board.table.footnote


def test_what_did_not_change_is_not_sent_again(board):
    sent = []
    for widget in (board.plot, board.table, board.rail, board.headline, board.bar):
        widget.observe(lambda change: sent.append(change["name"]), list(widget.keys))
    board.refresh()
    assert sent == []


def test_theme_size_and_text_reach_the_figure(board):
    board._on_page({"mode": "dark", "width": 700, "height": 400})
    layout = board.plot.spec["layout"]
    assert (layout["width"], layout["height"]) == (700, 400)
    assert layout["template"]["layout"]["font"]["color"] == theme.INK["dark"]
    board._on_pick({"type": "text", "size": 20}, [])
    assert board.plot.spec["layout"]["template"]["layout"]["font"]["size"] == 20
    assert "wb-large" in board.root._dom_classes


def test_why_slower_opens_where_time_goes(board):
    board._on_table({"type": "why", "key": board.table.rows[0]["key"]}, [])
    assert board.tabs.widget.selected_index == 1


def test_what_is_not_there_yet_is_disabled_and_says_so(board):
    export = board.headline.actions[0]
    assert export["disabled"] and export["reason"]


def test_limits_of_the_search_name_the_button_and_switch_it_off_when_wrong(board):
    def button():
        return next(a for a in board.bar.actions if a["id"] == "tune")

    def value(name):
        return next(f for f in board.tune.fields if f["name"] == name)["value"]

    board._on_tune({"type": "set", "name": "minutes", "value": "2"}, [])
    assert button()["label"] == "Tune for 2 min" and not button()["disabled"]
    board._on_tune({"type": "set", "name": "max_drop", "value": "200"}, [])
    assert button()["disabled"] and "allowed: 0 to 100" in button()["reason"]
    board._on_tune({"type": "set", "name": "max_drop", "value": "2"}, [])
    board._on_tune({"type": "set", "name": "fidelity", "value": "0.8"}, [])
    assert value("max_drop") is None and value("fidelity") == 0.8  # one or the other
    board._on_tune({"type": "set", "name": "fidelity", "value": ""}, [])


def test_runtimes_of_the_search_are_allowed_one_by_one_and_never_none(board):
    def shown():
        return [o["id"] for o in next(f for f in board.tune.fields if f["name"] == "runtimes")["options"] if o["on"]]

    everything = shown()
    assert len(everything) >= 4
    for name in everything[1:]:
        board._on_tune({"type": "allow", "name": "runtimes", "id": name, "on": False}, [])
    assert shown() == everything[:1] == list(board.session.tuning.words["runtimes"])
    board._on_tune({"type": "allow", "name": "runtimes", "id": everything[0], "on": False}, [])
    button = next(a for a in board.bar.actions if a["id"] == "tune")
    assert shown() == [] and button["disabled"] and "at least one" in button["reason"]
    for name in everything:
        board._on_tune({"type": "allow", "name": "runtimes", "id": name, "on": True}, [])
    assert shown() == everything and board.session.tuning.words["runtimes"] == () and not board.session.tuning.problem


# --- measuring ----------------------------------------------------------------------------------------------------


class SlowEngine:
    """Stands for the engine's thread in tests of the marshalling only; results come from ``view_parts``."""

    def __init__(self, engine, outcome):
        self._engine, self._outcome = engine, outcome
        self.go, self.seen = threading.Event(), []

    def __getattr__(self, name):
        return getattr(self._engine, name)

    def measure(self, recipes, *, on_progress, on_result, cancel):
        self.seen.append(threading.current_thread())
        partial = dataclasses.replace(self._outcome, fidelity=None)
        on_progress(Progress(partial.recipe.key, "measure", "round 3", 0.5, 4.0, partial))
        while not self.go.wait(0.01):
            if cancel.is_set():
                return []
        on_result(self._outcome)
        return [self._outcome]


def outcome(engine, **more):
    recipe = engine.complete(ORT)
    return result(recipe, 2e-3, ratio=0.25, verdict="faster", machine=engine.machine,
                  model_sha256=engine.model.sha256, data_sha256=engine.dataset.sha256, **more)


async def until(condition):
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("did not happen")


def test_updates_arrive_on_the_event_loop_while_it_stays_free(opened, monkeypatch):
    monkeypatch.setattr(type(opened.engine), "prewarm", lambda self: None)

    async def scenario():
        board = dashboard.Dashboard(opened)
        slow = SlowEngine(opened.engine, outcome(opened.engine))
        board.session.engine = slow
        drawn_in = set()
        board.table.observe(lambda change: drawn_in.add(threading.current_thread()), "rows")
        choose(board, "runtime", "onnxruntime")
        board._on_action({"id": "measure"}, [])
        await until(lambda: any(r["status"] == "live" for r in board.table.rows))
        assert "round 3 · about 4 s left" in board.bar.line and board.bar.fraction == 0.5
        measure, _, cancel = board.bar.actions
        assert measure["disabled"] and not cancel["disabled"]
        choose(board, "runtime", "litert")  # the loop is free: a click is served
        assert "not measured" in board.headline.line
        slow.go.set()
        await until(lambda: not board.session.busy)
        assert [r["status"] for r in board.table.rows] == ["ok"] * 3
        assert drawn_in == {threading.main_thread()} and slow.seen[0] is not threading.main_thread()
        assert board.bar.fraction < 0

    asyncio.run(scenario())


def test_opened_again_while_it_measures_it_is_the_same_dashboard(opened, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("workbench.engine.Engine.prewarm", lambda self: None)

    async def scenario():
        board = workbench.open("cnn")
        slow = SlowEngine(opened.engine, outcome(opened.engine))
        board.session.engine = slow
        board._on_action({"id": "measure"}, [])
        await until(lambda: board.bar.fraction > 0)
        assert workbench.open("cnn") is board and board.session.busy
        slow.go.set()
        await until(lambda: not board.session.busy)
        again = workbench.open("cnn")
        assert again is not board
        again.close()

    asyncio.run(scenario())


def test_cancel_keeps_what_was_there(opened, monkeypatch):
    monkeypatch.setattr(type(opened.engine), "prewarm", lambda self: None)

    async def scenario():
        board = dashboard.Dashboard(opened)
        board.session.engine = SlowEngine(opened.engine, outcome(opened.engine))
        board._on_action({"id": "measure"}, [])
        await until(lambda: board.bar.fraction > 0)
        board._on_action({"id": "cancel"}, [])
        await until(lambda: not board.session.busy)
        assert "cancelled" in board.bar.line
        assert len(board.table.rows) == 2 and all(r["status"] == "ok" for r in board.table.rows)

    asyncio.run(scenario())


def test_a_failure_is_one_red_line_and_a_crossed_row(opened, monkeypatch):
    monkeypatch.setattr(type(opened.engine), "prewarm", lambda self: None)

    async def scenario():
        board = dashboard.Dashboard(opened)
        failed = outcome(opened.engine, status="failed", reason="worker crashed: signal 11")
        failed = dataclasses.replace(failed, median_s=None, ratio=None, verdict="")
        slow = SlowEngine(opened.engine, failed)
        slow.go.set()
        board.session.engine = slow
        choose(board, "runtime", "onnxruntime")
        board._on_action({"id": "measure"}, [])
        await until(lambda: not board.session.busy)
        assert board.bar.tone == "failed" and "signal 11" in board.bar.line
        assert [r["status"] for r in board.table.rows].count("failed") == 1
        assert "signal 11" in board.headline.line

    asyncio.run(scenario())


def test_curves_of_a_pass_that_trains_are_drawn_while_it_trains(board):
    curves = {"epoch": [0, 1], "epochs": 2, "measure": "accuracy", "loss": [0.9, 0.4], "val_loss": [0.9, 0.5],
              "accuracy": [0.5, 0.8], "val_accuracy": [0.5, 0.75], "seconds": [0.0, 2.0]}
    line = "epoch 1 of 2 · loss 0.4"
    board.session._progressed(Progress(board.session.recipe.key, "pass", line, 0.1, training=curves))
    assert "<svg" in board.graph._stages.value and line in board.graph._stages.value
    board.session._finished("done", False)
    assert line not in board.graph._stages.value


def test_an_unexpected_error_in_the_thread_is_shown_not_lost(opened, monkeypatch):
    monkeypatch.setattr(type(opened.engine), "prewarm", lambda self: None)
    found = session.Session(opened, lambda: None)
    monkeypatch.setattr(type(opened.engine), "measure", lambda self, *a, **k: 1 / 0)
    found._work(found.recipe, threading.Event())
    assert found.status[1] == "failed" and "division by zero" in found.status[0]


@pytest.mark.slow
def test_measures_for_real_and_reopens_without_measuring(tmp_path):
    async def scenario():
        board = dashboard.Dashboard(opening.open_engine("mlp", study=tmp_path / "mlp.sqlite"))
        try:
            choose(board, "runtime", "onnxruntime")
            board._on_action({"id": "measure"}, [])
            for _ in range(3000):
                if not board.session.busy:
                    break
                await asyncio.sleep(0.1)
            assert {r["name"] for r in board.table.rows} == {"ORT float32", "TF function"}
        finally:
            board.close()

    asyncio.run(scenario())
    assert len(Study(tmp_path / "mlp.sqlite").results()) == 2
    again = dashboard.Dashboard(opening.open_engine("mlp", study=tmp_path / "mlp.sqlite"))
    assert len(again.table.rows) == 2
    again.close()


# --- widgets ------------------------------------------------------------------------------------------------------


def chunk(picker, part, offset, last, size, name="model.onnx", token="t"):
    picker._route({"type": "chunk", "token": token, "kind": "model", "name": name, "size": size, "offset": offset,
                   "last": last}, [memoryview(part)])


def test_uploads_arrive_in_pieces_and_keep_their_name():
    heard = []
    picker = Picker(lambda message, buffers: heard.append(message))
    chunk(picker, b"abc", 0, False, 5)
    assert heard == [] and "60 %" in picker.busy
    chunk(picker, b"de", 3, True, 5)
    assert heard[0]["type"] == "uploaded" and heard[0]["path"].endswith("model.onnx")
    with open(heard[0]["path"], "rb") as file:
        assert file.read() == b"abcde"


@pytest.mark.parametrize("name", ["../../evil.onnx", "/etc/passwd", "..\\..\\evil.onnx"])
def test_an_upload_cannot_leave_its_folder(name):
    heard = []
    picker = Picker(lambda message, buffers: heard.append(message))
    chunk(picker, b"x", 0, True, 1, name=name)
    assert "workbench-upload-" in heard[0]["path"] and ".." not in heard[0]["path"]


def test_damaged_uploads_are_one_line():
    picker = Picker(lambda message, buffers: None)
    chunk(picker, b"abc", 7, True, 10)
    assert "out of order" in picker.error
    chunk(picker, b"abc", 0, True, -5, token="u")
    assert picker.error.startswith("upload failed")


def test_scripts_and_styles_load_nothing_from_elsewhere():
    for source in [theme.css(), *(w._esm.default() if hasattr(w._esm, "default") else w._esm
                                  for w in (Rail, VariantTable, Picker, TradeoffPlot))]:
        assert "http://" not in source and "https://" not in source and "@import" not in source


def test_messages_that_are_no_events_are_ignored():
    heard = []
    rail = Rail(lambda message, buffers: heard.append(message))
    for message in (None, "x", {}, {"type": 3}):
        rail._receive(rail, message, [])
    assert heard == []


def test_what_a_page_says_goes_to_the_subshell_that_it_names():
    from ipykernel.comm import comm

    from workbench.views import subshells

    subshells.by_the_page()
    made = comm.BaseComm(comm_id="c", primary=False)
    made._reply_subshell_id = "of the page's last load"  # what ipykernel 7.4 remembers
    route = getattr(made, "_reply_subshell_for", lambda data, named: named)
    assert route({"method": "custom"}, "of this load") == "of this load" and route({}, None) is None


def test_a_pane_says_that_it_heard_a_click_after_what_the_click_changed():
    def click(message, _buffers):
        rail.note = message["type"]
        if message["type"] == "broken":
            raise ValueError("broken")

    rail, order = Rail(click), []
    rail.observe(lambda change: order.append((change["name"], change["new"])), ["note", "heard"])
    rail._receive(rail, {"type": "choose", "turn": 3}, [])
    with pytest.raises(ValueError):
        rail._receive(rail, {"type": "broken", "turn": 4}, [])
    rail._receive(rail, {"type": "set", "turn": "x"}, [])  # no number: nothing is known of it
    assert order == [("note", "choose"), ("heard", 3), ("note", "broken"), ("heard", 4), ("note", "set")]
