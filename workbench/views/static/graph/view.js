// The widget: two panes on one canvas, the bar above, the panel beside; selection, filter and heat live here.

import { counterparts, leafCount } from "./data.js";
import { count, el, plural } from "./format.js";
import { attachInput } from "./input.js";
import { Minimap, paintBands, paintMarks as paintOverlay, paintSelectedEdges } from "./overlay.js";
import { paintSide } from "./paint.js";
import { Panel } from "./panel.js";
import { Scene } from "./scene.js";
import { SearchBox } from "./search.js";
import { METRICS, STATUS } from "./status.js";
import { Theme } from "./theme.js";
import { legend, makeBar } from "./bar.js";

const MIDDLE = 36, MIN_ZOOM = 0.004, MAX_ZOOM = 2.5, TOP = 14;

export class GraphView {
  // host: element that holds the shadow root; options: {height, theme, heat, onSelect}.
  constructor(host, shadow, model, options) {
    Object.assign(this, { host, model, options, view: { x: 0, y: 0, z: 1 }, filter: null, selected: null, marks: [], hover: null });
    this.scene = new Scene(model);
    this.heat = METRICS[options.heat] && this.hasMetric(options.heat) ? options.heat : "";
    this.minimap = new Minimap();
    this.build(shadow);
    this.theme = new Theme(this.root, () => this.draw());
    if (options.theme && options.theme !== "auto") this.theme.set(options.theme);
    this.panel = new Panel(this);
    this.search = new SearchBox(this);
    attachInput(this);
    this.sizer = new ResizeObserver(() => this.resize());
    this.sizer.observe(this.stage);
    this.resize();
  }

  build(shadow) {
    this.canvas = el("canvas", {
      class: "gd-canvas", tabindex: "0", role: "application", "aria-roledescription": "graph pair",
      "aria-label": `${this.model.title || "Graph"}: before and after. Arrow keys walk edges, Enter opens and closes, c goes to the counterpart, slash searches.`,
    });
    this.live = el("div", { class: "gd-hidden", "aria-live": "polite" });
    this.legend = el("div", { class: "gd-legend" });
    this.tip = el("div", { class: "gd-tip", role: "tooltip", hidden: true });
    const heads = el("div", { class: "gd-heads" }, this.model.sides.map((side, s) => el("div", {},
      el("b", {}, s ? "After" : "Before"), ` ${side.title} `, el("span", {}, plural(side.count, "node")))));
    this.stage = el("div", { class: "gd-stage" }, this.canvas, this.legend, this.tip);
    this.aside = el("aside", { class: "gd-panel" });
    this.bar = makeBar(this);
    this.root = el("div", { class: "gd", "data-lm-suppress-shortcuts": "true" }, this.bar.node,
      el("div", { class: "gd-body" }, el("div", { class: "gd-graph" }, heads, this.stage), this.aside), this.live);
    if (this.options.height) this.root.style.setProperty("--gd-height", `${this.options.height}px`);
    shadow.append(this.root);
    this.ctx = this.canvas.getContext("2d");
  }

  hasMetric(key) { return key in METRICS && this.model.sides.some((side) => side.has[key]); }

