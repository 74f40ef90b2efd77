// Entry points: render for the widget, mount for a page that holds its data.

import { decode, fromBase64, makeModel } from "./data.js";
import { GraphView } from "./view.js";

const SHEET = "/*SHEET*/";

export async function show(host, packed, options) {
  const shadow = host.shadowRoot || host.attachShadow({ mode: "open" });
  try {
    return await build(host, shadow, packed, options);
  } catch (error) {
    const line = document.createElement("p");
    line.textContent = `The graphs cannot be drawn: ${error && error.message || error}. Run the cell again, or export them as HTML.`;
    shadow.replaceChildren(line);
    host.dataset.failed = line.textContent;
    throw error;
  }
}

async function build(host, shadow, packed, options) {
  const style = document.createElement("style");
  style.textContent = SHEET;
  const started = performance.now();
  const columns = await decode(packed);
  await new Promise((done) => { setTimeout(done, 0); }); // a large graph is read in steps, so that the page stays alive
  const model = makeModel(columns);
  await new Promise((done) => { setTimeout(done, 0); });
  shadow.replaceChildren(style);
  if (options.page) host.dataset.page = "true";
  if (host.graphdiff) host.graphdiff.view.close();
  Object.assign(host.dataset, { selected: "", counterparts: "[]" });
  const view = new GraphView(host, shadow, model, options);
  host.dataset.paintMs = String(Math.round(performance.now() - started));
  host.graphdiff = handle(view);
  return view;
}

// For tests and for other scripts on the page: where a node is drawn, what is selected, and the view itself.
function handle(view) {
  const find = (s, name) => {
    const side = view.model.sides[s];
    for (let leaf = 0; leaf < side.n; leaf += 1) if (side.name(leaf) === name) return leaf;
    return -1;
  };
  const page = (item) => {
    if (!item) return null;
    const b = view.screenBox(item), c = view.canvas.getBoundingClientRect();
    return { x: c.left + b.x + b.w / 2, y: c.top + b.y + Math.min(b.h, 24 * view.view.z) / 2, w: b.w, h: b.h, left: c.left + b.x, top: c.top + b.y };
  };
  return {
    view,
    // Middle of the box that shows a node on the page; side is 'before' or 'after'.
    locate: (side, name) => { const s = side === "after" ? 1 : 0, leaf = find(s, name); return leaf < 0 ? null : page(view.scene.itemOfLeaf(s, leaf)); },
    locateGroup: (side, title) => { const s = side === "after" ? 1 : 0; for (const item of view.scene.items(s)) if (item.group >= 0 && view.model.tree.title[item.group] === title) return page(item); return null; },
    boxes: (side) => [...view.scene.items(side === "after" ? 1 : 0)].map((item) => ({ title: item.title, leaf: item.leaf, group: item.group, open: Boolean(item.sub) })),
    selected: () => view.selected,
    marks: () => view.marks.map(({ item, how }) => ({ how, side: item.side ? "after" : "before", name: item.leaf >= 0 ? view.model.sides[item.side].name(item.leaf) : view.model.tree.title[item.group] })),
  };
}

// Static page: the data stands in a script element as base64.
export async function mount(host, text, options) {
  await show(host, fromBase64(text), options);
}

function render({ model, el }) {
  const host = document.createElement("div");
  host.className = "graphdiff-host";
  host.setAttribute("data-lm-suppress-shortcuts", "true");
  host.style.minHeight = `${model.get("height")}px`; // nothing jumps while the data is read
  host.textContent = "Reading the graphs …";
  el.append(host);
  let view = null, busy = Promise.resolve();
  const draw = () => {
    const data = model.get("_data");
    if (!data || !data.byteLength) return;
    busy = busy.then(async () => {
      view = await show(host, data, {
        height: model.get("height"), theme: model.get("theme"), heat: model.get("heat"),
        onSelect: (target) => { model.set("selected", target); model.save_changes(); },
        onHeat: (key) => { model.set("heat", key); model.save_changes(); },
      });
      host.style.minHeight = "";
      choose();
    }).catch((error) => { host.style.minHeight = ""; console.error(error); });
  };
  const choose = () => {
    const wanted = model.get("selected") || {};
    if (!view || !wanted.name || wanted.name === host.dataset.selected) return;
    const s = wanted.side === "after" ? 1 : 0, side = view.model.sides[s];
    for (let leaf = 0; leaf < side.n; leaf += 1) {
      if (side.name(leaf) === wanted.name) { view.select({ side: s, leaf, group: -1 }, { reveal: true, tell: false }); return; }
    }
  };
  const restyle = () => { if (view) view.theme.set(model.get("theme")); };
  const reheat = () => { if (view && view.heat !== model.get("heat")) view.setHeat(model.get("heat")); };
  const resize = () => { if (view) { view.root.style.setProperty("--gd-height", `${model.get("height")}px`); } };
  const events = [["change:_data", draw], ["change:selected", choose], ["change:theme", restyle], ["change:heat", reheat], ["change:height", resize]];
  for (const [name, act] of events) model.on(name, act);
  draw();
  return () => { for (const [name, act] of events) model.off(name, act); if (view) view.close(); };
}

export default { render };
