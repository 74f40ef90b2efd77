// Mouse, touch and keys on the canvas.

import { HEADER } from "./items.js";
import { clean, shortOp } from "./format.js";
import { formatMetric } from "./bar.js";

export function attachInput(view) {
  const { canvas } = view, pointers = new Map();
  let moved = 0, map = false, pinch = 0;
  const local = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button > 1) return;
    const [x, y] = local(event), under = view.minimap.at(x, y);
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, [x, y]);
    moved = 0;
    map = under !== null;
    if (map) jump(view, under);
    hideTip(view);
  });
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = local(event), last = pointers.get(event.pointerId);
    if (!last) { hover(view, x, y); return; }
    pointers.set(event.pointerId, [x, y]);
    if (pointers.size === 2) { pinch = pinchZoom(view, pointers, pinch); return; }
    moved += Math.abs(x - last[0]) + Math.abs(y - last[1]);
    if (map) jump(view, view.minimap.box ? (y - view.minimap.box.y) / view.minimap.box.sy : 0);
    else if (moved > 3) { canvas.style.cursor = "grabbing"; view.panBy(x - last[0], y - last[1]); }
  });
  const up = (event) => {
    const [x, y] = local(event);
    if (pointers.delete(event.pointerId) && event.type === "pointerup" && moved <= 3 && !map && !pinch) click(view, x, y);
    if (!pointers.size) { pinch = 0; map = false; canvas.style.cursor = ""; }
  };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("pointerleave", () => hideTip(view));
  canvas.addEventListener("dblclick", (event) => {
    const hit = view.hitAt(...local(event));
    if (hit && hit.item.group >= 0 && !hit.inside && !onSign(view, hit, ...local(event))) view.toggle(hit.item.group, hit.item.side);
  });
  canvas.addEventListener("wheel", (event) => wheel(view, event, local(event)), { passive: false });
  canvas.addEventListener("keydown", (event) => key(view, event));
  view.root.addEventListener("keydown", (event) => {
    const typing = event.composedPath()[0].matches("input, select, textarea");
    if (event.key === "/" && !typing) { view.search.focus(); event.preventDefault(); }
    event.stopPropagation(); // the notebook's own single-key commands stay away from the view
  });
}

function jump(view, y) {
  view.view.y = y - view.size.height / 2 / view.view.z;
  view.bound();
  view.draw();
}

function pinchZoom(view, pointers, last) {
  const [p, q] = [...pointers.values()], apart = Math.hypot(p[0] - q[0], p[1] - q[1]);
  if (last) view.zoomAt(apart / last, (p[0] + q[0]) / 2, (p[1] + q[1]) / 2);
  return apart;
}

// The wheel scrolls the graph only once the view has the focus, so that a notebook can be scrolled past it.
function wheel(view, event, [x, y]) {
  if (event.ctrlKey || event.metaKey) {
    event.preventDefault();
    view.zoomAt(Math.exp(-Math.max(-60, Math.min(60, event.deltaY)) * 0.01), x, y);
    return;
  }
  const focused = view.root.getRootNode().activeElement;
  if (!view.options.page && !(focused && view.root.contains(focused))) return;
  event.preventDefault();
  const unit = event.deltaMode === 1 ? 18 : 1;
  if (event.shiftKey) view.panBy(-(event.deltaY || event.deltaX) * unit, 0); else view.panBy(-event.deltaX * unit, -event.deltaY * unit);
}

// The sign that opens and closes stands at the left of the title.
function onSign(view, hit, x, y) {
  if (hit.item.group < 0) return false;
  const b = view.screenBox(hit.item), { z } = view.view;
  return x - b.x < 20 * Math.max(1, z) && y - b.y < HEADER * Math.max(z, 0.5);
}

function click(view, x, y) {
  const hit = view.hitAt(x, y);
  view.canvas.focus({ preventScroll: true });
  if (!hit || hit.inside) { view.select(null); return; }
  if (hit.stub) { followStub(view, hit); return; }
  const { item } = hit;
  view.select(item.leaf >= 0 ? { side: item.side, leaf: item.leaf, group: -1 } : { side: item.side, leaf: -1, group: item.group }, { focus: false });
  if (item.group >= 0 && onSign(view, hit, x, y)) view.toggle(item.group, item.side);
}

// The name at a stub leads to the other end.
function followStub(view, { item, stub }) {
  const side = view.model.sides[item.side], u = stub.list[0];
  let leaf = u;
  if (stub.way === "out") {
    const targets = [];
    for (let e = side.outStart[u]; e < side.outStart[u + 1]; e += 1) targets.push(side.dst[side.outEdge[e]]);
    leaf = targets.find((t) => view.scene.itemOfLeaf(item.side, t) !== item) ?? u;
  }
  view.select({ side: item.side, leaf, group: -1 }, { reveal: true });
}

function hover(view, x, y) {
  const hit = view.minimap.at(x, y) === null ? view.hitAt(x, y) : null;
  const item = hit && !hit.inside ? hit.item : null;
  view.canvas.style.cursor = item || view.minimap.at(x, y) !== null ? "pointer" : "grab";
  if (!item) { hideTip(view); view.hover = null; return; }
  view.tip.textContent = tipText(view, item);
  view.tip.hidden = false;
  const { width, height } = view.size, w = view.tip.offsetWidth, h = view.tip.offsetHeight;
  view.tip.style.left = `${Math.max(4, Math.min(width - w - 4, x + 14))}px`;
  view.tip.style.top = `${y + 18 + h > height ? y - h - 8 : y + 18}px`;
  view.hover = item;
}

