// Draws one side: what is on the screen, with as much detail as its size on the screen can carry.

import { FONT, HEADER } from "./items.js";
import { inset } from "./layout.js";
import { STATUS, drawGlyph, heatColor, heatInk } from "./status.js";

const TEXT_FROM = 0.38, GLYPH_FROM = 0.3, DETAIL_FROM = 0.14;

// frame: {ctx, scene, theme, zoom, heat, total, filter}; world: visible rectangle [x0, y0, x1, y1] of side s.
export function paintSide(frame, s, world) {
  const list = { frames: [], solids: [], boxes: [], edges: [] };
  collect(frame, s, frame.scene.root, 0, 0, world, list);
  const { ctx, theme, zoom } = frame;
  ctx.lineJoin = "round";
  for (const f of list.frames) paintFrame(frame, f);
  paintSolids(frame, list.solids);
  paintEdges(ctx, list.edges, theme.muted, Math.max(1.1, 0.7 / zoom), zoom < DETAIL_FROM ? 0.35 : 0.6, zoom < DETAIL_FROM);
  if (zoom < DETAIL_FROM) paintPlain(frame, list.boxes); else paintBoxes(frame, s, list.boxes);
  return list;
}

function collect(frame, s, layout, ox, oy, world, list) {
  const [x0, y0, x1, y1] = world, { zoom } = frame;
  if (!frame.plain) for (const edge of layout.edges[s]) {
    if (edge.high + oy < y0 || edge.low + oy > y1) continue;
    if ((edge.high - edge.low) * zoom < 1.5) continue;
    list.edges.push({ edge, ox, oy });
  }
  for (const item of layout.items[s]) {
    const x = item.x + ox, y = item.y + oy;
    if (y - 16 > y1 || y + item.h + 16 < y0 || x > x1 || x + item.w < x0) continue;
    if (!item.sub) { list.boxes.push({ item, x, y }); continue; }
    if (item.h * zoom < 9 || item.w * zoom < 4) { list.solids.push({ item, x, y }); continue; }
    list.frames.push({ item, x, y });
    collect(frame, s, item.sub, x + inset(item), y + HEADER, world, list);
  }
}

// Colour of a box and whether the filter lets it through.
export function lookOf(frame, item) {
  const { scene, theme, heat, filter } = frame, { model } = scene, s = item.side, side = model.sides[s];
  const value = heat ? (item.leaf >= 0 ? side.metric[heat][item.leaf] : model.tree.sums[s][heat][item.group]) : 0;
  const share = heat && frame.total ? value / frame.total : 0;
  const status = statusOf(model, item);
  let shown = true;
  if (filter) {
    shown = item.leaf >= 0 ? !side.isPill(item.leaf) && side.status[item.leaf] === filter.index
      : model.tree.states[s][item.group * side.statuses.length + filter.index] > 0;
  }
  const color = status && STATUS[status][theme.mode];
  let fill = theme.raised, ink = theme.ink;
  if (heat) { fill = heatColor(share, theme.mode); ink = heatInk(share, theme.mode); }
  else if (item.leaf >= 0 && status && status !== "kept") fill = mixed(theme, color, 0.15);
  return { fill, ink, status, color, share, shown };
}

// The status of a node; of a closed group only when all its nodes agree.
export function statusOf(model, item) {
  const side = model.sides[item.side];
  if (item.leaf >= 0) return side.isPill(item.leaf) ? "" : side.statuses[side.status[item.leaf]];
  const kinds = side.statuses.length, at = item.group * kinds;
  const present = side.statuses.filter((_, k) => model.tree.states[item.side][at + k]);
  return present.length === 1 ? present[0] : "";
}

const mixes = new Map();
export function mixed(theme, color, part) {
  const key = `${theme.ground}|${color}|${part}`;
  if (!mixes.has(key)) {
    const [p, q] = [rgb(theme.ground), rgb(color)];
    mixes.set(key, `rgb(${p.map((v, i) => Math.round(v + (q[i] - v) * part)).join(",")})`);
    if (mixes.size > 400) mixes.clear();
  }
  return mixes.get(key) || color;
}

