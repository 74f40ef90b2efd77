// The trade-off plot in a page: cards on pointing, and the budget that re-picks. Numbers come from the page, not from here.
"use strict";

function mountPlot(figure) {
  const svg = figure.querySelector("svg.tradeoff");
  if (!svg) return null;
  const view = Object.fromEntries(Object.entries(svg.dataset).map(([k, v]) => [k, Number(v)]));
  const marks = new Map([...svg.querySelectorAll(".mark")].map((m) => [m.dataset.key, m]));
  const root = figure.getRootNode();
  let shown = "";

  const place = (card, mark) => {
    const box = figure.getBoundingClientRect(), at = mark.querySelector(".hit").getBoundingClientRect();
    const zoom = box.width / figure.offsetWidth || 1; // slides are scaled
    const x = (at.left + at.width / 2 - box.left) / zoom, y = (at.top + at.height / 2 - box.top) / zoom;
    const left = x + 16 + card.offsetWidth < figure.offsetWidth ? x + 16 : x - card.offsetWidth - 16;
    card.style.left = `${Math.max(0, left)}px`;
    card.style.top = `${Math.max(0, y - card.offsetHeight - 10)}px`;
  };
  const show = (key) => {
    if (key === shown) return;
    shown = key;
    for (const card of figure.querySelectorAll(".card")) {
      card.hidden = card.dataset.card !== key;
      if (!card.hidden) place(card, marks.get(key));
    }
    for (const row of root.querySelectorAll("[data-row]")) row.classList.toggle("on", row.dataset.row === key);
  };
  for (const [key, mark] of marks) {
    mark.addEventListener("pointerenter", () => show(key));
    mark.addEventListener("pointerleave", () => show(""));
    mark.addEventListener("focus", () => show(key));
    mark.addEventListener("blur", () => show(""));
  }
  const budget = figure.dataset.whatif === "true" ? mountBudget(figure, svg, view, marks) : null;
  return { show, budget };
}

function mountBudget(figure, svg, view, marks) {
  const find = (selector) => figure.querySelector(selector);
  const slider = find("input[type=range]"), output = find("output"), pick = find(".pick .chosen"), none = find(".pick .none");
  const ring = svg.querySelector(".ring"), zone = svg.querySelector(".limit");
  const most = Number(figure.dataset.most), reference = Number(figure.dataset.reference), accuracy = figure.dataset.accuracy === "true";
  const at = { loss: Math.round(1000 * Number(figure.dataset.start)), time: 1000 };
  let kind = "loss";

  const limitOf = (t) => kind === "loss" ? most * t : 10 ** (view.x0 + t * (view.x1 - view.x0)) / 1e3;
  const words = (limit) => kind === "time" ? `at most ${duration(limit)}`
    : accuracy ? `at most ${(100 * limit).toFixed(2)} points` : `at least ${(reference - limit).toFixed(4)}`;
  const edge = (limit) => {
    const beyond = zone.querySelector(".beyond"), line = zone.querySelector(".edge");
    let box = null, path = "";
    if (kind === "time") {
      const x = view.left + (view.right - view.left) * (Math.log10(limit * 1e3) - view.x0) / (view.x1 - view.x0);
      if (x < view.right - 1) { box = [x, view.top, view.right - x, view.bottom - view.top]; path = `M${x} ${view.top}V${view.bottom}`; }
    } else {
      const y = view.bottom - (view.bottom - view.top) * ((reference - limit) * view.scale - view.y0) / (view.y1 - view.y0);
      if (y < view.bottom - 1 && y > view.top) { box = [view.left, y, view.right - view.left, view.bottom - y]; path = `M${view.left} ${y}H${view.right}`; }
    }
    zone.setAttribute("visibility", box ? "visible" : "hidden");
    if (!box) return;
    ["x", "y", "width", "height"].forEach((name, i) => beyond.setAttribute(name, box[i]));
    line.setAttribute("d", path);
  };
  const draw = () => {
    const limit = limitOf(slider.value / 1000), steps = find(`[data-steps=${kind}]`);
    let best = null;
    for (const step of steps.querySelectorAll("[data-limit]")) if (Number(step.dataset.limit) <= limit * (1 + 1e-9) + 1e-12) best = step;
    output.textContent = words(limit);
    slider.setAttribute("aria-valuetext", output.textContent);
    none.hidden = Boolean(best);
    pick.hidden = !best;
    if (best) pick.innerHTML = best.querySelector(".text").innerHTML;
    else none.innerHTML = steps.querySelector(".nothing").innerHTML;
    const mark = best && marks.get(best.dataset.key);
    ring.setAttribute("visibility", mark ? "visible" : "hidden");
    if (mark) { ring.setAttribute("cx", mark.dataset.x); ring.setAttribute("cy", mark.dataset.y); ring.setAttribute("r", Number(mark.dataset.r) + 6); }
    figure.dataset.pick = best ? best.dataset.key : "";
    edge(limit);
  };
  const choose = (name) => {
    at[kind] = Number(slider.value);
    kind = name;
    slider.value = at[kind];
    for (const button of figure.querySelectorAll("[data-kind]")) button.setAttribute("aria-pressed", String(button.dataset.kind === kind));
    slider.setAttribute("aria-label", kind === "loss" ? "Largest loss that is accepted" : "Longest time of one run");
    draw();
  };
  slider.addEventListener("input", draw);
  for (const button of figure.querySelectorAll("[data-kind]")) button.addEventListener("click", () => choose(button.dataset.kind));
  slider.value = at.loss;
  choose("loss");
  return { draw, get state() { return { kind, value: slider.value }; }, set state(s) { if (!s) return; choose(s.kind); slider.value = s.value; draw(); } };
}

function duration(seconds) {
  const [factor, unit] = seconds < 1e-3 ? [1e6, "µs"] : seconds < 1 ? [1e3, "ms"] : [1, "s"];
  const value = seconds * factor, whole = String(Math.trunc(value)).length;
  return `${value.toFixed(Math.max(0, 3 - whole))} ${unit}`;
}
