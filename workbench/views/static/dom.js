// Shared by all widgets: elements, tips and events. No dependency, nothing loaded from elsewhere.

function h(tag, attrs, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attrs || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "class") node.className = value;
    else if (key === "checked" || key === "value") node[key] = value;
    else node.setAttribute(key, value === true ? "" : value);
  }
  if (tag === "input") for (const name of ["input", "change"]) node.addEventListener(name, () => { node.typed = name === "input"; });
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

// Replaces the content, but takes nothing from under the user's hands: the focus, a text that is being typed, its cursor
// and what was scrolled stay as they were (elements carry data-focus and data-scroll), and while the pointer is pressed on
// the content, the replacement waits, or the click would be lost. What was drawn before the kernel heard of the last click
// (see `tell`) is left out.
function redraw(el, ...children) {
  watch(el);
  if (el.held) { el.later = children; return; }
  if (el.unheard && el.unheard()) return;
  const active = el.contains(document.activeElement) ? document.activeElement : null;
  const key = active && active.dataset.focus, cursor = active && active.selectionStart, typing = active && active.typed;
  const scrolled = [...el.querySelectorAll("[data-scroll]")].map((n) => [n.dataset.scroll, n.scrollTop]);
  const place = el.scrollTop;
  el.redrawing = true;
  el.replaceChildren(...children.filter(Boolean));
  el.redrawing = false;
  el.scrollTop = place;
  for (const [name, top] of scrolled) {
    const node = el.querySelector(`[data-scroll="${CSS.escape(name)}"]`);
    if (node) node.scrollTop = top;
  }
  root(el).querySelectorAll(".wb-tip").forEach((bubble) => { if (!bubble.owner.isConnected) bubble.remove(); });
  const again = key && el.querySelector(`[data-focus="${CSS.escape(key)}"]`);
  if (!again) return;
  if (typing) goOn(again, active.value);
  again.focus({ preventScroll: true });
  if (typeof cursor === "number" && again.setSelectionRange && again.type === "text") {
    again.setSelectionRange(cursor, cursor);
  }
}

// Once an element: holds it while it is pressed (but for a list, which may swallow the release), and hears no 'change' from
// what is taken away with the focus, as if its text had been entered.
function watch(el) {
  if (el.watched) return;
  el.watched = true;
  el.addEventListener("pointerdown", (event) => { if (event.target.tagName !== "SELECT") hold(el); });
  el.addEventListener("change", (event) => { if (el.redrawing) event.stopImmediatePropagation(); }, true);
}

// A text half typed in another element: it is entered as usual, which a browser would not do for what it did not see typed.
function goOn(field, text) {
  const enter = () => { if (field.typed) field.dispatchEvent(new Event("change", { bubbles: true })); };
  field.value = text;
  field.typed = true;
  field.addEventListener("blur", enter);
  field.addEventListener("keydown", (event) => { if (event.key === "Enter") enter(); });
}

function hold(el) {
  el.held = true;
  const free = () => setTimeout(() => { // after the click that follows
    for (const end of ["pointerup", "pointercancel"]) window.removeEventListener(end, free, true);
    el.held = false;
    if (el.later) { const children = el.later; el.later = null; redraw(el, ...children); }
  });
  for (const end of ["pointerup", "pointercancel"]) window.addEventListener(end, free, true);
}

function root(el) {
  return el.closest(".wb-root") || el;
}