function rgb(color) {
  const pen = rgb.pen || (rgb.pen = document.createElement("canvas").getContext("2d"));
  pen.fillStyle = "#ffffff";
  pen.fillStyle = color;
  const text = pen.fillStyle;
  if (text.startsWith("#")) return [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16));
  return text.match(/[\d.]+/g).slice(0, 3).map(Number);
}

function paintFrame(frame, { item, x, y }) {
  const { ctx, theme, zoom, scene } = frame;
  ctx.globalAlpha = 0.55;
  ctx.fillStyle = theme.raised;
  box(ctx, x, y, item.w, item.h, 8);
  ctx.fill();
  ctx.globalAlpha = 1;
  ctx.strokeStyle = theme.rule;
  ctx.lineWidth = Math.max(1, 0.8 / zoom);
  ctx.stroke();
  if (zoom < TEXT_FROM && item.w * zoom < 60) return;
  const scale = Math.max(1, Math.min(0.8 / zoom, (item.h - 6) / 20, item.w / 60));
  if (zoom * scale < 0.5) return;
  ctx.fillStyle = theme.muted;
  ctx.font = `600 ${11 * scale}px ${FONT}`;
  ctx.textBaseline = "top";
  const text = fit(scene, `− ${item.title}${item.times ? `  ${item.times}` : ""}`, (item.w - 20) / scale, true, 11 / 12);
  ctx.fillText(text, x + 9, y + 7);
}

function paintSolids(frame, list) {
  const { ctx } = frame;
  for (const { item, x, y } of list) {
    const look = lookOf(frame, item);
    ctx.globalAlpha = look.shown ? 0.9 : 0.25;
    ctx.fillStyle = frame.heat ? look.fill : plainColor(frame, item, look);
    ctx.fillRect(x, y, item.w, item.h);
  }
  ctx.globalAlpha = 1;
}

// A group that is too small for its badges has the colour of its most frequent change.
function plainColor(frame, item, look) {
  if (look.color || item.leaf >= 0) return look.color || frame.theme.muted;
  const { model } = frame.scene, side = model.sides[item.side], kinds = side.statuses.length, at = item.group * kinds;
  let best = 0;
  for (let k = 1; k < kinds; k += 1) if (model.tree.states[item.side][at + k] > (best ? model.tree.states[item.side][at + best] : 0)) best = k;
  return STATUS[side.statuses[best]][frame.theme.mode];
}

// Small boxes: rectangles only, one colour after the other.
function paintPlain(frame, list) {
  const { ctx } = frame, byColor = new Map();
  for (const entry of list) {
    const look = lookOf(frame, entry.item), color = frame.heat ? look.fill : plainColor(frame, entry.item, look);
    const key = `${look.shown ? 1 : 0.22}|${color}`;
    if (!byColor.has(key)) byColor.set(key, []);
    byColor.get(key).push(entry);
  }
  for (const [key, entries] of byColor) {
    const [alpha, color] = key.split("|");
    ctx.globalAlpha = Number(alpha);
    ctx.fillStyle = color;
    ctx.beginPath();
    for (const { item, x, y } of entries) ctx.rect(x, y, item.w, item.h);
    ctx.fill();
  }
  ctx.globalAlpha = 1;
}

export function paintEdges(ctx, list, color, width, alpha, plain) {
  ctx.strokeStyle = color;
  ctx.lineWidth = width;
  ctx.globalAlpha = alpha;
  ctx.beginPath();
  for (const { edge, ox, oy } of list) {
    const p = edge.points;
    let x = p[0] + ox, y = p[1] + oy;
    ctx.moveTo(x, y);
    for (let i = 2; i < p.length; i += 2) {
      const u = p[i] + ox, v = p[i + 1] + oy;
      if (plain || Math.abs(u - x) < 0.5) ctx.lineTo(u, v);
      else { const bend = (v - y) * 0.5; ctx.bezierCurveTo(x, y + bend, u, v - bend, u, v); }
      x = u; y = v;
    }
  }
  ctx.stroke();
  ctx.globalAlpha = 1;
}

