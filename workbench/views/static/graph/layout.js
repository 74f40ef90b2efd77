// Places the items of one open group, both sides with the same rows. The result is relative to the group's content box.

import { makeItems, pairItems } from "./items.js";
import { collectLinks } from "./links.js";
import { orderLayers } from "./order.js";
import { placeColumns } from "./columns.js";
import { assignRows } from "./rows.js";
import { routeEdges, spreadEnds } from "./route.js";

const ROW_GAP = 16, LONGEST = 60;

// {g, w: [before, after], h, items, edges, inX, outX}: inX and outX say where an edge from or to outside meets the frame.
export function layoutGroup(scene, g) {
  const items = [0, 1].map((s) => makeItems(scene, s, g));
  const links = [0, 1].map((s) => collectLinks(scene.model, s, g, items[s], scene.scratch[s]));
  const partner = pairItems(scene, items);
  const loose = takeLoose(items, links, partner);
  let rows = assignRows(items, links, partner);
  rows = placeLoose(loose, rows);
  const result = { g, w: [0, 0], h: 0, items, middle: [0, 0], edges: [[], []], inX: [new Map(), new Map()], outX: [new Map(), new Map()] };
  const drawn = [0, 1].map((s) => {
    const side = arrangeSide(items[s], links[s], s === 1 ? partner : null);
    for (const vertex of side.vertices) if (vertex.item) vertex.item.x = vertex.x - vertex.w / 2;
    return side;
  });
  drawn.forEach((side, s) => { result.w[s] = Math.max(side.width, placeGrid(loose, items[s], side.width)); });
  const bands = rowBands(items, drawn, rows, partner);
  result.h = bands[0].height;
  drawn.forEach((side, s) => {
    for (const item of items[s]) item.y = bands[s].top[item.row] + (bands[s].tall[item.row] - item.h) / 2;
    result.middle[s] = trunk(items[s], result.w[s]);
    result.edges[s] = routeEdges(side, bands[s], result, s);
  });
  return result;
}

// x of the main path: where most boxes have their middle. A pane looks there first.
function trunk(items, width) {
  const places = items.filter((item) => item.cell === undefined && !item.minor).map((item) => item.x + item.w / 2).sort((p, q) => p - q);
  return places.length ? places[places.length >> 1] : width / 2;
}

// Items without any edge stand in a grid below the rest.
function takeLoose(items, links, partner) {
  const tied = new Set();
  for (let s = 0; s < 2; s += 1) {
    for (const { a, b } of links[s].edges) { tied.add(items[s][a]); tied.add(items[s][b]); }
    for (const { b } of links[s].ins) tied.add(items[s][b]);
    for (const { a } of links[s].outs) tied.add(items[s][a]);
  }
  const cells = [];
  for (const item of [...items[0], ...items[1]]) {
    const other = partner.get(item);
    if (tied.has(item) || tied.has(other) || (other && item.side === 1)) continue;
    cells.push(other ? [item, other] : [item]);
  }
  if (cells.length <= 4) return [];
  cells.total = items[0].length + items[1].length;
  return cells;
}

function placeLoose(cells, rows) {
  if (!cells.length) return rows;
  const across = Math.max(4, Math.min(12, Math.ceil(Math.sqrt(cells.length * 0.5))));
  const taken = cells.flat();
  const first = cells.total === taken.length ? 0 : rows;
  cells.across = across;
  cells.forEach((cell, k) => { for (const item of cell) { item.row = first + Math.floor(k / across); item.cell = k % across; } });
  return first + Math.ceil(cells.length / across);
}

function placeGrid(cells, items, width) {
  if (!cells.length) return 0;
  const widest = Math.max(...cells.flat().map((item) => item.w)) + 12;
  const total = Math.min(cells.across, cells.length) * widest - 12;
  const left = Math.max(0, (width - total) / 2);
  for (const item of items) if (item.cell !== undefined) item.x = left + item.cell * widest;
  return total;
}

