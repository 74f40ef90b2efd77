// The tune pane: constraints, what is being tried and why, the time left, and the list of what was tried.

function drawNumber(model, field, off) {
  const send = (event) => tell(model, { type: "set", name: field.name, value: event.target.value });
  return h("input", {
    type: "text", inputmode: "decimal", value: field.value === null ? "" : String(field.value), placeholder: field.placeholder,
    "aria-label": `${field.title}: ${field.help}`, "aria-invalid": field.error ? "true" : null, "data-term": field.name,
    "data-focus": `term-${field.name}`, disabled: off, onchange: send,
  });
}

function drawRuntimes(model, field, off) {
  return h("span", { class: "wb-chips", role: "group", "aria-label": `${field.title}: ${field.help}` }, field.options.map((option) => {
    const input = h("input", {
      type: "checkbox", checked: option.on && !option.reason, disabled: off || Boolean(option.reason), "data-term": `runtimes/${option.id}`,
      "data-focus": `term-runtimes-${option.id}`, onchange: (event) => tell(model, { type: "allow", name: field.name, id: option.id, on: event.target.checked }),
    });
    return tip(h("label", { class: option.reason ? "wb-chip wb-off" : "wb-chip" }, input, h("span", {}, option.title)), option.reason);
  }));
}

function drawFormats(model, field, off) {
  return h("select", {
    "aria-label": `${field.title}: ${field.help}`, "data-term": field.name, "data-focus": `term-${field.name}`, disabled: off,
    onchange: (event) => tell(model, { type: "set", name: field.name, value: [field.options[event.target.selectedIndex].id].filter(Boolean) }),
  }, field.options.map((o) => h("option", { selected: o.on }, o.title)));
}

function drawSwitch(model, field, off) {
  return h("input", {
    type: "checkbox", checked: field.value, disabled: off, "aria-label": `${field.title}: ${field.help}`, "data-term": field.name,
    "data-focus": `term-${field.name}`, onchange: (event) => tell(model, { type: "set", name: field.name, value: event.target.checked }),
  });
}

const CONTROLS = { names: drawFormats, switch: drawSwitch };

function drawField(model, field, off) {
  const control = (field.name === "runtimes" ? drawRuntimes : CONTROLS[field.kind] || drawNumber)(model, field, off);
  const wide = field.name === "runtimes" ? " wb-term-wide" : "";
  const line = h(wide ? "div" : "label", { class: `wb-term${wide}${field.error ? " wb-term-bad" : ""}` }, h("span", {}, field.title), control);
  return tip(line, field.error || field.help);
}

function left(ends) {
  const seconds = Math.max(0, Math.round((ends - Date.now()) / 1000));
  return seconds >= 60 ? `${Math.floor(seconds / 60)} min ${seconds % 60} s left` : `${seconds} s left`;
}

function drawState(state) {
  return [
    state.running && h("div", { class: "wb-tune-now" }, h("b", {}, state.now), h("span", { class: "wb-tune-left" }, left(state.ends_ms)),
      h("div", { class: "wb-dim" }, state.why)),
    state.told && h("div", { class: `wb-tune-told wb-tone-${state.tone}`, role: "status" }, state.told),
    ...(state.reasons || []).map((line) => h("div", { class: "wb-dim" }, line)),
  ];
}

function drawTried(model, row) {
  const choose = () => model.send({ type: "select", key: row.key });
  const cells = row.status === "failed" ? [h("td", { class: "wb-failed", colspan: "3" }, `✕ ${row.note}`)]
    : [h("td", {}, row.median), h("td", {}, row.speed), h("td", {}, row.quality)];
  const tail = row.status === "failed" ? row.why : row.note || row.why;
  const line = h("tr", { class: `wb-tried wb-tried-${row.status}${row.is_best ? " wb-on" : ""}`, tabindex: "0", "data-focus": `tried-${row.number}`,
    "aria-label": `${row.number}: ${row.name}, ${row.status === "failed" ? `failed, ${row.note}` : `${row.median}, ${row.speed}, ${row.quality}`}${row.is_best ? ", best" : ""}`,
    onclick: choose, onkeydown: (event) => { if (event.key === "Enter") choose(); } },
    h("td", {}, String(row.number)), h("td", { class: "wb-tried-name", title: row.name }, row.name, row.is_best && h("span", { class: "wb-tag" }, "best")), ...cells,
    h("td", { class: "wb-tried-why", title: tail }, tail));
  return tip(line, row.status === "failed" ? row.note : "");
}

export default {
  render({ model, el }) {
    el.classList.add("wb-tune");
    const form = h("div", { class: "wb-terms", role: "group", "aria-label": "limits of the search" });
    const state = h("div", { class: "wb-tune-state" });
    const list = h("tbody");
    const head = h("thead", {}, h("tr", {}, ["#", "tried", "median", "speed", "quality", "why"].map((title) => h("th", { scope: "col" }, title))));
    const table = h("table", { "aria-label": "What was tried" }, head, list);
    const foot = h("div", { class: "wb-tune-foot" });
    el.append(form, h("div", { class: "wb-tune-told-side" }, state, table, foot));
    const drawForm = () => redraw(form, ...model.get("fields").map((f) => drawField(model, f, model.get("state").running)));
    const drawNow = () => redraw(state, ...drawState(model.get("state")));
    const drawFoot = () => redraw(foot, ...(model.get("state").left_out || []).map((line) => h("div", { class: "wb-dim" }, line)));
    const drawList = () => {
      table.style.display = model.get("tried").length ? "" : "none";
      redraw(list, ...model.get("tried").map((row) => drawTried(model, row)));
    };
    const clock = setInterval(() => { if (model.get("state").running) drawNow(); }, 1000);
    const stops = [listenForm(form, model, ["fields", "state"], drawForm), listen(model, ["state"], drawNow), listen(model, ["state"], drawFoot), listen(model, ["tried"], drawList)];
    return () => { clearInterval(clock); stops.forEach((stop) => stop()); };
  },
};
