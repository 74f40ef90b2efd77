// x of every vertex of one side: long paths straight first, then packed, then pulled to the middle of their neighbours.

const GAP = 20, GAP_LINE = 12;

// layers: ordered; vertices have w, item, up, down. Sets vertex.x (its centre). Returns the width.
export function placeColumns(layers, edges) {
  align(layers, edges);
  const blocks = makeBlocks(layers);
  const order = sortBlocks(blocks);
  pack(order);
  for (let sweep = 0; sweep < 14; sweep += 1) pull(sweep % 2 ? order : order.slice().reverse());
  let low = Infinity, high = -Infinity;
  for (const layer of layers) {
    for (const vertex of layer) {
      vertex.x = vertex.block.x + vertex.shift;
      low = Math.min(low, vertex.x - vertex.w / 2);
      high = Math.max(high, vertex.x + vertex.w / 2);
    }
  }
  if (!Number.isFinite(low)) return 0;
  for (const layer of layers) for (const vertex of layer) vertex.x -= low;
  return high - low;
}

// Which edges become vertical: one longest path first, passing edges next, then the rest by length; none may cross.
function align(layers, edges) {
  const up = new Map(), down = new Map();
  const real = (vertex) => (vertex.item && !vertex.item.minor ? 1 : 0);
  for (const layer of layers) for (const v of layer) up.set(v, real(v) + Math.max(0, ...v.up.map((e) => up.get(e.a))));
  for (let k = layers.length - 1; k >= 0; k -= 1) {
    for (const v of layers[k]) down.set(v, real(v) + Math.max(0, ...v.down.map((e) => down.get(e.b))));
  }
  for (const edge of edges) {
    const lines = (edge.a.item ? 0 : 1) + (edge.b.item ? 0 : 1);
    edge.rank = edge.a.item && edge.a.item.minor ? 0 : lines === 2 ? 2e6 : (up.get(edge.a) + down.get(edge.b)) * 4 - lines;
  }
  for (const edge of longestPath(layers, up, down)) edge.rank = 3e6;
  const sorted = edges.slice().sort((e, f) => f.rank - e.rank || Math.abs(e.a.pos - e.b.pos) - Math.abs(f.a.pos - f.b.pos));
  for (const layer of layers) for (const v of layer) { v.above = null; v.below = null; }
  for (const edge of sorted) {
    if (edge.a.below || edge.b.above || blocked(edge, layers[edge.a.layer])) continue;
    edge.a.below = edge;
    edge.b.above = edge;
    edge.straight = true;
  }
}

// From the vertex with the longest way down, preferably one where the flow enters, always on along the longest way.
function longestPath(layers, up, down) {
  let start = null;
  for (const layer of layers) {
    for (const v of layer) {
      if (v.up.length || (v.item && v.item.minor)) continue;
      if (!start || down.get(v) > down.get(start)) start = v;
    }
  }
  const path = [];
  for (let v = start; v && v.down.length;) {
    let best = v.down[0];
    for (const e of v.down) {
      const gain = down.get(e.b) - down.get(best.b);
      if (gain > 0 || (gain === 0 && e.b.down.length > 0 && Math.abs(e.b.pos - v.pos) < Math.abs(best.b.pos - v.pos))) best = e;
    }
    path.push(best);
    v = best.b;
  }
  return path;
}

function blocked(edge, layer) {
  for (let i = edge.a.pos - 1; i >= 0; i -= 1) {
    if (layer[i].below) { if (layer[i].below.b.pos > edge.b.pos) return true; break; }
  }
  for (let i = edge.a.pos + 1; i < layer.length; i += 1) {
    if (layer[i].below) { if (layer[i].below.b.pos < edge.b.pos) return true; break; }
  }
  return false;
}

function makeBlocks(layers) {
  const blocks = [];
  for (const layer of layers) {
    for (const vertex of layer) {
      if (vertex.above) continue;
      const block = { vertices: [], x: 0, left: new Map(), right: new Map() };
      let shift = 0;
      for (let v = vertex; v; v = v.below ? v.below.b : null) {
        if (v !== vertex) shift += v.above.offA - v.above.offB;
        v.block = block;
        v.shift = shift;
        block.vertices.push(v);
      }
      blocks.push(block);
    }
  }
  for (const layer of layers) {
    for (let i = 0; i + 1 < layer.length; i += 1) {
      const p = layer[i], q = layer[i + 1];
      const gap = (p.w + q.w) / 2 + (p.item && q.item ? GAP : GAP_LINE) + p.shift - q.shift;
      if (p.block === q.block) continue;
      p.block.right.set(q.block, Math.max(gap, p.block.right.get(q.block) ?? -Infinity));
      q.block.left.set(p.block, Math.max(gap, q.block.left.get(p.block) ?? -Infinity));
    }
  }
  return blocks;
}

function sortBlocks(blocks) {
  const waiting = new Map(blocks.map((b) => [b, b.left.size]));
  const ready = blocks.filter((b) => !b.left.size).reverse(), order = [];
  while (ready.length) {
    const block = ready.pop();
    order.push(block);
    for (const right of block.right.keys()) {
      waiting.set(right, waiting.get(right) - 1);
      if (!waiting.get(right)) ready.push(right);
    }
  }
  if (order.length < blocks.length) { // cannot happen while straight edges do not cross; a picture is better than none
    const known = new Set(order);
    for (const block of blocks) if (!known.has(block)) order.push(block);
  }
  return order;
}

function pack(order) {
  for (const block of order) {
    let low = 0;
    block.left.forEach((gap, other) => { low = Math.max(low, other.x + gap); });
    block.x = low;
  }
}

// Each block moves to the mean of the ends of its edges, as far as its neighbours let it.
function pull(order) {
  for (const block of order) {
    let total = 0, weight = 0;
    for (const v of block.vertices) {
      for (const e of v.up) {
        if (e.straight) continue;
        const w = e.a.item && v.item ? 2 : 1;
        total += w * (e.a.block.x + e.a.shift + e.offA - e.offB - v.shift); weight += w;
      }
      for (const e of v.down) {
        if (e.straight) continue;
        const w = e.b.item && v.item ? 2 : 1;
        total += w * (e.b.block.x + e.b.shift + e.offB - e.offA - v.shift); weight += w;
      }
    }
    let low = -Infinity, high = Infinity;
    block.left.forEach((gap, other) => { low = Math.max(low, other.x + gap); });
    block.right.forEach((gap, other) => { high = Math.min(high, other.x - gap); });
    const want = weight ? total / weight : block.x;
    block.x = Math.max(low, Math.min(high, want));
  }
}
