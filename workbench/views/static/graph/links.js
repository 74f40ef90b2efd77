// The edges that one open group sees: between its items, in from outside, out to outside. Hubs become named stubs.

const MOST_PORTS = 6;
const MOST_PARALLEL = 4;

// scratch: Int32Array of side.n, item index of each node inside the group.
export function collectLinks(model, s, g, items, scratch) {
  const side = model.sides[s], tree = model.tree, at = tree.position[s];
  const start = tree.start[s][g], end = tree.end[s][g];
  items.forEach((item, k) => {
    if (item.leaf >= 0) { scratch[item.leaf] = k; return; }
    for (let p = tree.start[s][item.group]; p < tree.end[s][item.group]; p += 1) scratch[tree.leafAt[s][p]] = k;
  });
  const inside = (leaf) => at[leaf] >= start && at[leaf] < end;
  const found = { edges: new Map(), ins: new Map(), outs: new Map() };
  for (let p = start; p < end; p += 1) {
    const leaf = tree.leafAt[s][p], k = scratch[leaf];
    for (let e = side.inStart[leaf]; e < side.inStart[leaf + 1]; e += 1) {
      const source = side.src[side.inEdge[e]], within = inside(source);
      if (within && scratch[source] === k) continue;
      if (side.quiet[source] && !(within && tree.kind[g] === "constants")) continue;
      if (side.hub[source]) { stub(items[k].stubsIn, source); if (within) stub(items[scratch[source]].stubsOut, source); continue; }
      if (within) add(found.edges, scratch[source] * items.length + k, source);
      else add(found.ins, source, k);
    }
    if (side.quiet[leaf]) continue;
    for (let e = side.outStart[leaf]; e < side.outStart[leaf + 1]; e += 1) {
      if (inside(side.dst[side.outEdge[e]])) continue;
      if (side.hub[leaf]) stub(items[k].stubsOut, leaf);
      else found.outs.set(leaf, k);
    }
  }
  return settle(found, items);
}

function add(map, key, value) {
  const known = map.get(key);
  if (known) known.add(value); else map.set(key, new Set([value]));
}

function stub(list, leaf) {
  if (!list.includes(leaf)) list.push(leaf);
}

// Sets to lists: {edges: [{a, b, u}], ins: [{u, b}], outs: [{a, u}]}; too many ports become stubs.
function settle(found, items) {
  const links = { edges: [], ins: [], outs: [] };
  for (const [key, sources] of found.edges) {
    const a = Math.floor(key / items.length), b = key % items.length;
    const apart = items[a].sub || items[b].sub;
    let n = 0;
    for (const u of sources) {
      if (n === 0 || (apart && n < MOST_PARALLEL)) links.edges.push({ a, b, u });
      n += 1;
    }
  }
  const ports = [...found.ins].sort((x, y) => y[1].size - x[1].size);
  ports.forEach(([u, targets], rank) => {
    for (const b of targets) {
      if (rank < MOST_PORTS) links.ins.push({ u, b }); else stub(items[b].stubsIn, u);
    }
  });
  let n = 0;
  for (const [u, a] of found.outs) {
    if (n < MOST_PORTS) links.outs.push({ a, u }); else stub(items[a].stubsOut, u);
    n += 1;
  }
  return links;
}