  // The metric that the bars of closed groups show while no heat is chosen.
  get barMetric() { return this.heat || ["time_s", "flops", "bytes"].find((key) => this.hasMetric(key)) || ""; }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.stage;
    if (!width || !height) return;
    const first = !this.size, middle = width < 500 ? 16 : MIDDLE, half = (width - middle) / 2, ratio = Math.min(3, window.devicePixelRatio || 1);
    this.size = { width, height, ratio, panes: [{ x: 0, w: half }, { x: half + middle, w: half }] };
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    if (first) this.fit(false);
    this.paint();
  }

  // Fits the width, and the height too as long as the text stays readable.
  fit(whole) {
    const { root } = this.scene, { panes, height } = this.size;
    const wide = (panes[0].w - 24) / Math.max(...root.w, 60), high = (height - 2 * TOP) / Math.max(root.h, 60);
    const zoom = whole ? Math.min(wide, high, 1.2) : Math.max(Math.min(wide, 1, Math.max(high, 0.78)), Math.min(wide, 0.45));
    this.view = { x: 0, y: 0, z: clamp(zoom, MIN_ZOOM, MAX_ZOOM) };
    if (Math.max(...root.w) * zoom <= panes[0].w) this.view.x = mean([0, 1].map((s) => root.w[s] / 2 - root.middle[s]));
    const spare = height / this.view.z - root.h;
    this.view.y = spare > 0 ? -spare / 2 : -TOP / this.view.z;
    this.draw();
  }

  zoomAt(factor, x, y) {
    const { panes } = this.size, pane = x < panes[1].x ? panes[0] : panes[1], z = clamp(this.view.z * factor, MIN_ZOOM, MAX_ZOOM);
    const dx = x - pane.x - pane.w / 2;
    this.view.x += dx / this.view.z - dx / z;
    this.view.y += y / this.view.z - y / z;
    this.view.z = z;
    this.bound();
    this.draw();
  }

  panBy(dx, dy) {
    this.view.x -= dx / this.view.z;
    this.view.y -= dy / this.view.z;
    this.bound();
    this.draw();
  }

  // Some of the graph always stays on the screen.
  bound() {
    const { root } = this.scene, w = Math.max(...root.w) + this.size.panes[0].w / 2 / this.view.z - 80 / this.view.z;
    const h = this.size.height / this.view.z;
    this.view.x = clamp(this.view.x, -w, w);
    this.view.y = clamp(this.view.y, 80 / this.view.z - h, root.h - 60 / this.view.z);
  }

  draw() {
    if (this.waiting || !this.size) return;
    this.waiting = requestAnimationFrame(() => { this.waiting = 0; this.paint(); });
  }

  paint() {
    const { ctx, theme, view, scene, size } = this, { ratio, panes, width, height } = size;
    if (!theme) return;
    const total = this.heat ? Math.max(...this.model.totals[this.heat]) : 0, metric = this.barMetric;
    const most = metric ? Math.max(...this.model.totals[metric]) : 0;
    const barShare = (item) => (most ? this.model.tree.sums[item.side][metric][item.group] / most : 0);
    const frame = { ctx, scene, theme, zoom: view.z, heat: this.heat, total, filter: this.filter, barShare };
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.fillStyle = theme.ground;
    ctx.fillRect(0, 0, width, height);
    for (let s = 0; s < 2; s += 1) {
      const pane = panes[s], [tx, ty] = this.origin(s);
      ctx.save();
      ctx.beginPath();
      ctx.rect(pane.x, 0, pane.w, height);
      ctx.clip();
      ctx.setTransform(view.z * ratio, 0, 0, view.z * ratio, tx * ratio, ty * ratio);
      paintSide(frame, s, [(pane.x - tx) / view.z, -ty / view.z, (pane.x + pane.w - tx) / view.z, (height - ty) / view.z]);
      const marks = this.marks.filter((mark) => mark.item.side === s);
      for (const mark of marks) if (mark.how === "selected") paintSelectedEdges(frame, mark.item);
      paintOverlay(frame, marks);
      ctx.restore();
    }
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.fillStyle = theme.raised;
    ctx.fillRect(panes[0].w, 0, panes[1].x - panes[0].w, height);
    paintBands(ctx, theme, this.marks.map((mark) => ({ side: mark.item.side, ...this.screenBox(mark.item) })), panes, height);
    this.minimap.paint(frame, view, size);
    if (!this.painted) this.ready();
  }

  ready() {
    this.painted = true;
    legend(this);
    setTimeout(() => this.panel.table.render(), 0);
    this.host.dataset.ready = "true";
    this.host.dispatchEvent(new CustomEvent("graphdiff-ready"));
  }

  // Where the origin of a side lies on the canvas.
  origin(s) {
    const pane = this.size.panes[s];
    return [pane.x + pane.w / 2 - (this.scene.root.middle[s] + this.view.x) * this.view.z, -this.view.y * this.view.z];
  }

  screenBox(item) {
    const at = this.scene.place(item), [tx, ty] = this.origin(item.side), { z } = this.view;
    return { x: at.x * z + tx, y: at.y * z + ty, w: item.w * z, h: item.h * z };
  }

  hitAt(x, y) {
    const { panes } = this.size, s = x <= panes[0].w ? 0 : x >= panes[1].x ? 1 : -1;
    if (s < 0) return null;
    const [tx, ty] = this.origin(s);
    return this.scene.hit(s, (x - tx) / this.view.z, (y - ty) / this.view.z);
  }

  // target: {side, leaf} or {side, group}, or null.
  select(target, { reveal = false, tell = true, focus = true } = {}) {
    this.selected = target;
    if (target && reveal) {
      const { tree, sides } = { tree: this.model.tree, sides: this.model.sides };
      this.scene.reveal(target.leaf >= 0 ? sides[target.side].parent[target.leaf] : tree.parent[target.group]);
    }
    this.mark();
    if (target && focus) this.bring(this.marks.find((mark) => mark.how === "selected"));
    this.panel.show();
    const said = target ? this.describe(target) : "";
    this.live.textContent = said;
    const name = (s, leaf) => this.model.sides[s].name(leaf);
    this.host.dataset.selected = target ? (target.leaf >= 0 ? name(target.side, target.leaf) : this.model.tree.title[target.group]) : "";
    this.host.dataset.counterparts = JSON.stringify(this.otherLeaves().slice(0, 50).map((leaf) => name(1 - target.side, leaf)));
    if (tell && this.options.onSelect) {
      this.options.onSelect(target ? { side: target.side ? "after" : "before", name: this.host.dataset.selected, kind: target.leaf >= 0 ? "node" : "group" } : {});
    }
    this.draw();
  }

  otherLeaves() {
    const t = this.selected;
    if (!t || !(t.leaf >= 0)) return [];
    return counterparts(this.model, t.side, t.leaf).other;
  }

  // Boxes to highlight for the selection, each once.
  mark() {
    const t = this.selected, marks = new Map(), put = (item, how) => { if (item && !marks.has(item)) marks.set(item, how); };
    if (t && t.leaf >= 0) {
      const found = counterparts(this.model, t.side, t.leaf);
      put(this.scene.itemOfLeaf(t.side, t.leaf), "selected");
      for (const leaf of found.same.slice(0, 400)) put(this.scene.itemOfLeaf(t.side, leaf), "same");
      for (const leaf of found.other.slice(0, 400)) put(this.scene.itemOfLeaf(1 - t.side, leaf), "other");
    } else if (t) {
      put(this.scene.itemOfGroup(t.side, t.group), "selected");
      if (leafCount(this.model, 1 - t.side, t.group)) put(this.scene.itemOfGroup(1 - t.side, t.group), "other");
    }
    this.marks = [...marks].map(([item, how]) => ({ item, how }));
  }

  // Pans so that a marked box is in sight.
  bring(mark) {
    if (!mark || !this.size) return;
    const b = this.screenBox(mark.item), pane = this.size.panes[mark.item.side], { height } = this.size;
    if (this.view.z < 0.3 && !mark.item.sub) { this.view.z = 0.6; return this.center(mark.item); }
    const dy = b.y < 24 ? 24 - b.y : b.y + Math.min(b.h, height - 60) > height - 24 ? height - 24 - b.y - Math.min(b.h, height - 60) : 0;
    const dx = b.x < pane.x + 8 ? pane.x + 8 - b.x : b.x + Math.min(b.w, pane.w - 20) > pane.x + pane.w - 8 ? pane.x + pane.w - 8 - b.x - Math.min(b.w, pane.w - 20) : 0;
    if (Math.abs(dy) > height * 0.7) return this.center(mark.item);
    if (dx || dy) this.panBy(dx, dy);
    return null;
  }

  center(item) {
    const at = this.scene.place(item), { root } = this.scene;
    this.view.x = at.x + item.w / 2 - root.middle[item.side];
    this.view.y = at.y + item.h / 2 - this.size.height / 2 / this.view.z;
    this.bound();
    this.draw();
  }

  describe(t) {
    const side = this.model.sides[t.side], where = t.side ? "After" : "Before";
    if (t.leaf >= 0) {
      const status = side.isPill(t.leaf) ? side.op(t.leaf) : side.statuses[side.status[t.leaf]];
      const other = counterparts(this.model, t.side, t.leaf).other.map((i) => this.model.sides[1 - t.side].op(i));
      return `${where}: ${side.op(t.leaf)} ${side.name(t.leaf)}, ${status}${other.length ? `, counterpart ${other.slice(0, 3).join(", ")}` : ", no counterpart"}`;
    }
    const open = this.scene.expanded[t.group] ? "open" : "closed";
    return `${where}: group ${this.model.tree.title[t.group] || "all"}, ${plural(leafCount(this.model, t.side, t.group), "node")}, ${open}`;
  }

  // Opens or closes a group; its box stays where it is on the screen.
  toggle(g, s) {
    const item = this.scene.itemOfGroup(s, g) || this.scene.itemOfGroup(1 - s, g);
    const before = item && this.screenBox(item);
    this.scene.setExpanded(g, !this.scene.expanded[g]);
    this.mark();
    const now = this.scene.itemOfGroup(item ? item.side : s, g);
    if (before && now) {
      const after = this.screenBox(now);
      this.view.y += (after.y - before.y) / this.view.z;
      this.view.x += (after.x + after.w / 2 - before.x - before.w / 2) / this.view.z;
    }
    if (this.selected && this.selected.group === g) this.live.textContent = this.describe(this.selected);
    this.bound();
    this.draw();
  }

  relayout(change) {
    const answer = change();
    this.mark();
    this.bound();
    this.draw();
    return answer;
  }

  setHeat(key) {
    this.heat = this.hasMetric(key) ? key : "";
    if (this.options.onHeat) this.options.onHeat(this.heat);
    this.bar.refresh();
    legend(this);
    this.panel.table.render();
    this.draw();
  }

  setFilter(status) {
    this.filter = status ? { name: status, index: this.model.statuses.indexOf(status) } : null;
    this.bar.refresh();
    this.panel.table.render();
    this.live.textContent = status ? `Only ${status}: ${count(this.model.counts[status] || 0)} changes, ${STATUS[status].says}` : "All changes";
    this.draw();
  }

  close() {
    this.sizer.disconnect();
    this.theme.close();
    if (this.waiting) cancelAnimationFrame(this.waiting);
  }
}

function clamp(value, low, high) {
  return Math.max(Math.min(low, high), Math.min(Math.max(low, high), value));
}

function mean(values) {
  return values.reduce((sum, v) => sum + v, 0) / values.length;
}
