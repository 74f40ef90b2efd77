// Beside the panes: the table of changes, and everything about the selection.

import { counterparts, leafCount, operatorCounts } from "./data.js";
import { clean, count, el, plural, shortOp, significant } from "./format.js";
import { formatMetric } from "./bar.js";
import { METRICS, STATUS } from "./status.js";
import { ChangeTable, sumOf } from "./table.js";

const MOST = 30;

export class Panel {
  constructor(view) {
    this.view = view;
    this.table = new ChangeTable(view);
    this.tab = "changes";
    this.tabs = ["changes", "selection"].map((id) => el("button", {
      type: "button", role: "tab", id: `gd-tab-${id}`, "aria-controls": "gd-tabpanel", "data-tab": id, onclick: () => this.go(id),
      onkeydown: (event) => { if (event.key === "ArrowLeft" || event.key === "ArrowRight") { this.go(id === "changes" ? "selection" : "changes"); this.tabs.find((t) => t.dataset.tab === this.tab).focus(); } },
    }, id === "changes" ? "Changes" : "Selection"));
    this.body = el("div", { class: "gd-panel-body", id: "gd-tabpanel", role: "tabpanel", tabindex: "-1" });
    view.aside.append(el("div", { class: "gd-tabs", role: "tablist", "aria-label": "Panel" }, this.tabs), this.body);
    this.table.render();
    this.go("changes");
  }

  toggle() {
    this.view.root.classList.toggle("gd-no-panel");
    this.view.resize();
  }

  go(id) {
    this.tab = id;
    this.tabs.forEach((tab) => { const on = tab.dataset.tab === id; tab.setAttribute("aria-selected", String(on)); tab.tabIndex = on ? 0 : -1; });
    this.body.replaceChildren(id === "changes" ? this.table.node : this.details());
    this.body.scrollTop = 0;
  }

  // After a selection: its details, unless the user is working in the table.
  show() {
    const focused = this.view.root.getRootNode().activeElement;
    const inTable = focused && this.table.node.contains(focused);
    if (this.view.selected && !inTable) this.go("selection");
    else if (this.tab === "selection") this.go(this.view.selected ? "selection" : "changes");
  }

  details() {
    const t = this.view.selected;
    if (!t) return this.help();
    return t.leaf >= 0 ? this.node(t) : this.group(t);
  }

  help() {
    const keys = [["arrows", "walk along the edges, across to the counterpart"], ["Enter", "open or close a group"], ["c", "go to the counterpart"],
      ["Backspace", "to the group around"], ["/", "search both graphs"], ["+ −", "zoom, as Ctrl and wheel do"], ["0", "show everything"], ["p", "panel on or off"], ["Esc", "no selection"]];
    return el("div", { class: "gd-details" }, el("p", { class: "gd-dim" }, "Click a box: its attributes, its counterparts and its cost stand here."), dl("Keys", keys));
  }

  node({ side: s, leaf }) {
    const { model } = this.view, side = model.sides[s], found = counterparts(model, s, leaf), pill = side.isPill(leaf);
    const name = pill ? side.op(leaf) : side.statuses[side.status[leaf]];
    const out = el("div", { class: "gd-details" },
      el("h3", {}, clean(shortOp(side.op(leaf)))), pill ? null : el("p", { class: `gd-status gd-s-${name}`, title: STATUS[name].says }, el("i", { "aria-hidden": "true" }, STATUS[name].glyph), ` ${name}, ${s ? "after" : "before"}`),
      el("p", { class: "gd-name" }, clean(side.name(leaf))));
    if (found.group >= 0) {
      const evidence = model.strings[model.groups.evidence[found.group]];
      if (evidence) out.append(el("p", { class: "gd-dim" }, clean(evidence), model.groups.verified[found.group] ? " · values compared and equal" : ""));
    }
    out.append(this.list(`Counterpart${found.other.length === 1 ? "" : "s"} ${s ? "before" : "after"}`, 1 - s, found.other, "none: it exists on this side only"));
    if (found.same.length > 1) out.append(this.list("Changed together with", s, found.same.filter((i) => i !== leaf), ""));
    if (found.group >= 0) out.append(this.costTable([0, 1].map((k) => sumOf(model, k, found.group)), "Cost of this change"));
    out.append(this.facts(side, leaf), this.tensors(side, s, leaf));
    return out;
  }

  facts(side, leaf) {
    const rows = [["scope", side.strings[side.scopes[leaf]]], ["shape", side.shape(leaf)], ["type", side.strings[side.dtypes[leaf]]],
      ["parameters", side.params[leaf] ? count(side.params[leaf]) : ""]];
    for (const [key, metric] of Object.entries(METRICS)) if (side.metric[key][leaf]) rows.push([metric.title, formatMetric(key, side.metric[key][leaf])]);
    let attributes = {};
    try { attributes = JSON.parse(side.strings[side.attributes[leaf]] || "{}"); } catch { attributes = {}; }
    for (const [key, value] of Object.entries(attributes).slice(0, 60)) {
      const text = typeof value === "string" ? value : JSON.stringify(value, (_, v) => (typeof v === "number" ? Number(v.toPrecision(6)) : v));
      rows.push([key, text.length > 400 ? `${text.slice(0, 400)} …` : text]);
    }
    return dl("Node", rows.filter(([, value]) => value));
  }

