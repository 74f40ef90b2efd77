// The rail of toggles: groups of choices with their settings. State lives in Python; this draws and reports clicks.

function drawField(model, owner, field) {
  const id = `${owner}.${field.name}`;
  const send = (value) => tell(model, { type: "set", owner, name: field.name, value });
  const common = { "data-focus": `set-${id}`, "aria-label": `${field.name}: ${field.help}` };
  let control;
  if (field.kind === "bool") {
    control = h("input", { ...common, type: "checkbox", checked: field.value, onchange: (e) => send(e.target.checked) });
  } else if (field.kind === "choice") {
    control = h("select", { ...common, onchange: (e) => send(field.choices[e.target.selectedIndex]) },
      field.choices.map((c) => h("option", { selected: c === field.value }, c === "" ? "default" : String(c))));
  } else if (field.kind === "int" || field.kind === "float") {
    control = h("input", {
      ...common, type: "number", value: field.value, min: field.low, max: field.high,
      step: field.kind === "int" ? 1 : "any", onchange: (e) => e.target.value !== "" && send(Number(e.target.value)),
    });
  } else {
    const list = field.kind === "list";
    control = h("input", {
      ...common, type: "text", value: list ? field.value.join(", ") : field.value, placeholder: list ? "a, b" : "",
      onchange: (e) => send(list ? e.target.value.split(",").map((s) => s.trim()).filter(Boolean) : e.target.value),
    });
  }
  return tip(h("label", { class: `wb-field wb-${field.kind}` },
    h("span", {}, field.name.replaceAll("_", " ")), control), field.help);
}

function drawSettings(model, choice, open, toggle) {
  const shown = choice.fields.filter((f) => !f.advanced || open.more);
  const hidden = choice.fields.some((f) => f.advanced);
  return h("div", { class: "wb-settings" }, shown.map((f) => drawField(model, choice.owner, f)),
    hidden && h("button", {
      class: "wb-link", type: "button", "data-focus": `more-${choice.id}`, onclick: () => toggle("more"),
      "aria-expanded": String(open.more),
    }, open.more ? "fewer settings" : "more settings"));
}

function drawChoice(model, group, choice, state, redrawAll) {
  const key = `${group.id}/${choice.id}`;
  const open = (state.open[key] = state.open[key] || { on: false, more: false });
  const toggle = (name) => { open[name] = !open[name]; redrawAll(); };
  const kind = group.kind === "check" ? "checkbox" : "radio";
  const input = h("input", {
    type: kind, name: `${state.name}-${group.id}`, checked: choice.on, "data-focus": key, "data-choice": key,
    "aria-disabled": choice.reason ? "true" : null, "aria-describedby": choice.reason ? `${state.name}-${key}` : null,
    onclick: (event) => {
      if (choice.reason && !choice.on) {
        event.preventDefault();
        open.why = !open.why;
        setTimeout(redrawAll);
      }
    },
    onchange: (event) => {
      if (choice.reason && !choice.on) return;
      tell(model, { type: "choose", group: group.id, id: choice.id, on: event.target.checked });
    },
  });
  const label = h("label", { class: "wb-choice-label" }, input, h("span", {}, choice.title));
  tip(label, choice.reason || (choice.title.length > 20 ? `${choice.title}: ${choice.summary}` : choice.summary));
  const expandable = choice.on && choice.fields.length > 0;
  return h("div", { class: `wb-choice${choice.reason ? " wb-off" : ""}` },
    h("div", { class: "wb-choice-line" }, label,
      choice.reason && why(choice.reason),
      expandable && h("button", {
        class: "wb-expand", type: "button", "data-focus": `open-${key}`, "aria-expanded": String(open.on),
        "aria-label": `settings of ${choice.title}`, onclick: () => toggle("on"),
      }, "settings", h("span", { class: "wb-caret", "aria-hidden": "true" }, open.on ? "▴" : "▾"))),
    choice.reason && h("div", { class: open.why ? "wb-reason" : "wb-hidden", id: `${state.name}-${key}` }, choice.reason),
    expandable && open.on && drawSettings(model, choice, open, toggle));
}

function drawChips(model, group, state) {
  return h("div", { class: "wb-chips" }, group.choices.map((choice) => {
    const key = `${group.id}/${choice.id}`;
    const input = h("input", {
      type: "radio", name: `${state.name}-${group.id}`, checked: choice.on, disabled: Boolean(choice.reason) && !choice.on,
      "data-focus": key, "data-choice": key, onchange: () => tell(model, { type: "choose", group: group.id, id: choice.id, on: true }),
    });
    const chip = h("label", { class: choice.reason ? "wb-chip wb-off" : "wb-chip" }, input, h("span", {}, choice.title));
    return tip(chip, choice.reason);
  }));
}

// Techniques that train are many and rarely the first thing to try: folded until one is chosen or the title is clicked.
const FOLDED = ["sparsity", "training"];

function drawTitle(group, state, redrawAll) {
  if (!FOLDED.includes(group.id)) return h("div", { class: "wb-group-title", "aria-hidden": "true" }, group.title);
  const open = isOpen(group, state);
  return h("button", {
    class: "wb-group-title wb-fold", type: "button", "data-focus": `fold-${group.id}`, "data-fold": group.id,
    "aria-expanded": String(open), onclick: () => { state.folds[group.id] = !open; redrawAll(); },
  }, `${group.title} `, h("span", { class: "wb-caret", "aria-hidden": "true" }, open ? "▾" : "▸"));
}

function isOpen(group, state) {
  if (!FOLDED.includes(group.id)) return true;
  return state.folds[group.id] ?? group.choices.some((choice) => choice.on);
}

export default {
  render({ model, el }) {
    el.classList.add("wb-rail");
    const state = { name: `wb${Math.random().toString(36).slice(2, 8)}`, open: {}, folds: {} };
    const draw = () => {
      const groups = model.get("groups");
      redraw(el,
        ...groups.map((group) => h("div", {
          class: "wb-group", role: group.kind === "check" ? "group" : "radiogroup", "aria-label": group.title,
        }, drawTitle(group, state, draw),
          isOpen(group, state) && (group.kind === "chips" ? drawChips(model, group, state)
            : group.choices.map((choice) => drawChoice(model, group, choice, state, draw))))),
        h("div", { class: "wb-note", role: "status" }, model.get("note")));
    };
    return listenForm(el, model, ["groups", "note"], draw);
  },
};
