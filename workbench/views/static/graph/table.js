// The accessible twin: every change as a row, equal ones together; sortable, and reachable by keys.

import { clean, count, el, shortOp } from "./format.js";
import { formatMetric } from "./bar.js";
import { METRICS, STATUS } from "./status.js";

const PAGE = 100;

export class ChangeTable {
  constructor(view) {
    this.view = view;
    this.sort = { key: "", down: true };
    this.open = new Map(); // pattern key -> rows shown
    this.patterns = null;
    this.node = el("div", { class: "gd-changes" });
  }

  render() {
    const { view } = this;
    if (!view.painted) return; // the picture first
    this.patterns ||= makePatterns(view.model);
    const metric = view.barMetric, filter = view.filter && view.filter.index;
    const rows = this.patterns.filter((p) => filter === null || filter === undefined || p.status === filter);
    rows.sort((p, q) => this.compare(p, q, metric));
    const columns = [["what", "Change"], ["n", "Count"], ...(metric ? [["before", "before"], ["after", "after"]] : [])];
    const head = el("tr", {}, columns.map(([key, title]) => el("th", { scope: "col", "aria-sort": this.sort.key === key ? (this.sort.down ? "descending" : "ascending") : "none" },
      el("button", { type: "button", "data-sort": key, onclick: () => this.sortBy(key) }, title, this.sort.key === key ? (this.sort.down ? " ▾" : " ▴") : ""))));
    const body = el("tbody", {}, rows.map((p) => this.patternRows(p, metric)));
    const focused = this.node.getRootNode().activeElement, key = focused && this.node.contains(focused) ? focused.dataset.key || focused.dataset.sort : null;
    this.node.replaceChildren(el("table", { onkeydown: (event) => this.key(event) },
      el("caption", {}, `${count(rows.reduce((n, p) => n + p.groups.length, 0))} changes in ${count(rows.length)} kinds${metric ? `, with their ${METRICS[metric].title}` : ""}`), el("thead", {}, head), body));
    if (key) { const again = [...this.node.querySelectorAll("button")].find((b) => b.dataset.key === key || b.dataset.sort === key); if (again) again.focus(); }
  }

  // Without a chosen order: what changed before what was kept, then what costs most.
  compare(p, q, metric) {
    const { key, down } = this.sort, sign = down ? -1 : 1, cost = (r) => (metric ? Math.max(r.sums[0][metric], r.sums[1][metric]) : r.groups.length);
    if (!key) return (p.status === 0) - (q.status === 0) || cost(q) - cost(p) || q.groups.length - p.groups.length;
    if (key === "what") return -sign * (p.status - q.status || p.text.localeCompare(q.text));
    if (key === "n") return sign * (p.groups.length - q.groups.length);
    const s = key === "before" ? 0 : 1;
    return sign * (p.sums[s][metric] - q.sums[s][metric]);
  }

  sortBy(key) {
    this.sort = { key, down: this.sort.key === key ? !this.sort.down : true };
    this.render();
  }

  patternRows(p, metric) {
    const { model } = this.view, name = model.statuses[p.status], shown = this.open.get(p.key), single = p.groups.length === 1;
    const act = () => { if (single) this.choose(p.groups[0]); else { if (shown) this.open.delete(p.key); else this.open.set(p.key, PAGE); this.render(); } };
    const rows = [el("tr", { class: "gd-kind" },
      el("td", {}, el("button", { type: "button", class: `gd-s-${name}`, "data-key": p.key, "aria-expanded": single ? null : String(Boolean(shown)), title: `${name}: ${p.text}`, onclick: act },
        el("i", { "aria-hidden": "true" }, STATUS[name].glyph), el("span", { class: "gd-hidden" }, `${name}: `), el("span", { class: "gd-what" }, p.text))),
      el("td", {}, count(p.groups.length)), this.costs(p.sums, metric))];
    if (shown) {
      for (const g of p.groups.slice(0, shown)) rows.push(this.groupRow(g, metric));
      if (p.groups.length > shown) {
        rows.push(el("tr", {}, el("td", { colspan: "4" }, el("button", { type: "button", class: "gd-more", onclick: () => { this.open.set(p.key, shown + PAGE); this.render(); } },
          `Show ${count(Math.min(PAGE, p.groups.length - shown))} more of ${count(p.groups.length - shown)}`))));
      }
    }
    return rows;
  }

