// Left to right inside the layers of one side: few crossings, a stable order.

// Vertices {layer, pos, up: [edge], down: [edge]}; edges {a, b, offA, offB} join neighbouring layers.
export function orderLayers(layers, starting) {
  if (starting) layers.forEach((layer) => layer.sort((p, q) => p.hint - q.hint));
  else depthFirst(layers);
  number(layers);
  let best = snapshot(layers), least = crossings(layers);
  for (let sweep = 0; sweep < 10 && least > 0; sweep += 1) {
    const down = sweep % 2 === 0;
    for (let k = 1; k < layers.length; k += 1) arrange(down ? layers[k] : layers[layers.length - 1 - k], down);
    swapNeighbours(layers);
    const now = crossings(layers);
    if (now < least) { least = now; best = snapshot(layers); }
  }
  best.forEach((layer, k) => { layers[k] = layer; });
  number(layers);
}

function number(layers) {
  for (const layer of layers) layer.forEach((vertex, i) => { vertex.pos = i; });
}

function snapshot(layers) {
  return layers.map((layer) => layer.slice());
}

// First picture of the order: follow each path to its end, real nodes before passing edges, so that the main path
// stands left of the shortcuts around it.
function depthFirst(layers) {
  const placed = layers.map(() => []), seen = new Set();
  for (const layer of layers) {
    for (const root of layer) {
      const stack = [root];
      while (stack.length) {
        const vertex = stack.pop();
        if (seen.has(vertex)) continue;
        seen.add(vertex);
        placed[vertex.layer].push(vertex);
        const below = vertex.down.map((edge) => edge.b);
        below.sort((p, q) => (q.item ? 0 : 1) - (p.item ? 0 : 1));
        stack.push(...below);
      }
    }
  }
  placed.forEach((layer, k) => { layers[k] = layer; });
}

function arrange(layer, down) {
  for (const vertex of layer) {
    const edges = down ? vertex.up : vertex.down;
    if (!edges.length) { vertex.key = vertex.pos; continue; }
    let total = 0;
    for (const edge of edges) total += down ? edge.a.pos + edge.offA * 1e-4 : edge.b.pos + edge.offB * 1e-4;
    vertex.key = total / edges.length;
  }
  layer.sort((p, q) => p.key - q.key || p.pos - q.pos);
  layer.forEach((vertex, i) => { vertex.pos = i; });
}

function swapNeighbours(layers) {
  for (const layer of layers) {
    if (layer.length > 120) continue;
    for (let pass = 0, moved = true; moved && pass < 4; pass += 1) {
      moved = false;
      for (let i = 0; i + 1 < layer.length; i += 1) {
        const p = layer[i], q = layer[i + 1];
        if (pairCrossings(q, p) < pairCrossings(p, q)) {
          layer[i] = q; layer[i + 1] = p;
          q.pos = i; p.pos = i + 1;
          moved = true;
        }
      }
    }
  }
}

function pairCrossings(p, q) {
  let n = 0;
  for (const e of p.up) for (const f of q.up) if (e.a.pos > f.a.pos || (e.a === f.a && e.offA > f.offA)) n += 1;
  for (const e of p.down) for (const f of q.down) if (e.b.pos > f.b.pos || (e.b === f.b && e.offB > f.offB)) n += 1;
  return n;
}

export function crossings(layers) {
  let total = 0;
  for (let k = 0; k + 1 < layers.length; k += 1) {
    const ends = [];
    for (const vertex of layers[k]) {
      const edges = vertex.down.slice().sort((e, f) => e.b.pos - f.b.pos || e.offB - f.offB);
      for (const edge of edges) ends.push(edge.b.pos);
    }
    total += inversions(ends, layers[k + 1].length);
  }
  return total;
}

// Pairs out of order, counted with a Fenwick tree.
function inversions(ends, width) {
  const tree = new Int32Array(width + 2);
  let total = 0;
  for (let i = ends.length - 1; i >= 0; i -= 1) {
    for (let k = ends[i]; k > 0; k -= k & -k) total += tree[k];
    for (let k = ends[i] + 1; k <= width; k += k & -k) tree[k] += 1;
  }
  return total;
}
