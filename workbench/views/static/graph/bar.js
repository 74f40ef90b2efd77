// The line above the panes: what happened, how often; heat; search; the few buttons. And the legend of the heat.

import { count, duration, el, operations, significant, size } from "./format.js";
import { METRICS, STATUS, heatColor } from "./status.js";

export function formatMetric(key, value) {
  if (key === "time_s") return duration(value);
  if (key === "bytes") return size(value);
  if (key === "flops") return operations(value);
  return significant(value);
}

export function makeBar(view) {
  const { model } = view;
  const chips = model.statuses.filter((name) => model.counts[name] || name === "unexplained").map((name) => {
    const n = model.counts[name] || 0;
    return el("button", {
      class: `gd-chip gd-s-${name}`, type: "button", "data-status": name, "aria-pressed": "false", title: `${name}: ${STATUS[name].says}. Click to see only these.`,
      onclick: () => view.setFilter(view.filter && view.filter.name === name ? "" : name),
    }, el("i", { "aria-hidden": "true" }, STATUS[name].glyph), `${count(n)} ${name}`);
  });
  const heat = el("select", { class: "gd-heat", "aria-label": "Heat map", title: "Colour by cost, one scale for both panes", onchange: () => view.setHeat(heat.value) },
    el("option", { value: "" }, "Heat: off"),
    Object.entries(METRICS).map(([key, metric]) => el("option", { value: key, disabled: !view.hasMetric(key), title: metric.says },
      `Heat: ${metric.title}${view.hasMetric(key) ? "" : " (not known)"}`)));
  const search = el("div", { class: "gd-search" });
  const button = (label, title, act) => el("button", { class: "gd-button", type: "button", title, "aria-label": title, onclick: act }, label);
  const node = el("div", { class: "gd-bar", role: "toolbar", "aria-label": "Graph pair" },
    el("div", { class: "gd-chips" }, chips), el("div", { class: "gd-tools" }, heat, search,
      el("div", { class: "gd-buttons" },
        button("−", "Close one level; with Shift, everything", (event) => view.relayout(() => (event.shiftKey ? view.scene.closeAll() : view.scene.step(false)))),
        button("+", "Open one level; with Shift, everything", (event) => view.relayout(() => (event.shiftKey ? view.scene.openAll() : view.scene.step(true)))),
        button("⤢", "Fit (0)", () => view.fit(true)),
        button("◐", "Light or dark", () => view.theme.next()),
        button("☰", "Show or hide the panel (p)", () => view.panel.toggle()))));
  return {
    node, search,
    refresh() {
      chips.forEach((chip) => chip.setAttribute("aria-pressed", String(Boolean(view.filter) && view.filter.name === chip.dataset.status)));
      heat.value = view.heat;
    },
  };
}

export function legend(view) {
  const { legend: node, heat, theme, model } = view;
  view.bar.refresh();
  if (!heat) { node.replaceChildren(); node.hidden = true; return; }
  const total = Math.max(...model.totals[heat]);
  const stops = [0.001, 0.0056, 0.032, 0.18, 1].map((share) => heatColor(share, theme.mode)).join(",");
  node.hidden = false;
  node.replaceChildren(el("span", {}, "0.1 %"), el("i", { style: `background:linear-gradient(to right,${stops})` }), el("span", {}, `100 % = ${formatMetric(heat, total)}`));
}
