// The top bar: which model, which data, which device; a path or an upload for one's own.

const CHUNK = 1 << 20; // bytes a message: well below the server's limit, whatever the file's size

function upload(model, kind, file) {
  const token = Math.random().toString(36).slice(2);
  let offset = 0;
  const next = async () => {
    const part = await file.slice(offset, offset + CHUNK).arrayBuffer();
    const last = offset + CHUNK >= file.size;
    model.send({ type: "chunk", token, kind, name: file.name, size: file.size, offset, last }, undefined, [part]);
    offset += CHUNK;
  };
  const onReply = (message) => {
    if (message.token !== token) return;
    if (message.type === "next") next();
    else model.off("msg:custom", onReply);
  };
  model.on("msg:custom", onReply);
  next();
}

function drawItem(model, kind, item, close) {
  return h("button", {
    class: `wb-item${item.on ? " wb-on" : ""}`, type: "button", role: "option", "aria-selected": String(item.on),
    "data-item": item.id, "aria-disabled": item.reason ? "true" : null,
    onclick: () => { if (item.reason) return; close(); model.send({ type: "open", kind, source: item.id }); },
  }, h("span", { class: "wb-item-title" }, item.title), h("span", { class: "wb-item-note" }, item.reason || item.note));
}

function drawPanel(model, kind, spec, close) {
  const path = h("input", {
    type: "text", class: "wb-path", placeholder: spec.placeholder, "data-focus": `path-${kind}`, "aria-label": `path of the ${kind}`, spellcheck: "false",
    onkeydown: (event) => { if (event.key === "Enter") go(); },
  });
  const go = () => { if (path.value.trim()) { close(); model.send({ type: "open", kind, source: path.value.trim() }); } };
  const file = h("input", {
    type: "file", class: "wb-visually-hidden", accept: spec.accept, tabindex: "-1", "aria-label": `upload a ${kind}`,
    onchange: () => { if (file.files[0]) { close(); upload(model, kind, file.files[0]); } },
  });
  return h("div", { class: "wb-panel" },
    h("div", { role: "listbox", "aria-label": kind }, spec.items.map((item) => drawItem(model, kind, item, close))),
    h("div", { class: "wb-panel-line" }, path, h("button", { class: "wb-button", type: "button", onclick: go }, "Open"),
      h("button", { class: "wb-button", type: "button", onclick: () => file.click() }, "Upload…"), file),
    h("div", { class: "wb-item-note wb-panel-note" }, spec.help));
}

function picker(model, el, kind, state) {
  const spec = model.get(kind);
  const close = () => { state.open = ""; state.draw(); };
  const open = state.open === kind;
  const button = h("button", {
    class: "wb-select", type: "button", "data-focus": `pick-${kind}`, "data-pick": kind, "aria-haspopup": "listbox", "aria-expanded": String(open),
    "aria-label": `${spec.label}: ${spec.title} ${spec.note}`, onclick: () => { state.open = open ? "" : kind; state.draw(); },
  }, h("span", { class: "wb-select-title" }, spec.title), h("span", { class: "wb-select-note" }, spec.note),
    h("span", { class: "wb-caret", "aria-hidden": "true" }, "▾"));
  return h("div", { class: "wb-picker" }, h("span", { class: "wb-label" }, spec.label), button,
    open && drawPanel(model, kind, spec, close));
}

function segments(model, label, name, choices, send) {
  return h("div", { class: "wb-segments", role: "radiogroup", "aria-label": label }, choices.map((choice) => {
    const button = h("button", {
      type: "button", role: "radio", "aria-checked": String(choice.on), "aria-disabled": choice.reason ? "true" : null,
      class: `${choice.on ? "wb-on" : ""}${choice.reason ? " wb-off" : ""}`, "data-focus": `${name}-${choice.id}`, "data-segment": `${name}/${choice.id}`,
      onclick: () => { if (!choice.reason) send(choice.id); },
    }, choice.title, choice.reason && h("span", { class: "wb-why", "aria-hidden": "true" }, "i"));
    return tip(button, choice.reason || choice.summary);
  }));
}

export default {
  render({ model, el }) {
    el.classList.add("wb-top");
    const state = { open: "" };
    state.draw = () => {
      const error = model.get("error"), busy = model.get("busy");
      redraw(el,
        h("div", { class: "wb-top-line" }, picker(model, el, "model", state), picker(model, el, "data", state),
          h("div", { class: "wb-picker" }, h("span", { class: "wb-label" }, "Device"),
            segments(model, "Device", "device", model.get("device"), (id) => model.send({ type: "device", id }))),
          h("div", { class: "wb-spring" }),
          segments(model, "Text size", "text", model.get("text"), (id) => model.send({ type: "text", size: Number(id) }))),
        (error || busy) && h("div", { class: error ? "wb-error" : "wb-busy", role: error ? "alert" : "status" }, error || busy,
          error && h("button", { class: "wb-link", type: "button", "aria-label": "dismiss", onclick: () => model.send({ type: "dismiss" }) }, "dismiss")));
    };
    const outside = (event) => { if (state.open && !event.composedPath().includes(el)) { state.open = ""; state.draw(); } };
    const escape = (event) => { if (event.key === "Escape" && state.open) { state.open = ""; state.draw(); event.stopPropagation(); } };
    document.addEventListener("pointerdown", outside);
    el.addEventListener("keydown", escape);
    const stop = listen(model, ["model", "data", "device", "text", "error", "busy"], state.draw);
    return () => { stop(); document.removeEventListener("pointerdown", outside); };
  },
};
