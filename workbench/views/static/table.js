// The table of variants: sortable, reachable by keyboard, its selected row shared with the plot.

function compare(a, b) {
  if (a === null || a === undefined) return b === null || b === undefined ? 0 : 1;
  if (b === null || b === undefined) return -1;
  return typeof a === "string" ? a.localeCompare(b) : a - b;
}

function sorted(rows, sort) {
  if (!sort.column) return rows;
  const timed = [...rows].sort((a, b) => {
    const empty = compare(a.sort[sort.column] === null, b.sort[sort.column] === null);
    return empty || sort.direction * compare(a.sort[sort.column], b.sort[sort.column]);
  });
  return timed;
}

function drawHead(columns, sort, redrawAll) {
  return h("thead", {}, h("tr", {}, columns.map((column) => {
    if (!column.title) return h("th", { class: `wb-col-${column.id}`, scope: "col", "aria-label": column.label });
    const active = sort.column === column.id;
    const press = () => {
      sort.direction = active ? -sort.direction : 1;
      sort.column = column.id;
      redrawAll();
    };
    const order = active ? (sort.direction > 0 ? "ascending" : "descending") : "none";
    return h("th", { class: `wb-col-${column.id}`, scope: "col", "aria-sort": order },
      tip(h("button", { type: "button", "data-focus": `sort-${column.id}`, onclick: press },
        column.title, active && h("span", { class: "wb-caret", "aria-hidden": "true" }, sort.direction > 0 ? "▴" : "▾")),
      column.hint));
  })));
}

function drawCell(id, row) {
  if (id !== "speed") return row.cells[id];
  return [row.cells.speed, h("span", { class: `wb-glyph wb-${row.verdict}`, title: row.verdict }, row.glyph)];
}

function drawRow(model, columns, row, selected) {
  const choose = () => { model.set("selected", row.key); model.save_changes(); model.send({ type: "select", key: row.key }); };
  const on = row.key === selected;
  const attrs = {
    class: `wb-row wb-status-${row.status}${(row.standing === "dominated" || row.standing === "tried") && !row.is_baseline ? " wb-behind" : ""}${on ? " wb-on" : ""}`,
    "aria-selected": String(on), tabindex: on ? "0" : "-1", "data-key": row.key, "data-focus": `row-${row.key}`,
    onclick: choose,
    onkeydown: (event) => {
      const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
      if (step && event.currentTarget[step]) { event.preventDefault(); event.currentTarget[step].focus(); event.currentTarget[step].click(); }
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(); }
    },
  };
  const name = h("td", { class: "wb-col-name" },
    h("span", { class: `wb-mark wb-mark-${row.precision}`, "aria-hidden": "true" }, row.mark),
    h("span", { class: "wb-name", title: row.title }, row.name), row.is_baseline && h("span", { class: "wb-tag" }, "baseline"),
    row.status === "live" && h("span", { class: "wb-tag wb-tag-live" }, "live"),
    row.status === "tried" && h("span", { class: "wb-tag", title: "screened while tuning: a short measurement" }, "tried"));
  if (row.status === "failed") {
    return h("tr", attrs, name, tip(h("td", { class: "wb-failed", colspan: String(columns.length - 1) }, `✕ ${row.reason}`), row.reason));
  }
  const slower = row.verdict === "slower" && h("button", {
    class: "wb-link wb-whyslow", type: "button", "data-focus": `why-${row.key}`,
    onclick: (event) => { event.stopPropagation(); choose(); model.send({ type: "why", key: row.key }); },
  }, "why slower? ›");
  if (slower) name.append(slower);
  return h("tr", attrs, name, columns.slice(1).map((column) =>
    h("td", { class: `wb-col-${column.id}` }, drawCell(column.id, row))));
}

export default {
  render({ model, el }) {
    el.classList.add("wb-table");
    const sort = { column: "", direction: 1 };
    const draw = () => {
      const columns = model.get("columns"), rows = sorted(model.get("rows"), sort);
      const selected = model.get("selected");
      const body = rows.map((row) => drawRow(model, columns, row, selected));
      if (body.length && !rows.some((row) => row.key === selected)) body[0].setAttribute("tabindex", "0");
      redraw(el,
        body.length > 0 && h("table", { role: "grid", "aria-label": "Variants" }, drawHead(columns, sort, draw), h("tbody", {}, body)),
        rows.length === 0 && h("div", { class: "wb-empty" }, model.get("empty")),
        h("div", { class: "wb-footnote" }, model.get("footnote")));
      if (selected !== draw.last) setTimeout(() => { // after the redrawing, which may wait for the end of a press
        const chosen = el.querySelector(".wb-on");
        if (chosen) chosen.scrollIntoView({ block: "nearest" });
      });
      draw.last = selected;
    };
    return listen(model, ["columns", "rows", "selected", "empty", "footnote"], draw);
  },
};