// A tip that a narrow, scrolling pane cannot clip: it is placed in the dashboard's own frame.
function tip(node, text) {
  if (!text) return node;
  let bubble = null;
  const hide = () => { if (bubble) bubble.remove(); bubble = null; };
  const show = () => {
    hide();
    const frame = root(node), box = frame.getBoundingClientRect(), at = node.getBoundingClientRect();
    bubble = h("div", { class: "wb-tip", role: "tooltip" }, text);
    bubble.owner = node;
    frame.append(bubble);
    const rail = node.closest(".wb-rail"); // beside the rail, so that a tip never covers the next choice
    const left = rail ? rail.getBoundingClientRect().right - box.left + 6 : at.left - box.left;
    const below = rail ? at.top - box.top - 2 : at.bottom - box.top + 5;
    const fits = below + bubble.offsetHeight < box.height;
    bubble.style.left = `${Math.max(8, Math.min(left, box.width - bubble.offsetWidth - 8))}px`;
    bubble.style.top = `${fits ? below : at.top - box.top - bubble.offsetHeight - 5}px`;
  };
  node.addEventListener("mouseenter", show);
  node.addEventListener("mouseleave", hide);
  node.addEventListener("mousedown", hide);
  node.addEventListener("focusin", (event) => { if (event.target.matches(":focus-visible")) show(); });
  node.addEventListener("focusout", hide);
  node.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  return node;
}

function why(text) {
  return tip(h("span", { class: "wb-why", tabindex: "0", role: "note", "aria-label": text }, "i"), text);
}

// A button that explains itself while it is off: aria-disabled keeps it in the tab order.
function action(model, spec) {
  const send = () => { if (!spec.disabled) model.send({ type: "action", id: spec.id }); };
  const button = h("button", {
    class: `wb-button${spec.primary ? " wb-primary" : ""}`, type: "button", "data-focus": `action-${spec.id}`,
    "data-action": spec.id, "aria-disabled": spec.disabled ? "true" : "false", onclick: send,
  }, spec.label);
  return tip(button, spec.disabled ? spec.reason : spec.hint);
}

// Controls that `tell` the kernel stay as the user left them until it has heard; then they show what holds there.
const told = new WeakMap();

function tell(model, message) {
  const turn = Math.max(told.get(model) || 0, model.get("heard")) + 1;
  told.set(model, turn);
  model.send({ ...message, turn });
}

function listenForm(el, model, names, draw) {
  el.unheard = () => (told.get(model) || 0) > model.get("heard");
  return listen(model, [...names, "heard"], draw);
}

function listen(model, names, draw) {
  for (const name of names) model.on(`change:${name}`, draw);
  draw();
  return () => { for (const name of names) model.off(`change:${name}`, draw); };
}

// Whether the ground behind an element is dark: the first one around it that is painted decides.
function dark(el) {
  for (let node = el; node; node = node.parentElement) {
    const color = getComputedStyle(node).backgroundColor, parts = (color.match(/[\d.]+/g) || []).map(Number);
    if (parts.length < 3 || (parts.length > 3 && parts[3] < 0.5)) continue;
    return (0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]) / (color.includes("srgb") ? 1 : 255) < 0.5;
  }
  return getComputedStyle(document.documentElement).colorScheme.includes("dark") && matchMedia("(prefers-color-scheme: dark)").matches;
}

// Calls back when the page's theme has changed; returns what ends that. JupyterLab names the new theme before its style
// sheet has arrived, and says nothing when it has: so a few times.
function onTheme(look, waits = [60, 400, 1500, 5000]) {
  const timers = [];
  const later = () => { for (const wait of waits) timers.push(setTimeout(look, wait)); };
  const themes = new MutationObserver(later), scheme = matchMedia("(prefers-color-scheme: dark)");
  themes.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-jp-theme-name", "class"] });
  scheme.addEventListener("change", later);
  return () => { timers.forEach(clearTimeout); themes.disconnect(); scheme.removeEventListener("change", later); };
}

// Plotly's library; ``packed`` gives its compressed bytes, or a promise of them. One copy serves a page.
function plotlyOf(packed) {
  const known = Symbol.for("workbench.plotly");
  const unpack = async (bytes) => {
    const text = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const source = new Blob([await new Response(text).arrayBuffer()], { type: "text/javascript" });
    const url = URL.createObjectURL(source), before = window.Plotly;
    await import(/* webpackIgnore: true */ url);
    URL.revokeObjectURL(url);
    const plotly = window.Plotly;
    if (before) window.Plotly = before; // the page's own copy stays what it was
    return plotly;
  };
  window[known] = window[known] || Promise.resolve(packed()).then(unpack);
  return window[known];
}
