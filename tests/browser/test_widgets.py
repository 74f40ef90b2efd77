"""Widgets of the dashboard without a kernel: each alone on a page, with a stand-in for its model."""

import json

import pytest

from workbench.views.widgets.base import script

pytestmark = [pytest.mark.browser]

MODEL = """
    const state = { heard: 0, ...STATE }, listeners = {}, sent = [];
    window.model = {
        get: (name) => state[name], send: (message) => sent.push(message), save_changes() {},
        set(name, value) { state[name] = value; for (const draw of listeners[name] || []) draw(); },
        on(event, draw) { (listeners[event.slice(7)] ||= []).push(draw); }, off() {},
    };
    window.sent = sent;
    const source = new Blob([SCRIPT], { type: "text/javascript" });
    const widget = (await import(URL.createObjectURL(source))).default;
    document.body.replaceChildren();
    const root = document.body.appendChild(document.createElement("div"));
    root.className = "wb-root";
    root.style.position = "relative";
    const el = root.appendChild(document.createElement("div"));
    Object.assign(el.style, STYLE);
    widget.render({ model: window.model, el });
"""


def show(page, name, state, **style):
    code = MODEL.replace("STATE", json.dumps(state)).replace("STYLE", json.dumps(style))
    page.evaluate(f"(async () => {{ {code.replace('SCRIPT', json.dumps(script(name)))} }})()")


ROWS = [{"name": f"node_{i}", "cells": ["Conv", "0.1", "0.1", "0.1", "1", "1", "1"]} for i in range(200)]


def test_a_switch_far_down_a_long_list_stays_where_it_is(page):
    show(page, "nodes", {"rows": ROWS, "keep": []})
    page.add_style_tag(content=".wb-nodes-scroll { max-height: 200px; overflow: auto; }")
    switch = page.get_by_label("node_150 stays in float")
    switch.scroll_into_view_if_needed()
    before = page.evaluate("document.querySelector('.wb-nodes-scroll').scrollTop")
    switch.click()
    assert page.evaluate("sent") == [{"type": "keep", "name": "node_150", "on": True}]
    page.evaluate("model.set('keep', ['node_150'])")
    page.wait_for_function("document.querySelector('[aria-checked=true]')")
    assert page.evaluate("document.querySelector('.wb-nodes-scroll').scrollTop") == before > 1000
    assert page.evaluate("document.activeElement.dataset.focus") == "node-node_150"


VARIANTS = [{"key": f"k{i}", "name": f"variant {i}", "title": "", "precision": "int8", "mark": "●", "status": "ok",
             "standing": "front", "is_baseline": False, "verdict": "faster", "glyph": "", "reason": "",
             "cells": {"name": "", "median": "1 ms"}, "sort": {"name": f"{i:03}", "median": i}} for i in range(100)]
TABLE = {"columns": [{"id": "name", "title": "Variant"}, {"id": "median", "title": "median"}], "rows": VARIANTS,
         "selected": "k0", "empty": "", "footnote": ""}


def test_a_press_on_a_row_outlives_a_live_update_and_the_table_stays_scrolled(page):
    show(page, "table", TABLE, height="200px", overflow="auto")
    row = page.locator("[data-key=k60]")
    row.scroll_into_view_if_needed()
    before = page.evaluate("document.querySelector('.wb-table').scrollTop")
    row.hover()
    page.mouse.down()
    page.evaluate("model.set('rows', model.get('rows').map((r) => ({ ...r, status: 'live' })))")  # while it is pressed
    assert page.locator(".wb-tag-live").count() == 0
    page.mouse.up()
    page.wait_for_selector("[data-key=k60].wb-on .wb-tag-live")  # both: the click and what came meanwhile
    assert page.evaluate("document.querySelector('.wb-table').scrollTop") == before > 500
    assert page.evaluate("sent") == [{"type": "select", "key": "k60"}]