  tensors(side, s, leaf) {
    const section = el("div", {});
    for (const [title, list, way] of [["Inputs", [...side.ins.of(leaf)], "in"], ["Outputs", [...side.outs.of(leaf)], "out"]]) {
      if (!list.length) continue;
      section.append(el("h4", {}, title), el("ul", {}, list.slice(0, MOST).map((index) => {
        const text = clean(side.strings[index]) || "(absent)", other = this.end(side, leaf, index, way);
        return el("li", {}, other < 0 ? text : el("button", { type: "button", class: "gd-link", onclick: () => this.view.select({ side: s, leaf: other, group: -1 }, { reveal: true }) }, text));
      }), list.length > MOST ? el("li", { class: "gd-dim" }, `and ${count(list.length - MOST)} more`) : null));
    }
    return section;
  }

  end(side, leaf, tensor, way) {
    const [start, edge, end] = way === "in" ? [side.inStart, side.inEdge, side.src] : [side.outStart, side.outEdge, side.dst];
    for (let e = start[leaf]; e < start[leaf + 1]; e += 1) if (side.tensors[edge[e]] === tensor) return end[edge[e]];
    return -1;
  }

  list(title, s, leaves, nothing) {
    const side = this.view.model.sides[s];
    return el("div", {}, el("h4", {}, title), leaves.length
      ? el("ul", {}, leaves.slice(0, MOST).map((leaf) => el("li", {}, el("button", { type: "button", class: "gd-link", "data-counterpart": side.name(leaf), onclick: () => this.view.select({ side: s, leaf, group: -1 }, { reveal: true }) },
        el("b", {}, clean(shortOp(side.op(leaf)))), ` ${clean(side.name(leaf))}`))), leaves.length > MOST ? el("li", { class: "gd-dim" }, `and ${count(leaves.length - MOST)} more`) : null)
      : el("p", { class: "gd-dim" }, nothing));
  }

  group({ side: s, group: g }) {
    const { model } = this.view, { tree } = model, side = model.sides[s];
    const open = Boolean(this.view.scene.expanded[g]);
    const states = side.statuses.map((name, k) => [name, tree.states[s][g * side.statuses.length + k]]).filter(([, n]) => n);
    return el("div", { class: "gd-details" }, el("h3", {}, clean(tree.title[g] || "group")),
      el("p", { class: "gd-dim" }, `${plural(leafCount(model, 0, g), "node")} before, ${count(leafCount(model, 1, g))} after`),
      el("p", {}, el("button", { type: "button", class: "gd-button gd-wide", onclick: () => { this.view.toggle(g, s); this.go("selection"); } }, open ? "Close (Enter)" : "Open (Enter)")),
      el("ul", { class: "gd-states" }, states.map(([name, n]) => el("li", { class: `gd-s-${name}` }, el("i", { "aria-hidden": "true" }, STATUS[name].glyph), ` ${count(n)} ${name}`))),
      this.costTable([0, 1].map((k) => Object.fromEntries(Object.keys(METRICS).map((key) => [key, tree.sums[k][key][g]]))), "Cost"),
      dl(`Operators ${s ? "after" : "before"}`, operatorCounts(model, s, g).slice(0, MOST).map(([op, n]) => [clean(shortOp(op)), count(n)])));
  }

  costTable(sums, title) {
    const rows = Object.keys(METRICS).filter((key) => sums[0][key] || sums[1][key]);
    if (!rows.length) return el("div", {});
    const ratio = (key) => (sums[0][key] && sums[1][key] ? `${significant(sums[1][key] / sums[0][key], 2)}×` : "");
    return el("div", {}, el("h4", {}, title), el("table", { class: "gd-costs" },
      el("thead", {}, el("tr", {}, ["", "before", "after", ""].map((text) => el("th", { scope: "col" }, text)))),
      el("tbody", {}, rows.map((key) => el("tr", {}, el("th", { scope: "row" }, METRICS[key].title),
        ...sums.map((sum) => el("td", {}, sum[key] ? formatMetric(key, sum[key]) : "–")), el("td", { class: "gd-dim" }, ratio(key)))))));
  }
}

function dl(title, rows) {
  if (!rows.length) return el("div", {});
  return el("div", {}, el("h4", {}, title), el("dl", {}, rows.map(([key, value]) => el("div", {}, el("dt", {}, clean(key)), el("dd", {}, clean(String(value)))))));
}
