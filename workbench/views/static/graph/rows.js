// Rows of one open group for both panes at once: what belongs together stands level.

// items: [before, after]; links: the same from collectLinks; partner: Map from item to item, both ways.
// Sets item.row, and link.back on edges that run upwards; gives up pairs that would close a cycle. Returns the number of rows.
export function assignRows(items, links, partner) {
  const orders = [0, 1].map((s) => sideOrder(items[s], links[s].edges, s === 1 ? hints(items, partner) : null));
  let graph = unite(items, links, partner);
  let stuck = layer(graph);
  if (stuck) {
    keepMonotone(items, orders, partner);
    graph = unite(items, links, partner);
    stuck = layer(graph);
  }
  return finish(items, links, graph);
}

// Topological order of one side. On a cycle (groups that interleave) the first item goes first, its edges run backwards.
function sideOrder(items, edges, hint) {
  const n = items.length, next = Array.from({ length: n }, () => []), waiting = new Int32Array(n);
  for (const link of edges) { next[link.a].push(link); waiting[link.b] += 1; }
  const key = (k) => (hint ? hint[k] : k), ready = [];
  const push = (k) => { let i = ready.length; ready.push(k); while (i > 0 && key(ready[i - 1]) < key(k)) { ready[i] = ready[i - 1]; i -= 1; } ready[i] = k; };
  for (let k = 0; k < n; k += 1) if (!waiting[k]) push(k);
  const order = [], place = new Int32Array(n).fill(-1);
  for (let probe = 0; order.length < n;) {
    if (!ready.length) {
      while (place[probe] >= 0) probe += 1;
      ready.push(probe);
    }
    const k = ready.pop();
    if (place[k] >= 0) continue;
    place[k] = order.length;
    order.push(k);
    for (const link of next[k]) {
      if (place[link.b] >= 0) { link.back = true; continue; }
      waiting[link.b] -= 1;
      if (!waiting[link.b]) push(link.b);
    }
  }
  return order;
}

// Where the partners stand: the second side's order follows the first where it is free to.
function hints(items, partner) {
  const at = new Map(items[0].map((item, k) => [item, k]));
  let last = -1;
  return items[1].map((item) => { const other = partner.get(item); if (other) last = at.get(other); return last; });
}

// The heaviest set of pairs that both orders agree on: these can never close a cycle.
function keepMonotone(items, orders, partner) {
  const rank = new Map();
  orders[1].forEach((k, position) => rank.set(items[1][k], position));
  const pairs = [];
  for (const k of orders[0]) {
    const item = items[0][k], other = partner.get(item);
    if (other) pairs.push({ item, other, at: rank.get(other), weight: item.group >= 0 ? 3 : 1 });
  }
  const best = new Float64Array(pairs.length), from = new Int32Array(pairs.length).fill(-1);
  let end = -1;
  for (let i = 0; i < pairs.length; i += 1) {
    best[i] = pairs[i].weight;
    for (let j = Math.max(0, i - 400); j < i; j += 1) {
      if (pairs[j].at < pairs[i].at && best[j] + pairs[i].weight > best[i]) { best[i] = best[j] + pairs[i].weight; from[i] = j; }
    }
    if (end < 0 || best[i] > best[end]) end = i;
  }
  const kept = new Set();
  for (let i = end; i >= 0; i = from[i]) kept.add(i);
  pairs.forEach(({ item, other }, i) => { if (!kept.has(i)) { partner.delete(item); partner.delete(other); } });
}

// Paired items are one unit; edges of both sides run between units.
function unite(items, links, partner) {
  const unitOf = new Map(), units = [];
  for (const item of [...items[0], ...items[1]]) {
    if (unitOf.has(item)) continue;
    const unit = { items: [item], row: 0, next: [], waiting: 0 }, other = partner.get(item);
    unitOf.set(item, unit);
    if (other) { unit.items.push(other); unitOf.set(other, unit); }
    units.push(unit);
  }
  for (let s = 0; s < 2; s += 1) {
    for (const link of links[s].edges) {
      const from = unitOf.get(items[s][link.a]), to = unitOf.get(items[s][link.b]);
      if (link.back || from === to) continue;
      from.next.push(to);
      to.waiting += 1;
    }
  }
  return { units, unitOf };
}

// Longest path. Returns whether it got stuck on a cycle.
function layer({ units }) {
  const ready = units.filter((unit) => !unit.waiting);
  let done = 0;
  while (ready.length) {
    const unit = ready.pop();
    done += 1;
    for (const to of unit.next) {
      to.row = Math.max(to.row, unit.row + 1);
      to.waiting -= 1;
      if (!to.waiting) ready.push(to);
    }
  }
  return done < units.length;
}

// Sources sink to their first reader; what runs upwards or stays level is marked.
function finish(items, links, { units, unitOf }) {
  const fed = new Set();
  for (const unit of units) for (const to of unit.next) fed.add(to);
  for (let s = 0; s < 2; s += 1) for (const { b } of links[s].ins) fed.add(unitOf.get(items[s][b]));
  let rows = 0;
  for (const unit of units) {
    if (!fed.has(unit) && unit.next.length) unit.row = Math.max(unit.row, Math.min(...unit.next.map((to) => to.row)) - 1);
    rows = Math.max(rows, unit.row + 1);
    for (const item of unit.items) item.row = unit.row;
  }
  for (let s = 0; s < 2; s += 1) {
    for (const link of links[s].edges) link.back = items[s][link.a].row >= items[s][link.b].row;
  }
  return rows;
}
