// What is open, where everything stands, what lies under the pointer. Lays out only what changed.

import { FONT, HEADER } from "./items.js";
import { inset, layoutGroup } from "./layout.js";

const MOST_OPEN = 30000; // boxes a side that "open all" shows

export class Scene {
  constructor(model) {
    this.model = model;
    this.expanded = Uint8Array.from(model.tree.expanded);
    this.cache = new Map();
    this.scratch = model.sides.map((side) => new Int32Array(side.n));
    this.leafItem = model.sides.map((side) => new Array(side.n));
    this.groupItem = model.sides.map(() => new Array(model.tree.count));
    this.pen = document.createElement("canvas").getContext("2d");
    this.widths = new Map();
    this.version = 0;
  }

  get root() { return this.layout(0); }

  layout(g) {
    let found = this.cache.get(g);
    if (!found) {
      found = layoutGroup(this, g);
      this.cache.set(g, found);
    }
    return found;
  }

  // Width of a text at 12 px.
  measure(text, bold = false) {
    const key = bold ? `b${text}` : text;
    let width = this.widths.get(key);
    if (width === undefined) {
      this.pen.font = `${bold ? 600 : 400} 12px ${FONT}`;
      width = this.pen.measureText(text).width;
      if (this.widths.size > 50000) this.widths.clear();
      this.widths.set(key, width);
    }
    return width;
  }

  forget(g) {
    for (let at = g; at >= 0; at = this.model.tree.parent[at]) this.cache.delete(at);
    this.version += 1;
  }

  setExpanded(g, open) {
    if (g === 0 || Boolean(this.expanded[g]) === open) return;
    this.expanded[g] = open ? 1 : 0;
    this.forget(g);
  }

  // Opens (or closes) one level everywhere. Returns whether anything changed.
  step(open) {
    const { tree } = this.model, chosen = [];
    let boxes = 0;
    for (let g = 1; g < tree.count; g += 1) {
      const shown = this.isShown(g);
      if (open && shown && !this.expanded[g] && tree.kind[g] !== "constants") chosen.push(g);
      if (!open && shown && this.expanded[g] && !tree.groups[g].some((c) => this.expanded[c])) chosen.push(g);
    }
    for (const g of chosen) {
      boxes += tree.leaves[0][g].length + tree.groups[g].length;
      if (open && boxes > MOST_OPEN) break;
      this.expanded[g] = open ? 1 : 0;
    }
    if (chosen.length) { this.cache.clear(); this.version += 1; }
    return chosen.length > 0;
  }

  // Everything, up to a number of boxes that still draws smoothly.
  openAll() {
    const { tree } = this.model;
    let boxes = 0;
    for (let g = 1; g < tree.count && boxes < MOST_OPEN; g += 1) {
      boxes += Math.max(tree.leaves[0][g].length, tree.leaves[1][g].length);
      if (tree.kind[g] !== "constants") this.expanded[g] = 1;
    }
    this.cache.clear();
    this.version += 1;
    return boxes < MOST_OPEN;
  }

  closeAll() {
    this.expanded = Uint8Array.from(this.model.tree.expanded);
    this.cache.clear();
    this.version += 1;
  }

  isShown(g) {
    for (let at = this.model.tree.parent[g]; at > 0; at = this.model.tree.parent[at]) if (!this.expanded[at]) return false;
    return true;
  }

  // Groups around a node, outermost first.
  path(g) {
    const path = [];
    for (let at = g; at > 0; at = this.model.tree.parent[at]) path.push(at);
    return path.reverse();
  }

  // The box that shows a node now: itself or the closed group around it.
  itemOfLeaf(s, leaf) {
    const home = this.model.sides[s].parent[leaf];
    for (const g of this.path(home)) if (!this.expanded[g]) return this.itemOfGroup(s, g);
    this.root; // items exist once laid out
    return this.leafItem[s][leaf];
  }

  itemOfGroup(s, g) {
    for (const above of this.path(g)) {
      if (above === g) break;
      if (!this.expanded[above]) return this.itemOfGroup(s, above);
    }
    this.root;
    const { tree } = this.model;
    return tree.end[s][g] > tree.start[s][g] ? this.groupItem[s][g] : null;
  }

  reveal(g) {
    for (const at of this.path(g)) this.setExpanded(at, true);
  }

  // Top left corner in the coordinates of the side.
  place(item) {
    let { x, y } = item;
    for (let g = item.parent; g > 0;) {
      const frame = this.groupItem[item.side][g];
      x += frame.x + inset(frame);
      y += frame.y + HEADER;
      g = frame.parent;
    }
    return { x, y };
  }

  // {item, frame, stub}: the innermost box at a point; frame is true on the head of an open group.
  hit(s, x, y) {
    let layout = this.root, found = null;
    for (;;) {
      let next = null;
      for (const item of layout.items[s]) {
        const stub = stubAt(item, x, y);
        if (stub) return { item, frame: false, stub };
        if (x < item.x || x > item.x + item.w || y < item.y || y > item.y + item.h) continue;
        if (!item.sub) return { item, frame: false, stub: null };
        next = item;
      }
      if (!next) return found;
      if (y < next.y + HEADER) return { item: next, frame: true, stub: null };
      found = { item: next, frame: true, inside: true, stub: null };
      x -= next.x + inset(next);
      y -= next.y + HEADER;
      layout = next.sub;
    }
  }

  // All boxes of one side that are on the screen tree now, frames included.
  *items(s, layout = this.root) {
    for (const item of layout.items[s]) {
      yield item;
      if (item.sub) yield* this.items(s, item.sub);
    }
  }
}

// Stubs stand above the left corner (in) and below the right one (out).
function stubAt(item, x, y) {
  if (item.sub) return null;
  if (item.stubsIn.length && y > item.y - 14 && y < item.y - 1 && x > item.x && x < item.x + Math.min(110, item.w)) return { way: "in", list: item.stubsIn };
  if (item.stubsOut.length && y > item.y + item.h + 1 && y < item.y + item.h + 14 && x > item.x + item.w - Math.min(110, item.w) && x < item.x + item.w) {
    return { way: "out", list: item.stubsOut };
  }
  return null;
}
