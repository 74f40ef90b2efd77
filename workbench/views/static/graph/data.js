// From packed bytes to two graphs, the change groups between them, and one tree of blocks with sums.

import { METRICS } from "./status.js";

const HUB_READERS = 12; // a tensor with so many readers is drawn as named stubs

export async function decode(packed) {
  const view = ArrayBuffer.isView(packed) ? new Uint8Array(packed.buffer, packed.byteOffset, packed.byteLength) : new Uint8Array(packed);
  const stream = new Blob([view]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
}

export function fromBase64(text) {
  const binary = atob(text.trim());
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i += 1) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

export function makeModel(columns) {
  const { groups } = columns;
  groups.lists = ["before", "after"].map((name) => nested(groups[name], groups[`${name}s`]));
  // Nodes of change g on side s.
  groups.of = (s, g) => groups.lists[s].of(g);
  const model = { title: columns.title, strings: columns.strings, statuses: columns.statuses, counts: columns.counts, groups: columns.groups };
  model.sides = [makeSide(columns.before, columns), makeSide(columns.after, columns)];
  model.tree = makeTree(columns, model.sides);
  model.sides.forEach((side) => { markHubs(side); markQuiet(side, model.tree); });
  pairPills(model);
  model.totals = {};
  for (const key of Object.keys(METRICS)) model.totals[key] = model.sides.map((side, s) => model.tree.sums[s][key][0]);
  return model;
}

// A flat list and the length of each part: of(i) is part i, without a small array for each.
function nested(flat, counts) {
  const values = Int32Array.from(flat), start = new Int32Array(counts.length + 1);
  for (let i = 0; i < counts.length; i += 1) start[i + 1] = start[i] + counts[i];
  return { of: (i) => values.subarray(start[i], start[i + 1]) };
}

function makeSide(c, columns) {
  const n = c.name.length;
  const side = {
    title: c.title, format: c.format, count: c.count, n, strings: columns.strings, statuses: columns.statuses,
    names: c.name, ops: c.op, scopes: c.scope, shapes: c.shape, dtypes: c.dtype, attributes: c.attrs, ins: nested(c.in, c.ins), outs: nested(c.out, c.outs),
    group: Int32Array.from(c.group), status: Uint8Array.from(c.status), parent: Int32Array.from(c.parent),
    params: c.params, src: Int32Array.from(c.src), dst: Int32Array.from(c.dst), tensors: c.tensor, twin: new Map(),
    metric: {}, has: {},
  };
  for (const key of Object.keys(METRICS)) {
    side.metric[key] = Float64Array.from(c[key], (v) => (v === null ? 0 : v));
    side.has[key] = c[key].some((v) => v !== null && v > 0);
  }
  [side.outStart, side.outEdge] = index(side.src, n);
  [side.inStart, side.inEdge] = index(side.dst, n);
  side.name = (i) => side.strings[side.names[i]];
  side.op = (i) => side.strings[side.ops[i]];
  side.shape = (i) => side.strings[side.shapes[i]];
  side.isPill = (i) => i >= side.count;
  return side;
}

// Edges sorted by one end: those of node i stand at start[i] to start[i + 1].
function index(ends, n) {
  const start = new Int32Array(n + 1);
  for (const end of ends) start[end + 1] += 1;
  for (let i = 0; i < n; i += 1) start[i + 1] += start[i];
  const next = start.slice(), edge = new Int32Array(ends.length);
  for (let e = 0; e < ends.length; e += 1) edge[next[ends[e]]++] = e;
  return [start, edge];
}

function makeTree(columns, sides) {
  const t = columns.tree, count = t.parent.length;
  const tree = {
    count, parent: Int32Array.from(t.parent), title: t.title, kind: t.kind, times: t.times, expanded: Uint8Array.from(t.expanded),
    depth: new Int32Array(count), groups: Array.from({ length: count }, () => []), leaves: [], start: [], end: [], leafAt: [], position: [],
    sums: [], states: [],
  };
  for (let g = 1; g < count; g += 1) {
    tree.groups[tree.parent[g]].push(g);
    tree.depth[g] = tree.depth[tree.parent[g]] + 1;
  }
  sides.forEach((side, s) => { number(tree, side, s); sum(tree, side, s); });
  return tree;
}

// Numbers the nodes of a side so that those of a group stand in one stretch.
function number(tree, side, s) {
  const own = Array.from({ length: tree.count }, () => []);
  for (let i = 0; i < side.n; i += 1) own[side.parent[i]].push(i);
  tree.leaves[s] = own;
  const start = new Int32Array(tree.count), end = new Int32Array(tree.count);
  const leafAt = new Int32Array(side.n), position = new Int32Array(side.n);
  let next = 0;
  const stack = [0];
  while (stack.length) {
    const g = stack.pop();
    if (g < 0) { end[-g - 1] = next; continue; }
    start[g] = next;
    for (const i of own[g]) { leafAt[next] = i; position[i] = next; next += 1; }
    stack.push(-g - 1);
    for (let k = tree.groups[g].length - 1; k >= 0; k -= 1) stack.push(tree.groups[g][k]);
  }
  Object.assign(tree.start, { [s]: start });
  Object.assign(tree.end, { [s]: end });
  tree.leafAt[s] = leafAt;
  tree.position[s] = position;
}

function sum(tree, side, s) {
  const kinds = side.statuses.length;
  const states = new Uint32Array(tree.count * kinds), sums = {};
  for (const key of Object.keys(METRICS)) {
    const values = sums[key] = new Float64Array(tree.count);
    for (let i = 0; i < side.n; i += 1) values[side.parent[i]] += side.metric[key][i];
    for (let g = tree.count - 1; g > 0; g -= 1) values[tree.parent[g]] += values[g];
  }
  for (let i = 0; i < side.count; i += 1) states[side.parent[i] * kinds + side.status[i]] += 1;
  for (let g = tree.count - 1; g > 0; g -= 1) {
    for (let k = 0; k < kinds; k += 1) states[tree.parent[g] * kinds + k] += states[g * kinds + k];
  }
  tree.sums[s] = sums;
  tree.states[s] = states;
}

function markHubs(side) {
  side.hub = new Uint8Array(side.n);
  const reach = Math.max(24, side.n / 20);
  for (let i = 0; i < side.n; i += 1) {
    if (side.outStart[i + 1] - side.outStart[i] < HUB_READERS) continue;
    const readers = new Set();
    let low = Infinity, high = 0;
    for (let k = side.outStart[i]; k < side.outStart[i + 1]; k += 1) {
      const target = side.dst[side.outEdge[k]];
      readers.add(target); low = Math.min(low, target); high = Math.max(high, target);
    }
    side.hub[i] = readers.size >= HUB_READERS && high - low > reach ? 1 : 0;
  }
}

// Edges out of constants are left out of the drawing (shown for the selection): they say nothing about the flow.
function markQuiet(side, tree) {
  side.quiet = new Uint8Array(side.n);
  for (let i = 0; i < side.count; i += 1) side.quiet[i] = tree.kind[side.parent[i]] === "constants" ? 1 : 0;
}

// Inputs and outputs of the graph belong together by their names; the rest by their order, where both sides have as many.
function pairPills(model) {
  const [before, after] = model.sides;
  for (const op of ["input", "output"]) {
    const lists = model.sides.map((side) => Array.from({ length: side.n - side.count }, (_, k) => side.count + k).filter((i) => side.op(i) === op));
    const known = new Map(lists[0].map((i) => [before.name(i), i])), named = lists[1].filter((i) => known.has(after.name(i)));
    const join = (p, q) => { before.twin.set(p, q); after.twin.set(q, p); };
    for (const i of named) join(known.get(after.name(i)), i);
    if (lists[0].length !== lists[1].length) continue;
    const rest = lists.map((list, s) => list.filter((i) => !model.sides[s].twin.has(i)));
    rest[0].forEach((p, k) => join(p, rest[1][k]));
  }
}

// Nodes of the same change: on the same side, and on the other one.
export function counterparts(model, s, leaf) {
  const side = model.sides[s], twin = side.twin.get(leaf), g = side.group[leaf];
  if (twin !== undefined) return { same: [leaf], other: [twin], group: -1 };
  if (g < 0 || g >= model.groups.status.length) return { same: [leaf], other: [], group: -1 };
  return { same: [...model.groups.of(s, g)], other: [...model.groups.of(1 - s, g)], group: g };
}

// [operator, how many], most frequent first; those that make constants only when there is nothing else.
export function operatorCounts(model, s, g) {
  const found = counted(model, s, g, false);
  return found.length ? found : counted(model, s, g, true);
}

function counted(model, s, g, quiet) {
  const side = model.sides[s], counted = new Map();
  for (let p = model.tree.start[s][g]; p < model.tree.end[s][g]; p += 1) {
    const leaf = model.tree.leafAt[s][p];
    const source = side.quiet[leaf] || side.inStart[leaf] === side.inStart[leaf + 1];
    if (!side.isPill(leaf) && (quiet || !source)) counted.set(side.ops[leaf], (counted.get(side.ops[leaf]) || 0) + 1);
  }
  return [...counted].sort((a, b) => b[1] - a[1]).map(([op, n]) => [side.strings[op], n]);
}

export function leafCount(model, s, g) {
  return model.tree.end[s][g] - model.tree.start[s][g];
}