// Layers, order and columns of one side; long edges are cut first.
function arrangeSide(items, links, partner) {
  const placed = items.filter((item) => item.cell === undefined);
  const used = [...new Set(placed.map((item) => item.row))].sort((p, q) => p - q);
  const layerOf = new Map(used.map((row, k) => [row, k + 1]));
  const layers = Array.from({ length: used.length + 2 }, () => []);
  const side = { vertices: [], edges: [], paths: [], layers, used, width: 0 };
  const vertexOf = new Map();
  const tied = new Set(links.edges.flatMap(({ a, b }) => [items[a], items[b]]));
  for (const item of [...placed.filter((p) => tied.has(p)), ...placed.filter((p) => !tied.has(p))]) {
    const vertex = addVertex(side, layerOf.get(item.row), item.w, item);
    vertexOf.set(item, vertex);
    vertex.hint = hintOf(item, partner);
  }
  const wires = cutLong(items, links, vertexOf, layers.length);
  connect(side, wires, items, vertexOf);
  if (partner) for (const vertex of side.vertices) if (!vertex.item) vertex.hint = meanHint(vertex);
  orderLayers(layers, Boolean(partner) && side.vertices.some((v) => v.hint >= 0));
  side.width = placeColumns(layers, side.edges);
  spreadEnds(side);
  return side;
}

function addVertex(side, layer, w, item) {
  const vertex = { layer, w, item, up: [], down: [], pos: 0, x: 0, hint: -1, above: null, below: null, block: null, shift: 0 };
  side.vertices.push(vertex);
  side.layers[layer].push(vertex);
  return vertex;
}

// Where the counterpart stands: the second side starts with the order of the first.
function hintOf(item, partner) {
  const other = partner && partner.get(item);
  return other ? other.x + other.w / 2 : -1;
}

function meanHint(vertex) {
  let at = vertex;
  while (!at.item && at.up.length) at = at.up[0].a;
  return at.hint >= 0 ? at.hint + 1 : 1e6;
}

// The edges that will be drawn as lines, [from vertex or null, to vertex or null, u, offsets]; the rest become stubs.
function cutLong(items, links, vertexOf, last) {
  const wires = [];
  for (const { a, b, u, back } of links.edges) {
    const from = vertexOf.get(items[a]), to = vertexOf.get(items[b]);
    if (!from || !to || back) { stub(items[a].stubsOut, u); stub(items[b].stubsIn, u); continue; }
    wires.push({ from, to, u, span: to.layer - from.layer, a: items[a], b: items[b] });
  }
  for (const { u, b } of links.ins) if (vertexOf.get(items[b])) wires.push({ from: null, to: vertexOf.get(items[b]), u, span: vertexOf.get(items[b]).layer, a: null, b: items[b] });
  for (const { a, u } of links.outs) if (vertexOf.get(items[a])) wires.push({ from: vertexOf.get(items[a]), to: null, u, span: last - 1 - vertexOf.get(items[a]).layer, a: items[a], b: null });
  let spent = 0;
  const budget = 3 * items.length + 80;
  wires.sort((p, q) => p.span - q.span);
  return wires.filter((wire) => {
    spent += wire.span - 1;
    if (wire.span < LONGEST && (spent <= budget || wire.span < 4)) return true;
    if (wire.a) stub(wire.a.stubsOut, wire.u);
    if (wire.b) stub(wire.b.stubsIn, wire.u);
    return false;
  });
}

function stub(list, u) {
  if (!list.includes(u)) list.push(u);
}

function connect(side, wires, items, vertexOf) {
  const order = new Map(items.map((item, k) => [item, k]));
  wires.sort((p, q) => (order.get(p.a) ?? -1) - (order.get(q.a) ?? -1) || q.span - p.span || (order.get(p.b) ?? 1e9) - (order.get(q.b) ?? 1e9));
  const ports = [new Map(), new Map()];
  const port = (which, u) => {
    if (!ports[which].has(u)) {
      const vertex = addVertex(side, which ? side.layers.length - 1 : 0, 8, null);
      vertex.port = u;
      ports[which].set(u, vertex);
    }
    return ports[which].get(u);
  };
  for (const wire of wires) {
    const path = [wire.from || port(0, wire.u)], to = wire.to || port(1, wire.u);
    for (let k = path[0].layer + 1; k < to.layer; k += 1) path.push(addVertex(side, k, 8, null));
    path.push(to);
    for (let k = 0; k + 1 < path.length; k += 1) {
      const edge = { a: path[k], b: path[k + 1], offA: 0, offB: 0, straight: false, rank: 0, endA: 0, endB: 0 };
      if (k === 0) edge.offA = offset(wire.a, "outX", wire.u);
      if (k === path.length - 2) edge.offB = offset(wire.b, "inX", wire.u);
      edge.a.down.push(edge);
      edge.b.up.push(edge);
      side.edges.push(edge);
      path[k].next = edge;
    }
    side.paths.push({ wire, path, edges: path.slice(0, -1).map((v) => v.next) });
  }
}

