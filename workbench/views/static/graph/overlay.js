// On top of the two panes: the selection, its counterparts, the band between them, and the small map.

import { box, paintEdges, paintSide } from "./paint.js";

const MOST_BANDS = 24, MOST_WIRES = 60;

// marks: [{item, how}] with how 'selected', 'same' or 'other'; drawn in the coordinates of its side.
export function paintMarks(frame, marks) {
  const { ctx, theme, scene, zoom } = frame;
  for (const { item, how } of marks) {
    const at = scene.place(item);
    const wide = Math.max(how === "same" ? 1.5 : 2.5, (how === "same" ? 1.2 : 2) / zoom);
    ctx.strokeStyle = theme.accent;
    ctx.lineWidth = wide;
    ctx.setLineDash(how === "other" ? [6 / Math.min(1, zoom), 3 / Math.min(1, zoom)] : []);
    box(ctx, at.x - wide, at.y - wide, item.w + 2 * wide, item.h + 2 * wide, 8);
    ctx.stroke();
    if (how !== "same" && !item.sub) {
      ctx.globalAlpha = 0.1;
      ctx.fillStyle = theme.accent;
      ctx.fill();
      ctx.globalAlpha = 1;
    }
  }
  ctx.setLineDash([]);
}

// The edges of the selected box stand out, as far as they are drawn in its group.
export function paintSelectedEdges(frame, item) {
  const { ctx, scene, theme, zoom } = frame, s = item.side;
  const layout = scene.layout(item.parent), corner = scene.place(item);
  const ox = corner.x - item.x, oy = corner.y - item.y;
  const list = layout.edges[s].filter((e) => e.a === item || e.b === item).map((edge) => ({ edge, ox, oy }));
  paintEdges(ctx, list, theme.accent, Math.max(2, 1.4 / zoom), 0.95, false);
  if (item.leaf >= 0) paintHidden(frame, item);
}

// Edges that are not drawn otherwise (constants, stubs): straight, for the selection only.
function paintHidden(frame, item) {
  const { ctx, scene, theme, zoom } = frame, s = item.side, side = scene.model.sides[s], leaf = item.leaf;
  const ends = new Set();
  for (let e = side.outStart[leaf]; e < side.outStart[leaf + 1] && ends.size < MOST_WIRES; e += 1) {
    if (side.quiet[leaf] || side.hub[leaf]) ends.add(side.dst[side.outEdge[e]]);
  }
  for (let e = side.inStart[leaf]; e < side.inStart[leaf + 1] && ends.size < MOST_WIRES; e += 1) {
    const source = side.src[side.inEdge[e]];
    if (side.quiet[source] || side.hub[source]) ends.add(source);
  }
  const from = scene.place(item);
  ctx.strokeStyle = theme.accent;
  ctx.lineWidth = Math.max(1, 0.8 / zoom);
  ctx.setLineDash([3, 3]);
  ctx.globalAlpha = 0.7;
  ctx.beginPath();
  for (const end of ends) {
    const other = scene.itemOfLeaf(s, end);
    if (!other || other === item) continue;
    const to = scene.place(other);
    ctx.moveTo(from.x + item.w / 2, from.y + item.h / 2);
    ctx.lineTo(to.x + other.w / 2, to.y + other.h / 2);
  }
  ctx.stroke();
  ctx.setLineDash([]);
  ctx.globalAlpha = 1;
}