  groupRow(g, metric) {
    const { model } = this.view, [s, leaf] = firstLeaf(model, g);
    const sums = [0, 1].map((k) => sumOf(model, k, g));
    return el("tr", { class: "gd-one" }, el("td", {}, el("button", { type: "button", "data-key": `g${g}`, title: model.strings[model.groups.summary[g]], onclick: () => this.choose(g) },
      el("span", { class: "gd-what" }, leaf >= 0 ? clean(model.sides[s].name(leaf)) : "empty"))),
    el("td", {}, `${model.groups.of(0, g).length} → ${model.groups.of(1, g).length}`), this.costs(sums, metric));
  }

  costs(sums, metric) {
    if (!metric) return [];
    return sums.map((sum) => el("td", {}, sum[metric] ? formatMetric(metric, sum[metric]) : "–"));
  }

  choose(g) {
    const [side, leaf] = firstLeaf(this.view.model, g);
    if (leaf >= 0) this.view.select({ side, leaf, group: -1 }, { reveal: true });
  }

  key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const buttons = [...this.node.querySelectorAll("tbody button")], at = buttons.indexOf(event.target);
    const next = buttons[at + step];
    if (next) next.focus();
    event.preventDefault();
  }
}

// The node that stands for a change: the last one before, else the first one after.
function firstLeaf(model, g) {
  const before = model.groups.of(0, g), after = model.groups.of(1, g);
  return before.length ? [0, before[before.length - 1]] : [1, after.length ? after[0] : -1];
}

export function sumOf(model, s, g) {
  const list = model.groups.of(s, g), out = {};
  for (const key of Object.keys(METRICS)) {
    out[key] = 0;
    for (const leaf of list) out[key] += model.sides[s].metric[key][leaf];
  }
  return out;
}

// Changes of the same operators with the same status are one kind.
function makePatterns(model) {
  const found = new Map(), { groups } = model, keys = Object.keys(METRICS);
  for (let g = 0; g < groups.status.length; g += 1) {
    const lists = [groups.of(0, g), groups.of(1, g)];
    let key = `${groups.status[g]}`;
    for (let s = 0; s < 2; s += 1) {
      key += ">";
      for (let i = 0; i < lists[s].length && i < 60; i += 1) key += `${model.sides[s].ops[lists[s][i]]},`;
    }
    let pattern = found.get(key);
    if (!pattern) {
      pattern = { key, text: patternText(model, g), status: groups.status[g], groups: [], sums: [0, 1].map(() => Object.fromEntries(keys.map((k) => [k, 0]))) };
      found.set(key, pattern);
    }
    pattern.groups.push(g);
    for (let s = 0; s < 2; s += 1) {
      for (const metric of keys) for (const leaf of lists[s]) pattern.sums[s][metric] += model.sides[s].metric[metric][leaf];
    }
  }
  return [...found.values()];
}

function patternText(model, g) {
  const parts = [0, 1].map((s) => runs([...model.groups.of(s, g).subarray(0, 60)].map((i) => shortOp(model.sides[s].op(i)))));
  const kept = model.statuses[model.groups.status[g]] === "kept";
  return clean(kept && parts[0] ? parts[0] : parts.filter(Boolean).join(" → "));
}

// ['Mul', 'Mul', 'Add'] -> '2 Mul + Add'
function runs(ops) {
  const parts = [];
  for (const op of ops) {
    const last = parts[parts.length - 1];
    if (last && last.op === op) last.n += 1; else parts.push({ op, n: 1 });
  }
  const texts = parts.slice(0, 9).map(({ op, n }) => (n > 1 ? `${n} ${op}` : op));
  return texts.join(" + ") + (parts.length > 9 ? " + …" : "");
}