// Distance from the middle of an open group to the place where the edge of tensor u meets its frame.
function offset(item, which, u) {
  if (!item || !item.sub) return 0;
  const at = item.sub[which][item.side].get(u);
  return at === undefined ? 0 : inset(item) + at - item.w / 2;
}

// The content of an open group is centred when its title is wider.
export function inset(item) {
  return (item.w - item.sub.w[item.side]) / 2;
}

// Top and height of each row on each side. Rows with a pair stand level, the others move up as far as they can; gaps grow
// where edges run slantwise or stubs need room.
function rowBands(items, drawn, rows, partner) {
  const bands = [0, 1].map(() => ({ top: new Float64Array(rows), tall: new Float64Array(rows), gap: new Float64Array(rows + 1).fill(ROW_GAP), height: 0 }));
  const level = new Uint8Array(rows), present = [new Uint8Array(rows), new Uint8Array(rows)];
  for (const item of [...items[0], ...items[1]]) {
    const { tall, gap } = bands[item.side], other = partner.get(item);
    present[item.side][item.row] = 1;
    if ((other && other.row === item.row) || item.cell !== undefined) level[item.row] = 1;
    tall[item.row] = Math.max(tall[item.row], item.h);
    if (item.stubsIn.length && !item.sub) gap[item.row] = Math.max(gap[item.row], ROW_GAP + 12);
  }
  drawn.forEach((side, s) => slantGaps(side, bands[s].gap, rows, items[s]));
  const bottom = [0, 0], started = [false, false], entered = drawn.map((side) => side.layers[0].length > 0);
  for (let r = 0; r < rows; r += 1) {
    const y = [0, 1].map((s) => bottom[s] + (started[s] || entered[s] ? bands[s].gap[r] : bands[s].gap[r] - ROW_GAP));
    if (level[r]) {
      const both = [0, 1].filter((s) => present[s][r]), top = Math.max(...both.map((s) => y[s]));
      const tall = Math.max(...both.map((s) => bands[s].tall[r]));
      for (const s of both) { y[s] = top; bands[s].tall[r] = tall; }
    }
    for (let s = 0; s < 2; s += 1) {
      if (!present[s][r]) continue;
      bands[s].top[r] = y[s];
      bottom[s] = y[s] + bands[s].tall[r];
      started[s] = true;
    }
  }
  const leaves = drawn.some((side) => side.layers[side.layers.length - 1].length);
  const height = Math.max(bottom[0], bottom[1]) + (leaves ? 10 : 0);
  for (const band of bands) band.height = height;
  return bands;
}

// A row needs more room above it where edges come in from far left or right, and below boxes with stubs.
function slantGaps(side, gap, rows, items) {
  const layerOf = new Map(side.used.map((row, k) => [row, k]));
  for (const edge of side.edges) {
    const dx = Math.abs(edge.a.x + edge.endA - edge.b.x - edge.endB), k = edge.b.layer;
    const row = k <= side.used.length ? side.used[k - 1] : rows;
    const wide = edge.a.layer === 0 ? 10 + Math.min(24, dx * 0.07) : ROW_GAP + Math.min(36, dx * 0.1);
    if (dx > 2 || edge.a.layer === 0) gap[row] = Math.max(gap[row], dx > 2 ? wide : 10);
  }
  for (const item of items) {
    if (!item.stubsOut.length || item.sub || item.cell !== undefined) continue;
    const next = side.used[layerOf.get(item.row) + 1];
    if (next !== undefined) gap[next] = Math.max(gap[next], ROW_GAP + 14 + (items.some((o) => o.row === next && o.stubsIn.length) ? 10 : 0));
  }
}