// Ribbons from boxes on the left to their counterparts on the right, in screen coordinates.
export function paintBands(ctx, theme, boxes, panes, height) {
  const [left, right] = [0, 1].map((s) => boxes.filter((b) => b.side === s).slice(0, MOST_BANDS));
  if (!left.length || !right.length) return;
  ctx.fillStyle = theme.accent;
  for (const p of left) {
    for (const q of right) {
      const x0 = Math.min(Math.max(p.x + p.w, panes[0].x), panes[0].x + panes[0].w);
      const x1 = Math.max(Math.min(q.x, panes[1].x + panes[1].w), panes[1].x);
      if ((p.y + p.h < 0 && q.y + q.h < 0) || (p.y > height && q.y > height)) continue;
      const bend = Math.max(20, (x1 - x0) * 0.45);
      ctx.globalAlpha = left.length * right.length > 4 ? 0.1 : 0.2;
      ctx.beginPath();
      ctx.moveTo(x0, p.y);
      ctx.bezierCurveTo(x0 + bend, p.y, x1 - bend, q.y, x1, q.y);
      ctx.lineTo(x1, q.y + q.h);
      ctx.bezierCurveTo(x1 - bend, q.y + q.h, x0 + bend, p.y + p.h, x0, p.y + p.h);
      ctx.fill();
    }
  }
  ctx.globalAlpha = 1;
}

export class Minimap {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.key = "";
    this.box = null;
  }

  // frame as for paintSide; view: {x, y, z}; stage: {width, height, panes, ratio}.
  paint(frame, view, stage) {
    const { ctx, scene, theme } = frame, root = scene.root;
    const shownH = stage.height / view.z, shownW = stage.panes[0].w / view.z;
    if (stage.width < 420 || stage.height < 220 || (root.h <= shownH && Math.max(...root.w) <= shownW)) { this.box = null; return; }
    const wide = Math.max(...root.w, 1), high = Math.max(root.h, 1);
    const h = Math.min(stage.height * 0.42, 190), sy = h / high;
    const w = Math.max(26, Math.min(44, wide * sy)), sx = w / wide;
    const W = 2 * w + 6;
    this.box = { x: stage.width - W - 12, y: stage.height - h - 12, w: W, h, one: w, sx, sy };
    this.draw(frame, stage.ratio);
    const { x, y } = this.box;
    ctx.globalAlpha = 0.95;
    ctx.fillStyle = theme.ground;
    ctx.strokeStyle = theme.rule;
    ctx.lineWidth = 1;
    box(ctx, x - 5, y - 5, W + 10, h + 10, 5);
    ctx.fill();
    ctx.stroke();
    ctx.globalAlpha = 1;
    ctx.drawImage(this.canvas, x, y, W, h);
    const top = Math.max(0, view.y * sy), tall = Math.min(h, (view.y + shownH) * sy) - top;
    ctx.strokeStyle = theme.accent;
    ctx.fillStyle = theme.accent;
    ctx.lineWidth = 1.5;
    ctx.globalAlpha = 0.12;
    ctx.fillRect(x, y + top, W, Math.max(3, tall));
    ctx.globalAlpha = 1;
    ctx.strokeRect(x, y + top, W, Math.max(3, tall));
  }

  draw(frame, ratio) {
    const { scene, theme, heat, filter } = frame, { w, h, one, sx, sy } = this.box;
    const key = [scene.version, theme.mode, theme.ground, heat, filter && filter.index, w.toFixed(1), h.toFixed(1), ratio].join("|");
    if (key === this.key) return;
    this.key = key;
    this.canvas.width = Math.ceil(w * ratio);
    this.canvas.height = Math.ceil(h * ratio);
    const ctx = this.canvas.getContext("2d"), root = scene.root;
    for (let s = 0; s < 2; s += 1) {
      ctx.setTransform(sx * ratio, 0, 0, sy * ratio, ratio * (s * (one + 6) + (one - root.w[s] * sx) / 2), 0);
      paintSide({ ...frame, ctx, zoom: Math.min(0.13, sy), plain: true }, s, [-1e9, -1e9, 1e9, 1e9]);
    }
  }

  // Whether a point of the stage lies on the map; if so, the y of the graph under it.
  at(x, y) {
    const b = this.box;
    if (!b || x < b.x - 5 || x > b.x + b.w + 5 || y < b.y - 5 || y > b.y + b.h + 5) return null;
    return (y - b.y) / b.sy;
  }
}