def test_a_row_that_is_chosen_elsewhere_is_scrolled_to(page):
    show(page, "table", TABLE, height="200px", overflow="auto")
    page.evaluate("model.set('selected', 'k90')")
    page.wait_for_function("document.querySelector('.wb-table').scrollTop > 1000")


FIELDS = [{"name": "minutes", "title": "minutes", "help": "time budget", "kind": "number", "value": 5,
           "placeholder": "5", "options": [], "error": ""}]
IDLE = {"running": False, "now": "", "why": "", "ends_ms": 0, "told": "", "tone": "plain", "reasons": [],
        "left_out": []}


def test_a_tip_stays_while_something_else_is_redrawn_and_goes_with_what_it_explains(page):
    show(page, "tune", {"fields": FIELDS, "state": IDLE, "tried": []})
    page.get_by_text("minutes").hover()
    page.wait_for_selector(".wb-tip")
    page.evaluate("model.set('tried', [{ key: 'k', number: 1, name: 'one', why: '', status: 'met', note: '' }])")
    assert page.locator(".wb-tip").count() == 1
    page.mouse.move(1200, 700)
    page.wait_for_selector(".wb-tip", state="detached")
    page.get_by_text("minutes").hover()
    page.evaluate("model.set('fields', [])")
    page.wait_for_selector(".wb-tip", state="detached")


def test_a_text_that_is_entered_becomes_the_models_again(page):
    show(page, "tune", {"fields": FIELDS, "state": IDLE, "tried": []})
    page.fill("[data-term=minutes]", "7x")
    page.evaluate("model.set('fields', [...model.get('fields')])")
    assert page.input_value("[data-term=minutes]") == "7x"  # still being typed
    page.keyboard.press("Enter")
    page.evaluate("model.set('fields', model.get('fields').map((f) => ({ ...f, value: 7 }))); model.set('heard', 1)")
    assert page.input_value("[data-term=minutes]") == "7"
    assert page.evaluate("sent") == [{"type": "set", "name": "minutes", "value": "7x", "turn": 1}]
    page.keyboard.type("8")
    page.evaluate("model.set('fields', [...model.get('fields')])")
    page.keyboard.type("9")
    page.keyboard.press("Tab")
    assert page.evaluate("sent.slice(1)") == [{"type": "set", "name": "minutes", "value": "789", "turn": 2}]


CHIPS = [{"name": "runtimes", "title": "runtimes", "help": "allowed", "kind": "names", "value": [], "error": "",
          "options": [{"id": "torch", "title": "PyTorch", "on": False, "reason": ""}]}]
TORCH = "[data-term='runtimes/torch']"
ANSWER = "model.set('fields', model.get('fields').map((f) => ({ ...f, options: [{ ...f.options[0], on: ON }] })))"


@pytest.mark.parametrize("pressed_while", [False, True])
def test_a_switch_stays_as_the_user_left_it_until_the_kernel_has_heard_of_it(page, pressed_while):
    show(page, "tune", {"fields": CHIPS, "state": IDLE, "tried": [], "heard": 7})
    page.get_by_text("PyTorch").hover()
    page.mouse.down()
    if pressed_while:
        page.evaluate(ANSWER.replace("ON", "false"))  # the answer to something said before
    page.mouse.up()
    page.evaluate("new Promise((done) => setTimeout(done, 50))")
    page.evaluate(ANSWER.replace("ON", "false"))  # another
    assert page.is_checked(TORCH)
    assert page.evaluate("sent") == [{"type": "allow", "name": "runtimes", "id": "torch", "on": True, "turn": 8}]
    page.evaluate(ANSWER.replace("ON", "true") + "; model.set('heard', 8)")
    assert page.is_checked(TORCH)
    page.click(TORCH)
    assert page.evaluate("[sent[1].on, sent[1].turn]") == [False, 9]
    page.evaluate("model.set('heard', 9)")  # heard, and refused: the switch says what holds
    page.wait_for_selector(f"{TORCH}:checked")
    page.evaluate(ANSWER.replace("ON", "false"))
    page.wait_for_selector(f"{TORCH}:not(:checked)")