function hideTip(view) {
  view.tip.hidden = true;
}

function tipText(view, item) {
  const { model } = view, side = model.sides[item.side], lines = [];
  const metric = view.barMetric;
  if (item.leaf >= 0) {
    lines.push(`${shortOp(side.op(item.leaf))}  ${side.name(item.leaf)}`);
    if (!side.isPill(item.leaf)) lines.push(`${side.statuses[side.status[item.leaf]]}${side.shape(item.leaf) ? ` · ${side.shape(item.leaf)}` : ""}`);
    if (metric && side.metric[metric][item.leaf]) lines.push(formatMetric(metric, side.metric[metric][item.leaf]));
  } else {
    lines.push(`${model.tree.title[item.group] || "group"} ${item.times || ""}`, item.note);
    const value = metric ? model.tree.sums[item.side][metric][item.group] : 0;
    if (value) lines.push(formatMetric(metric, value));
  }
  return lines.map((line) => clean(line).slice(0, 160)).join("\n");
}

function key(view, event) {
  const t = view.selected, plain = !event.ctrlKey && !event.metaKey && !event.altKey;
  if (!plain) return;
  const act = {
    ArrowDown: () => walk(view, "down"), ArrowUp: () => walk(view, "up"), ArrowLeft: () => walk(view, "left"), ArrowRight: () => walk(view, "right"),
    Enter: () => open(view), " ": () => open(view), Escape: () => view.select(null), c: () => counterpart(view), p: () => view.panel.toggle(),
    "+": () => middleZoom(view, 1.25), "=": () => middleZoom(view, 1.25), "-": () => middleZoom(view, 0.8), 0: () => view.fit(true),
    Backspace: () => { if (t) out(view); }, Home: () => view.select(targetOf(view.scene.root.items[0][0] || view.scene.root.items[1][0])),
  }[event.key];
  if (!act) return;
  event.preventDefault();
  act();
}

function middleZoom(view, factor) {
  view.zoomAt(factor, view.size.panes[0].w / 2, view.size.height / 2);
}

function targetOf(item) {
  return item ? { side: item.side, leaf: item.leaf, group: item.group } : null;
}

function current(view) {
  const mark = view.marks.find((m) => m.how === "selected");
  return mark && mark.item;
}

function open(view) {
  const t = view.selected;
  if (t && t.group >= 0) view.toggle(t.group, t.side);
}

// To the group around the selection.
function out(view) {
  const item = current(view);
  if (item && item.parent > 0) view.select({ side: item.side, leaf: -1, group: item.parent });
}

function counterpart(view) {
  const t = view.selected;
  if (!t) return;
  const others = view.otherLeaves();
  if (t.leaf >= 0 && others.length) view.select({ side: 1 - t.side, leaf: others[0], group: -1 }, { reveal: true });
  else if (t.group >= 0 && view.scene.itemOfGroup(1 - t.side, t.group)) view.select({ side: 1 - t.side, leaf: -1, group: t.group });
}

// Up and down follow edges, left and right go to the neighbour in the row, then over to the counterpart.
function walk(view, way) {
  const item = current(view), { scene } = view;
  if (!item) { view.select(targetOf(scene.root.items[0][0] || scene.root.items[1][0])); return; }
  const here = scene.place(item), x = here.x + item.w / 2;
  if (way === "up" || way === "down") {
    const next = [...linked(view, item, way)].map((other) => ({ other, at: scene.place(other) }));
    next.sort((p, q) => Math.abs(p.at.x + p.other.w / 2 - x) - Math.abs(q.at.x + q.other.w / 2 - x));
    if (next.length) view.select(targetOf(next[0].other));
    return;
  }
  const sign = way === "right" ? 1 : -1;
  const row = [...scene.layout(item.parent).items[item.side]].filter((o) => o !== item && Math.abs(o.y + o.h / 2 - item.y - item.h / 2) < (o.h + item.h) / 2 && (o.x - item.x) * sign > 0);
  row.sort((p, q) => (p.x - q.x) * sign);
  if (row.length) view.select(targetOf(row[0]));
  else if (item.side === (sign > 0 ? 0 : 1)) counterpart(view);
}

// Boxes at the other ends of the edges of a box; an open group gives its first or last one inside.
function linked(view, item, way) {
  const side = view.model.sides[item.side], { tree } = view.model, found = new Set();
  const leaves = item.leaf >= 0 ? [item.leaf] : tree.leafAt[item.side].subarray(tree.start[item.side][item.group], tree.end[item.side][item.group]);
  const [start, edge, end] = way === "down" ? [side.outStart, side.outEdge, side.dst] : [side.inStart, side.inEdge, side.src];
  for (const leaf of leaves) {
    for (let e = start[leaf]; e < start[leaf + 1] && found.size < 200; e += 1) {
      const other = view.scene.itemOfLeaf(item.side, end[edge[e]]);
      if (other && other !== item && !(item.sub && within(view, other, item.group))) found.add(other);
    }
  }
  return found;
}

function within(view, item, group) {
  for (let g = item.parent; g > 0; g = view.model.tree.parent[g]) if (g === group) return true;
  return false;
}
