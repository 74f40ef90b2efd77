// From placed vertices to the lines that are drawn.

import { PAD } from "./items.js";

const STEP = 11;

// Several edges at one side of a box part from each other; a vertical one keeps the middle.
export function spreadEnds(side) {
  for (const vertex of side.vertices) {
    if (!vertex.item || vertex.item.sub) {
      for (const edge of vertex.up) edge.endB = edge.offB;
      for (const edge of vertex.down) edge.endA = edge.offA;
      continue;
    }
    spread(vertex, vertex.up, (edge) => edge.a.x + edge.endA, (edge, off) => { edge.endB = off; });
    spread(vertex, vertex.down, (edge) => edge.b.x, (edge, off) => { edge.endA = off; });
  }
}

function spread(vertex, edges, far, set) {
  if (edges.length < 2) { edges.forEach((edge) => set(edge, 0)); return; }
  const room = vertex.w / 2 - 10;
  const left = [], right = [];
  for (const edge of edges) {
    const dx = far(edge) - vertex.x;
    if (Math.abs(dx) < 1) set(edge, 0);
    else (dx < 0 ? left : right).push(edge);
  }
  for (const [list, sign] of [[left, -1], [right, 1]]) {
    list.sort((e, f) => Math.abs(far(e) - vertex.x) - Math.abs(far(f) - vertex.x));
    const step = Math.min(STEP, room / Math.max(1, list.length));
    list.forEach((edge, i) => set(edge, sign * Math.min(Math.abs(far(edge) - vertex.x), step * (i + 1))));
  }
}

// Edges of one side: {a, b, u, points: Float32Array of x, y pairs, low, high: y range}.
export function routeEdges(side, bands, result, s) {
  const layers = side.layers.length, used = side.used;
  for (const vertex of side.layers[0]) result.inX[s].set(vertex.port, vertex.x);
  for (const vertex of side.layers[layers - 1]) result.outX[s].set(vertex.port, vertex.x);
  return side.paths.map(({ wire, edges }) => {
    const points = [];
    edges.forEach((edge, k) => {
      const from = edge.a, to = edge.b;
      if (k === 0) {
        const y = from.item ? from.item.y + from.item.h : 0;
        points.push(from.x + edge.endA, y);
        const floor = from.item ? bands.top[from.item.row] + bands.tall[from.item.row] : 0;
        if (floor > y + 1) points.push(from.x + edge.endA, floor);
      } else if (!edges[k - 1].dropped) {
        points.push(from.x, bands.top[used[from.layer - 1]] + bands.tall[used[from.layer - 1]]);
      }
      const last = k === edges.length - 1;
      edge.dropped = !last && edges[k + 1] && Math.abs(edges[k + 1].b.x + edges[k + 1].endB - to.x) < 0.5 && Math.abs(from.x + edge.endA - to.x) < 0.5;
      if (edge.dropped) return;
      if (!last) { points.push(to.x, bands.top[used[to.layer - 1]]); return; }
      if (to.item) {
        const ceiling = bands.top[to.item.row];
        if (ceiling < to.item.y - 1) points.push(to.x + edge.endB, ceiling);
        points.push(to.x + edge.endB, to.item.y);
      } else points.push(to.x, bands.height + PAD);
    });
    return { a: wire.a, b: wire.b, u: wire.u, points: Float32Array.from(points), low: points[1], high: points[points.length - 1] };
  });
}