function paintBoxes(frame, s, list) {
  const { ctx, zoom } = frame;
  const looks = list.map((entry) => lookOf(frame, entry.item));
  list.forEach((entry, k) => paintBox(frame, entry, looks[k]));
  if (zoom >= GLYPH_FROM) list.forEach((entry, k) => paintMarks(frame, entry, looks[k]));
  if (zoom >= TEXT_FROM) paintTexts(frame, s, list, looks);
  ctx.globalAlpha = 1;
}

function paintBox(frame, { item, x, y }, look) {
  const { ctx, theme, zoom, scene } = frame, pill = item.leaf >= 0 && scene.model.sides[item.side].isPill(item.leaf);
  const radius = pill ? item.h / 2 : item.leaf >= 0 ? 5 : 9;
  ctx.globalAlpha = look.shown ? 1 : 0.3;
  ctx.strokeStyle = item.leaf >= 0 && look.color && look.status !== "kept" ? look.color : theme.rule;
  ctx.lineWidth = Math.max(1, 0.8 / zoom);
  if (item.times && zoom > 0.25) {
    ctx.fillStyle = theme.raised;
    for (const d of [6, 3]) { box(ctx, x + d, y + d, item.w, item.h, radius); ctx.fill(); ctx.stroke(); }
  }
  ctx.fillStyle = pill ? theme.ground : look.fill;
  box(ctx, x, y, item.w, item.h, radius);
  ctx.fill();
  if (look.status === "unexplained" || pill) ctx.setLineDash([4, 3]);
  ctx.stroke();
  ctx.setLineDash([]);
}

// Glyphs, badges of a closed group and its bar.
function paintMarks(frame, { item, x, y }, look) {
  const { ctx, theme, zoom, scene } = frame;
  ctx.globalAlpha = look.shown ? 1 : 0.3;
  ctx.lineCap = "round";
  if (item.leaf >= 0) {
    if (!look.color || look.status === "kept") return;
    ctx.strokeStyle = frame.heat ? look.ink : look.color;
    ctx.lineWidth = 1.5;
    drawGlyph(ctx, look.status, x + 13, y + 12.5, 4.6);
    return;
  }
  const kind = scene.model.tree.kind[item.group];
  if (kind === "constants") return;
  const side = scene.model.sides[item.side], kinds = side.statuses.length;
  let at = x + 14;
  ctx.font = `400 10.5px ${FONT}`;
  ctx.textBaseline = "middle";
  for (let k = kinds - 1; k >= 0; k -= 1) {
    const n = scene.model.tree.states[item.side][item.group * kinds + k], name = side.statuses[k];
    if (!n || name === "kept" || at > x + item.w - 96) continue;
    ctx.strokeStyle = ctx.fillStyle = frame.heat ? look.ink : STATUS[name][theme.mode];
    ctx.lineWidth = 1.4;
    drawGlyph(ctx, name, at, y + 46, 4.2);
    if (zoom >= TEXT_FROM) ctx.fillText(String(n), at + 8, y + 46.5);
    at += 16 + 6.5 * String(n).length + 4;
  }
  const bar = frame.barShare ? frame.barShare(item) : 0;
  if (bar > 0) {
    ctx.fillStyle = theme.rule;
    ctx.fillRect(x + item.w - 50, y + 44, 40, 4);
    ctx.fillStyle = frame.heat ? look.ink : "#d55e00";
    ctx.fillRect(x + item.w - 50, y + 44, Math.max(1.5, 40 * Math.min(1, bar)), 4);
    if (zoom >= TEXT_FROM) {
      ctx.fillStyle = frame.heat ? look.ink : theme.muted;
      ctx.textAlign = "right";
      ctx.fillText(bar >= 0.0095 ? `${Math.round(100 * bar)} %` : "<1 %", x + item.w - 55, y + 46.5);
      ctx.textAlign = "left";
    }
  }
}

