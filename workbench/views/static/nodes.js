// The nodes of a ranking: each row's first cell is a switch between INT8 and float.

const TITLES = ["", "node", "operator", "damage alone", "weights only", "activations only", "time float", "time INT8", "INT8 saves"];

function nodeRow(model, row, kept) {
  const on = kept.has(row.name);
  const flip = () => model.send({ type: "keep", name: row.name, on: !on });
  const button = h("button", {
    class: `wb-switch ${on ? "wb-switch-float" : "wb-switch-int8"}`, type: "button", role: "switch", "aria-checked": String(on),
    "aria-label": `${row.name} stays in float`, "data-focus": `node-${row.name}`, onclick: flip,
    title: on ? "stays in float: click for INT8" : "INT8: click to keep it in float",
  }, on ? "float" : "INT8");
  return h("tr", {}, h("td", {}, button), h("td", { class: "wb-node-name", title: row.name }, row.name),
    row.cells.map((text, i) => h("td", { class: i ? "wb-right" : "" }, text)));
}

export default {
  render({ model, el }) {
    el.classList.add("wb-nodes");
    const draw = () => {
      const kept = new Set(model.get("keep"));
      redraw(el, h("div", { class: "wb-nodes-scroll", "data-scroll": "nodes" }, h("table", {},
        h("thead", {}, h("tr", {}, TITLES.map((title, i) => h("th", { scope: "col", class: i > 2 ? "wb-right" : "" }, title)))),
        h("tbody", {}, model.get("rows").map((row) => nodeRow(model, row, kept))))));
    };
    return listen(model, ["rows", "keep"], draw);
  },
};
