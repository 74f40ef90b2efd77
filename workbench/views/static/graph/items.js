// Boxes of one open group: what they say and how large they are, before anything is placed.

import { leafCount, operatorCounts } from "./data.js";
import { clean, count, shortOp, tail } from "./format.js";

export const FONT = '"Segoe UI", "Helvetica Neue", Roboto, "Noto Sans", "Liberation Sans", Arial, sans-serif';
export const HEADER = 24; // of an open group
export const PAD = 12;
const LEAF_HEIGHT = 36, PILL_HEIGHT = 24, GROUP_HEIGHT = 56, CHIP_HEIGHT = 26;

// Items of group g on side s: {side, leaf or -1, group or -1, w, h, title, note, stubsIn, stubsOut, sub}.
export function makeItems(scene, s, g) {
  const { model } = scene, { tree } = model, items = [];
  for (const child of tree.groups[g]) if (leafCount(model, s, child)) items.push(groupItem(scene, s, child));
  for (const leaf of tree.leaves[s][g]) items.push(leafItem(scene, s, leaf));
  const first = (item) => (item.leaf >= 0 ? item.leaf : lowest(model, s, item.group));
  const rank = new Map(items.map((item) => [item, pillRank(model.sides[s], item) || first(item)]));
  items.sort((p, q) => rank.get(p) - rank.get(q));
  for (const item of items) {
    item.parent = g;
    if (item.leaf >= 0) scene.leafItem[s][item.leaf] = item; else scene.groupItem[s][item.group] = item;
  }
  return items;
}

function pillRank(side, item) {
  if (item.leaf < 0 || !side.isPill(item.leaf)) return 0;
  return side.op(item.leaf) === "input" ? -side.n + item.leaf : side.n + item.leaf;
}

function lowest(model, s, g) {
  const { tree } = model;
  if (!tree.low) tree.low = [new Map(), new Map()];
  if (!tree.low[s].has(g)) {
    let low = Infinity;
    for (let p = tree.start[s][g]; p < tree.end[s][g]; p += 1) low = Math.min(low, tree.leafAt[s][p]);
    tree.low[s].set(g, low);
  }
  return tree.low[s].get(g);
}

function base(s, leaf, group) {
  return { side: s, leaf, group, parent: 0, x: 0, y: 0, w: 0, h: 0, row: 0, minor: false, title: "", note: "", stubsIn: [], stubsOut: [], sub: null };
}

function leafItem(scene, s, leaf) {
  const side = scene.model.sides[s], item = base(s, leaf, -1);
  if (side.isPill(leaf)) {
    item.title = clean(side.name(leaf));
    item.w = clamp(scene.measure(item.title) + 24, 56, 180);
    item.h = PILL_HEIGHT;
    return item;
  }
  item.minor = side.inStart[leaf] === side.inStart[leaf + 1];
  item.title = clean(shortOp(side.op(leaf))) + hint(side, leaf);
  item.note = side.shape(leaf) || clean(tail(side.name(leaf)));
  item.w = clamp(Math.max(scene.measure(item.title, true) + 40, scene.measure(item.note) * 0.86 + 20), 88, 204);
  item.h = LEAF_HEIGHT;
  return item;
}

// The two attributes that tell one convolution from the next: " 3×3 /2".
function hint(side, leaf) {
  const text = side.strings[side.attributes[leaf]];
  if (!text.includes("kernel") && !text.includes("strides")) return "";
  let found;
  try { found = JSON.parse(text); } catch { return ""; }
  const numbers = (value) => String(value ?? "").match(/^[\s\d,[\]()]*$/) && String(value ?? "").match(/\d+/g);
  const kernel = numbers(found.kernel_shape ?? found.kernel_size ?? found.kernel), strides = numbers(found.strides ?? found.stride);
  let out = "";
  if (kernel && kernel.length <= 3) out += ` ${kernel.join("×")}`;
  if (strides && strides.some((v) => v !== "1")) out += ` /${strides[0]}`;
  return clean(out).slice(0, 16);
}

function groupItem(scene, s, g) {
  const { model, expanded } = scene, { tree } = model, item = base(s, -1, g);
  const kind = tree.kind[g];
  item.title = clean(tree.title[g]) || kind;
  item.times = tree.times[g] ? `×${tree.times[g]}` : "";
  if (expanded[g]) {
    item.sub = scene.layout(g);
    item.w = Math.max(item.sub.w[s], Math.min(220, scene.measure(item.title, true) + 80)) + 2 * PAD;
    item.h = item.sub.h + HEADER + PAD;
    return item;
  }
  if (kind === "constants") {
    item.note = `×${count(leafCount(model, s, g))}`;
    item.w = 124;
    item.h = CHIP_HEIGHT;
    return item;
  }
  item.note = operators(model, s, g);
  item.w = clamp(Math.max(scene.measure(item.title, true) + scene.measure(item.times) + 50, scene.measure(item.note) * 0.88 + 22), 168, 236);
  item.h = GROUP_HEIGHT;
  return item;
}

function operators(model, s, g) {
  const found = operatorCounts(model, s, g);
  const texts = found.slice(0, 4).map(([op, n]) => (n > 1 ? `${count(n)} ` : "") + clean(shortOp(op)));
  return texts.join(" · ") + (found.length > 4 ? " …" : "");
}

function clamp(value, low, high) {
  return Math.ceil(Math.max(low, Math.min(high, value)) / 4) * 4;
}

// Which items of the two sides are the same thing: groups by identity, nodes by their change (its last node is the
// one whose output survives).
export function pairItems(scene, items) {
  const { model } = scene, partner = new Map(), groups = new Map(), leaves = [new Map(), new Map()];
  const join = (p, q) => { if (p && q && !partner.has(p) && !partner.has(q)) { partner.set(p, q); partner.set(q, p); } };
  for (const item of items[0]) if (item.group >= 0) groups.set(item.group, item);
  for (const item of items[1]) if (item.group >= 0) join(groups.get(item.group), item);
  for (let s = 0; s < 2; s += 1) for (const item of items[s]) if (item.leaf >= 0) leaves[s].set(item.leaf, item);
  for (const item of items[0]) {
    if (item.leaf < 0) continue;
    const side = model.sides[0], twin = side.twin.get(item.leaf), g = side.group[item.leaf];
    if (twin !== undefined) { join(item, leaves[1].get(twin)); continue; }
    if (g < 0) continue;
    const here = model.groups.of(0, g).filter((i) => leaves[0].has(i));
    if (here[here.length - 1] !== item.leaf) continue;
    const there = model.groups.of(1, g).filter((i) => leaves[1].has(i));
    const most = here.length === there.length ? here.length : Math.min(1, there.length);
    for (let k = 1; k <= most; k += 1) join(leaves[0].get(here[here.length - k]), leaves[1].get(there[there.length - k]));
  }
  return partner;
}