function paintTexts(frame, s, list, looks) {
  const { ctx, theme, scene } = frame, { model } = scene, side = model.sides[s];
  ctx.textBaseline = "middle";
  ctx.font = `600 12px ${FONT}`;
  list.forEach(({ item, x, y }, k) => {
    if (item.leaf >= 0 && side.isPill(item.leaf)) return;
    ctx.globalAlpha = looks[k].shown ? 1 : 0.4;
    ctx.fillStyle = looks[k].ink;
    const marked = item.leaf >= 0 && looks[k].color && looks[k].status !== "kept";
    if (item.leaf < 0) ctx.fillText("+", x + 9, y + 13);
    const left = marked || item.leaf < 0 ? 23 : 10, chip = item.leaf < 0 && model.tree.kind[item.group] === "constants";
    const room = item.w - left - 8 - (item.times || chip ? scene.measure(item.times || item.note) + 12 : 0);
    ctx.fillText(fit(scene, item.title, room, true), x + left, y + 13);
  });
  ctx.font = `400 12px ${FONT}`;
  list.forEach(({ item, x, y }, k) => {
    const pill = item.leaf >= 0 && side.isPill(item.leaf), chip = item.leaf < 0 && model.tree.kind[item.group] === "constants";
    if (!pill && !item.times && !chip) return;
    ctx.fillStyle = pill ? theme.ink : chip ? theme.muted : looks[k].ink;
    const text = pill ? fit(scene, item.title, item.w - 16) : item.times || item.note;
    ctx.textAlign = pill ? "center" : "right";
    ctx.fillText(text, pill ? x + item.w / 2 : x + item.w - 10, y + 13);
    ctx.textAlign = "left";
  });
  ctx.font = `400 10.5px ${FONT}`;
  list.forEach(({ item, x, y }, k) => {
    if (!item.note || item.h < 30) return;
    ctx.globalAlpha = looks[k].shown ? 0.85 : 0.35;
    ctx.fillStyle = frame.heat ? looks[k].ink : theme.muted;
    ctx.fillText(fit(scene, item.note, item.w - 18, false, 0.875), x + 10, y + (item.leaf >= 0 ? 26 : 29));
  });
  paintStubs(frame, s, list);
}

// Named ends of edges that are not drawn.
function paintStubs(frame, s, list) {
  const { ctx, theme, scene } = frame, side = scene.model.sides[s];
  ctx.font = `400 9.5px ${FONT}`;
  ctx.fillStyle = theme.accent;
  ctx.globalAlpha = 0.9;
  for (const { item, x, y } of list) {
    if (item.stubsIn.length) {
      triangle(ctx, x + 4, y - 7.5, 1);
      ctx.fillText(fit(scene, stubText(side, item.stubsIn), 98, false, 0.8), x + 11, y - 7);
    }
    if (item.stubsOut.length) {
      const text = fit(scene, stubText(side, item.stubsOut), 98, false, 0.8);
      ctx.textAlign = "right";
      ctx.fillText(text, x + item.w - 11, y + item.h + 8);
      ctx.textAlign = "left";
      triangle(ctx, x + item.w - 8, y + item.h + 7.5, 1);
    }
  }
}

export function stubText(side, list) {
  const name = side.name(list[0]).split("/").filter(Boolean).pop() || side.op(list[0]);
  return list.length > 1 ? `${name} + ${list.length - 1}` : name;
}

function triangle(ctx, x, y) {
  ctx.beginPath();
  ctx.moveTo(x, y - 3); ctx.lineTo(x + 5, y); ctx.lineTo(x, y + 3);
  ctx.fill();
}

export function box(ctx, x, y, w, h, r) {
  ctx.beginPath();
  if (ctx.roundRect) ctx.roundRect(x, y, w, h, r); else ctx.rect(x, y, w, h);
}

const fitted = new Map();
// Shortens a text to a width (at 12 px times scale) with an ellipsis.
export function fit(scene, text, room, bold = false, scale = 1) {
  if (scene.measure(text, bold) * scale <= room) return text;
  const key = `${room.toFixed(0)}|${bold}|${scale}|${text}`;
  let found = fitted.get(key);
  if (found === undefined) {
    let low = 0, high = text.length;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (scene.measure(`${text.slice(0, middle)}…`, bold) * scale <= room) low = middle; else high = middle - 1;
    }
    found = low ? `${text.slice(0, low)}…` : "";
    if (fitted.size > 20000) fitted.clear();
    fitted.set(key, found);
  }
  return found;
}
