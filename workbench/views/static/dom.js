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
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

// Replaces the content, but leaves the focus (and a text cursor) where it was: elements carry data-focus.
function redraw(el, ...children) {
  const active = el.contains(document.activeElement) ? document.activeElement : null;
  root(el).querySelectorAll(".wb-tip").forEach((bubble) => bubble.remove());
  const key = active && active.dataset.focus;
  const cursor = active && active.selectionStart;
  el.replaceChildren(...children.filter(Boolean));
  if (!key) return;
  const again = el.querySelector(`[data-focus="${CSS.escape(key)}"]`);
  if (!again) return;
  again.focus({ preventScroll: true });
  if (typeof cursor === "number" && again.setSelectionRange && again.type === "text") {
    again.setSelectionRange(cursor, cursor);
  }
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
